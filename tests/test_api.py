"""The three names of the Python API, as the README shows them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from tests.methods.built import built, composed
from vosbench.errors import CheckpointError
from vosbench.video.label_map import write_label_map

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    network = OmegaConf.to_container(composed("stma").method, resolve=True)
    state = {f"method.{name}": tensor for name, tensor in built("stma").state_dict().items()}
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": state, "vosbench": {"format": 1, "method": "stma", "size": "tiny", "network": network}}, path)
    return path


def test_the_readmes_example_runs_as_it_stands(checkpoint, tmp_path, monkeypatch):
    text = README.read_text()
    example = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "vosbench.Session" in block)
    monkeypatch.chdir(tmp_path)
    label_map = np.zeros((48, 64), np.uint8)
    label_map[8:28, 10:40] = 1
    for folder in ("Annotations/480p/mine", "masks/mine"):
        for frame in range(3):
            path = tmp_path / folder / f"{frame:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_label_map(path, label_map)
    images = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), dtype=np.uint8)
    names: dict = {"images": list(images), "mask": label_map == 1}
    exec(example, names)
    assert names["prob"].shape == (2, 48, 64)
    assert names["scores"]["overall"]["J&F"] == 1.0


def test_importing_vosbench_imports_no_torch_and_neither_does_score(tmp_path):
    code = "import sys, vosbench; vosbench.score; print([name for name in ('torch', 'hydra', 'pytorch_lightning') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stdout.strip() == "[]"


def test_a_loaded_method_segments_as_the_one_that_was_saved(checkpoint):
    import vosbench

    loaded, saved = vosbench.load(checkpoint), built("stma")
    image = np.random.default_rng(1).integers(0, 255, (2, 48, 64, 3), dtype=np.uint8)
    mask = np.zeros((48, 64), bool)
    mask[8:30, 10:40] = True
    answers = []
    for method in (loaded, saved):
        session = vosbench.Session(method)
        session.step(image[0], {4: mask})
        answers.append(session.step(image[1]))
    assert torch.equal(*answers)


def test_a_state_dict_without_its_network_is_refused_with_the_remedy(tmp_path):
    import vosbench

    torch.save({"weight": torch.zeros(2)}, tmp_path / "bare.pth")
    with pytest.raises(CheckpointError, match=r"bare\.pth: does not say which network it belongs to"):
        vosbench.load(tmp_path / "bare.pth")


def test_a_checkpoint_cannot_name_foreign_code_as_its_network(checkpoint):
    import vosbench

    content = torch.load(checkpoint, weights_only=True)
    content["vosbench"]["network"] = {"_target_": "os.system", "command": "true"}
    with pytest.raises(vosbench_error(), match=r"os\.system"):
        vosbench.load(content)


def vosbench_error() -> type[Exception]:
    from vosbench.errors import VosbenchError

    return VosbenchError


def test_scores_of_the_command_line_and_of_python_are_one(tmp_path):
    import vosbench
    from vosbench.cli import main

    label_map = np.zeros((40, 40), np.uint8)
    label_map[5:20, 5:20] = 1
    for folder, shift in (("gt", 0), ("pred", 2)):
        for frame in range(4):
            path = tmp_path / folder / "clip" / f"{frame:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_label_map(path, np.roll(label_map, shift * frame, 1))
    out = tmp_path / "scores.json"
    assert main(["task=score", f"gt={tmp_path / 'gt'}", f"pred={tmp_path / 'pred'}", "protocol=davis", f"out={out}"]) == 0
    assert json.loads(out.read_text())["overall"] == vosbench.score(tmp_path / "gt", tmp_path / "pred")["overall"]
