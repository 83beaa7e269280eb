"""The layout is the architecture: imports flow one way, a YAML is a call written down, the wheel carries its YAMLs."""

import ast
import inspect
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vosbench.configuration.comparison import leaves
from vosbench.configuration.composition import Source
from vosbench.configuration.freezing import freeze_line
from vosbench.configuration.overrides import CommandLine
from vosbench.configuration.places import conf_folder, experiments_folder, options
from vosbench.configuration.targets import targets

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "vosbench"

# What each room may import beside itself and errors.py. Rooms not named here are the top: they may import everything.
MAY_IMPORT = {
    "errors.py": set(),
    "video": set(),
    "layers": {"video"},
    "configuration": set(),
    "datasets": {"video"},
    "metrics": {"video"},
    "clips": {"datasets", "video"},
    "methods": {"layers", "video"},
    "checkpoints": {"methods", "configuration"},
    "inference": {"methods", "layers", "video"},
    "evaluation.py": {"inference", "methods", "datasets", "metrics", "video"},
    "training": {"evaluation", "inference", "clips", "datasets", "metrics", "methods", "checkpoints", "layers", "video"},
    "reporting": {"metrics", "video"},
}
WITHOUT_TORCH = [
    "video/sequence.py",
    "video/prompt.py",
    "video/label_map.py",
    "metrics",
    "tasks/score.py",
    "cli.py",
    "configuration",
]
TORCH = {"torch", "torchvision", "pytorch_lightning", "timm"}


def imported(file: Path) -> list[tuple[int, str]]:
    """Line and module of every import of a file, those inside functions included."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.append((node.lineno, "." * node.level + (node.module or "")))
        elif isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names]
    return found


def test_imports_flow_one_way():
    wrong = []
    for file in PACKAGE.rglob("*.py"):
        part = file.relative_to(PACKAGE).parts[0]
        for line, module in imported(file):
            other = module.split(".")[1] if module.startswith("vosbench.") else part
            if part in MAY_IMPORT and other not in {part, Path(part).stem, "errors", *MAY_IMPORT[part]}:
                wrong.append(f"{file.relative_to(PACKAGE)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_imports_inside_the_package_are_absolute():
    wrong = [f"{file}:{line}" for file in PACKAGE.rglob("*.py") for line, module in imported(file) if module.startswith(".")]

    assert not wrong, "\n".join(wrong)


def test_what_scores_and_composes_does_not_import_torch():
    files = [
        file
        for place in WITHOUT_TORCH
        for file in ([PACKAGE / place] if place.endswith(".py") else (PACKAGE / place).rglob("*.py"))
    ]

    wrong = [
        f"{file.relative_to(PACKAGE)}:{line}" for file in files for line, name in imported(file) if name.split(".")[0] in TORCH
    ]

    assert not wrong, "\n".join(wrong)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, vosbench, vosbench.cli; print(sorted({'torch', 'hydra', 'numpy', 'omegaconf'} & set(sys.modules)))"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


def _calls() -> list[tuple[str, str]]:
    return [(name, size) for name in options("method") for size in ("tiny", "paper")]


@pytest.mark.parametrize(("name", "size"), _calls())
def test_every_argument_of_our_classes_is_written_in_the_yaml(name, size):
    config, _ = freeze_line(CommandLine.parse([f"+method={name}", f"size={size}"]))

    assert _disagreements(config) == []


@pytest.mark.parametrize("data", options("data"))
def test_every_argument_of_the_data_sets_is_written_in_their_yaml(data):
    chosen = ["+method=repeat", f"data={data}"]
    known = leaves(OmegaConf.to_container(Source.of(CommandLine()).compose(chosen).config))
    given = [f"{place}=/somewhere" for place, value in known.items() if value == "???"]

    config, _ = freeze_line(CommandLine.parse([*chosen, *given]))

    assert _disagreements(config["data"]) == []


def _disagreements(config: dict) -> list[str]:
    from hydra.utils import get_object

    found = []
    for place, node in targets(config):
        if node["_target_"].startswith("vosbench."):
            signature = set(inspect.signature(get_object(node["_target_"])).parameters)
            written = {key for key in node if not key.startswith("_")}
            if signature != written and not (node.get("_partial_") and written <= signature):
                found.append(f"{place} ({node['_target_']}): {sorted(signature ^ written)}")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package as it is installed: the content of its wheel."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_carries_every_yaml(wheel):
    carried = {str(path.relative_to(wheel / "vosbench")) for path in wheel.rglob("*.yaml")}

    expected = {f"conf/{path.relative_to(conf_folder())}" for path in conf_folder().rglob("*.yaml")}
    expected |= {f"experiments/{path.relative_to(experiments_folder())}" for path in experiments_folder().rglob("*.yaml")}
    assert expected <= carried


def test_the_installed_package_composes_from_any_folder(wheel, tmp_path):
    code = (
        "import vosbench; from vosbench.configuration.freezing import freeze_line;"
        "from vosbench.configuration.overrides import CommandLine; from vosbench.configuration.places import options;"
        "from vosbench.configuration.composition import Source; print(vosbench.__file__);"
        "[freeze_line(CommandLine.parse([f'+method={name}'])) for name in options('method')];"
        "[Source.of(CommandLine()).compose([f'+experiments={name}']) for name in options('experiments')]"
    )

    path = os.pathsep.join([str(wheel), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(wheel))
