"""A method over a video data set: the real streaming inference, the real scorer, sequences shared out over the ranks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch.distributed as dist

from vosbench.datasets.dataset import VideoDataset
from vosbench.inference.post.processing import PostRules
from vosbench.inference.streaming import SegmentedFrame, segment_sequence
from vosbench.methods.method import Method
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
        """Overall J, F, J&F in [0, 1], G where the protocol has one, and frames per second, by dashboard name."""
        overall = self.scores["overall"]
        found = {"j": overall["J_mean"], "f": overall["F_mean"], "jf": overall["J&F"], "fps": 1 / self.seconds_per_frame}
        return found | ({"g": overall["G"]} if overall.get("G") is not None else {})


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
    seconds = 0.0
    for frame in segment_sequence(method, sequence, long_edge=long_edge, short_edge=short_edge, post=post):
        seconds += frame.seconds
        if frame.frame_name in annotated:
            scorer.add(frame.frame_name, sequence.label_maps[annotated[frame.frame_name]], frame.label_map)
        if on_frame is not None:
            on_frame(sequence, frame)
        if advance is not None:
            advance(1, sequence.name)
    attributes = {str(item.object_id): sorted(item.attributes) for item in sequence.objects}
    categories = {str(item.object_id): item.category for item in sequence.objects}
    return _Scored(sequence.name, scorer.result(), len(names), seconds, attributes, categories)
