"""Which sequences of a set are taken: a split file, a given list, and what is held out."""

import difflib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from vosbench.errors import ConfigError, DatasetError
from vosbench.video.frames import natural_key


def read_split(path: Path) -> list[str]:
    """Sequence names of a split file: one per line, or DAVIS 2016's two paths per line (image, mask), one line per frame."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(
            f"{path}: the split file cannot be read ({error.strerror}); check data.root and the split's name."
        ) from error
    names: dict[str, None] = {}
    for line in filter(None, map(str.strip, lines)):
        first = line.split()[0] if line.startswith("/") else line
        names[first.split("/")[-2] if "/" in first else first] = None
    if not names:
        raise DatasetError(f"{path}: the split file is empty, expected one sequence name per line.")
    return list(names)


def read_video_list(path: Path) -> dict[str, dict[str, Any]]:
    """`videos` of a YouTube-VOS or LVOS meta file: video -> `objects` -> object id -> what is known of it."""
    try:
        videos = json.loads(path.read_text(encoding="utf-8"))["videos"]
        if not all(isinstance(video["objects"], dict) for video in videos.values()):
            raise TypeError("objects")
    except OSError as error:
        raise DatasetError(
            f"{path}: the list of videos and objects cannot be read ({error.strerror}); check data.root."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f'{path}: is not a list of videos, expected {{"videos": {{name: {{"objects": {{id: ...}}}}}}}}; copy it again.'
        ) from error
    return videos


def existing_folder(path: Path, what: str, key: str) -> Path:
    """That folder, or `DatasetError`: which one is missing and which key names it."""
    if not path.is_dir():
        raise DatasetError(f"{path}: {what} is missing; set {key} to where it lies (nothing is downloaded).")
    return path


def subfolders(folder: Path) -> list[str]:
    """Names of the folders directly below, in natural order; hidden ones are left out."""
    return sorted((item.name for item in folder.iterdir() if item.is_dir() and not item.name.startswith(".")), key=natural_key)


def require_folders(sequences: list[str], place: str, *folders: Path) -> None:
    """`DatasetError` if a sequence is missing below one of the folders. One listing each, not a look-up per video."""
    for folder in folders:
        there = {item.name for item in folder.iterdir()}
        missing = [name for name in sequences if name not in there]
        if missing:
            raise DatasetError(
                f"{folder / missing[0]}: this folder of sequence '{missing[0]}' of {place} is missing ({len(missing)} of "
                f"{len(sequences)} sequences lack it); copy them or list these sequences in exclude."
            )


def chosen(names: Collection[str], sequences: list[str] | None, exclude: list[str] | None, place: str) -> list[str]:
    """Those of `sequences` (default: all names) that are not excluded. An unknown name is a `ConfigError`: a mistyped
    hold-out would train on what it is validated on."""
    for key, wanted in (("sequences", sequences), ("exclude", exclude)):
        for name in wanted or []:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"it has {len(names)} sequences, '{min(names)}' among them."
                raise ConfigError(f"{key}: there is no sequence '{name}' in {place}; {hint}")
    left_out = set(exclude or [])
    kept = [name for name in (names if sequences is None else sequences) if name not in left_out]
    if not kept:
        raise ConfigError(f"sequences, exclude: nothing is left of {place}'s {len(names)} sequences; change the two lists.")
    return kept


def name_of(split: str, sequences: object, exclude: object) -> str:
    """Name of a split; one from which sequences were picked says so, for its scores are not those of the benchmark's split."""
    return split if sequences is None and exclude is None else f"{split}, chosen sequences"
