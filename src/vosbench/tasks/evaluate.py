"""`task=evaluate`: a method over the validation split, beside the floors and the published numbers."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vosbench.checkpoints.load import load_into, without_pretrained
from vosbench.configuration.targets import build
from vosbench.datasets.dataset import VideoDataset
from vosbench.errors import ConfigError
from vosbench.evaluation import Evaluation, evaluate
from vosbench.inference.masks import MaskFolder
from vosbench.inference.post.processing import PostRules
from vosbench.inference.streaming import SegmentedFrame
from vosbench.methods.method import Method
from vosbench.reporting.box_folder import BoxFolder
from vosbench.reporting.overlays import evenly_chosen, overlay
from vosbench.reporting.progress import Advance, progress
from vosbench.reporting.report import write_report
from vosbench.reporting.tables import result_table
from vosbench.reporting.wandb_log import log_evaluation
from vosbench.reporting.written_beside import write_image, write_text
from vosbench.tasks.device import on_device, rank
from vosbench.tasks.wandb_run import wandb_run
from vosbench.video.sequence import Sequence

log = logging.getLogger(__name__)

OVERLAYS = 4  # pictures of each sequence that go into the report


def run(cfg: DictConfig, run_dir: Path) -> dict[str, Any] | None:
    """Evaluate `checkpoint` (a floor needs none) and leave masks, scores, pictures and the report in the run folder."""
    method = with_weights(cfg)
    on_device(method, cfg)
    with wandb_run(cfg, run_dir) as wandb:
        return evaluate_and_report(cfg, run_dir, method, wandb)


def with_weights(cfg: DictConfig) -> Method:
    """The method of this run with the weights of `checkpoint`; one that learns nothing needs none."""
    network = OmegaConf.to_container(cfg.method, resolve=True)
    method: Method = build(without_pretrained(network) if cfg.checkpoint is not None else network)
    if method.learns:
        if cfg.checkpoint is None:
            raise ConfigError(
                f"task={cfg.task} needs the weights of {cfg.method_name}: give checkpoint=<run folder>/best.ckpt, or train them with task=train."
            )
        load_into(method, Path(cfg.checkpoint), cfg.method_name, cfg.size)
    return method


def validation_split(cfg: DictConfig) -> VideoDataset:
    """The data set to score on."""
    dataset = build(cfg.data.val)
    if dataset is None:
        raise ConfigError(
            "data.val is null: this data set has no split to score on; choose one that has, such as data=procedural."
        )
    return dataset


def evaluator(cfg: DictConfig, dataset: VideoDataset) -> Callable[[Method, Callable[[int, str], None]], Evaluation]:
    """The evaluation of this run as training validates with it."""
    post = build(cfg.post)
    return lambda method, advance: evaluate(
        method, dataset, long_edge=cfg.long_edge, short_edge=cfg.short_edge, post=post, advance=advance
    )


def evaluate_and_report(cfg: DictConfig, run_dir: Path, method: Method, wandb: Any) -> dict[str, Any]:
    """Score the method and the floors on the validation split; write, print and log what was found."""
    dataset = validation_split(cfg)
    pictures = Pictures(run_dir / "overlays")
    masks, boxes = MaskFolder(run_dir / "masks"), BoxFolder(run_dir / "boxes")

    def keep(sequence: Sequence, frame: SegmentedFrame) -> None:
        masks.write(sequence.name, frame.frame_name, frame.label_map)
        boxes.add(frame.frame_name, frame.label_map, frame.boxes)
        if frame.frame_index == len(sequence.frames) - 1:
            boxes.close(sequence.name)
        pictures.add(sequence, frame)

    evaluation = _scored(cfg, cfg.method_name, method, dataset, keep, build(cfg.post))
    floors = {}
    for name, network in (cfg.floors or {}).items():
        floor = build(network)
        if name != cfg.method_name and not ("mask" in method.prompt_kinds and "mask" not in floor.prompt_kinds):
            # A floor is what it is: no rule of this run mends it.
            floors[name] = described(_scored(cfg, str(name), floor, dataset, None, None), str(name), dataset)
    scores = described(evaluation, cfg.method_name, dataset)
    if rank() == 0:
        write_text(run_dir / "scores.json", json.dumps(scores, indent=1))
        write_text(run_dir / "attributes.json", json.dumps(evaluation.attributes))
        for name, found in floors.items():
            write_text(run_dir / "floors" / f"{name}.json", json.dumps(found))
        table = result_table(cfg.method_name, scores, floors=floors, dataset=dataset.name, run_folder=run_dir)
        table.print()
        write_text(run_dir / "table.md", table.markdown())
        write_text(run_dir / "table.csv", table.csv())
        if wandb is not None:
            log_evaluation(wandb, scores, pictures.written)
        log.info("report: %s", write_report(run_dir))
    return scores


def described(evaluation: Evaluation, method: str, dataset: VideoDataset) -> dict[str, Any]:
    """scores.json: the scores, and of what they are."""
    return {"method": method, "dataset": dataset.name, **evaluation.scores, "seconds_per_frame": evaluation.seconds_per_frame}


def _scored(cfg: DictConfig, name: str, method: Method, dataset: VideoDataset, keep: Any, post: PostRules | None) -> Evaluation:
    on_device(method, cfg)
    frames = sum(len(dataset[index].frames) for index in range(len(dataset)))
    with progress(f"evaluating {name} on {dataset.name}", total=frames) as advance:
        return evaluate(
            method,
            dataset,
            long_edge=cfg.long_edge,
            short_edge=cfg.short_edge,
            post=post,
            on_frame=keep,
            advance=_of_rank_zero(advance),
        )


def _of_rank_zero(advance: Advance) -> Callable[[int, str], None]:
    return advance if rank() == 0 else lambda frames, sequence: None


@dataclass
class Pictures:
    """A few overlays of every sequence, evenly over its length."""

    folder: Path
    written: dict[str, Path] = field(default_factory=dict)

    def add(self, sequence: Sequence, frame: SegmentedFrame) -> None:
        """Write the overlay if this frame is one of the chosen."""
        if frame.frame_index in evenly_chosen(len(sequence.frames), OVERLAYS):
            name = f"{sequence.name}_{frame.frame_name}"
            self.written[name] = write_image(
                self.folder / f"{name}.jpg", overlay(frame.image, frame.label_map, boxes=frame.boxes)
            )
