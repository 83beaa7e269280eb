"""BL30K, rendered videos for pre-training: Cheng et al., CVPR 2021 (MiVOS). 160 frames of 768x512, 3 to 5 objects."""

import logging
from pathlib import Path

from vosbench.datasets.disk_sequence import DiskSequence
from vosbench.datasets.folder import VideoFolder
from vosbench.datasets.mixture import Mixture
from vosbench.datasets.selection import existing_folder
from vosbench.errors import DatasetError

log = logging.getLogger(__name__)


class BL30K:
    """``JPEGImages/<video>`` and ``Annotations/<video>`` below the root, or below each of its parts (a..f, any names)."""

    name = "bl30k"
    protocol = "generic"
    annotation_step = 1
    categories_seen: frozenset[str] = frozenset()

    def __init__(self, root: str | Path) -> None:
        top = existing_folder(Path(root), "the BL30K folder", "data.bl30k_root")
        parts = sorted(
            folder.parent for pattern in ("JPEGImages", "*/JPEGImages", "*/*/JPEGImages") for folder in top.glob(pattern)
        )
        if not parts:
            raise DatasetError(
                f"{top}: holds neither JPEGImages nor parts with one; set data.bl30k_root to where the archives were unpacked."
            )
        self.parts = Mixture([VideoFolder(part, name=f"bl30k/{part.name}") for part in parts], [1] * len(parts))
        log.info("bl30k: %d videos in %d parts, from %s", len(self.parts), len(parts), top)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> DiskSequence:
        return self.parts[index]
