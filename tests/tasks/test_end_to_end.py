"""Whole commands on tiny data: train, kill, resume, two devices, evaluate, segment, score; and bad input through all of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.shared import SHARED, needs_shared
from vosbench.checkpoints.files import read_checkpoint
from vosbench.cli import main
from vosbench.metrics.folders import score_folders
from vosbench.video.label_map import read_label_map, write_label_map

SMALL = [
    "logger=none",
    "trainer.accelerator=cpu",
    "trainer.workers=0",
    "stages.static=null",
    "stages.bl30k.steps=4",
    "stages.video.steps=8",
    "stages.video.validate_every=4",
    *(f"stages.{name}.{key}" for name in ("bl30k", "video") for key in ("batch=2", "checkpoint_every=2")),
    *(f"stages.{name}.clips.{key}" for name in ("bl30k", "video") for key in ("length=3", "transform.crop=32")),
    "data.val.count=2",
    "data.val.length=12",
]


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "vosbench", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(folder: Path, *arguments: str) -> str:
    process = start(folder, *arguments)
    shown, _ = process.communicate()
    assert process.returncode == 0, shown
    return shown


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run_dir / "last.ckpt")["state_dict"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run folder of a training of twelve steps."""
    folder = tmp_path_factory.mktemp("trained")
    run(folder, "+method=stma", "out=run", *SMALL)
    return folder / "run"


@pytest.mark.slow
def test_a_training_leaves_all_that_the_readme_promises(trained):
    for name in (
        "config.yaml",
        "environment.json",
        "status.json",
        "metrics.csv",
        "scores.json",
        "report.html",
        "table.md",
        "best.ckpt",
    ):
        assert (trained / name).is_file(), name
    scores = json.loads((trained / "scores.json").read_text())
    assert scores["method"] == "stma"
    assert set(scores["sequences"]) == {"procedural-val-0000", "procedural-val-0001"}
    assert len(list((trained / "masks" / "procedural-val-0000").glob("*.png"))) == 12
    assert {path.stem for path in (trained / "floors").iterdir()} == {"repeat", "nearest"}


@pytest.mark.slow
def test_a_run_killed_without_warning_and_resumed_ends_with_the_same_bits(trained, tmp_path):
    process = start(tmp_path, "+method=stma", "out=run", *SMALL)
    states = tmp_path / "run" / "checkpoints" / "video"
    deadline = time.monotonic() + 120
    while not list(states.glob("step*.ckpt")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    # The job is a process of its own, in a group of its own; kill that, as the kernel would.
    job = subprocess.run(["pgrep", "-f", f"vosbench.tasks.job {tmp_path / 'run'}"], capture_output=True, text=True, check=True)
    for number in job.stdout.split():
        os.kill(int(number), signal.SIGKILL)
    process.communicate()
    assert process.returncode != 0
    assert not (tmp_path / "run" / "scores.json").exists()
    run(tmp_path, "resume=run")
    resumed, straight = weights(tmp_path / "run"), weights(trained)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in straight.items())


@pytest.mark.slow
def test_two_devices_see_the_clips_that_one_sees(trained, tmp_path):
    run(tmp_path, "+method=stma", "out=run", "trainer=ddp", "trainer.devices=2", *SMALL)
    both, one = weights(tmp_path / "run"), weights(trained)
    # The mean of two halves is the mean of the whole up to rounding; another order of clips would be far off.
    assert max(float((both[name] - tensor).abs().max()) for name, tensor in one.items()) < 2e-3
    alike = json.loads((tmp_path / "run" / "scores.json").read_text())["sequences"].keys()
    assert alike == json.loads((trained / "scores.json").read_text())["sequences"].keys()


@pytest.mark.slow
def test_the_masks_that_were_written_score_as_the_run_says(trained, tmp_path):
    from tests.methods.built import composed
    from vosbench.configuration.targets import build

    dataset = build(composed("stma", *SMALL).data.val)
    for index in range(len(dataset)):
        sequence = dataset[index]
        for frame, name in enumerate(sequence.frames.names):
            path = tmp_path / sequence.name / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            write_label_map(path, sequence.label_maps[frame])
    meta = {
        "videos": {
            sequence.name: {
                "objects": {
                    str(item.object_id): {"category": item.category, "frames": sequence.frames.names[item.first_frame :]}
                    for item in sequence.objects
                }
            }
            for sequence in (dataset[index] for index in range(len(dataset)))
        }
    }
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    files = score_folders(tmp_path, trained / "masks", "ytvos", meta=tmp_path / "meta.json")
    found = json.loads((trained / "scores.json").read_text())
    for name in ("J_mean", "F_mean", "J&F", "J_recall", "F_decay"):
        assert files["overall"][name] == found["overall"][name]


@pytest.fixture
def video(tmp_path) -> Path:
    """Four frames, a mask for the first and one for an object that enters at the third."""
    generator = np.random.default_rng(0)
    for index in range(4):
        path = tmp_path / "video" / f"{index:05d}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), generator.integers(0, 255, (40, 56, 3), dtype=np.uint8))
    for index, object_id in ((0, 3), (2, 200)):
        label_map = np.zeros((40, 56), np.uint8)
        label_map[5:20, 5 + 20 * (index > 0) : 20 + 20 * (index > 0)] = object_id
        path = tmp_path / "prompts" / f"{index:05d}.png"
        path.parent.mkdir(exist_ok=True)
        write_label_map(path, label_map)
    return tmp_path


INLINE = ["job.inline=true", "logger=none", "+method=repeat", "task=segment"]


def test_a_video_is_segmented_with_ids_kept_and_late_objects_joined(video):
    arguments = [f"video={video / 'video'}", f"prompt={video / 'prompts'}", f"out={video / 'run'}", "probabilities=true"]
    assert main([*INLINE, *arguments]) == 0
    ids = [sorted(np.unique(read_label_map(path))) for path in sorted((video / "run/masks/video").glob("*.png"))]
    assert ids == [[0, 3], [0, 3], [0, 3, 200], [0, 3, 200]]
    saved = np.load(video / "run/masks/video/00003.npz")
    assert saved["prob"].shape == (3, 40, 56)
    assert saved["object_ids"].tolist() == [3, 200]
    assert (video / "run/overlay.mp4").stat().st_size > 0


@pytest.mark.parametrize(
    ("damage", "arguments", "sentence"),
    [
        ("none", ["video={0}/nowhere", "prompt={0}/prompts"], "nowhere"),
        ("none", ["video={0}/video", "prompt={0}/nothing.png"], "nothing.png: there is no such mask"),
        ("none", ["video={0}/video", "prompt={{1: [60, 5, 90, 20]}}"], "lies outside the frame of 56x40"),
        ("none", ["video={0}/video", "prompt='{{1: [5, 5, 5, 20]}}'"], "has no area"),
        ("none", ["video={0}/video", "prompt='{{1: [5, 5, 20]}}'"], "four numbers"),
        ("none", ["video={0}/video", "prompt={0}/nothing.json"], "nothing.json: there is no such mask"),
        ("boxes", ["video={0}/video", "prompt={0}/boxes.csv"], "boxes.csv, line 3: the video has no frame '00009'"),
        ("none", ["video={0}/video", "prompt={{cat: [5, 5, 9, 20]}}"], "'cat' is no object id"),
        ("truncated", ["video={0}/video", "prompt={0}/prompts"], "00002.png"),
        ("other size", ["video={0}/video", "prompt={0}/prompts"], "00002.png"),
        ("mask size", ["video={0}/video", "prompt={0}/prompts"], "mask of object 3 is 39x56 but the frame is 40x56"),
        ("anti-aliased", ["video={0}/video", "prompt={0}/prompts"], "00000.png"),
        ("stray mask", ["video={0}/video", "prompt={0}/prompts"], "the video has no frame '00009'"),
        ("no write", ["video={0}/video", "prompt={0}/prompts"], "out="),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(video, capsys, damage, arguments, sentence):
    harm(video, damage)
    out = video / "file" / "run" if damage == "no write" else video / "run"
    assert main([*INLINE, *(text.format(video) for text in arguments), f"out={out}"]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    left = [path for path in (video / "run").rglob("*") if path.name.startswith(".")] if (video / "run").exists() else []
    assert left == []


def harm(video: Path, damage: str) -> None:
    frame, mask = video / "video" / "00002.png", video / "prompts" / "00000.png"
    if damage == "truncated":
        frame.write_bytes(frame.read_bytes()[:1500])
    elif damage == "other size":
        cv2.imwrite(str(frame), np.zeros((41, 56, 3), np.uint8))
    elif damage == "mask size":
        write_label_map(mask, read_label_map(mask)[:39])
    elif damage == "anti-aliased":
        soft = cv2.GaussianBlur((read_label_map(mask) > 0).astype(np.uint8) * 255, (0, 0), 3)
        cv2.imwrite(str(mask), soft)
    elif damage == "stray mask":
        mask.rename(mask.with_name("00009.png"))
    elif damage == "boxes":
        (video / "boxes.csv").write_text("frame,object,x0,y0,x1,y1\n00000,3,5,5,20,20\n00009,3,5,5,20,20\n")
    elif damage == "no write":
        (video / "file").write_text("in the way")


def test_a_broken_frame_in_mid_sequence_keeps_what_was_written_before(video):
    harm(video, "truncated")
    assert main([*INLINE, f"video={video / 'video'}", f"prompt={video / 'prompts'}", f"out={video / 'run'}"]) == 2
    written = sorted(path.name for path in (video / "run/masks/video").iterdir())
    assert written == ["00000.png", "00001.png"]
    assert not (video / "run/overlay.mp4").exists()


@pytest.mark.slow
def test_a_checkpoint_of_another_size_is_refused(trained, capsys, video):
    arguments = [
        f"video={video / 'video'}",
        f"prompt={video / 'prompts'}",
        f"out={video / 'run'}",
        f"checkpoint={trained / 'best.ckpt'}",
    ]
    head = ["job.inline=true", "logger=none", "task=segment", "+method=stma"]
    assert main([*head, "size=paper", "method.backbone.pretrained=null", "method.value.pretrained=false", *arguments]) == 2
    assert "holds stma (size tiny) but stma (size paper) is asked for" in capsys.readouterr().err


@pytest.mark.slow
@needs_shared("data/demo/JPEGImages/judo")
def test_objects_of_a_real_video_join_where_their_masks_lie(trained, tmp_path):
    demo = SHARED / "data" / "demo"
    arguments = [
        f"video={demo / 'JPEGImages/judo'}",
        f"prompt={demo / 'Annotations/judo'}",
        f"out={tmp_path / 'run'}",
        "long_edge=160",
    ]
    head = ["job.inline=true", "logger=none", "task=segment", "+method=stma", f"checkpoint={trained / 'best.ckpt'}"]
    assert main([*head, *arguments]) == 0
    found = json.loads((tmp_path / "run/segment.json").read_text())
    assert (found["frames"], len(found["objects"])) == (16, 4)
    for prompted in sorted((demo / "Annotations/judo").glob("*.png")):
        given, answer = read_label_map(prompted), read_label_map(tmp_path / "run/masks/judo" / prompted.name)
        assert np.array_equal(answer[given > 0], given[given > 0])


def checkpoint(folder: Path, method: str) -> Path:
    """The tiny form of a method as it is initialised."""
    from omegaconf import OmegaConf

    from tests.methods.built import built, composed

    network = OmegaConf.to_container(composed(method).method, resolve=True)
    path = folder / f"{method}.ckpt"
    identity = {"format": 1, "method": method, "size": "tiny", "network": network}
    torch.save({"vosbench": identity, "state_dict": built(method).state_dict()}, path)
    return path


SEGMENT = ["job.inline=true", "logger=none", "task=segment"]


def test_boxes_of_a_file_are_followed_and_their_boxes_written(video):
    (video / "boxes.csv").write_text("frame,object,x0,y0,x1,y1\n00000,3,5,5,20,20\n2,200,25,5,40,20.5\n")
    weights = checkpoint(video, "qmra")
    arguments = ["+method=qmra", f"video={video / 'video'}", f"prompt={video / 'boxes.csv'}", f"checkpoint={weights}"]
    assert main([*SEGMENT, *arguments, f"out={video / 'run'}"]) == 0
    assert len(list((video / "run/masks/video").glob("*.png"))) == 4
    content = json.loads((video / "run/boxes/video.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["00000", "00001", "00002", "00003"]
    given = {(item["image_id"], item["object_id"]): item["bbox"] for item in content["annotations"]}
    assert given[1, 3] == [5, 5, 15, 15]
    assert given[3, 200] == [25, 5, 15, 15.5]
    assert not any(object_id == 200 and image_id < 3 for image_id, object_id in given)


def test_a_method_that_takes_masks_is_helped_by_one_that_takes_boxes(video, capsys):
    boxes, masks = checkpoint(video, "qmra"), checkpoint(video, "stma")
    arguments = ["+method=stma", f"checkpoint={masks}", f"video={video / 'video'}", "prompt={3: [5, 5, 40, 35]}"]
    assert main([*SEGMENT, *arguments, f"out={video / 'refused'}"]) == 2
    assert "box_to_mask=<checkpoint of qmra>" in capsys.readouterr().err
    assert main([*SEGMENT, *arguments, f"out={video / 'wrong'}", f"box_to_mask={masks}"]) == 2
    assert "holds STMA, which takes masks itself" in capsys.readouterr().err
    assert main([*SEGMENT, *arguments, f"out={video / 'lost'}", "box_to_mask=nowhere.ckpt"]) == 2
    assert "box_to_mask=nowhere.ckpt: there is no such checkpoint" in capsys.readouterr().err
    assert main([*SEGMENT, *arguments, f"out={video / 'run'}", f"box_to_mask={boxes}"]) == 0
    alone = ["+method=qmra", f"checkpoint={boxes}", *arguments[2:], f"out={video / 'alone'}"]
    assert main([*SEGMENT, *alone]) == 0
    first = [read_label_map(video / run / "masks/video/00000.png") for run in ("run", "alone")]
    assert 3 in first[0]
    assert np.array_equal(*first)


def test_a_filled_box_may_be_the_mask(video):
    weights = checkpoint(video, "stma")
    head = [*SEGMENT, "+method=stma", f"checkpoint={weights}", f"video={video / 'video'}", f"out={video / 'run'}"]
    assert main([*head, "prompt={3: [5, 5, 40, 35]}", "box_to_mask=rectangle"]) == 0
    expected = np.zeros((40, 56), np.uint8)
    expected[5:35, 5:40] = 3
    assert np.array_equal(read_label_map(video / "run/masks/video/00000.png"), expected)
    assert json.loads((video / "run/segment.json").read_text())["box_to_mask"] == "rectangle"


def test_an_evaluation_from_boxes_stands_beside_the_floor_of_boxes(tmp_path):
    weights = checkpoint(tmp_path, "qmra")
    head = ["job.inline=true", "logger=none", "task=evaluate", "+method=qmra", f"checkpoint={weights}"]
    assert main([*head, "data.val.count=1", "data.val.length=12", f"out={tmp_path / 'run'}"]) == 0
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert (scores["prompt"], scores["box_source"]) == ("box", "from_mask")
    assert 0 <= scores["overall"]["box_iou"] <= 1
    assert {path.stem for path in (tmp_path / "run/floors").iterdir()} == {"repeat", "nearest", "repeat_box"}
    table = (tmp_path / "run/table.md").read_text()
    assert "repeat_box (box, floor)" in table
    assert "best floor (repeat_box)" in table
    assert [path.stem for path in (tmp_path / "run/boxes").iterdir()] == list(scores["sequences"])
