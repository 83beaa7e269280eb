"""What a run folder holds, and that nothing in it is ever half there."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vosbench.errors import RunError
from vosbench.tasks.run_folder import (
    Status,
    claim_folder,
    create_run_folder,
    environment,
    open_run,
    read_config,
    read_json,
    read_status,
    write_atomically,
    write_config,
    write_status,
)


def test_launches_of_one_second_get_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: create_run_folder(tmp_path / "runs" / "stma", 0.0), range(8)))

    assert len(set(folders)) == 8
    name = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(0.0))
    assert {folder.name for folder in folders} == {name, *(f"{name}_{counter}" for counter in range(2, 9))}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(RunError, match="file"):
        create_run_folder(tmp_path / "file" / "runs")
    with pytest.raises(RunError, match="is a file"):
        claim_folder(tmp_path / "file")


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    def refuse(folder, *_, **__):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write anywhere, so permissions alone would not show it

    with pytest.raises(RunError, match="out="):
        create_run_folder(tmp_path)


def test_a_folder_with_a_run_in_it_is_not_taken_twice(tmp_path):
    open_run({"out": str(tmp_path / "mine"), "seed": 1}, tmp_path, ["+method=stma"])

    with pytest.raises(RunError, match="resume="):
        open_run({"out": str(tmp_path / "mine"), "seed": 2}, tmp_path, ["+method=stma"])
    assert read_config(tmp_path / "mine")["seed"] == 1


def test_other_nodes_join_the_folder_of_node_zero(tmp_path):
    first = {"out": str(tmp_path / "mine"), "trainer": {"node_rank": 0}}
    second = {"out": str(tmp_path / "mine"), "trainer": {"node_rank": 1}}

    assert open_run(first, tmp_path, []) == open_run(second, tmp_path, [])
    assert read_config(tmp_path / "mine")["trainer"]["node_rank"] == 0


def test_a_new_run_is_queued_with_its_configuration_and_command(tmp_path):
    folder = open_run({"out": None, "lr": 1e-4}, tmp_path / "runs", ["+method=stma", "data.root='/a b'"])

    assert read_status(folder).state == "queued"
    assert read_config(folder) == {"out": str(folder), "lr": 1e-4}
    assert read_json(folder / "environment.json")["command"] == """python -m vosbench +method=stma 'data.root='"'"'/a b'"'"''"""


@pytest.mark.parametrize(
    "value",
    [1e-4, 1.0, 1, True, None, "1e-4", "on", "012", "1:30", "null", "müller", "a: b", "", [1, "2"], {"1": [0.5]}, {1: [2]}],
)
def test_a_frozen_value_comes_back_with_its_type(tmp_path, value):
    write_config(tmp_path, {"key": value})

    found = read_config(tmp_path)["key"]

    assert found == value
    assert type(found) is type(value)


def test_status_comes_back_and_counts_seconds(tmp_path):
    status = Status("done", created=1.0, started=2.0, ended=5.5, exit_code=0, scores={"J&F": 0.5})

    write_status(tmp_path, status)

    assert read_status(tmp_path) == status
    assert read_json(tmp_path / "status.json")["seconds"] == 3.5
    assert read_status(tmp_path / "elsewhere") is None


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    write_atomically(tmp_path / "a.json", "old")
    monkeypatch.setattr(os, "replace", lambda source, target: (_ for _ in ()).throw(OSError(28, "No space left on device")))

    with pytest.raises(RunError, match="No space left"):
        write_atomically(tmp_path / "a.json", "new")

    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


def test_a_folder_without_a_configuration_is_no_run_folder(tmp_path):
    with pytest.raises(RunError, match=r"holds no config\.yaml"):
        read_config(tmp_path)


def test_the_environment_names_versions_and_no_host(tmp_path):
    found = environment(["seed=1"])

    assert found["packages"]["hydra-core"].startswith("1.3")
    assert os.uname().nodename not in str(found["hardware"]) or os.uname().nodename in os.uname().release
