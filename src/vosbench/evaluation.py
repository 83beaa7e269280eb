"""A method over a video data set: the real streaming inference, the real scorer, sequences shared out over the ranks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch.distributed as dist

from vosbench.datasets.dataset import VideoDataset
from vosbench.inference.post.processing import PostRules
from vosbench.inference.streaming import SegmentedFrame, segment_sequence
from vosbench.methods.method import Method
from vosbench.metrics.boxes import BoxScorer, overall_boxes
from vosbench.metrics.protocols import scorer_for
from vosbench.metrics.summary import summarise
from vosbench.video.sequence import Sequence


@dataclass
class Evaluation:
    """What an evaluation found."""

    scores: dict[str, Any]  # the content of scores.json
    seconds_per_frame: float  # of the network
    frames: int
    attributes: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # sequence -> object id -> attributes

    def headline(self) -> dict[str, float]:
        """Overall J, F, J&F in [0, 1], frames per second, G and box IoU where there is one, by dashboard name."""
        overall = self.scores["overall"]
        found = {"j": overall["J_mean"], "f": overall["F_mean"], "jf": overall["J&F"], "fps": 1 / self.seconds_per_frame}
        also = {"g": overall.get("G"), "box_iou": overall.get("box_iou")}
        return found | {name: value for name, value in also.items() if value is not None}


OnFrame = Callable[[Sequence, SegmentedFrame], None]


def evaluate(
    method: Method,
    dataset: VideoDataset,
    *,
    long_edge: int | None = None,
    short_edge: int | None = None,
    post: PostRules | None = None,
    on_frame: OnFrame | None = None,
    advance: Callable[[int, str], None] | None = None,
) -> Evaluation:
    """Segment and score every sequence. Each frame is scored as soon as it is final, so nothing piles up.

    `on_frame` gets every frame (to write it, say); `advance(frames, sequence)` shows progress. With several ranks each
    takes its share of the sequences, and all get the whole result.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    mine = [
        _score_sequence(method, dataset, index, long_edge, short_edge, post, on_frame, advance)
        for index in range(rank, len(dataset), world)
    ]
    gathered: list[Any] = [mine]
    if world > 1:
        gathered = [None] * world
        dist.all_gather_object(gathered, mine)
    found = sorted((item for part in gathered for item in part), key=lambda item: item.name)
    scores = summarise(
        dataset.protocol,
        {item.name: item.result for item in found},
        categories={item.name: item.categories for item in found},
        categories_seen=dataset.categories_seen,
    )
    if "mask" in method.prompt_kinds:
        scores["prompt"] = "mask"
    else:
        sources = {item.box_source for item in found}
        scores |= {"prompt": "box", "box_source": sources.pop() if len(sources) == 1 else "both"}
        scores["overall"] |= overall_boxes(scores)
    frames = sum(item.frames for item in found)
    seconds = sum(item.seconds for item in found) / max(1, frames)
    return Evaluation(scores, seconds, frames, {item.name: item.attributes for item in found})


@dataclass
class _Scored:
    name: str
    result: dict[str, Any]
    frames: int
    seconds: float
    attributes: dict[str, list[str]]
    categories: dict[str, str | None]
    box_source: str  # where boxes come from, had the method been given any: annotation, from_mask or both


def _score_sequence(
    method: Method,
    dataset: VideoDataset,
    index: int,
    long_edge: int | None,
    short_edge: int | None,
    post: PostRules | None,
    on_frame: OnFrame | None,
    advance: Callable[[int, str], None] | None,
) -> _Scored:
    sequence = dataset[index]
    names = sequence.frames.names
    annotated = {names[place]: place for place in sorted(sequence.label_maps)}
    scorer = scorer_for(dataset.protocol, sequence)
    boxes = None if "mask" in method.prompt_kinds else BoxScorer(binary=dataset.protocol == "single")
    seconds = 0.0
    for frame in segment_sequence(method, sequence, long_edge=long_edge, short_edge=short_edge, post=post):
        seconds += frame.seconds
        if frame.frame_name in annotated:
            truth = sequence.label_maps[annotated[frame.frame_name]]
            scorer.add(frame.frame_name, truth, frame.label_map)
            if boxes is not None:
                entering = [item.object_id for item in sequence.objects if item.first_frame == frame.frame_index]
                boxes.add(frame.frame_name, truth, frame.label_map, frame.boxes, entering)
        if on_frame is not None:
            on_frame(sequence, frame)
        if advance is not None:
            advance(1, sequence.name)
    attributes = {str(item.object_id): sorted(item.attributes) for item in sequence.objects}
    categories = {str(item.object_id): item.category for item in sequence.objects}
    result = scorer.result() if boxes is None else boxes.onto(scorer.result())
    return _Scored(sequence.name, result, len(names), seconds, attributes, categories, _box_source(sequence))


def _box_source(sequence: Sequence) -> str:
    drawn = {item.object_id in sequence.drawn(item.first_frame) for item in sequence.objects}
    return "both" if len(drawn) == 2 else "annotation" if drawn == {True} else "from_mask"
