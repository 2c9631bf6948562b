# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the memory of this process keeps growing."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from collections.abc import Sequence
from pathlib import Path


def rss_mb() -> float:
    """Return the memory of the process [MB], without garbage and what malloc keeps for later."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20


def steady_growth_mb(measured_mb: Sequence[float]) -> float:
    """
    Return by how much memory grew in that half of the measurements in which it grew less.

    The heap grows by tens of megabytes once in a while, whatever runs; a leak goes on.
    """
    middle = len(measured_mb) // 2
    return min(measured_mb[middle] - measured_mb[0], measured_mb[-1] - measured_mb[middle])
