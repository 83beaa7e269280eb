"""Prompts as users write them: boxes, mask files, one label map, a folder of label maps by frame, or a file of boxes by frame."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from vosbench.errors import PromptError
from vosbench.video.box_file import SUFFIXES, read_boxes
from vosbench.video.label_map import read_label_map

PromptsByFrame = dict[int, dict[int, Any]]  # frame index -> object id -> mask or box


def read_prompts(given: Mapping[Any, Any] | str | Path, frame_names: list[str]) -> PromptsByFrame:
    """Prompts by frame and object.

    A mapping holds boxes or mask files of the first frame; a path is a label map of the first frame, a folder with one
    label map for every frame in which objects enter, named like the frame, or a JSON or CSV file of boxes (`video.box_file`).
    """
    if isinstance(given, Mapping):
        return {0: {_object_id(key): _of_first_frame(key, value) for key, value in given.items()}}
    path = Path(given)
    if path.is_dir():
        return _folder(path, frame_names)
    if not path.is_file():
        raise PromptError(
            f"{path}: there is no such mask; give prompt=<label map>, prompt=<folder of label maps>, prompt=<JSON or CSV file of boxes> "
            "or prompt='{1: [x0, y0, x1, y1]}'."
        )
    if path.suffix.lower() in SUFFIXES:
        return {frame_index: dict(boxes) for frame_index, boxes in read_boxes(path, frame_names).items()}
    return {0: objects_of(read_label_map(path), path)}


def objects_of(label_map: UInt8[np.ndarray, "H W"], path: Path) -> dict[int, Bool[np.ndarray, "H W"]]:
    """One mask per id of a label map."""
    ids = [int(object_id) for object_id in np.unique(label_map) if object_id]
    if not ids:
        raise PromptError(f"{path}: holds no object, every pixel is background; paint each object with its own id.")
    return {object_id: label_map == object_id for object_id in ids}


def _folder(folder: Path, frame_names: list[str]) -> PromptsByFrame:
    files = {path.stem: path for path in sorted(folder.glob("*.png"))}
    places = {name: place for place, name in enumerate(frame_names)}
    lost = sorted(files.keys() - places.keys())
    if lost:
        raise PromptError(
            f"{files[lost[0]]}: the video has no frame '{lost[0]}' (its first is '{frame_names[0]}'); name masks like their frames."
        )
    if not files:
        raise PromptError(f"{folder}: holds no mask (*.png); put a label map there for each frame in which objects enter.")
    known: set[int] = set()
    prompts: PromptsByFrame = {}
    for name, path in sorted(files.items(), key=lambda item: places[item[0]]):
        # A mask file holds the objects that enter there; an id that is known already is not prompted again, because full
        # annotations of later frames would otherwise be handed to the method.
        entering = {key: mask for key, mask in objects_of(read_label_map(path), path).items() if key not in known}
        if entering:
            prompts[places[name]] = entering
        known |= entering.keys()
    return prompts


def _object_id(key: Any) -> int:
    try:
        return int(key)
    except (TypeError, ValueError) as error:
        raise PromptError(
            f"prompt: '{key}' is no object id; give numbers from 1 to 255, as in '{{1: [40, 60, 180, 220]}}'."
        ) from error


def _of_first_frame(key: Any, value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        if len(value) != 4 or not all(isinstance(edge, (int, float)) for edge in value):
            raise PromptError(f"prompt: the box of object {key} is {value}; give four numbers [x0, y0, x1, y1] in pixels.")
        return [float(edge) for edge in value]
    path = Path(str(value))
    if not path.is_file():
        raise PromptError(f"{path}: there is no such mask for object {key}; give a PNG of the first frame's size.")
    return read_label_map(path) > 0
