"""Outputs of public implementations and the weights that belong to them; both lie beside the checkout, never in it."""

import importlib.util
import json
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.shared import SHARED, needs_shared


def needs_golden(name: str) -> pytest.MarkDecorator:
    """Skip unless that golden is there."""
    return needs_shared(f"goldens/{name}.npz")


@cache
def fill() -> ModuleType:
    """The recipe of weights, images and masks."""
    spec = importlib.util.spec_from_file_location("fill", SHARED / "goldens" / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def manifest(name: str) -> dict[str, Any]:
    """Settings of a golden."""
    return json.loads((SHARED / "goldens" / f"{name}.json").read_text(encoding="utf-8"))


@cache
def outputs(name: str) -> dict[str, Tensor]:
    """Arrays of a golden."""
    with np.load(SHARED / "goldens" / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def official_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the public state dict, in its order."""
    entries = manifest(name).get("state_dict") or manifest(name)["keys"]
    return {key: tuple(shape) for key, shape, _ in entries}


def official_state(name: str) -> dict[str, Tensor]:
    """The public state dict with the golden's weights."""
    entries = manifest(name).get("state_dict") or manifest(name)["keys"]
    return fill().fill({key: torch.zeros(shape, dtype=getattr(torch, kind)) for key, shape, kind in entries})
