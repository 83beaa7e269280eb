"""Which labels a label map holds."""

import numpy as np
import numpy.typing as npt


def labels_above(label_map: npt.NDArray[np.uint8], limit: int) -> set[int]:
    """Labels larger than `limit` that occur. Quick when none does, which is the usual case."""
    if label_map.size == 0 or label_map.max() <= limit:
        return set()
    # A label occurs where a row begins or where it changes: a few thousand pixels instead of all.
    table = np.zeros(256, np.bool_)
    table[label_map[:, 0]] = True
    table[label_map[:, 1:][label_map[:, 1:] != label_map[:, :-1]]] = True
    return {int(label) for label in np.flatnonzero(table) if label > limit}
