"""The front end of a command: composed once, frozen into a run folder, run as a process of its own.

Light on purpose: neither torch nor a method is imported here, so a typo answers at once. Sweeps are lists of such jobs,
started by Hydra's launchers.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from omegaconf import DictConfig

from vosbench.configuration.composition import Source, register_search_path
from vosbench.configuration.freezing import freeze_line
from vosbench.configuration.messages import sentence_for
from vosbench.configuration.overrides import CommandLine, Override, check_groups, no_method, quoted
from vosbench.configuration.places import conf_folder
from vosbench.configuration.targets import allow_targets
from vosbench.errors import ConfigError, VosbenchError
from vosbench.tasks.launch import launch
from vosbench.tasks.resume import resumed
from vosbench.tasks.run_folder import create_run_folder, open_run, read_config, read_status, write_config
from vosbench.tasks.sweep import conclude, is_done, prepare_job

# Flags that Hydra answers by itself; nothing is run.
HYDRA_ANSWERS = {"--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc", "--version"}


def run_command(arguments: list[str]) -> int:
    """Everything but help and score; the exit code is the job's."""
    line = CommandLine.parse(arguments)
    line.overrides = [quoted(item, line.multirun) for item in line.overrides]
    allow_targets(line.allowed_targets)
    if HYDRA_ANSWERS & {flag.partition("=")[0] for flag in line.flags}:
        return _hydra_main(line, _run_nothing, "config")
    check_groups(line)
    if line.value("resume") not in (None, "null"):
        return _resume(line)
    if not (line.chooses("method") or line.chooses("experiments") or line.own_configuration):
        raise no_method()
    return _sweep(line) if line.multirun else _run(line)


@contextmanager
def _explained(line: CommandLine) -> Iterator[None]:
    """Hydra's and OmegaConf's errors leave as a sentence of ours."""
    try:
        yield
    except VosbenchError:
        raise
    except Exception as error:
        sentence = sentence_for(error, line)
        if sentence is None:
            raise
        raise sentence from error


def _run(line: CommandLine) -> int:
    """One job in a new run folder."""
    if line.value("sweep"):
        raise ConfigError(f"sweep={line.value('sweep')} belongs to a sweep: add -m, or name the folder of one run by out=.")
    with _explained(line):
        config, composed = freeze_line(line)
    run_dir = open_run(config, Path("runs") / str(composed.choices["method"]), line.texts, line.flags)
    sys.stdout.write(f"Run folder: {_short(run_dir)}\n")
    sys.stdout.flush()
    return launch(run_dir, config).exit_code


def _resume(line: CommandLine) -> int:
    """Go on in the folder of an earlier run."""
    if line.multirun:
        raise ConfigError("resume= goes on with one run; to go on with a sweep, repeat its command with sweep=<its folder>.")
    with _explained(line):
        run_dir, config = resumed(line)
    return launch(run_dir, config).exit_code


def _sweep(line: CommandLine) -> int:
    """All jobs of a sweep, and their table; 1 when one of them failed. What is done already is not done again."""
    if line.value("out"):
        raise ConfigError("Every job of a sweep has a folder of its own: give sweep=<folder> in place of out=.")
    if line.value("hydra/sweeper") not in (None, "basic"):
        raise ConfigError("hydra/sweeper: only Hydra's basic sweeper will do, for all jobs are composed before the first one.")
    given = line.value("sweep")
    line = line.without("sweep")
    # All jobs are composed before the first one runs: a typo in the last must not cost the hours of the others.
    prepared = []
    for each in _combinations(line):
        with _explained(each):
            prepared.append((each.texts, freeze_line(each)[0]))
    sweep_dir = Path(given).expanduser().absolute() if given else create_run_folder(Path("sweeps")).absolute()
    sys.stdout.write(f"Sweep folder: {_short(sweep_dir)}\n")
    folders = [prepare_job(sweep_dir, overrides, config, line.flags) for overrides, config in prepared]
    missing = [folder for folder in folders if not is_done(folder)]
    try:
        if missing:
            _launch_all(line, sweep_dir, missing)
    finally:
        sys.stdout.write(f"\n{conclude(sweep_dir)}\n")
    return int(not all(is_done(folder) for folder in folders))


def _combinations(line: CommandLine) -> list[CommandLine]:
    """The jobs of a sweep, as command lines of their own."""
    with _explained(line):
        jobs = Source.of(line).combinations(line.without_hydra().texts)
    flags = [flag for flag in line.flags if flag not in ("-m", "--multirun")]
    return [CommandLine(flags, [Override.parse(text) for text in job], line.allowed_targets) for job in jobs]


def _launch_all(line: CommandLine, sweep_dir: Path, folders: list[Path]) -> None:
    """Hydra's launcher over the prepared folders; its own settings (hydra/launcher=joblib and so on) come from the line."""
    names = ",".join(f"'{folder.name}'" for folder in folders)
    own = [item for item in line.overrides if item.key.startswith("hydra")]
    texts = [Override("", "sweep", f"'{sweep_dir}'"), Override("", "folder", names), *own]
    flags = [flag for flag in line.flags if not flag.startswith(("--config-path", "-cp", "--config-name", "-cn"))]
    _hydra_main(CommandLine([*flags, *(["-m"] if "-m" not in flags else [])], texts), sweep_job, "sweep")


def _hydra_main(line: CommandLine, task: Callable[[DictConfig], object], name: str) -> int:
    """`hydra.main`, for what only Hydra does: launch sweeps, complete and inspect. It reads sys.argv, which is put back."""
    register_search_path()
    before = sys.argv
    sys.argv = [sys.argv[0], *line.flags, *line.texts]
    try:
        hydra.main(config_path=str(conf_folder()), config_name=name, version_base="1.3")(task)()
    finally:
        sys.argv = before
    return 0


def _run_nothing(config: DictConfig) -> None:
    """Stands in where Hydra answers by itself."""


def sweep_job(config: DictConfig) -> float:
    """One job of a sweep, as Hydra's launchers call it, maybe on another machine; returns J&F.

    A failed job returns NaN in place of raising, so that the others still run; its status file tells why.
    """
    folder = Path(config.sweep) / config.folder
    frozen, status = read_config(folder), read_status(folder)
    if status is not None and status.started is not None:  # it ran before and did not end: go on from its checkpoints
        frozen |= {"resume": str(folder)}
        write_config(folder, frozen)
    sys.stdout.write(f"\n{time.strftime('%H:%M:%S')} {folder.name}\n")
    sys.stdout.flush()
    if launch(folder, frozen).interrupted:
        raise KeyboardInterrupt
    ended = read_status(folder)
    return float("nan") if ended is None or not ended.scores else ended.scores["J&F"]


def _short(path: Path) -> str:
    """Relative to the current directory where it lies below."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
