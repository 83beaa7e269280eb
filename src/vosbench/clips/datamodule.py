"""From a clip source to the batches of one stage, on any number of ranks and workers, resumable at any step.

One "epoch" is the whole stage. Which clips a step sees follows from (seed, stage, step) alone, so nothing but the step counter
has to be stored for an exact resume.
"""

from collections.abc import Iterator

import cv2
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from vosbench.clips.source import ClipSource, derived_seed
from vosbench.errors import ConfigError, VosbenchError
from vosbench.video.clip import Clip, ClipSample


class ClipBatches(Sampler[list[tuple[int, int]]]):
    """For steps `first`..`total` - 1, the (step, index) pairs of this rank: clip i of a batch goes to rank i % `world`."""

    def __init__(self, *, first: int, total: int, batch: int, rank: int = 0, world: int = 1) -> None:
        if batch % world:
            raise ConfigError(
                f"the global batch of {batch} clips cannot be split evenly over {world} devices; "
                f"choose a batch that is a multiple of {world} or another number of devices."
            )
        self.first, self.total = first, total
        self.batch, self.rank, self.world = batch, rank, world

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.first, self.total):
            yield [(step, index) for index in range(self.rank, self.batch, self.world)]

    def __len__(self) -> int:
        # The full total, not what remains: Lightning compares it with its own batch counter, which a resume restores.
        return self.total


class StageClips(Dataset[ClipSample]):
    """The clips of one stage by (step, index)."""

    def __init__(self, source: ClipSource, *, steps: int, seed: int, stage: str) -> None:
        self.source, self.steps = source, steps
        self.seed = derived_seed(f"stage {stage}", seed)

    def __getitem__(self, place: tuple[int, int]) -> ClipSample:
        step, index = place
        return self.source.draw(self.seed, step, index, step / self.steps)


class ClipLoader(DataLoader[ClipSample]):
    """A `DataLoader` that passes a user's error on as its sentence, not as the report of a worker process."""

    def __iter__(self) -> Iterator[Clip]:  # type: ignore[override]
        try:
            yield from super().__iter__()
        except VosbenchError as error:
            # torch re-raises the type with the worker's traceback as its text, which ends in "...DatasetError: sentence".
            raise type(error)(str(error).rpartition(f"{type(error).__name__}: ")[2]) from error


def _one_thread(worker: int) -> None:
    """Workers are the parallelism; threads inside them would only compete."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def clip_loader(clips: StageClips, batches: ClipBatches, *, workers: int = 0, pin_memory: bool = False) -> ClipLoader:
    """Batches of `Clip` in the order of `batches`."""
    return ClipLoader(
        clips,
        batch_sampler=batches,
        collate_fn=Clip.collate,
        num_workers=workers,
        worker_init_fn=_one_thread,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )


class ClipDataModule(pl.LightningDataModule):
    """Training clips of one stage: `steps` batches of `batch` clips, counted over all ranks.

    The trainer must be built with ``use_distributed_sampler=False``: the batches are split over ranks here.
    """

    def __init__(self, source: ClipSource, *, steps: int, batch: int, seed: int, stage: str, workers: int) -> None:
        super().__init__()
        self.source = source
        self.steps, self.batch, self.seed, self.stage, self.workers = steps, batch, seed, stage, workers

    def train_dataloader(self) -> ClipLoader:
        """Batches from the trainer's step on; asked for after a checkpoint has restored the step counter."""
        trainer = self.trainer
        assert trainer is not None, "a trainer asks for its data"
        if trainer.accumulate_grad_batches != 1:
            raise ConfigError(
                f"accumulate_grad_batches is {trainer.accumulate_grad_batches} but a step is one batch here, else a resumed "
                "run would repeat clips; lower the batch instead."
            )
        batches = ClipBatches(
            first=trainer.global_step, total=self.steps, batch=self.batch, rank=trainer.global_rank, world=trainer.world_size
        )
        clips = StageClips(self.source, steps=self.steps, seed=self.seed, stage=self.stage)
        on_gpu = trainer.strategy.root_device.type == "cuda"
        return clip_loader(clips, batches, workers=self.workers, pin_memory=on_gpu)
