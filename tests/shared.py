"""Where real videos and goldens lie beside a checkout; tests that need them are skipped, with the reason, where they do not."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("VOSBENCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def needs_shared(relative: str) -> pytest.MarkDecorator:
    """Skip unless that file or folder of the shared data is there."""
    path = SHARED / relative
    return pytest.mark.skipif(not path.exists(), reason=f"{relative} is not beside this checkout (set VOSBENCH_SHARED)")
