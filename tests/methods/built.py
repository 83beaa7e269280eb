"""Methods as the command line would build them, in their tiny form, with seeded weights."""

from functools import cache

import torch
from omegaconf import DictConfig

from vosbench.configuration.composition import Source
from vosbench.configuration.places import conf_folder, options
from vosbench.configuration.targets import build
from vosbench.methods.method import Method

METHODS = options("method")


@cache
def composed(name: str, *overrides: str) -> DictConfig:
    """The whole configuration of a method."""
    return Source(conf_folder()).compose([f"+method={name}", *overrides]).config


def built(name: str, *overrides: str, seed: int = 0) -> Method:
    """A fresh network of that name."""
    torch.manual_seed(seed)
    return build(composed(name, *overrides).method)
