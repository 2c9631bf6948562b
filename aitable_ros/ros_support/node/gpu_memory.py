# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Memory of the GPU, where networks run on one."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import Selection


def gpu_memory_bytes(selections: Iterable[Selection]) -> tuple[int, int] | None:
    """
    Give used and total memory of the GPU that networks run on.

    Neither imports anything nor makes a CUDA context where no network has one already. Call it
    in the thread that uses the networks. On a Jetson this is the memory of the whole machine,
    which CPU and GPU share.

    :param selections: the networks that run.
    :returns: used and total, of all processes, in bytes; None where nothing runs on a GPU, or it
        does not answer.
    """
    for selection in selections:
        if selection.backend == 'tensorrt':
            return _of_tensorrt()
        if selection.backend == 'pytorch':
            return _of_pytorch()
    return None


def _of_tensorrt() -> tuple[int, int] | None:
    cuda: Any = sys.modules.get('aitable_ros.inference.tensorrt.cuda')
    if cuda is None:
        return None
    try:
        # the engine has opened it already: the same object is returned
        free, total = cuda.open_device().memory_bytes()
    except InferenceError:
        return None
    return total - free, total


def _of_pytorch() -> tuple[int, int] | None:
    torch: Any = sys.modules.get('torch')
    if torch is None or not torch.cuda.is_initialized():
        return None
    try:
        free, total = torch.cuda.mem_get_info()
    except RuntimeError:
        return None
    return total - free, total
