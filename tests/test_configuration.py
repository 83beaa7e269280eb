"""What the configuration composes, in which order, and what it refuses."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vosbench.configuration.comparison import changed, changes
from vosbench.configuration.composition import Source
from vosbench.configuration.freezing import absolute_paths, freeze_line, unknown_keys
from vosbench.configuration.overrides import CommandLine, Override, check_groups, quoted
from vosbench.configuration.places import experiments_folder, options
from vosbench.configuration.targets import allow_targets, build, check_targets
from vosbench.errors import ConfigError

FILES = {
    "config.yaml": """
defaults:
  - size: tiny
  - data: none
  - stages: default_${size}
  - optional stages/of@stages: ${method}_${size}
  - optional method/size@method: ${method}_${size}
  - _self_
seed: 1
checkpoint: null
""",
    "size/tiny.yaml": "# @package _global_\nsize: tiny\n",
    "size/paper.yaml": "# @package _global_\nsize: paper\n",
    "data/none.yaml": "root: null\n",
    "data/davis.yaml": "root: ???\nvideo: {root: '${data.root}'}\n",
    "method/walk.yaml": "_target_: vosbench.Walk\ndepth: 3\ninner: {_target_: vosbench.Inner, width: 7}\n",
    "method/size/walk_tiny.yaml": "dim: 8\n",
    "method/size/walk_paper.yaml": "dim: 256\n",
    "method/stand.yaml": "_target_: vosbench.Stand\nshares: {head: 0.1}\n",
    "stages/default_tiny.yaml": "video: {steps: 10, batch: 2}\n",
    "stages/default_paper.yaml": "video: {steps: 1000, batch: 16}\n",
    "stages/of/walk_tiny.yaml": "video: {steps: 20}\n",
    "experiments/walk/deep.yaml": """# @package _global_
defaults:
  - /method: walk
  - override /size: paper
  - override /data: davis
method: {depth: 9}
""",
    "experiments/walk/misspelt.yaml": """# @package _global_
defaults:
  - /method: walk
method: {inner: {widht: 9}}
""",
}


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A small root configuration of the same shape as ours."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return Source(tmp_path)


def composed(source: Source, *overrides: str) -> dict:
    return OmegaConf.to_container(source.compose(list(overrides)).config)


def frozen(folder: Path, *arguments: str) -> dict:
    return freeze_line(CommandLine.parse([f"--config-path={folder}", *arguments]))[0]


def test_a_method_comes_with_what_its_size_says(source):
    tiny, paper = composed(source, "+method=walk"), composed(source, "+method=walk", "size=paper")

    assert tiny["method"] == {
        "_target_": "vosbench.Walk",
        "depth": 3,
        "inner": {"_target_": "vosbench.Inner", "width": 7},
        "dim": 8,
    }
    assert paper["method"]["dim"] == 256
    assert (tiny["size"], paper["size"]) == ("tiny", "paper")


def test_the_stages_of_a_method_win_over_the_default_ones(source):
    assert composed(source, "+method=walk")["stages"]["video"] == {"steps": 20, "batch": 2}
    assert composed(source, "+method=stand")["stages"]["video"] == {"steps": 10, "batch": 2}
    assert composed(source, "+method=walk", "size=paper")["stages"]["video"] == {"steps": 1000, "batch": 16}


def test_the_command_line_wins_over_sizes_and_experiments(source):
    assert composed(source, "+method=walk", "method.dim=5")["method"]["dim"] == 5
    assert composed(source, "+experiments=walk/deep", "method.depth=4")["method"]["depth"] == 4
    assert composed(source, "+experiments=walk/deep", "size=tiny")["method"]["dim"] == 8


def test_an_experiment_chooses_method_size_and_data(source):
    config = composed(source, "+experiments=walk/deep")

    assert config["method"] == {
        "_target_": "vosbench.Walk",
        "depth": 9,
        "inner": {"_target_": "vosbench.Inner", "width": 7},
        "dim": 256,
    }
    assert config["size"] == "paper"
    assert config["data"]["root"] == "???"


def test_a_sweep_is_every_combination(source):
    assert source.combinations(["+method=walk,stand", "size=tiny", "seed=range(1,3)"]) == [
        ["+method=walk", "size=tiny", "seed=1"],
        ["+method=walk", "size=tiny", "seed=2"],
        ["+method=stand", "size=tiny", "seed=1"],
        ["+method=stand", "size=tiny", "seed=2"],
    ]


def test_freezing_resolves_names_the_method_and_makes_paths_absolute(source, monkeypatch):
    monkeypatch.chdir(source.folder)

    config = frozen(source.folder, "+method=walk", "data=davis", "data.root=davis 17/x", "checkpoint=runs/a.ckpt")

    assert config["data"]["root"] == config["data"]["video"]["root"] == str(source.folder / "davis 17/x")
    assert config["checkpoint"] == str(source.folder / "runs/a.ckpt")
    assert config["method_name"] == "walk"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["+method=walk", "data=davis"], "data.root must be given"),
        (["+method=walk", "+method.dimm=3"], "did you mean 'dim'"),
        (["+method=walk", "++method.inner.widht=3"], "'method.inner' has no key 'widht'; did you mean 'width'"),
        (["+experiments=walk/misspelt"], "did you mean 'width'"),
        (["+method=walk", "+stages.video.step=3"], "did you mean 'steps'"),
        (["+method=walk", "checkpoint=https://a/b.ckpt"], "only local files"),
        (["+method=walk", "method._target_=os.system"], "method._target_ is 'os.system'"),
    ],
)
def test_freezing_refuses_with_the_key_and_the_remedy(source, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        frozen(source.folder, *arguments)


def test_a_mapping_that_a_call_is_given_takes_the_users_keys(source):
    assert frozen(source.folder, "+method=stand", "+method.shares.foot=0.5")["method"]["shares"] == {"head": 0.1, "foot": 0.5}


def test_a_class_that_is_not_ours_may_take_arguments_its_yaml_does_not_list():
    known = {"optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.1}}
    config = {"optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.1, "amsgrad": True}}

    assert list(unknown_keys(config, known)) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["method=stma"], r"write \+method=stma"),
        (["+data=davis17", "+method=stma"], "write data=davis17"),
        (["+method=stmaa"], "did you mean 'stma'"),
        (["+method=stma", "size=papper"], "did you mean 'paper'"),
        (["+metod=stma"], "did you mean 'method'"),
        (["--size=paper"], "write size=paper, without dashes"),
        (["stma"], "not of the form key=value"),
    ],
)
def test_groups_written_wrongly_are_answered_with_the_line_that_works(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_groups(CommandLine.parse(arguments))


def test_an_experiments_method_may_be_overridden_without_a_plus_sign():
    check_groups(CommandLine.parse(["+experiments=stma/davis17_full", "method=stma"]))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("checkpoint=runs/epoch=0-step=4.ckpt", "checkpoint='runs/epoch=0-step=4.ckpt'"),
        ("data.root=/data/müller/x", "data.root='/data/müller/x'"),
        ("data.root=/a,b/c", "data.root='/a,b/c'"),
        ("checkpoint=it's=.ckpt", 'checkpoint="it\'s=.ckpt"'),
        ("video=my clip.mp4", "video=my clip.mp4"),
        ("checkpoint='a=1'", "checkpoint='a=1'"),
        ("seed=1,2", "seed=1,2"),
        ("prompt={1: [1,2,3,4]}", "prompt={1: [1,2,3,4]}"),
    ],
)
def test_values_that_are_paths_are_quoted_for_the_grammar(given, expected):
    assert quoted(Override.parse(given), multirun=False).text == expected


def test_in_a_sweep_a_comma_separates_paths():
    assert quoted(Override.parse("checkpoint=a=1.ckpt,b=2.ckpt"), multirun=True).text == "checkpoint=a=1.ckpt,b=2.ckpt"


@pytest.mark.parametrize("value", ["runs/epoch=0-step=4.ckpt", "/data/müller/x", "/a,b/c (1)/#d", "it's=.ckpt"])
def test_a_quoted_path_arrives_as_it_was_typed(source, value):
    override = quoted(Override.parse(f"checkpoint={value}"), multirun=False)

    assert composed(source, "+method=walk", override.text)["checkpoint"] == value


def test_paths_expand_the_home_folder_and_leave_other_strings(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")

    config = absolute_paths({"data": {"root": "~/davis", "split": "train"}, "video": {"root": ["/a", None]}})

    assert config == {"data": {"root": "/home/me/davis", "split": "train"}, "video": {"root": ["/a", None]}}


def test_only_allowed_targets_pass_and_only_the_command_line_widens_the_list(monkeypatch):
    monkeypatch.setenv("VOSBENCH_ALLOW_TARGETS", "")
    nested = {"a": [{"b": {"_target_": "subprocess.Popen"}}]}

    with pytest.raises(ConfigError, match=r"a\[0\]\.b\._target_ is 'subprocess.Popen'.*--allow-target subprocess"):
        check_targets(nested)
    allow_targets(["subprocess"])
    check_targets(nested)


def test_build_makes_nested_objects_with_plain_lists():
    built = build(OmegaConf.create({"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": [3, 5]}))

    assert built.weight.shape == (2, 1, 3, 5)
    assert type(built.kernel_size) is tuple  # torch makes it one of the list; a ListConfig would have stayed


def test_build_leaves_partials_open():
    optimizer = build({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5})

    assert optimizer([build({"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}).weight]).defaults["lr"] == 0.5


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ({"_target_": "torch.nn.Linear", "in_feature": 1}, "has no argument 'in_feature'; did you mean 'in_features'"),
        ({"_target_": "vosbench.cli.os.system", "command": "true"}, "leads to"),
        ({"_target_": "vosbench.cli.sys.exit"}, "leads to"),
        ({"_target_": "vosbench.nowhere.Thing"}, "there is no 'vosbench.nowhere.Thing'"),
        ({"a": {"_target_": "os.system"}}, "may only name"),
    ],
)
def test_build_refuses_before_anything_is_made(node, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build(node)


def test_changes_are_told_apart_by_whether_they_move_a_weight():
    before = {"seed": 1, "trainer": {"devices": 1, "precision": "32-true"}, "data": {"root": "/a"}, "method": {"part": None}}
    after = {"seed": 2, "trainer": {"devices": 8, "precision": "bf16"}, "data": {"root": "/b"}, "method": {"part": {"dim": 3}}}

    found = {change.place: change.allowed for change in changes(before, after)}

    assert found == {
        "seed": False,
        "trainer.devices": True,
        "trainer.precision": False,
        "data.root": True,
        "method.part": False,
        "method.part.dim": False,
    }


def test_allowed_changes_are_written_into_a_copy():
    before = {"trainer": {"devices": 1, "precision": "32-true"}}

    after = changed(before, changes(before, {"trainer": {"devices": 8, "precision": "32-true"}}))

    assert after == {"trainer": {"devices": 8, "precision": "32-true"}}
    assert before["trainer"]["devices"] == 1


@pytest.mark.parametrize("swap", [False, True])
def test_a_node_may_become_nothing_and_nothing_a_node(swap):
    pair = [{"logger": {"mode": "offline"}}, {"logger": None}]
    before, after = reversed(pair) if swap else pair

    assert changed(before, changes(before, after)) == after


def test_no_key_stands_in_a_method_and_in_its_size():
    """Hydra merges `+method=` last: of a key in both files, the size's value would be lost without a word."""
    folder = Source.of(CommandLine()).folder / "method"

    doubled = [
        f"{path.name}: {key}"
        for path in sorted(folder.glob("size/*.yaml"))
        for key in _leaves(path) & _leaves(folder / f"{path.stem.rpartition('_')[0]}.yaml")
    ]

    assert doubled == []


def _leaves(path: Path) -> set[str]:
    from vosbench.configuration.comparison import leaves

    return set(leaves(OmegaConf.to_container(OmegaConf.load(path))))


@pytest.mark.parametrize("size", ["tiny", "paper"])
@pytest.mark.parametrize("method", options("method"))
def test_every_method_composes_in_both_sizes(method, size):
    config, _ = freeze_line(CommandLine.parse([f"+method={method}", f"size={size}"]))

    assert config["method"]["_target_"].startswith("vosbench.")
    assert (config["method_name"], config["size"]) == (method, size)


GROUPS = [(group, name) for group in ("data", "trainer", "logger", "task", "stages") for name in options(group)]


@pytest.mark.parametrize(("group", "name"), GROUPS)
def test_every_option_of_every_group_composes(group, name):
    composed = Source.of(CommandLine()).compose(["+method=repeat", f"{group}={name}"])

    assert composed.choices[group] == name


@pytest.mark.parametrize("name", options("experiments"))
def test_every_experiment_composes_without_unknown_keys_and_says_what_it_reproduces(name):
    source, overrides = Source.of(CommandLine()), [f"+experiments={name}"]
    composed = source.compose(overrides)
    known = source.reference(composed, overrides).config

    unknown = list(unknown_keys(OmegaConf.to_container(composed.config), OmegaConf.to_container(known)))

    assert unknown == []
    lines = (experiments_folder() / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert all(line.startswith("#") for line in lines[:5])
