"""One job: a process that gets a run folder, reads the frozen configuration there and runs its task.

``python -m vosbench.tasks.job RUN_DIR``, by itself or as one of several ranks under ``torch.distributed.run``. It never
composes, so all ranks run the very same values.
"""

import importlib
import logging
import math
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from vosbench.errors import ConfigError, VosbenchError
from vosbench.tasks.allocation import keep_freed_memory
from vosbench.tasks.run_folder import CONFIG, Status, read_config, read_json, read_status, write_status

log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Run the job of a folder; the exit code is 0, 2 for what the user can mend, 1 for a defect."""
    if len(arguments) != 1:
        sys.stderr.write("python -m vosbench.tasks.job RUN_DIR runs the job of a run folder; python -m vosbench makes one.\n")
        return 2
    run_dir = Path(arguments[0])
    # SIGTERM ends a job as Ctrl-C does: what is being written is finished or removed on the way out.
    signal.signal(signal.SIGTERM, _interrupt)
    keep_freed_memory()
    try:
        start_logging(run_dir)
        return run_job(run_dir)
    except VosbenchError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def run_job(run_dir: Path) -> int:
    """Dispatch to the task, and keep status.json true whatever happens."""
    config = OmegaConf.create(read_config(run_dir))
    OmegaConf.set_readonly(config, True)
    status = read_status(run_dir) or Status("queued", created=time.time())
    status = Status("running", created=status.created, started=time.time())
    _write(run_dir, status)
    try:
        result = _task(config.task).run(config, run_dir)
    except VosbenchError as error:
        sys.stderr.write(f"{error}\n")
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exc()
        return _failed(run_dir, status, 2, str(error))
    except KeyboardInterrupt:
        return _failed(run_dir, status, 130, "The job was interrupted.")
    except Exception as error:
        traceback.print_exc()
        return _failed(run_dir, status, 1, _last_line(error))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        return _failed(run_dir, status, code, f"The job left with status {code}.") if code else 0
    _write(run_dir, replace(status, state="done", ended=time.time(), exit_code=0, scores=scores_of(result, run_dir)))
    return 0


def _task(name: str) -> Any:
    """The module of a task; it has ``run(config, run_dir) -> dict | None``."""
    place = Path(__file__).with_name(f"{name}.py")
    if not (name.isidentifier() and place.is_file()):
        raise ConfigError(f"There is no task '{name}'; python -m vosbench --help lists the tasks.")
    return importlib.import_module(f"vosbench.tasks.{name}")


def scores_of(result: Any, run_dir: Path) -> dict[str, float] | None:
    """J, F and J&F that a task returns, or else those of the scores.json it wrote."""
    candidates = [result, read_json(run_dir / "scores.json")]
    for content in candidates:
        if isinstance(content, Mapping):
            overall = content.get("overall", content)
            names = {"J": ("J", "J_mean"), "F": ("F", "F_mean"), "J&F": ("J&F",)}
            found = {short: overall[name] for short, keys in names.items() for name in keys if _is_number(overall.get(name))}
            if "J&F" in found:
                return {short: float(value) for short, value in found.items()}
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _is_first_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _write(run_dir: Path, status: Status) -> None:
    """Rank zero tells how far the job is."""
    if _is_first_rank():
        write_status(run_dir, status)


def _failed(run_dir: Path, status: Status, code: int, error: str) -> int:
    # Any rank may be the one that fails, and the others are then ended by the launcher: the first to fail keeps its word.
    before = read_status(run_dir)
    if before is None or before.state != "failed" or before.started is None:
        write_status(run_dir, replace(status, state="failed", ended=time.time(), exit_code=code, error=error))
    return code


def _last_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def start_logging(run_dir: Path) -> None:
    """INFO to the terminal and to log.txt, from rank zero; the other ranks tell warnings only."""
    first = _is_first_rank()
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if first and (run_dir / CONFIG).is_file():
        handlers.append(logging.FileHandler(run_dir / "log.txt", encoding="utf-8"))
    logging.basicConfig(
        level=logging.INFO if first else logging.WARNING,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
        handlers=handlers,
        force=True,
    )
    for handler in handlers:
        handler.addFilter(_worth_reading)
    # The batch sampler resumes by the step counter (see clips.datamodule), which Lightning cannot know.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    warnings.filterwarnings("ignore", module="pytorch_lightning.utilities._pytree")
    # Frozen parts are meant to be; the chain itself says which they are.
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode.*")


def _worth_reading(record: logging.LogRecord) -> bool:
    """Lightning's INFO is advertisement and what we say ourselves; it sets its own level when it is imported."""
    return record.levelno >= logging.WARNING or not record.name.startswith("pytorch_lightning")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
