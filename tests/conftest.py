"""Shape and type annotations are enforced in every test; hypothesis repeats its examples."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for a newer version
os.environ.setdefault("WANDB_MODE", "offline")
# Tensors are small here: more threads wait for each other more than they help, and sum in another order on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings
from jaxtyping import install_import_hook

settings.register_profile("vosbench", deadline=None, derandomize=True)  # the first torch call exceeds 200 ms
settings.load_profile("vosbench")
install_import_hook("vosbench", "beartype.beartype")
