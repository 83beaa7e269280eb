"""The rules of the benchmarks whose meta file says which frames of which object are scored: YouTube-VOS and LVOS."""

from collections.abc import Mapping, Sequence

from vosbench.errors import DatasetError
from vosbench.metrics.rules import LabelMap, Rule, Track


class YoutubeVosRule(Rule):
    """YouTube-VOS with full masks: the frames that the meta file lists for an object, after its first."""

    name = "ytvos"

    def __init__(self, frames: Sequence[str], sequence: str, object_frames: Mapping[int, Sequence[str]]) -> None:
        listed = {name for names in object_frames.values() for name in names}
        _check_annotated(listed, frames, sequence)
        later = {name for names in object_frames.values() for name in names[1:]}
        super().__init__([name for name in frames if name in listed], [name for name in frames if name in later])
        self._listed = {object_id: frozenset(names) for object_id, names in object_frames.items()}
        self._entered: set[int] = set()

    def objects(self, frame: str, ground_truth: LabelMap, predicted: set[int]) -> list[int]:
        """The first frame of an object is the first listed one where it is: some lists of the training set begin too early."""
        listed = [object_id for object_id, names in self._listed.items() if frame in names]
        counted = [object_id for object_id in listed if object_id in self._entered]
        self._entered.update(object_id for object_id in listed if object_id not in counted and (ground_truth == object_id).any())
        return counted

    def known_ids(self) -> set[int]:
        return set(self._listed)


class LvosRule(Rule):
    """LVOS: the frames of an object's life without its own first and last."""

    name = "lvos"
    has_decay = False  # the toolkit's is meaningless, and no table has one

    def __init__(
        self,
        frames: Sequence[str],
        sequence: str,
        object_frames: Mapping[int, Sequence[str]],
        frame_nums: Mapping[int, int] | None = None,
    ) -> None:
        self._scored = {object_id: frozenset(names[1:-1]) for object_id, names in object_frames.items()}
        self._places = {object_id: number - 2 for object_id, number in (frame_nums or {}).items()}
        for object_id, names in self._scored.items():
            if len(names) > self._places.get(object_id, len(names)):
                raise DatasetError(
                    f"Sequence '{sequence}', object {object_id}: its frame range has {len(names)} frames to score but "
                    f"frame_nums says {self._places[object_id]}; correct the meta file."
                )
        union = {name for names in self._scored.values() for name in names}
        _check_annotated(union, frames, sequence)
        scored = [name for name in frames if name in union]
        super().__init__(scored, scored)

    def objects(self, frame: str, ground_truth: LabelMap, predicted: set[int]) -> list[int]:
        return [object_id for object_id, names in self._scored.items() if frame in names]

    def known_ids(self) -> set[int]:
        return set(self._scored)

    def kept(self, tracks: dict[int, Track]) -> dict[int, Track]:
        """A range shorter than its frame_nums keeps zeros in the places left over, and they divide (as the toolkit has it)."""
        for object_id, track in tracks.items():
            missing = self._places.get(object_id, 0) - len(track.j)
            track.j += [0.0] * missing
            track.f += [0.0] * missing
        return super().kept(tracks)


def _check_annotated(wanted: set[str], frames: Sequence[str], sequence: str) -> None:
    missing = sorted(wanted.difference(frames))
    if missing:
        raise DatasetError(
            f"Sequence '{sequence}', frame '{missing[0]}': the meta file lists it but the ground truth has no such frame "
            f"({len(missing)} missing); score against full masks, or correct the meta file."
        )
