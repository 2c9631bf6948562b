# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Networks on TensorRT-RTX, for desktop RTX cards, from plans that suit several kinds of GPU."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

from aitable_ros.inference.tensorrt.engine import TensorRtEngine
from aitable_ros.inference.tensorrt.runtime import RTX_MODULES
from aitable_ros.regular_files import open_regular

_log = logging.getLogger(__name__)


class TensorRtRtxEngine(TensorRtEngine):
    """
    A network on TensorRT-RTX: as :class:`TensorRtEngine`, with two differences.

    Its kernels are compiled for this GPU when a batch size is first used. They are kept in a file
    beside the engine (``face_mesh.rtx.cache``), where that can be written; TensorRT-RTX itself
    refuses one of another GPU, driver or version, and it is then written anew. And TensorRT-RTX
    records CUDA graphs itself (``cuda_graph``), of the network alone: the copies stay outside.
    """

    backend = 'tensorrt_rtx'
    modules = RTX_MODULES

    _cache: Any = None
    _cached = b''

    @property
    def cache_path(self) -> Path:
        """The file of compiled kernels."""
        return self.path.with_name(f'{self.path.name}.cache')

    def _open(self, *args: Any) -> None:
        super()._open(*args)
        self._keep_kernels()

    def _make_runtime_config(self) -> Any:
        trt, engine = self._plan.trt, self._plan.engine
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(
            trt.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        graphs = trt.CudaGraphStrategy
        config.cuda_graph_strategy = (
            graphs.WHOLE_GRAPH_CAPTURE if self._use_graphs else graphs.DISABLED
        )
        # Every batch size is run once before it counts, so nothing has to wait for these
        shapes = trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = shapes.EAGER
        self._cache = cache = config.create_runtime_cache()
        with contextlib.suppress(OSError), open_regular(self.cache_path) as file:
            content = file.read()
            if cache.deserialize(content):
                self._cached = content
        config.set_runtime_cache(cache)
        return config

    def _keep_kernels(self) -> None:
        """Write what was compiled since the file was read; what goes wrong is no obstacle."""
        path = self.cache_path
        half = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
        try:
            with self._device:
                content = bytes(self._cache.serialize() or b'')
            if content in (b'', self._cached):
                return
            half.write_bytes(content)
            half.replace(path)
            self._cached = content
        except Exception as error:  # as in a container whose engines are read-only
            _log.info('%s: its kernels are compiled at each start: %s', self, error)
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._cache is not None:
            self._keep_kernels()
        super()._close()
        with contextlib.suppress(Exception), self._device:  # which may fail
            self._cache = None
