"""Weights of a DeepLabV3+ that was trained to segment images, as a start of backbone, pyramid and decoder (specification 3.2)."""

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from vosbench.errors import CheckpointError, ConfigError
from vosbench.methods.cfbi_fgstm.official import placed

PREFIX = "feature_extracter."  # of the same keys in a whole CFBI


def load_deeplab(network: nn.Module, file: str) -> None:
    """Fill `backbone` and `deeplab` of a network from a file with the names of the public code; what else the file holds, such
    as its classifier, is left out. Raises if a weight is missing or of another shape."""
    wanted = {key: x for key, x in network.state_dict().items() if key.startswith(("backbone.", "deeplab."))}
    found = {}
    for key, tensor in _read(Path(file)).items():
        own = placed(PREFIX + key.removeprefix("module.").removeprefix(PREFIX))
        if own in wanted:
            found[own] = tensor
    missing = [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]
    wrong = [key for key, tensor in found.items() if tensor.shape != wanted[key].shape]
    if missing or wrong:
        raise CheckpointError(
            f"{file}: does not fill backbone and DeepLab ({len(missing)} weights are missing: {_some(missing)}; {len(wrong)} have "
            f"another shape: {_some(wrong)}); give a DeepLabV3+ whose backbone is method.backbone.name."
        )
    network.load_state_dict(found, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ConfigError(f"method.deeplab.pretrained={path}: there is no such file; give the downloaded weights' path, or null.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(
            f"{path}: not readable as a file of weights ({str(error).splitlines()[0]}); download it again."
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "") if keys else "none"
