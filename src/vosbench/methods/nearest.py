"""`nearest`: every cell takes the label of the nearest prompted cell, by raw colours and position. A floor: matching
without a single learnt number."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.planes import planes_to_logits
from vosbench.methods.method import Features, Masks, Memory, Method, Prediction


@dataclass
class CellFeatures(Features):
    """Colours of every cell and its eight neighbours, and the place of the cell."""

    tokens: Float[Tensor, "B C h w"]


@dataclass
class NearestMemory(Memory):
    """Tokens of the prompted frames and the share of each object in them."""

    tokens: list[Float[Tensor, "B C L"]]  # one entry per prompted frame, at most `max_frames`
    planes: list[Float[Tensor, "B N L"]]


class Nearest(Method):
    """Nearest neighbour in (colours of a 3 x 3 patch of cells, position) among the prompted frames."""

    prompt_kinds = frozenset({"mask", "box"})
    learns = False

    def __init__(self, cell: int, position_weight: float, max_frames: int, chunk: int) -> None:
        """`cell`: side of a cell in pixels, a divisor of the stride. `position_weight`: what the frame's whole extent costs, in
        the unit of colours ([0, 1] each). `max_frames`: prompted frames kept, the first always. `chunk`: cells compared at once."""
        super().__init__()
        if self.stride % cell:
            raise ValueError(f"cell must divide the stride {self.stride}, got {cell}: cells tile the padded frame")
        self.cell, self.position_weight, self.max_frames, self.chunk = cell, position_weight, max_frames, chunk

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> CellFeatures:
        colours = F.avg_pool2d(frames, self.cell)
        batch, _, h, w = colours.shape
        patches = (
            F.unfold(F.pad(colours, (1, 1, 1, 1), mode="replicate"), 3).reshape(batch, -1, h, w) / 3
        )  # mean over 9 in the square
        rows = torch.linspace(0, 1, h, device=frames.device)[:, None].expand(h, w)
        columns = torch.linspace(0, 1, w, device=frames.device)[None].expand(h, w)
        place = self.position_weight * torch.stack([rows, columns])
        return CellFeatures(torch.cat([patches, place[None].expand(batch, 2, h, w)], 1))

    def start(self, batch: int, objects: int, size: tuple[int, int]) -> NearestMemory:
        return NearestMemory(objects, size, [], [])

    def grow(self, memory: NearestMemory, objects: int) -> NearestMemory:
        longer = [F.pad(planes, (0, 0, 0, objects - memory.objects)) for planes in memory.planes]
        return replace(memory, objects=objects, planes=longer)

    def segment(self, features: CellFeatures, memory: NearestMemory) -> Prediction:
        batch, _, h, w = features.tokens.shape
        if not memory.tokens:
            return Prediction(planes_to_logits(features.tokens.new_zeros(batch, memory.objects, h, w)))
        known, planes = torch.cat(memory.tokens, 2), torch.cat(memory.planes, 2)
        norm = known.square().sum(1)[:, None]  # B 1 M
        found = []
        for part in features.tokens.flatten(2).split(self.chunk, dim=2):
            nearest = (norm - 2 * part.transpose(1, 2) @ known).argmin(2)  # B chunk
            found.append(planes.gather(2, nearest[:, None].expand(batch, memory.objects, -1)))
        return Prediction(planes_to_logits(torch.cat(found, 2).reshape(batch, memory.objects, h, w)))

    def memorize(
        self, features: CellFeatures, prediction: Prediction, masks: Masks, memory: NearestMemory, frame: int
    ) -> NearestMemory:
        if not bool(masks.given.any()):
            return memory
        tokens = [*memory.tokens, features.tokens.flatten(2)]
        planes = [*memory.planes, F.avg_pool2d(masks.planes, self.cell).flatten(2)]
        if len(tokens) > self.max_frames:  # the first prompted frame stays, the oldest of the others goes
            tokens, planes = [tokens[0], *tokens[2:]], [planes[0], *planes[2:]]
        return replace(memory, tokens=tokens, planes=planes)
