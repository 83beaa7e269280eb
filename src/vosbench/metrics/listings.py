"""Files that say what is to be scored: split lists of DAVIS, meta files of YouTube-VOS and LVOS."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from vosbench.errors import ConfigError, DatasetError

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ObjectMeta:
    """What a meta file says of one object."""

    frames: tuple[str, ...]  # of its life, in time order, first and last included
    category: str | None = None  # YouTube-VOS
    frame_nums: int | None = None  # LVOS: how many frames these should be


Meta = dict[str, dict[int, ObjectMeta]]  # sequence -> object id -> object


def read_names(path: Path, key: str) -> list[str]:
    """Sequence names of a list, one a line; a line of image and mask paths (DAVIS 2016) stands for the folder they lie in."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: this list of sequences cannot be read ({error}); check {key}.") from None
    names = [PurePosixPath(line.split()[-1]).parent.name if "/" in line else line.strip() for line in lines if line.strip()]
    if not names:
        raise DatasetError(f"{path}: the list holds no sequence, expected one name a line; check {key}.")
    return list(dict.fromkeys(names))


def find_split(split: str, gt: Path, protocol: str) -> tuple[Path, bool]:
    """The file of a split and whether the split was given by name ("val"): names are looked up in the set's ImageSets."""
    if Path(split).is_file():
        return Path(split), False
    years = ("2016", "480p", "2017") if protocol == "single" else ("2017", "2016", "480p")
    root = gt.resolve()
    for folder in (root, *root.parents[:3]):
        for place in ("", *years):
            candidate = folder / "ImageSets" / place / f"{split}.txt"
            if candidate.is_file():
                return candidate, True
    raise DatasetError(f"split={split}: neither a file nor a list in an ImageSets folder beside {gt}; give the path of the list.")


def read_meta(protocol: str, meta: str | Path | None, gt: Path) -> Meta:
    """The meta file of a ytvos or lvos split; where none is named, the one in its usual place beside the masks."""
    path = Path(meta) if meta is not None else _usual_meta(protocol, gt)
    return _parsed(
        path, "meta", lambda content: _objects_of(content, _lvos_object if protocol == "lvos" else _youtube_vos_object)
    )


def read_categories(path: Path) -> frozenset[str]:
    """All categories of a YouTube-VOS meta file: those of train/meta.json are the seen ones."""
    objects = _parsed(path, "train_meta", lambda content: _objects_of(content, _youtube_vos_object))
    return frozenset(item.category for sequence in objects.values() for item in sequence.values() if item.category is not None)


def _usual_meta(protocol: str, gt: Path) -> Path:
    root, split = gt.resolve().parent, gt.resolve().parent.name
    names = [root / "meta.json"]
    if protocol == "lvos":
        names = [root.parent / f"{name}_meta.json" for name in (split, "val" if split == "valid" else "valid")]
    for path in names:
        if path.is_file():
            return path
    raise ConfigError(f"protocol={protocol} needs the split's meta file and {names[0]} is not there; give meta=FILE.json.")


def _parsed(path: Path, key: str, parse: Callable[[Any], Answer]) -> Answer:
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DatasetError(f"{path}: this meta file cannot be read ({error.strerror}); check {key}.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path}: this is not a meta file of the protocol ({type(error).__name__}: {error}), expected videos -> name -> "
            f"objects -> id; check {key} and protocol."
        ) from None


def _objects_of(content: Any, parse_object: Callable[[Any], ObjectMeta]) -> Meta:
    return {
        sequence: {int(object_id): parse_object(item) for object_id, item in video["objects"].items()}
        for sequence, video in content["videos"].items()
    }


def _youtube_vos_object(item: Any) -> ObjectMeta:
    return ObjectMeta(tuple(item["frames"]), item.get("category"))


def _lvos_object(item: Any) -> ObjectMeta:
    """Every fifth frame of the source video from start on, and the end itself; names have 8 digits."""
    life = item["frame_range"]
    start, end = int(life["start"]), int(life["end"])
    return ObjectMeta(tuple(f"{number:08d}" for number in [*range(start, end, 5), end]), frame_nums=int(life["frame_nums"]))
