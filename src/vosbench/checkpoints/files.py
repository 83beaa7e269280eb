"""Checkpoint files: written beside and renamed, read without running foreign code."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from vosbench.errors import CheckpointError


def rename(temporary: Path, path: Path) -> None:
    """Give a finished file its name once its bytes are on the disk: a reader sees the old file or the new one, never half."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def point_to(link: Path, target: Path) -> None:
    """Make `link` a relative symbolic link to `target`, replacing what it was in one step."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, link.parent))
    os.replace(temporary, link)


def read_checkpoint(path: str | Path, map_location: str | torch.device = "cpu") -> dict[str, Any]:
    """The content of a checkpoint file; tensors and plain values only, so that nothing in it can run."""
    path = Path(path)
    if str(path).startswith(("http:", "https:")):
        raise CheckpointError(f"{path}: checkpoints are read from local files only; download it and give the file's path.")
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there is no such checkpoint file; give the path of a .ckpt or .pth file with checkpoint=<file>."
        )
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds more than tensors and plain values, and such files are never unpickled; save its state dict alone and give that."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint ({type(error).__name__}); the file is damaged or not a checkpoint."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: holds a {type(content).__name__}, not a state dict; save the network's state dict and give that."
        )
    return content
