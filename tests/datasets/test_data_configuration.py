"""conf/data: every file composes, calls our classes with all their arguments, and opens what it names."""

import inspect
import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from tests.datasets.tiny import write_images, write_masks
from tests.shared import SHARED, needs_shared

CONF = Path(__file__).resolve().parents[2] / "conf"
NAMES = sorted(path.stem for path in CONF.glob("data/*.yaml"))
ROOTS = {"root", "stills_root", "bl30k_root", "davis_root", "youtube_vos_root", "coco_root", "uvo_root", "ovis_root"}


def composed(name, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(f"data/{name}", overrides=list(overrides)).data


def targets(node):
    """Every node below that is a call."""
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield node
        for key in node:
            yield from targets(node._get_node(key))
    elif isinstance(node, ListConfig):
        for place in range(len(node)):
            yield from targets(node._get_node(place))


def opened(node):
    return instantiate(node, _convert_="all")


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_written_down_and_every_part_is_there(name):
    data = composed(name)
    assert {"instances", "static", "bl30k", "uvo_ovis", "video", "val"} <= data.keys()
    for node in targets(data):
        wanted = set(inspect.signature(get_class(node._target_)).parameters)
        assert wanted == {key for key in node if not key.startswith("_")}, node._target_


@pytest.mark.parametrize("name", NAMES)
def test_with_its_roots_given_nothing_is_left_to_be_filled_in(name):
    written = OmegaConf.to_container(composed(name), resolve=False)
    missing = {key for key, value in written.items() if value == "???"}
    assert missing <= ROOTS
    resolved = composed(name, *(f"data.{root}=/somewhere" for root in sorted(missing)))
    OmegaConf.to_container(resolved, resolve=True, throw_on_missing=True)


@needs_shared("data/davis16-240p")
def test_six_sequences_of_davis_16_are_held_out_for_validation():
    root = f"data.root={SHARED / 'data/davis16-240p'}"
    data = composed("davis16", root, "data.resolution=240p", "data.holdout=[bear,bus,elephant,lucia,stroller,tennis]")
    video, val = opened(data.video), opened(data.val)
    assert (len(video), len(val)) == (24, 6)
    assert set(video.sequences).isdisjoint(val.sequences)
    assert (data.static, data.bl30k) == (None, None)


@needs_shared("data/davis16-240p")
def test_procedural_stages_go_before_davis():
    data = composed("davis16_procedural", f"data.root={SHARED / 'data/davis16-240p'}", "data.resolution=240p")
    still = opened(data.static)[0]
    assert still.image.shape == (128, 128, 3)
    assert (len(opened(data.bl30k)[0].frames), len(opened(data.video))) == (160, 30)


def test_davis_and_youtube_vos_are_mixed_five_to_one(tmp_path):
    write_images(tmp_path / "davis/JPEGImages/480p/bear", ["00000"])
    write_masks(tmp_path / "davis/Annotations/480p/bear", {"00000": (1,)})
    (tmp_path / "davis/ImageSets/2017").mkdir(parents=True)
    (tmp_path / "davis/ImageSets/2017/train.txt").write_text("bear\n")
    write_images(tmp_path / "ytv/train/JPEGImages/aaaa", ["00000"])
    write_masks(tmp_path / "ytv/train/Annotations/aaaa", {"00000": (1,)})
    content = {"videos": {"aaaa": {"objects": {"1": {"category": "ape", "frames": ["00000"]}}}}}
    (tmp_path / "ytv/train/meta.json").write_text(json.dumps(content))
    data = composed("davis17_youtube_vos", f"data.davis_root={tmp_path}/davis", f"data.youtube_vos_root={tmp_path}/ytv")
    assert [sequence.name for sequence in opened(data.video)] == ["bear"] * 5 + ["aaaa"]


@needs_shared("data/demo")
def test_own_folders_are_opened_with_a_hold_out():
    data = composed("folder", f"data.root={SHARED / 'data/demo'}", "data.holdout=[judo]")
    assert (opened(data.video).sequences, opened(data.val).sequences) == (["bike", "street-44-objects"], ["judo"])
