"""The command line from outside: what is answered at once, what a run leaves, and how errors read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vosbench.cli import main
from vosbench.configuration.places import options
from vosbench.tasks import front_end
from vosbench.tasks.launch import Outcome
from vosbench.tasks.run_folder import read_config, read_json, read_status, write_status

QUICK = ["logger=none", "task=evaluate", "data.val.count=1", "data.val.length=12", "~floors.nearest"]


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """Run in an empty folder, jobs not started but recorded; they end as `outcomes` says, well if it says nothing."""
    recorder = Recorder()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(front_end, "launch", recorder)
    return recorder


class Recorder:
    """Stands for `launch`."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.outcomes: dict[str, Outcome] = {}

    def __call__(self, run_dir: Path, config: dict) -> Outcome:
        self.folders.append(run_dir)
        outcome = next((value for key, value in self.outcomes.items() if key in run_dir.name), Outcome(0))
        status = read_status(run_dir)
        state = "done" if outcome.exit_code == 0 else "failed"
        scores = {"J": 0.5, "F": 0.7, "J&F": 0.6} if outcome.exit_code == 0 else None
        write_status(run_dir, type(status)(state, status.created, 1.0, 2.0, outcome.exit_code, None, scores))
        return outcome


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["+method=stma", "-h"]])
def test_help_lists_what_can_be_chosen(capsys, arguments):
    assert main(arguments) == 0

    shown = capsys.readouterr().out
    assert set(options("method")) | set(options("data")) | {"train", "evaluate", "segment", "score", "tiny", "paper"} <= set(
        shown.split()
    )


def test_a_command_leaves_a_run_folder_with_everything_to_repeat_it(launched, tmp_path):
    assert main(["+method=repeat", "seed=4"]) == 0

    (folder,) = launched.folders
    assert folder.parent == tmp_path / "runs" / "repeat"
    config = read_config(folder)
    assert (config["seed"], config["task"], config["method_name"], config["out"]) == (4, "train", "repeat", str(folder))
    assert OmegaConf.missing_keys(OmegaConf.load(folder / "config.yaml")) == set()
    assert read_json(folder / "environment.json")["overrides"] == ["+method=repeat", "seed=4"]


def test_the_exit_code_is_the_jobs(launched):
    launched.outcomes = {"": Outcome(2)}

    assert main(["+method=repeat"]) == 2


def test_a_run_folder_can_be_named(launched, tmp_path):
    assert main(["+method=repeat", "out=my run"]) == 0
    assert launched.folders == [tmp_path / "my run"]
    assert main(["+method=repeat", "out=my run"]) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["task=train"], "No method is chosen: add +method=<name>, one of"),
        (["method=stma"], "write +method=stma"),
        (["+method=stma", "+data=davis17"], "write data=davis17"),
        (["+method=stma", "method.decoder.dim=3"], "did you mean 'dims'"),
        (["+method=stma", "+method.refsampling=uniform"], "did you mean 'ref_sampling'"),
        (["+method=stma", "stages.video.stepz=3"], "did you mean 'steps'"),
        (["+method=stma", "sead=3"], "did you mean 'seed'"),
        (["+method=lgdk", "method.kernels={hiden:3}"], "'method.kernels' has no key 'hiden'; did you mean 'hidden'"),
        (["+method=lgdk", "stages.video.groups.shares={key:0.1}"], "Or add it: +stages.video.groups.shares.key=<value>."),
        (["+method=stma", "seed=é"], """'seed="é"'"""),
        (["+method=stma", "data=davis17"], "data.root must be given"),
        (["+method=stma", "trainer.devices=0"], "trainer.devices is 0"),
        (["+method=stma", "trainer.nodes=2"], "trainer.rendezvous="),
        (["task=segment", "+method=repeat"], "video and prompt must be given"),
        (["+method=repeat", "sweep=x"], "add -m"),
        (["-m", "+method=repeat", "out=x"], "sweep=<folder>"),
        (["-m", "+method=repeat", "resume=x"], "sweep=<its folder>"),
        (["-m", "+method=repeat", "seed=1,2", "method.x=1,2"], "'method' has no key 'x'"),
        (["resume=nowhere"], "holds no config.yaml"),
        (["task=score", "-m", "gt=a"], "task=score takes key=value only"),
        (["+experiments=stma/nothing_like_it"], "There is no 'stma/nothing_like_it' in 'experiments'"),
    ],
)
def test_an_error_is_one_sentence_and_status_two(launched, capsys, arguments, sentence):
    assert main(arguments) == 2

    shown = capsys.readouterr().err
    assert sentence in shown
    assert "Traceback" not in shown
    assert launched.folders == []


def test_a_place_that_cannot_be_written_is_an_error_of_the_user(launched, tmp_path, capsys):
    (tmp_path / "runs").write_text("a file")

    assert main(["+method=repeat"]) == 2
    assert "runs" in capsys.readouterr().err


def test_a_sweep_runs_all_jobs_and_fails_if_one_does(launched, capsys):
    launched.outcomes = {"seed=2": Outcome(1)}

    assert main(["-m", "+method=repeat,nearest", "size=tiny", "seed=1,2", "sweep=s"]) == 1

    assert len(launched.folders) == 4
    table = capsys.readouterr().out
    assert table.count("failed") == 2
    assert table.count("50.0  70.0  60.0") == 2


def test_the_same_sweep_again_runs_what_is_missing(launched):
    launched.outcomes = {"seed=2": Outcome(1)}
    main(["-m", "+method=repeat", "seed=1,2", "sweep=s"])
    launched.folders.clear()
    launched.outcomes = {}

    assert main(["-m", "+method=repeat", "seed=1,2,3", "sweep=s"]) == 0

    assert [folder.name for folder in launched.folders] == ["method=repeat,seed=2", "method=repeat,seed=3"]
    assert read_config(launched.folders[0])["resume"] == str(launched.folders[0])
    assert read_config(launched.folders[1])["resume"] is None


def test_ctrl_c_ends_the_sweep_and_not_only_its_job(launched, capsys):
    launched.outcomes = {"seed=1": Outcome(130, interrupted=True)}

    assert main(["-m", "+method=repeat", "seed=1,2", "sweep=s"]) == 130
    assert len(launched.folders) == 1
    assert "queued" in capsys.readouterr().out


def test_a_run_is_resumed_from_its_folder_alone(launched):
    main(["+method=repeat", "seed=4", "out=r"])

    assert main(["resume=r"]) == 0

    assert launched.folders[1] == launched.folders[0]
    config = read_config(launched.folders[0])
    assert (config["seed"], config["resume"]) == (4, str(launched.folders[0]))
    assert len(read_json(launched.folders[0] / "environment.json")["resumed"]) == 1


@pytest.mark.parametrize(
    "arguments", [["trainer=ddp", "logger=none"], ["+method=repeat", "seed=4", "trainer=ddp", "logger=none"]]
)
def test_a_run_may_be_resumed_on_other_devices(launched, arguments):
    main(["+method=repeat", "seed=4", "out=r"])

    assert main(["resume=r", *arguments]) == 0

    config = read_config(launched.folders[0])
    assert (config["trainer"]["devices"], config["trainer"]["strategy"], config["logger"]) == (2, "ddp", None)


@pytest.mark.parametrize("arguments", [["seed=5"], ["+method=repeat", "seed=5"]])
def test_a_run_is_not_resumed_with_another_configuration(launched, capsys, arguments):
    main(["+method=repeat", "seed=4", "out=r"])

    assert main(["resume=r", *arguments]) == 2
    assert "seed: 4 -> 5" in capsys.readouterr().err
    assert len(launched.folders) == 1


def test_hydra_still_shows_the_composed_configuration(launched, capsys):
    assert main(["+method=repeat", "--cfg", "job"]) == 0

    assert "_target_: vosbench.methods.repeat.Repeat" in capsys.readouterr().out


def test_a_real_job_evaluates_and_says_so(tmp_path):
    done = python("-m", "vosbench", "+method=repeat", *QUICK[:-1], "floors=null", "out=r", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    status = read_status(tmp_path / "r")
    assert status.state == "done"
    assert status.scores["J&F"] == read_json(tmp_path / "r" / "scores.json")["overall"]["J&F"]


def test_a_real_job_passes_its_error_on(tmp_path):
    done = python("-m", "vosbench", "+method=stma", *QUICK, "out=r", cwd=tmp_path)

    assert done.returncode == 2
    assert "needs the weights of stma" in done.stderr
    assert "Traceback" not in done.stderr
    assert read_status(tmp_path / "r").exit_code == 2


def test_the_front_end_never_imports_torch(tmp_path):
    code = "import sys; from vosbench.cli import main; main(['+method=stma', 'seed=x y', 'foo=1']); print('torch' in sys.modules)"

    assert python("-c", code, cwd=tmp_path).stdout.strip() == "False"
