"""The published variants have their sizes, and the command line reaches every one of them."""

import pytest
import torch

from tests.methods.built import composed
from vosbench.checkpoints.load import without_pretrained
from vosbench.configuration.targets import build
from vosbench.methods.aot_capa.network import AOT
from vosbench.methods.aot_capa.variants import VARIANTS

# Specification 4, counted on the public code, without the buffers of frozen batch norms.
AOTS = {
    "aot_t": 5_734_099,
    "aot_s": 6_998_235,
    "aot_b": 8_262_371,
    "aot_l": 8_262_371,
    "r50_aotl": 14_909_923,
    "r101_aotl": 33_849_827,
    "swinb_aotl": 65_398_683,
}
DEAOTS = {
    "deaot_t": 7_238_188,
    "deaot_s": 10_202_765,
    "deaot_b": 13_167_342,
    "deaot_l": 13_167_342,
    "r50_deaotl": 19_814_894,
    "swinb_deaotl": 70_303_654,
}
MASK_TOKEN = 256  # one of the width, in AOT's files and of no use, so that ours do not have it
COUNTS = {
    **{("aot", "paper", f"variant={name}"): count - MASK_TOKEN for name, count in AOTS.items()},
    **{("aot", "paper", f"variant={name}"): count for name, count in DEAOTS.items()},
    ("aot_capa", "paper", "capa=null"): 65_596_830 - MASK_TOKEN,
    ("aot_capa", "paper", "long_edge=1040"): 107_366_886 - MASK_TOKEN,
    ("aot", "tiny", "lstt.block=v1"): 579_596 - 64,
    ("aot_capa", "tiny", "long_edge=1040"): 990_070 - 64,
}


@pytest.mark.parametrize(("name", "size", "change"), COUNTS)
def test_every_form_has_its_published_number_of_parameters(name, size, change):
    with torch.device("meta"):  # shapes alone
        method = build(without_pretrained(composed(name, f"size={size}", f"method.{change}").method))
    assert isinstance(method, AOT)
    assert sum(parameter.numel() for parameter in method.parameters()) == COUNTS[name, size, change]


def test_no_published_variant_goes_without_its_count():
    assert VARIANTS.keys() - {"tiny"} == AOTS.keys() | DEAOTS.keys()
