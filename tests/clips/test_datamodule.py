import pytest
import pytorch_lightning as pl
import torch

from tests.clips.squares import Squares, any_object, cropped
from vosbench.clips.datamodule import ClipBatches, ClipDataModule, StageClips, clip_loader
from vosbench.clips.frame_choice import IterativeFrames
from vosbench.clips.photometry import Photometry
from vosbench.clips.transform import VideoTransform
from vosbench.clips.video_clips import VideoClips
from vosbench.errors import ConfigError, DatasetError


def source():
    transform = VideoTransform(24, cropped(24).geometry, shared=Photometry(brightness=0.2), per_frame=Photometry(contrast=0.1))
    return VideoClips(
        Squares(), 3, frames=IterativeFrames(), max_skip=[[0.0, 2], [0.5, 4]], objects=any_object(), transform=transform
    )


def loader(workers=0, **batches):
    clips = StageClips(source(), steps=6, seed=3, stage="video")
    return clip_loader(clips, ClipBatches(**({"first": 0, "total": 6, "batch": 4} | batches)), workers=workers)


def test_batches_are_the_same_for_any_number_of_workers():
    alone, helped = list(loader(workers=0)), list(loader(workers=2))
    assert len(alone) == len(helped) == 6
    for a, b in zip(alone, helped, strict=True):
        assert a.frame_names == b.frame_names
        torch.testing.assert_close(a.image, b.image, rtol=0, atol=0)
        torch.testing.assert_close(a.label_map, b.label_map, rtol=0, atol=0)


def test_no_two_clips_of_a_stage_are_equal():
    images = [image.numpy().tobytes() for clip in loader() for image in clip.image]
    assert len(set(images)) == 24


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_global_batch_without_overlap(world):
    ranks = [list(ClipBatches(first=0, total=3, batch=8, rank=rank, world=world)) for rank in range(world)]
    for step in range(3):
        pairs = [pair for batches in ranks for pair in batches[step]]
        assert sorted(pairs) == [(step, index) for index in range(8)]
        assert {len(batches[step]) for batches in ranks} == {8 // world}


def test_the_clips_of_two_ranks_are_those_of_one_device():
    whole = next(iter(loader()))
    first, second = (next(iter(loader(rank=rank, world=2))) for rank in (0, 1))
    torch.testing.assert_close(whole.image[0::2], first.image, rtol=0, atol=0)
    torch.testing.assert_close(whole.image[1::2], second.image, rtol=0, atol=0)


def test_a_batch_that_does_not_divide_is_refused_with_the_numbers():
    with pytest.raises(ConfigError, match="global batch of 6 clips cannot be split evenly over 4 devices"):
        ClipBatches(first=0, total=1, batch=6, rank=0, world=4)


def test_a_resumed_loader_goes_on_with_the_batches_of_an_uninterrupted_one():
    whole, rest = list(loader()), list(loader(first=4))
    assert len(rest) == 2
    torch.testing.assert_close(whole[4].image, rest[0].image, rtol=0, atol=0)
    torch.testing.assert_close(whole[5].image, rest[1].image, rtol=0, atol=0)


def test_the_length_is_the_whole_stage_also_after_a_resume():
    assert len(ClipBatches(first=4, total=6, batch=4)) == 6


def test_stages_of_one_run_draw_different_clips():
    static, video = (StageClips(source(), steps=6, seed=3, stage=stage)[(0, 0)] for stage in ("static", "video"))
    assert static.image.tobytes() != video.image.tobytes()


def test_progress_is_the_part_of_the_stage_that_is_done():
    asked = []

    class Recorded:
        def draw(self, seed, step, index, progress):
            asked.append((step, index, progress))
            return source().draw(seed, step, index, progress)

    clips = StageClips(Recorded(), steps=8, seed=0, stage="video")
    assert [len(clips[(step, 1)].image) for step in (0, 2, 7)] == [3, 3, 3]
    assert asked == [(0, 1, 0.0), (2, 1, 0.25), (7, 1, 0.875)]


class Broken(Squares):
    def __getitem__(self, index):
        sequence = super().__getitem__(index)
        sequence.frames.size = 40  # images are 40 x 40, label maps 32 x 32
        return sequence


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_sample_stops_the_loader_with_its_sentence(workers):
    clips = source()
    clips.dataset = Broken()
    batches = ClipBatches(first=0, total=2, batch=1)
    with pytest.raises(DatasetError, match=r"^squares, sequence 'video\d', frame '\d{5}': the label map is 32x32 but .*\.$"):
        list(clip_loader(StageClips(clips, steps=2, seed=0, stage="video"), batches, workers=workers))


class Recorder(pl.LightningModule):
    """Learns nothing; notes which clips it is shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, clip, batch_index):
        self.seen.append((clip.frame_names, float(clip.image.double().sum())))
        return self.weight**2

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trained(folder, steps, resume=None, **options):
    module = Recorder()
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        devices=1,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    trainer.fit(module, ClipDataModule(source(), steps=6, batch=2, seed=3, stage="video", workers=0), ckpt_path=resume)
    return module.seen, trainer


@pytest.mark.filterwarnings("ignore")
def test_a_stopped_training_goes_on_with_the_clips_it_had_not_seen(tmp_path):
    whole, _ = trained(tmp_path, 6)
    first, trainer = trained(tmp_path, 4)
    trainer.save_checkpoint(tmp_path / "stopped.ckpt")
    rest, trainer = trained(tmp_path, 6, resume=str(tmp_path / "stopped.ckpt"))
    assert len(whole) == 6
    assert first + rest == whole
    assert trainer.global_step == 6


@pytest.mark.filterwarnings("ignore")
def test_accumulated_batches_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="accumulate_grad_batches is 2"):
        trained(tmp_path, 2, accumulate_grad_batches=2)
