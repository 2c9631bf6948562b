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
    in the thread that uses the networks.

    :param selections: the networks that run.
    :returns: of all processes (on a Jetson: of the whole machine) [bytes]; None where nothing
        runs on a GPU, or it does not answer.
    """
    cuda: Any = sys.modules.get('aitable_ros.inference.tensorrt.cuda')
    torch: Any = sys.modules.get('torch')
    try:
        for selection in selections:
            if selection.backend.startswith('tensorrt') and cuda is not None:
                # the engine has opened it already: the same object is returned
                free, total = cuda.open_device().memory_bytes()
                return total - free, total
            if selection.backend == 'pytorch' and torch and torch.cuda.is_initialized():
                free, total = torch.cuda.mem_get_info()
                return total - free, total
    except (InferenceError, RuntimeError):
        pass
    return None
