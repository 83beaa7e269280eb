"""A sweep's folders and tables."""

import pytest

from vosbench.errors import ConfigError
from vosbench.tasks.run_folder import Status, read_config, read_json, read_status, write_json, write_status
from vosbench.tasks.sweep import conclude, is_done, job_name, jobs, prepare_job


def ended(folder, created: float, scores=None, error=None) -> None:
    """Write how a job ended, 90 seconds after its start."""
    state = "done" if error is None else "failed"
    write_status(folder, Status(state, created, created + 1.0, created + 91.0, int(error is not None), error, scores))


def test_a_job_is_named_by_its_overrides_whatever_their_order():
    assert job_name(["seed=1", "+method=stma"]) == job_name(["+method=stma", "seed=1"]) == "method=stma,seed=1"


def test_names_that_a_file_cannot_bear_stay_apart():
    names = {job_name([f"checkpoint='/a/{letter}'"]) for letter in "xy"} | {job_name([f"key={'x' * 300}{end}"]) for end in "12"}

    assert len(names) == 4
    assert all("/" not in name and len(name) <= 120 for name in names)


def test_the_same_job_finds_its_folder_again(tmp_path):
    folder = prepare_job(tmp_path, ["+method=stma", "seed=1"], {"seed": 1, "logger": None})
    ended(folder, 1.0, {"J&F": 0.5})

    again = prepare_job(tmp_path, ["seed=1", "+method=stma"], {"seed": 1, "logger": None})

    assert again == folder
    assert is_done(again)
    assert read_config(again)["out"] == str(folder)


def test_a_job_of_another_configuration_is_not_taken_for_done(tmp_path):
    prepare_job(tmp_path, ["seed=1"], {"seed": 1, "lr": 0.1})

    with pytest.raises(ConfigError, match=r"lr: 0.1 -> 0.2"):
        prepare_job(tmp_path, ["seed=1"], {"seed": 1, "lr": 0.2})


def test_jobs_are_queued_in_their_order(tmp_path):
    names = [["+method=stma"], ["+method=aot"], ["+method=qmra"]]

    folders = [prepare_job(tmp_path, overrides, {}) for overrides in names]

    assert [job.overrides for job in jobs(tmp_path)] == names
    assert [read_status(folder).state for folder in folders] == ["queued"] * 3


def test_the_table_tells_each_job_and_the_spread_over_seeds(tmp_path):
    for seed, score in ((1, 0.70), (2, 0.80), (3, 0.90)):
        folder = prepare_job(tmp_path, ["+method=stma", f"seed={seed}", "size=tiny"], {"seed": seed})
        ended(folder, float(seed), {"J": score, "F": score - 0.1, "J&F": score - 0.05})
    failed = prepare_job(tmp_path, ["+method=qmra", "seed=1", "size=tiny"], {"seed": 1})
    ended(failed, 4.0, error="a.png is not there.")

    text = conclude(tmp_path)

    lines = [line.split() for line in text.splitlines()]
    assert "All jobs: size=tiny" in text
    assert ["+method=stma", "seed=2", "done", "80.0", "70.0", "75.0", "90"] in lines
    assert ["+method=qmra", "seed=1", "failed", "-", "-", "-", "90"] in lines
    assert ["+method=stma", "3", "80.0", "±", "10.0", "70.0", "±", "10.0", "75.0", "±", "10.0"] in lines
    assert "+method=qmra seed=1: a.png is not there." in text
    assert "| +method=stma seed=2 | done | 80.0 | 70.0 | 75.0 | 90 |" in (tmp_path / "sweep.md").read_text()
    content = read_json(tmp_path / "sweep.json")
    assert [row["status"] for row in content["jobs"]] == ["done", "done", "done", "failed"]
    assert content["over_seeds"][0]["J"] == {"mean": pytest.approx(0.8), "std": pytest.approx(0.1)}


def test_the_table_tells_how_objects_with_an_attribute_fare_over_the_seeds(tmp_path):
    attributes = {"a": {"1": ["small"], "2": []}, "b": {"1": ["late", "small"]}}
    for seed, score in ((1, 0.40), (2, 0.60)):
        for method, better in (("stma", 0.0), ("aot", 0.1)):
            folder = prepare_job(tmp_path, [f"+method={method}", f"seed={seed}"], {"seed": seed})
            ended(folder, float(seed), {"J": score, "F": score, "J&F": score})
            small, other = {"J_mean": score + better, "F_mean": score}, {"J_mean": 0.1, "F_mean": 0.1}
            sequences = {"a": {"objects": {"1": small, "2": other}}, "b": {"objects": {"1": other}}}
            write_json(folder / "scores.json", {"sequences": sequences})
            write_json(folder / "attributes.json", attributes)

    text = conclude(tmp_path)

    # small: (0.4 + 0.1) / 2 and (0.6 + 0.1) / 2; the other method has 5 points of J&F more on one of the two
    lines = [line.split() for line in text.splitlines()]
    assert ["J&F", "by", "attribute", "late", "(1)", "small", "(2)"] in lines
    assert ["+method=stma", "10.0", "30.0"] in lines
    assert ["+method=aot", "10.0", "32.5"] in lines
    assert read_json(tmp_path / "sweep.json")["over_attributes"][0]["attributes"]["small"]["objects"] == 2
