# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Memory of networks that were freed."""

from __future__ import annotations

import ctypes


def return_free_memory() -> None:
    """
    Return to the system what the C library keeps of freed memory, where that is glibc.

    It keeps a heap per thread and returns only what lies at its end. Networks are loaded in
    threads of their own, and loading takes more than what is loaded: it would be held, after some
    reloads several times the networks' size, which a Jetson's GPU would lack, too.
    """
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
