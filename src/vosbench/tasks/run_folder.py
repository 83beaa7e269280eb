"""What a job leaves and how far it is: `runs/<method>/<date-time>/` with config.yaml, environment.json, status.json.

Everything is written beside and renamed, so a reader never meets half a file.
"""

import json
import os
import platform
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from vosbench.errors import RunError

CONFIG, ENVIRONMENT, STATUS = "config.yaml", "environment.json", "status.json"
PACKAGES = ("vosbench", "torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "timm", "albumentations",
            "opencv-python-headless", "numpy", "wandb")  # fmt: skip
State = Literal["queued", "running", "done", "failed"]


@dataclass(frozen=True)
class Status:
    """How far a job is."""

    state: State
    created: float  # seconds since 1970
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    error: str | None = None  # last error, one sentence
    scores: Mapping[str, float] | None = None  # J, F and J&F in [0, 1], of a task that scores

    @property
    def seconds(self) -> float | None:
        """How long it ran; None before its end."""
        return None if self.started is None or self.ended is None else self.ended - self.started


def write_atomically(path: Path, text: str) -> None:
    """Write beside and rename; RunError where the folder cannot be written."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise RunError(f"{path} cannot be written ({error.strerror}); free the place, or give another out=.") from error


def write_json(path: Path, content: Any) -> None:
    """Indented JSON, atomically."""
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Content of a JSON file; None where there is none, or where it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def create_run_folder(parent: Path, moment: float | None = None) -> Path:
    """A new folder below `parent`, named by date and time. Exclusive creation: two launches of one second get two folders."""
    name = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(moment))
    _make(parent, exist_ok=True)
    for counter in range(1, 10_000):
        folder = parent / (name if counter == 1 else f"{name}_{counter}")
        try:
            _make(folder, exist_ok=False)
        except FileExistsError:
            continue
        return folder
    raise RunError(f"{parent} holds ten thousand runs of one second; choose another folder with out=.")


def claim_folder(folder: Path, shared: bool = False) -> Path:
    """A folder the user named. RunError when it holds a run already, unless `shared`: the nodes of one run all claim it."""
    _make(folder, exist_ok=True)
    if (folder / CONFIG).exists() and not shared:
        raise RunError(f"{folder} holds a run already; go on with it by resume={folder}, or give another folder as out=.")
    return folder


def open_run(config: dict[str, Any], parent: Path, overrides: Sequence[str], flags: Sequence[str] = ()) -> Path:
    """The folder of a new run, ready for its job: `config["out"]`, or a new one below `parent`."""
    node_rank = (config.get("trainer") or {}).get("node_rank", 0)
    folder = (
        claim_folder(Path(config["out"]), shared=node_rank > 0) if config.get("out") else create_run_folder(parent).absolute()
    )
    config["out"] = str(folder)
    if node_rank == 0:
        write_status(folder, Status("queued", created=time.time()))
        write_json(folder / ENVIRONMENT, environment(overrides, flags))
        write_config(folder, config)
    return folder


def _make(folder: Path, exist_ok: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        if not exist_ok:
            raise
        raise RunError(f"{folder} is a file, but a run needs a folder; give another one as out=.") from None
    except OSError as error:
        raise RunError(f"The folder {folder} cannot be made ({error.strerror}); give a writable one as out=.") from error
    if not os.access(folder, os.W_OK):
        raise RunError(f"The folder {folder} cannot be written; give a writable one as out=.")


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Freeze plain values as config.yaml. OmegaConf writes and reads it: for PyYAML 1e-4 would be a string."""
    from omegaconf import OmegaConf

    write_atomically(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(dict(config))))


def read_config(folder: Path) -> dict[str, Any]:
    """The frozen configuration of a run folder as plain values."""
    from omegaconf import OmegaConf

    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder} holds no {CONFIG}, so it is not a run folder; give one such as runs/<method>/<date-time>.")
    content = OmegaConf.to_container(OmegaConf.load(folder / CONFIG))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def write_status(folder: Path, status: Status) -> None:
    """Replace status.json."""
    write_json(folder / STATUS, asdict(status) | {"seconds": status.seconds})


def read_status(folder: Path) -> Status | None:
    """How far the job of a folder is; None where nothing is known."""
    content = read_json(folder / STATUS)
    if content is None:
        return None
    return Status(**{key: value for key, value in content.items() if key != "seconds"})


def environment(overrides: Sequence[str], flags: Sequence[str] = ()) -> dict[str, Any]:
    """What a run depends on beside its configuration: the command, versions, code revision, hardware."""
    return {
        "command": shlex.join(["python", "-m", "vosbench", *flags, *overrides]),
        "overrides": list(overrides),
        "flags": list(flags),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": _git_revision(),
        "hardware": {
            "system": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(),
            "cpu_cores": os.cpu_count(),
            "memory_gib": _memory_gib(),
            "gpus": _gpus(),
        },
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _output(*command: str) -> str | None:
    """What a program prints; None where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _git_revision() -> dict[str, Any] | None:
    """Revision of a checkout and whether files of it are changed; None for an installed package."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    revision = _output("git", "-C", str(root), "rev-parse", "HEAD")
    changes = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return None if revision is None else {"revision": revision, "changed": bool(changes)}


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _gpus() -> list[str]:
    listed = _output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    return listed.splitlines() if listed else []
