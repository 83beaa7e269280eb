"""The command line before Hydra sees it: values quoted that its grammar refuses, groups written as they must be.

Hydra's own answers to these are right for Hydra's author, not for a user of vosbench; here each gets the line that works.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vosbench.configuration.places import PLUS_GROUPS, groups, near, options, suggestion
from vosbench.errors import ConfigError

OVERRIDE = re.compile(r"(?P<sign>\+\+|\+|~)?(?P<key>[^=]+)(=(?P<value>.*))?", re.DOTALL)
PLAIN = re.compile(r"[A-Za-z0-9_./:+@%*?|$\\ -]*")  # what Hydra's grammar reads without quotes
PATH_KEYS = frozenset({"checkpoint", "resume", "sweep", "out", "video", "root", "gt", "pred", "meta"})
FLAGS_WITH_VALUE = frozenset(
    {"--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p", "--cfg", "-c"}
)
FLAGS_WITH_PLACE = frozenset({"--config-dir", "-cd", "--config-path", "-cp"})
FLAGS = {"-m", "--multirun", "--run", "-r", "--resolve", "--hydra-help", "--info", "-i", "--shell-completion", "-sc", "--version"}


@dataclass(frozen=True)
class Override:
    """One `key=value` of the command line."""

    sign: str  # "", "+", "++" or "~"
    key: str
    value: str | None

    @classmethod
    def parse(cls, text: str) -> "Override":
        """From one argument."""
        match = OVERRIDE.fullmatch(text)
        if match is None:
            raise ConfigError(f"'{text}' is not of the form key=value; python -m vosbench --help shows examples.")
        return cls(match["sign"] or "", match["key"], match["value"])

    @property
    def text(self) -> str:
        """As it stands on a command line."""
        return f"{self.sign}{self.key}" + ("" if self.value is None else f"={self.value}")

    @property
    def group(self) -> str:
        """The key without its package: `method` of `+method@other=stma`."""
        return self.key.split("@")[0]


@dataclass
class CommandLine:
    """The arguments, sorted by who reads them."""

    flags: list[str] = field(default_factory=list)  # Hydra's, with their values
    overrides: list[Override] = field(default_factory=list)
    allowed_targets: list[str] = field(default_factory=list)  # --allow-target PREFIX

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "CommandLine":
        """Sort arguments; ConfigError for one that is neither a flag nor `key=value`."""
        line, rest = cls(), list(arguments)
        while rest:
            text = rest.pop(0)
            name, _, attached = text.partition("=")
            if name == "--allow-target":
                line.allowed_targets.append(attached or (rest.pop(0) if rest else ""))
            elif name in FLAGS_WITH_VALUE:
                line.flags += [text] if attached else [text, *rest[:1]]
                rest = rest if attached else rest[1:]
            elif text in FLAGS:
                line.flags.append(text)
            elif text.startswith("-"):
                remedy = (
                    f"write {text.lstrip('-')}, without dashes" if attached else "python -m vosbench --help lists what there is"
                )
                raise ConfigError(f"There is no flag '{name}'; {remedy}.")
            elif "=" in text or text.startswith("~"):
                line.overrides.append(Override.parse(text))
            elif line.flags and line.flags[-1] in {"--info", "-i", "--shell-completion", "-sc"}:
                line.flags.append(text)
            else:
                raise ConfigError(f"'{text}' is not of the form key=value; python -m vosbench --help shows examples.")
        return line

    @property
    def texts(self) -> list[str]:
        """The overrides as text."""
        return [item.text for item in self.overrides]

    @property
    def multirun(self) -> bool:
        """Whether a sweep is asked for."""
        return bool({"-m", "--multirun"} & set(self.flags)) or self.value("hydra.mode") == "MULTIRUN"

    @property
    def own_configuration(self) -> bool:
        """Whether the user brings YAML files, so that the packaged ones are not all there is."""
        return (
            any(flag.partition("=")[0] in FLAGS_WITH_PLACE for flag in self.flags) or self.value("hydra.searchpath") is not None
        )

    def value(self, key: str) -> str | None:
        """The last value given for a key, without a sign or quotes; None when it is not given."""
        found = [item.value for item in self.overrides if item.key == key and item.value is not None]
        return found[-1].strip("'\"") if found else None

    def chooses(self, group: str) -> bool:
        """Whether an option of a group is chosen, with a plus sign or without."""
        return any(item.group == group and item.sign != "~" for item in self.overrides)

    def without(self, key: str) -> "CommandLine":
        """The same line, one key left out."""
        return CommandLine(self.flags, [item for item in self.overrides if item.key != key], self.allowed_targets)

    def without_hydra(self) -> "CommandLine":
        """The same line without the settings of Hydra itself."""
        return CommandLine(
            self.flags, [item for item in self.overrides if not item.key.startswith("hydra")], self.allowed_targets
        )


def quoted(override: Override, multirun: bool) -> Override:
    """The override with its value in quotes where it is a path that Hydra's grammar cannot read: `epoch=0-step=4.ckpt`,
    `/data/müller/x`, `a,b`. In a sweep a comma separates values and stays as it is."""
    value = override.value
    if value is None or PLAIN.fullmatch(value) or value[0] in "'\"[{" or "${" in value:
        return override
    is_path = override.key.split(".")[-1] in PATH_KEYS or "/" in value or Path(value).exists()
    if not is_path or (multirun and re.search(r",|^\w+\(.*\)$", value)):
        return override
    if "'" in value:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return Override(override.sign, override.key, f'"{escaped}"')
    return Override(override.sign, override.key, f"'{value}'")


def check_groups(line: CommandLine) -> None:
    """ConfigError for a group chosen with the wrong sign or an option that does not exist, with the line that works."""
    chooses_method = any(item.group in PLUS_GROUPS and item.sign for item in line.overrides)
    for item in line.overrides:
        unknown = item.sign == "+" and "." not in item.key and item.group not in groups()
        if unknown and near(item.group, groups()):
            raise ConfigError(f"There is no group '{item.group}'; {suggestion(item.group, groups())}")
        if item.group not in groups() or item.sign == "~" or item.value is None:
            continue
        if item.group in PLUS_GROUPS and not item.sign and not chooses_method:
            raise ConfigError(f"No {item.group} is chosen by default, so it takes a plus sign: write +{item.text}.")
        if item.group not in PLUS_GROUPS and item.sign and "@" not in item.key:
            raise ConfigError(f"'{item.group}' has a default already, so it takes no plus sign: write {item.key}={item.value}.")
        if not line.own_configuration:
            _check_options(item.group, _choices(item.value))


def _choices(value: str) -> list[str]:
    """Options named by a value: one, several of a sweep, or none that can be told (a list, a function)."""
    return [] if re.search(r"[\[\](){}$*]", value) else [part.strip(" '\"") for part in value.split(",")]


def _check_options(group: str, chosen: Iterable[str]) -> None:
    known = options(group)
    for name in chosen:
        if name not in known and name != "null" and known:
            raise ConfigError(f"There is no '{name}' in '{group}'; {suggestion(name, known)}")


def no_method() -> ConfigError:
    """The answer where no method is chosen."""
    return ConfigError(f"No method is chosen: add +method=<name>, one of {', '.join(options('method'))}; or +experiments=<name>.")
