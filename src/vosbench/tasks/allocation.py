"""Keep the memory that a frame's maps lay in for those of the next one."""

import ctypes
import sys

# Names of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 2**30  # bytes
MOST_ONCE = 2**25  # bytes; older versions refuse a larger threshold


def keep_freed_memory() -> None:
    """Let the allocator hold what is freed, up to 1 GiB, and take large blocks from there too.

    glibc gives a freed map of tens of megabytes back to the system at once, and the next one is fresh pages, each of which
    the system has to clear: on a processor up to an eighth of a frame's time. Elsewhere than on glibc nothing is changed.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    # Setting either freezes the other: without the first, every map would be mapped anew.
    if mallopt is not None and (mallopt(M_MMAP_THRESHOLD, KEPT) or mallopt(M_MMAP_THRESHOLD, MOST_ONCE)):
        mallopt(M_TRIM_THRESHOLD, KEPT)
