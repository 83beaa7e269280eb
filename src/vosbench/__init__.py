"""vosbench: one experiment platform for video object segmentation.

Three names are the stable interface: `load` a checkpoint, stream a video through a `Session`, `score` masks. Each is
imported when first used, so that `import vosbench` is light and scoring never pays for torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vosbench.checkpoints.load import load
    from vosbench.inference.session import Session
    from vosbench.metrics.folders import score_folders as score

__all__ = ["Session", "load", "score"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from vosbench.checkpoints.load import load

        return load
    if name == "Session":
        from vosbench.inference.session import Session

        return Session
    if name == "score":
        from vosbench.metrics.folders import score_folders

        return score_folders
    raise AttributeError(f"module 'vosbench' has no attribute '{name}'; it has load, Session and score")
