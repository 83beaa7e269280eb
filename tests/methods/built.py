"""Methods as the command line would build them, in their tiny form, with seeded weights."""

from functools import cache
from pathlib import Path

import torch

from vosbench.configuration import build, compose
from vosbench.methods.method import Method

CONF = Path(__file__).resolve().parents[2] / "conf"
METHODS = sorted(path.stem for path in CONF.glob("method/*.yaml"))


@cache
def _config(name: str, overrides: tuple[str, ...]):
    return compose([f"+method={name}", *overrides])


def built(name: str, *overrides: str, seed: int = 0) -> Method:
    """A fresh network of that name."""
    torch.manual_seed(seed)
    return build(_config(name, overrides).method)
