"""AOT with published key names and golden weights against the outputs of the public code, streamed through a `Session`."""

from typing import Any

import pytest
import torch

from tests import goldens
from tests.methods.built import composed
from vosbench.checkpoints.load import without_pretrained
from vosbench.configuration.targets import build
from vosbench.inference.session import Session
from vosbench.layers.positions import sine_cosine_between_borders
from vosbench.methods.aot_capa.memory import AOTFeatures, AOTMemory
from vosbench.methods.aot_capa.network import AOT
from vosbench.methods.aot_capa.official import converted
from vosbench.methods.method import Prediction

NAMES = [pytest.param(name, marks=goldens.needs_golden(name)) for name in ("aot_t", "r50_aotl")]
CASES = ("main", "gap1", "late", "many")
SIZE = (129, 161)


@pytest.fixture(scope="module", params=NAMES)
def golden(request: pytest.FixtureRequest) -> tuple[str, AOT]:
    name = request.param
    network = composed("aot", "size=paper", f"method.variant={name}").method
    method = build(without_pretrained(network))
    method.load_state_dict(converted(goldens.official_state(name)).weights)
    return name, method.eval()


def frame(t: int) -> Any:
    return goldens.fill().image(100 + t, *SIZE)


def label_map(case: str) -> torch.Tensor:
    seed, objects = (31, 12) if case == "many" else (7, 3)
    return torch.from_numpy(goldens.fill().mask(seed, *SIZE, objects))


def prompts(case: str) -> dict[int, dict[int, Any]]:
    """By frame and object id. The public code numbers objects as the label map does."""
    drawn = label_map(case)
    given = {int(number): (drawn == number).numpy() for number in drawn.unique() if number}
    if case != "late":
        return {0: given}
    return {0: {number: mask for number, mask in given.items() if number != 3}, 2: {3: given[3]}}


class Recorder:
    """What `segment` gave, frame by frame."""

    def __init__(self, method: AOT) -> None:
        self.method, self.predictions = method, []

    def __enter__(self) -> list[Prediction]:
        self.method.segment = self._segment  # type: ignore[method-assign]
        return self.predictions

    def _segment(self, features: AOTFeatures, memory: AOTMemory) -> Prediction:
        self.predictions.append(AOT.segment(self.method, features, memory))
        return self.predictions[-1]

    def __exit__(self, *_: object) -> None:
        del self.method.segment


@pytest.mark.parametrize("case", CASES)
def test_a_video_gives_the_logits_and_labels_of_the_public_code(golden, case, monkeypatch):
    name, method = golden
    stored, settings = goldens.outputs(name), goldens.manifest(name)
    if case == "gap1":
        monkeypatch.setattr(method.options, "long_gap", 1)
    session, length = Session(method), len(stored[f"{case}/label"]) + 1
    labels, counts = [], []
    with Recorder(method) as predictions:
        for t in range(length):
            prob = session.step(frame(t), prompts(case).get(t))
            labels.append(torch.from_numpy(session.label_map(prob)))
            counts.append(len(session.memory.pinned[0]))

    assert counts == settings["memory_frames_per_case_after_each_frame"][case]
    for t in range(1, length):
        public = stored[f"{case}/logits"][t - 1].view(-1, 11, *stored[f"{case}/logits"].shape[-2:])  # group, identity
        for group, own in predictions[t].trace.logits.items():
            used = own.shape[1] if not (case == "late" and t <= 2) else 3  # background and the objects known by then
            torch.testing.assert_close(own[0, :used], public[group, :used], rtol=0, atol=1e-4)
        differ = (labels[t] != stored[f"{case}/label"][t - 1]).float().mean()
        assert differ <= settings["ambiguous_pixels"][case][t - 1]


def test_groups_are_merged_as_in_the_public_code(golden):
    name, method = golden
    session = Session(method)
    with Recorder(method) as predictions:
        for t in range(3):
            session.step(frame(t), prompts("many").get(t))
    for t, public in enumerate(goldens.outputs(name)["many/merged"], start=1):
        merged = method.at_size(predictions[t], SIZE)[0, :, ::8, ::8]
        torch.testing.assert_close(merged, public[:13], rtol=0, atol=1e-4)


def subsampled(tensor: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(S, C) tokens as the goldens hold them: 16 channels of the map."""
    channels = tensor.shape[1]
    return tensor.T.reshape(channels, *grid)[[number * (channels // 16) for number in range(16)]]


def test_what_lies_between_is_that_of_the_public_code(golden):
    name, method = golden
    stored, grid = goldens.outputs(name), (9, 11)
    image = torch.from_numpy(frame(0)).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        features = method.encode(image)
        identity = method.identity_bank.embed(label_map("main")[None].long())
        outputs, candidates = method.lstt(features.tokens, grid, None, None, identity)
        fused = method.lstt.fuse(candidates, identity)
        later = method.encode(torch.from_numpy(frame(1)).permute(2, 0, 1)[None].float())
        next_outputs, _ = method.lstt(later.tokens, grid, fused, fused, None)
    found = {
        "inter/enc3": features.tokens,
        "inter/pos": sine_cosine_between_borders(grid, 256)[None],
        "inter/id_emb": identity,
        **{f"inter/lstt_ref_{number}": output for number, output in enumerate(outputs)},
        **{f"inter/lstt_t1_{number}": output for number, output in enumerate(next_outputs)},
    }
    for key, tensor in found.items():
        torch.testing.assert_close(
            subsampled(tensor[0], grid), stored[key], rtol=0, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
        )
