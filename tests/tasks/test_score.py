"""`task=score`: from plain arguments to scores.json, its CSV and a table."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vosbench.tasks.score import main

HEAVY = ("torch", "hydra", "omegaconf", "pytorch_lightning", "cv2", "jaxtyping", "PIL")
IN_A_PROCESS = """
import sys
from vosbench.cli import main
status = main(sys.argv[1:])
print("loaded", *[name for name in {heavy} if name in sys.modules], file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture
def masks(tmp_path) -> tuple[Path, Path]:
    """One sequence of four frames under a path that needs quoting elsewhere; the prediction misses half of the square."""
    for side, rows in (("gt, wahr", 8), ("müller =1", 4)):
        folder = tmp_path / side / "ant"
        folder.mkdir(parents=True)
        frame = np.zeros((20, 20), np.uint8)
        frame[4 : 4 + rows, 4:12] = 1
        for index in range(4):
            Image.fromarray(frame).save(folder / f"{index:05d}.png")
    return tmp_path / "gt, wahr", tmp_path / "müller =1"


def test_scores_table_and_csv_are_written(masks, tmp_path, capsys):
    status = main(
        [
            "task=score",
            f"gt={masks[0]}",
            f"pred={masks[1]}",
            "protocol=davis",
            f"out={tmp_path / 'new' / 'x.json'}",
            "processes=1",
        ]
    )

    scores = json.loads((tmp_path / "new/x.json").read_text())
    table = list(csv.reader((tmp_path / "new/x.csv").open()))
    assert status == 0
    assert scores["overall"]["J_mean"] == 0.5
    assert scores["sequences"]["ant"]["frames"] == ["00001", "00002"]
    assert scores["sequences"]["ant"]["objects"]["1"]["J"] == [0.5, 0.5]
    assert [row[0] for row in table] == ["name", "global", "ant_1"]
    assert float(table[2][2]) == 0.5
    assert " 50.0 " in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["x.csv", "x.json"]


def test_out_may_be_a_folder(masks, tmp_path):
    main([f"gt={masks[0]}", f"pred={masks[1]}", f"out={tmp_path / 'results'}"])

    assert (tmp_path / "results/scores.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gt=a", "pred=b", "protocl=davis"], "protocl is no key of task=score; did you mean protocol?"),
        (["gt=a", "pred=b", "processes=two"], "processes=two is not a whole number"),
        (["gt=a", "pred=b", "processes=0"], "a: this folder cannot be read"),
        (["gt=a", "pred=b", "strict=maybe"], "strict=maybe is a switch"),
        (["gt=a", "pred=b", "protocol=coco"], "protocol=coco is unknown; choose one of davis"),
        (["gt=a"], "task=score needs pred=FOLDER"),
        (["gt=a", "pred="], "pred= is empty"),
        (["masks"], "'masks' is not key=value"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence_and_status_two(arguments, sentence, capsys):
    status = main(arguments)

    said = capsys.readouterr().err
    assert status == 2
    assert said.startswith(sentence)
    assert said.count("\n") == 1


def test_scores_that_were_there_survive_a_failed_run(masks, tmp_path):
    arguments = [f"gt={masks[0]}", f"pred={masks[1]}", f"out={tmp_path / 'x.json'}"]
    main(arguments)
    before = (tmp_path / "x.json").read_bytes()
    (masks[1] / "ant/00002.png").write_bytes(b"")

    assert main(arguments) == 2
    assert (tmp_path / "x.json").read_bytes() == before


def test_scoring_imports_nothing_heavy(masks):
    command = [sys.executable, "-c", IN_A_PROCESS.format(heavy=HEAVY), "task=score", f"gt={masks[0]}", f"pred={masks[1]}"]

    found = subprocess.run(command, capture_output=True, text=True, check=True)

    assert found.stderr.split() == ["loaded"]
