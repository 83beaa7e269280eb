"""A `Sequence` of a data set through a `Session`: frames are decoded ahead, prompts come when their frame comes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from vosbench.errors import PromptError
from vosbench.inference.post.processing import PostRules
from vosbench.inference.session import Session
from vosbench.methods.method import Method
from vosbench.video.frames import prefetched
from vosbench.video.prompt import Box
from vosbench.video.sequence import Sequence


@dataclass
class SegmentedFrame:
    """What a session said of one frame."""

    frame_index: int
    frame_name: str
    image: UInt8[np.ndarray, "H W 3"]
    label_map: UInt8[np.ndarray, "H W"]  # object ids as the data set has them
    prob: Float[Tensor, "K H W"]  # background first, then `object_ids`
    object_ids: list[int]
    seconds: float  # of the network, decoding and writing left out
    boxes: dict[int, Box | None]  # by object id, from a method that predicts boxes; see `Session.boxes`


def segment_sequence(
    method: Method,
    sequence: Sequence,
    *,
    long_edge: int | None = None,
    short_edge: int | None = None,
    post: PostRules | None = None,
) -> Iterator[SegmentedFrame]:
    """Stream a sequence. Only the label maps of frames that carry prompts are opened, and a method that takes no masks is
    handed boxes."""
    session = Session(method, long_edge=long_edge, short_edge=short_edge, post=post)
    for frame_index, image in enumerate(prefetched(sequence.frames)):
        prompts = sequence.prompts(frame_index) if "mask" in method.prompt_kinds else sequence.box_prompts(frame_index)
        began = time.perf_counter()
        try:
            prob = session.step(image, prompts)
        except PromptError as error:
            raise PromptError(f"sequence '{sequence.name}', {error}") from error
        label_map = session.label_map(prob)  # brings the answer to the host, so that the clock has seen all of the work
        seconds = time.perf_counter() - began
        name = sequence.frames.names[frame_index]
        yield SegmentedFrame(frame_index, name, image, label_map, prob, session.object_ids, seconds, session.boxes)
