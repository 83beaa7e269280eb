"""Freed memory is used again, not fetched anew from the system."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import ctypes, resource
from vosbench.tasks.allocation import keep_freed_memory
{keep}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def use():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(2**24)
    ctypes.memset(block, 1, 2**24)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
use()
print(use())
"""


def fresh_pages(keep: str) -> int:
    done = subprocess.run([sys.executable, "-c", COUNT.format(keep=keep)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator that is told is glibc's")
def test_a_large_block_is_used_again_and_not_fetched_from_the_system():
    # given a process that takes, fills and frees 16 MiB twice
    # when it may keep what it frees, the second time costs hardly a fresh page; by itself it does
    assert fresh_pages("keep_freed_memory()") < 10 < fresh_pages("")
