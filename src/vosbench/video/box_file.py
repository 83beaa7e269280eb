"""Boxes that a user drew, in a file: JSON or CSV with frame, object and box."""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vosbench.errors import PromptError
from vosbench.video.prompt import Box

BoxesByFrame = dict[int, dict[int, Box]]  # frame index -> object id -> box in pixels of the frame
SUFFIXES = (".json", ".csv")


def read_boxes(path: Path, frame_names: list[str]) -> BoxesByFrame:
    """Boxes by frame and object.

    JSON holds a list of ``{"frame": 0, "object": 1, "box": [x0, y0, x1, y1]}``; CSV a heading and the same in that order, the
    box in one cell or in four. A frame is given by its name ("00005"), or by its number, counted from 0.
    """
    places = {name: index for index, name in enumerate(frame_names)}
    found: BoxesByFrame = {}
    for where, frame, object_id, box in (_json_rows if path.suffix.lower() == ".json" else _csv_rows)(path):
        index = places.get(str(frame), _whole(frame))
        if index is None or not 0 <= index < len(frame_names):
            raise PromptError(
                f"{where}: the video has no frame '{frame}'; give one of its {len(frame_names)} names ('{frame_names[0]}' is the "
                "first) or a number from 0."
            )
        number, edges = _whole(object_id), _edges(box)
        if number is None or not 1 <= number <= 255:
            raise PromptError(f"{where}: '{object_id}' is no object id; give a number from 1 to 255.")
        if edges is None:
            raise PromptError(f"{where}: the box of object {number} is {box}; give four numbers x0, y0, x1, y1 in pixels.")
        if number in found.setdefault(index, {}):
            raise PromptError(f"{where}: object {number} has a second box in frame '{frame}'; leave one of them out.")
        found[index][number] = edges
    if not found:
        raise PromptError(f"{path}: holds no box; write one line for each: frame, object, box.")
    return dict(sorted(found.items()))


Row = tuple[str, Any, Any, Any]  # where it stands, frame, object, box


def _json_rows(path: Path) -> Iterator[Row]:
    try:
        content = json.loads(_text(path))
    except ValueError as error:
        raise PromptError(f"{path}: is not valid JSON ({error}); write a list of boxes.") from error
    if not isinstance(content, list):
        raise PromptError(f'{path}: holds no list; write [{{"frame": 0, "object": 1, "box": [x0, y0, x1, y1]}}, ...].')
    for number, item in enumerate(content, start=1):
        where = f"{path}, entry {number}"
        missing = [key for key in ("frame", "object", "box") if not isinstance(item, dict) or key not in item]
        if missing:
            raise PromptError(f"{where}: has no '{missing[0]}'; each entry needs frame, object and box.")
        yield where, item["frame"], item["object"], item["box"]


def _csv_rows(path: Path) -> Iterator[Row]:
    rows = list(csv.reader(_text(path).splitlines(), skipinitialspace=True))
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    if heading[:2] != ["frame", "object"]:
        raise PromptError(f"{path}: begins with '{','.join(heading)}'; the first line is frame,object,x0,y0,x1,y1.")
    for line, row in enumerate(rows[1:], start=2):
        if row:
            frame, object_id, *box = [cell.strip() for cell in row] + [""] * (2 - len(row))
            yield f"{path}, line {line}", frame, object_id, box


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets put a mark in front
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: cannot be read as text ({error}); give a JSON or CSV file of boxes.") from error


def _whole(value: Any) -> int | None:
    try:
        return None if isinstance(value, (bool, float)) else int(value)
    except (TypeError, ValueError):
        return None


def _edges(value: Any) -> Box | None:
    """Four finite numbers: a list of them, or texts as a CSV has them."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0].strip("[]() ").replace(",", " ").split()
    if not isinstance(value, list) or len(value) != 4:
        return None
    try:
        x0, y0, x1, y1 = (float(edge) for edge in value)
    except (TypeError, ValueError):
        return None
    return (x0, y0, x1, y1) if all(map(math.isfinite, (x0, y0, x1, y1))) else None
