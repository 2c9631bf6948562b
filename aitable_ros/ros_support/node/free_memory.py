# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Giving memory that is free back to the system."""

from __future__ import annotations

import ctypes


def give_back_free_memory() -> None:
    """
    Return to the system what the C library keeps of freed memory, where that is glibc.

    It keeps a heap per thread and returns only what lies at its end. Networks are loaded in
    threads of their own, so that after some reloads several times their size would be held,
    which a Jetson's GPU would lack, too.
    """
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
