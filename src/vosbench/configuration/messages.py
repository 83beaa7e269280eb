"""Hydra's and OmegaConf's own errors as one sentence of ours."""

import re
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vosbench.configuration.composition import Source
from vosbench.configuration.freezing import first_line, unknown_key
from vosbench.configuration.overrides import CommandLine, no_method
from vosbench.errors import ConfigError


def sentence_for(error: Exception, line: CommandLine) -> ConfigError | None:
    """The sentence a user can act on; None for an error that is not about the configuration."""
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        return None
    text = str(error)
    if "resolving interpolation" in text and "${method}" in text:
        return no_method()
    if match := re.search(r"Could not override '([^']+)'", text):
        entry = re.search(rf"full_key: {re.escape(match[1])}\.(\S+)", str(error.__cause__))
        return _unknown(match[1], f"{match[1]}.{entry[1]}" if entry else match[1], line)
    if isinstance(error, OverrideParseException):
        return _grammar(error.override)
    if match := re.search(r"In '([^']+)': Could not find '([^']+)'|Could not (?:find|load) '([^']+)'", text):
        wanted = next(part for part in match.groups()[::-1] if part)
        return ConfigError(f"There is no configuration '{wanted}' ({first_line(error)}); check its name and --config-dir.")
    return ConfigError(f"The configuration cannot be composed: {first_line(error)}.")


def _unknown(given: str, key: str, line: CommandLine) -> ConfigError:
    """An unknown key without a plus sign, by itself or inside the mapping that `given` is: composed again without it, to see
    what there is beside it."""
    try:
        config = Source.of(line).compose(line.without(given).texts).config
    except (HydraException, OmegaConfBaseException) as error:
        return sentence_for(error, line.without(given)) or ConfigError(f"There is no key '{key}'.")
    node: Any = config
    parts = key.split(".")
    for position, part in enumerate(parts):
        below = OmegaConf.select(node, part, throw_on_missing=False) if part in node else None
        if not OmegaConf.is_dict(below) or position == len(parts) - 1:
            siblings = [str(name) for name in node if not str(name).startswith("_")]
            unknown = unknown_key(".".join(parts[: position + 1]), siblings)
            return unknown if given == key or "_target_" in node else ConfigError(f"{unknown} Or add it: +{key}=<value>.")
        node = below
    return ConfigError(f"There is no key '{key}'.")


def _grammar(override: str) -> ConfigError:
    key, _, value = override.partition("=")
    remedy = f"""'{key}="{value.strip("'")}"'""" if value else """'key="value"'"""
    return ConfigError(
        f"'{override}' cannot be read; a value with =, commas, brackets or accents needs two pairs of quotes: {remedy}."
    )
