"""Files that are no checkpoint, and weights that do not fit."""

import pickle

import pytest
import torch
from torch import nn

from vosbench.checkpoints.files import point_to, read_checkpoint
from vosbench.checkpoints.weights import load_weights, network_weights
from vosbench.errors import CheckpointError


class Evil:
    def __reduce__(self):
        return (open, ("evil.txt", "w"))


def test_foreign_code_in_a_file_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "evil": Evil()}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="never unpickled"):
        read_checkpoint(tmp_path / "a.ckpt")
    assert not (tmp_path / "evil.txt").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps([1, 2])[:-3]])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "broken.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"broken\.ckpt"):
        read_checkpoint(path)


def test_a_truncated_checkpoint_is_named(tmp_path):
    path = tmp_path / "short.ckpt"
    torch.save({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(CheckpointError, match=r"short\.ckpt"):
        read_checkpoint(path)


def test_an_address_is_refused():
    with pytest.raises(CheckpointError, match="local files only"):
        read_checkpoint("https://example.org/a.ckpt")


def test_a_load_counts_numbers_not_keys():
    network = nn.Sequential(nn.Linear(9, 10, bias=False), nn.Linear(10, 1, bias=False))  # 90 + 10 numbers
    state = {"0.weight": torch.ones(10, 9), "elsewhere": torch.zeros(3)}
    report = load_weights(network, state, "a.ckpt", least_share=0.9)
    assert report.share == pytest.approx(0.9)
    assert (report.loaded, report.missing, report.unexpected) == (["0.weight"], ["1.weight"], ["elsewhere"])
    assert bool((network[0].weight == 1).all())


def test_a_refused_load_changes_nothing_and_says_what_did_not_fit():
    network = nn.Linear(2, 2)
    before = network.weight.clone()
    with pytest.raises(CheckpointError, match=r"a\.ckpt: fits only 33\.3 %.*1 mismatched \(weight\)"):
        load_weights(network, {"weight": torch.ones(3, 2), "bias": torch.ones(2)}, "a.ckpt", least_share=0.99)
    assert torch.equal(network.weight, before)


def test_the_network_is_found_inside_a_training_checkpoint():
    content = {"state_dict": {"method.weight": torch.ones(1), "stage.loss.weight": torch.zeros(1)}, "epoch": 3}
    assert list(network_weights(content)) == ["weight"]


def test_a_link_is_moved_in_one_step(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        point_to(tmp_path / "last", tmp_path / name)
    assert (tmp_path / "last").read_text() == "b"
