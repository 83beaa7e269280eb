"""A chain of stages that is cut off and goes on: the weights are those of a run that was never cut off, bit for bit."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from tests.methods.built import composed
from vosbench.checkpoints.files import read_checkpoint
from vosbench.checkpoints.load import load
from vosbench.configuration.targets import build
from vosbench.errors import CheckpointError, RunError
from vosbench.evaluation import evaluate
from vosbench.training.chain import Chain
from vosbench.training.metrics_log import MetricsFile
from vosbench.training.recovery import Interrupted, newest_readable
from vosbench.training.stage import Stage

# Two short stages at 32 pixels: enough for batches, references, schedule and hand-over to matter.
SMALL = [
    "stages.static=null",
    "stages.bl30k.steps=4",
    "stages.video.steps=6",
    "stages.video.validate_every=3",
    # What a stage may do besides, so that a run which is cut off has to bring that back, too.
    "stages.video.average={_target_: vosbench.training.average.WeightAverage, horizon: 3}",
    "stages.video.freeze=[[decoder, 4]]",
    *(
        f"stages.{name}.{key}"
        for name in ("bl30k", "video")
        for key in ("batch=2", "checkpoint_every=2", "clips.length=3", "clips.transform.crop=32")
    ),
    "data.val.count=1",
    "data.val.length=12",
]


class Cut(Exception):
    """A process that dies without a word."""


class Saboteur(torch.nn.Module):
    """A loss that strikes at one step of one stage."""

    def __init__(self, loss, step: int, strike) -> None:
        super().__init__()
        self.loss, self.step, self.strike = loss, step, strike

    def forward(self, steps, clip, iteration):
        terms = self.loss(steps, clip, iteration)
        return self.strike(terms) if iteration == self.step else terms


@contextmanager
def silent(title, total):
    yield lambda steps, detail: None


def train(run_dir: Path, *, stage: str = "", step: int = -1, strike=None, workers: int = 0) -> torch.nn.Module:
    cfg = composed("stma", *SMALL)
    pl.seed_everything(7, verbose=False)
    method = build(cfg.method)

    def build_stage(name: str) -> Stage:
        built = build(cfg.stages[name])
        if name == stage:
            built.loss = Saboteur(built.loss, step, strike)
        return built

    dataset = build(cfg.data.val)
    Chain(
        method,
        run_dir,
        7,
        lambda method, advance: evaluate(method, dataset, advance=advance),
        identity={"format": 1, "method": "stma", "size": "tiny", "network": OmegaConf.to_container(cfg.method, resolve=True)},
        trainer={"accelerator": "cpu", "strategy": "auto", "devices": 1, "nodes": 1, "precision": "32-true"},
        workers=workers,
        progress=silent,
        loggers=[MetricsFile(run_dir / "metrics.csv")],
    ).run(["bl30k", "video"], build_stage)
    return method


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> tuple[Path, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("straight")
    return folder, {name: tensor.clone() for name, tensor in train(folder).state_dict().items()}


def cut(terms):
    raise Cut


def asked_to_stop(terms):
    os.kill(os.getpid(), signal.SIGTERM)
    return terms


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "step", "strike", "error"),
    [
        ("bl30k", 1, cut, Cut),  # before the first checkpoint of all
        ("bl30k", 3, cut, Cut),  # in mid-stage, one step after a checkpoint
        ("video", 0, cut, Cut),  # right after the hand-over
        ("video", 5, cut, Cut),  # after a validation
        ("video", 2, asked_to_stop, Interrupted),
    ],
)
def test_a_run_that_was_cut_off_ends_with_the_same_bits(straight, tmp_path, stage, step, strike, error):
    with pytest.raises(error):
        train(tmp_path, stage=stage, step=step, strike=strike)
    resumed = train(tmp_path).state_dict()
    assert all(torch.equal(resumed[name], tensor) for name, tensor in straight[1].items())
    assert curves(tmp_path) == curves(straight[0])


def curves(folder: Path) -> list[tuple]:
    """What metrics.csv says, without the speeds."""
    return [(row["step"], row.get("train/loss"), row.get("val/jf")) for row in MetricsFile(folder / "metrics.csv").rows]


@pytest.mark.slow
def test_the_number_of_workers_changes_no_bit(straight, tmp_path):
    weights = train(tmp_path, workers=2).state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in straight[1].items())


@pytest.mark.slow
def test_a_request_to_stop_saves_the_step_it_was_in(tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, stage="video", step=2, strike=asked_to_stop)
    state = newest_readable(tmp_path / "checkpoints" / "video")
    assert state is not None
    assert read_checkpoint(state)["global_step"] == 3


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_names_the_clips_and_keeps_the_last_state(tmp_path):
    with pytest.raises(
        RunError, match=r"stage 'video', step 4: the loss is not finite .* on the clips procedural-train-\d+ \(frames"
    ):
        train(tmp_path, stage="video", step=4, strike=lambda terms: {name: term * float("nan") for name, term in terms.items()})
    state = newest_readable(tmp_path / "checkpoints" / "video")
    assert state is not None
    content = read_checkpoint(state)
    assert content["global_step"] == 4
    assert all(bool(tensor.isfinite().all()) for tensor in content["state_dict"].values())


@pytest.mark.slow
def test_a_gradient_that_is_not_finite_stops_the_run_before_it_reaches_the_weights(tmp_path):
    def infinite_slope(terms):
        return {name: term + (term - term.detach()).sqrt() for name, term in terms.items()}

    with pytest.raises(RunError, match="stage 'video', step 4: the gradient is not finite"):
        train(tmp_path, stage="video", step=4, strike=infinite_slope)


@pytest.mark.slow
def test_what_a_run_leaves_can_be_loaded_and_names_its_network(straight):
    folder, weights = straight
    method = load(folder / "last.ckpt")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in method.state_dict().items())
    best = read_checkpoint(folder / "best.ckpt")
    assert best["vosbench"]["method"] == "stma"
    assert best["vosbench"]["stage"] == "video"


@pytest.mark.slow
def test_a_damaged_newest_state_is_passed_over(straight, tmp_path):
    with pytest.raises(Cut):
        train(tmp_path, stage="video", step=5, strike=cut)
    newest = newest_readable(tmp_path / "checkpoints" / "video")
    assert newest is not None
    newest.write_bytes(newest.read_bytes()[:1000])
    resumed = train(tmp_path).state_dict()
    assert all(torch.equal(resumed[name], tensor) for name, tensor in straight[1].items())


@pytest.mark.slow
def test_a_hand_over_of_another_network_is_refused(tmp_path):
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {"method.elsewhere.weight": torch.zeros(3)}}, foreign)
    cfg = composed("stma", *SMALL)
    chain = Chain(build(cfg.method), tmp_path, 7, lambda method, advance: None, {}, {}, 0, silent)
    with pytest.raises(CheckpointError, match=r"fits only 0\.0 % of this network .*allow_partial=true"):
        chain.begin_from(foreign)


def test_a_batch_without_any_object_takes_its_step_and_teaches_nothing():
    from tests.methods.test_contract import clip_of
    from vosbench.training.module import VOSModule

    module = VOSModule(build(composed("stma").method), build(composed("stma", *SMALL).stages.video), 1)
    clip = clip_of(3)
    empty = type(clip)(clip.image, clip.label_map * 0, clip.present & False, clip.sequence, clip.frame_names)
    module.stage.loss.forward = lambda steps, clip, iteration: {"ce": torch.zeros(())}
    loss = module.training_step(empty, 0)
    loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in module.method.parameters() if p.requires_grad)
