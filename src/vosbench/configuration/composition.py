"""Composition: the only place that calls Hydra's loader, besides `hydra.main` in the command line.

The packaged `conf/` is handed over as an absolute path, and `experiments/` is found beside it by a search-path plug-in,
so a checkout and an installed wheel compose alike from any directory.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from vosbench.configuration.overrides import CommandLine
from vosbench.configuration.places import conf_folder, groups


class PackagedSearchPath(SearchPathPlugin):
    """Adds the folder that holds `experiments/`, so that `+experiments=stma/full` is a group like the others."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra whenever it builds a search path."""
        search_path.append("vosbench", f"file://{conf_folder().parent}")


def register_search_path() -> None:
    """Make Hydra know `experiments/`; a second call changes nothing."""
    Plugins.instance().register(PackagedSearchPath)


@dataclass(frozen=True)
class Composed:
    """One composed configuration, interpolations still in it, and which option each group came from."""

    config: DictConfig
    choices: Mapping[str, str | None]  # "method" -> "stma", "method/size@method" -> "stma_tiny"


@dataclass(frozen=True)
class Source:
    """The root configuration: the packaged one, or the user's (`--config-path`, `--config-name`, `--config-dir`)."""

    folder: Path
    name: str = "config"
    added: Path | None = None  # --config-dir: further options, which cannot replace packaged ones

    @classmethod
    def of(cls, line: CommandLine) -> "Source":
        """As the flags of the command line say."""
        given: dict[str, str] = {}
        for position, flag in enumerate(line.flags):
            name, _, attached = flag.partition("=")
            given[name] = attached or " ".join(line.flags[position + 1 : position + 2])
        path = given.get("--config-path") or given.get("-cp")
        added = given.get("--config-dir") or given.get("-cd")
        return cls(
            Path(path).absolute() if path else conf_folder(),
            (given.get("--config-name") or given.get("-cn") or "config").removesuffix(".yaml"),
            Path(added).absolute() if added else None,
        )

    def combinations(self, overrides: Sequence[str]) -> list[list[str]]:
        """The jobs of a sweep, in Hydra's order: every combination of the values that commas, range() and choice() give."""
        register_search_path()
        with self._initialised():
            parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(list(overrides))
        values: dict[str, list[str]] = {}
        for item in parsed:
            key = item.get_key_element()
            found = item.sweep_string_iterator() if item.is_sweep_override() else [item.get_value_element_as_str()]
            values[key] = [f"{key}={value}" for value in found]
        return [list(job) for job in itertools.product(*values.values())]

    def compose(self, overrides: Sequence[str]) -> Composed:
        """Compose once; Hydra's global state is left as it was found."""
        register_search_path()
        if self.added is not None:
            overrides = [*overrides, f"hydra.searchpath=['file://{self.added}']"]
        with self._initialised():
            config = compose(self.name, list(overrides), return_hydra_config=True)
        choices = {str(group): choice for group, choice in config.hydra.runtime.choices.items()}
        return Composed(
            without_hydra(config), {group: choice for group, choice in choices.items() if not group.startswith("hydra/")}
        )

    @contextmanager
    def _initialised(self) -> Iterator[None]:
        """Hydra's global state for one call; `hydra.main` may be running around us and finds its own again."""
        saved = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(self.folder), version_base="1.3"):
                yield
        finally:
            GlobalHydra.instance().hydra = saved

    def reference(self, composed: Composed, overrides: Sequence[str]) -> Composed:
        """What the same options give without single keys and without an experiment's own content: every key that exists."""
        chosen = {_key(text): text for text in overrides if _group(text) in groups() and _group(text) != "experiments"}
        listed = self.listed_groups()
        for group, choice in composed.choices.items():
            follows = group in listed and "@" in group  # method/size@method and the like are chosen by Hydra once more
            if group != "experiments" and group not in chosen and choice is not None and not follows:
                chosen[group] = f"{'' if group in listed else '+'}{group}={choice}"
        return self.compose(list(chosen.values()))

    def listed_groups(self) -> frozenset[str]:
        """Groups of the root's own defaults list, which are overridden without a plus sign."""
        root = OmegaConf.load(self.folder / f"{self.name}.yaml")
        entries = OmegaConf.select(root, "defaults") or []
        keys = [str(key) for entry in entries if isinstance(entry, DictConfig) for key in entry]
        return frozenset(key.removeprefix("optional ").removeprefix("override ").strip() for key in keys)


def own_choices(choices: Mapping[Any, str | None]) -> dict[str, str | None]:
    """Options by group, Hydra's own groups left out."""
    return {str(group): choice for group, choice in choices.items() if not str(group).startswith("hydra/")}


def without_hydra(config: DictConfig) -> DictConfig:
    """The same configuration without Hydra's own node, still open to interpolation."""
    content = OmegaConf.to_container(config, resolve=False)
    assert isinstance(content, dict)
    content.pop("hydra", None)
    return OmegaConf.create(content)


def _key(override: str) -> str:
    return override.lstrip("+~").split("=")[0]


def _group(override: str) -> str:
    """The top of the group an override chooses from: `method` of `method/size@method=x`; a single key keeps its dots."""
    return _key(override).split("@")[0].split("/")[0]
