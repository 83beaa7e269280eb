"""`task=segment`: one video of the user's, from prompts to masks, written while it is computed."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from vosbench.checkpoints.load import load
from vosbench.configuration.targets import build
from vosbench.errors import ConfigError, PromptError
from vosbench.inference.box_masks import MasksOfBoxes, boxes_to_masks, by_method, grabcut, rectangle
from vosbench.inference.masks import MaskFolder
from vosbench.inference.prompts import read_prompts
from vosbench.inference.session import Session
from vosbench.reporting.box_folder import BoxFolder
from vosbench.reporting.overlay_video import OverlayVideo
from vosbench.reporting.overlays import SheetFrame, contact_sheet, evenly_chosen, overlay
from vosbench.reporting.progress import progress
from vosbench.reporting.written_beside import write_image, write_text, written_beside
from vosbench.tasks.device import on_device
from vosbench.tasks.evaluate import with_weights
from vosbench.video.frames import prefetched
from vosbench.video.video_file import open_frames

log = logging.getLogger(__name__)

SHEET = 6  # frames on the contact sheet
WITHOUT_WEIGHTS: dict[str, MasksOfBoxes] = {"grabcut": grabcut, "rectangle": rectangle}  # what `box_to_mask` may name


def run(cfg: DictConfig, run_dir: Path) -> dict[str, Any] | None:
    """Masks in ``masks/<video>/<frame>.png``, boxes of a method that predicts them in ``boxes/<video>.json``, the overlay as
    ``overlay.mp4`` and as the contact sheet ``overlay.jpg``."""
    method = with_weights(cfg)
    on_device(method, cfg)
    masks_of = None if "box" in method.prompt_kinds else masks_of_boxes(cfg)
    video = Path(cfg.video)
    frames = open_frames(video)
    prompts = read_prompts(_given(cfg), frames.names)
    session = Session(method, long_edge=cfg.long_edge, short_edge=cfg.short_edge, post=build(cfg.post))
    masks, boxes, name = MaskFolder(run_dir / "masks"), BoxFolder(run_dir / "boxes"), video.stem
    seconds, cells, shown = 0.0, [], set(evenly_chosen(len(frames), SHEET))
    with progress(f"segmenting {name}", total=len(frames)) as advance, OverlayVideo(run_dir / "overlay.mp4") as movie:
        for frame_index, image in enumerate(prefetched(frames)):
            entering = prompts.get(frame_index, {})
            if masks_of is not None:
                entering = boxes_to_masks(entering, image, f"{video}, frame {frame_index}", masks_of)
            began = time.perf_counter()
            try:
                prob = session.step(image, entering)
            except PromptError as error:
                raise PromptError(f"{video}, {error}") from error
            label_map = session.label_map(prob)
            seconds += time.perf_counter() - began
            frame_name = frames.names[frame_index]
            path = masks.write(name, frame_name, label_map)
            boxes.add(frame_name, label_map, session.boxes)
            if cfg.probabilities:
                with written_beside(path.with_suffix(".npz")) as beside:
                    np.savez_compressed(beside, prob=prob.half().cpu().numpy(), object_ids=np.array(session.object_ids, np.uint8))
            movie.add(image, label_map, session.boxes)
            if frame_index in shown:
                cells.append(SheetFrame(frame_name, overlay(image, label_map, boxes=session.boxes)))
            advance(1, frame_name)
    boxes.close(name)
    write_image(run_dir / "overlay.jpg", contact_sheet({name: cells}, columns=SHEET))
    found = {
        "video": str(video),
        "method": cfg.method_name,
        "frames": len(frames),
        "objects": session.object_ids,
        "seconds_per_frame": seconds / max(1, len(frames)),
        "box_to_mask": None if masks_of is None else cfg.box_to_mask,
    }
    write_text(run_dir / "segment.json", json.dumps(found, indent=1))
    log.info(
        "%d frames, %d objects, %.3f s a frame; masks and overlay: %s",
        len(frames),
        len(session.object_ids),
        found["seconds_per_frame"],
        run_dir,
    )
    return found


def masks_of_boxes(cfg: DictConfig) -> MasksOfBoxes | None:
    """What `box_to_mask` names: the filled box, GrabCut, or the checkpoint of a method that takes boxes."""
    if cfg.box_to_mask is None or cfg.box_to_mask in WITHOUT_WEIGHTS:
        return WITHOUT_WEIGHTS.get(cfg.box_to_mask)
    if not Path(cfg.box_to_mask).is_file():
        raise ConfigError(
            f"box_to_mask={cfg.box_to_mask}: there is no such checkpoint; give box_to_mask=<checkpoint of qmra>, box_to_mask=grabcut, "
            "box_to_mask=rectangle or null."
        )
    method = load(cfg.box_to_mask)
    if "box" not in method.prompt_kinds:
        raise ConfigError(
            f"box_to_mask={cfg.box_to_mask}: holds {type(method).__name__}, which takes masks itself; give the checkpoint of a method "
            "that takes boxes (qmra)."
        )
    on_device(method, cfg)
    return by_method(method, long_edge=cfg.long_edge, short_edge=cfg.short_edge)


def _given(cfg: DictConfig) -> Mapping[Any, Any] | str:
    """The prompts of the command line: a mapping, also one that was quoted twice, or a path."""
    given = cfg.prompt
    if isinstance(given, str) and given.lstrip().startswith("{"):
        given = OmegaConf.create(given)
    return dict(OmegaConf.to_container(given)) if isinstance(given, DictConfig) else str(given)  # type: ignore[arg-type]
