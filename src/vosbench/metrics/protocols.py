"""A scorer for a `Sequence` of a data set: what inference feeds while it runs, without a file in between."""

from vosbench.metrics.rule_choice import NEED_META, rule_for
from vosbench.metrics.sequence_scorer import SequenceScorer
from vosbench.video.sequence import Sequence


def scorer_for(
    protocol: str, sequence: Sequence, *, skip_first_and_last: bool = True, strict_labels: bool = False
) -> SequenceScorer:
    """The scorer of one sequence; its frames are those that have a label map.

    Nothing is decoded here, except that lvos looks for the last frame of each object.
    """
    annotated = sorted(sequence.label_maps)
    names = [sequence.frames.names[index] for index in annotated]
    object_frames = _object_frames(protocol, sequence, annotated) if protocol in NEED_META else None
    rule = rule_for(protocol, names, sequence.name, object_frames=object_frames, skip_first_and_last=skip_first_and_last)
    return SequenceScorer(rule, names, sequence.name, strict_labels)


def _object_frames(protocol: str, sequence: Sequence, annotated: list[int]) -> dict[int, list[str]]:
    """Annotated frames of each object from its first on; for lvos up to the last one where it is."""
    found = {}
    for item in sequence.objects:
        life = [index for index in annotated if index >= item.first_frame]
        while protocol == "lvos" and life and not (sequence.label_maps[life[-1]] == item.object_id).any():
            life.pop()
        found[item.object_id] = [sequence.frames.names[index] for index in life]
    return found
