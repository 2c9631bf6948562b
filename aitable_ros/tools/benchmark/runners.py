# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmark times: the networks, on aitable's backends."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import BACKENDS, load_engine
from aitable_ros.inference.tensorrt.sidecar import file_sha256, read_sidecar
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.emonet.contract import emonet_spec

SPECS: Mapping[str, ModelSpec] = MappingProxyType({'emonet': emonet_spec(8), **CONTRACTS})
"""What can be timed. EmoNet's file is the user's own; random weights take as long."""

TORCH = 'torch'
TORCH_MODEL = 'emonet'
TORCH_REFERENCE = 'PyTorch, FP32, on the CPU'


class Runner(Protocol):
    """
    What is timed: a network on a backend.

    ``label`` names it in the table; ``max_batch`` is the largest batch that runs in one piece,
    None where there is no limit; ``details`` go into the JSON file.
    """

    label: str
    max_batch: int | None
    details: dict[str, Any]

    def infer(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray]:
        """Run the network, from images (N, H, W, 3) in ordinary memory to arrays in it."""

    def infer_s(self, images: npt.NDArray[np.uint8]) -> float:
        """Do the same, and return how long it took [s]."""

    def device_s(self, batch: int) -> float | None:
        """Run what remains without the host's part; None where the backend cannot tell."""

    def close(self) -> None:
        """Free the network."""


class EngineRunner:
    """
    A network on one of aitable's backends.

    :param spec: the network.
    :param backend: a key of :data:`BACKENDS`.
    :param engines_dir: folder of the model files.
    :param threads: for backends on the CPU.
    :param allow_host_code: let a TensorRT engine bring code that runs in this process.
    :param mapped_memory: let TensorRT work on the host's memory.
    :raises InferenceError: when it does not load.
    """

    def __init__(
        self,
        spec: ModelSpec,
        backend: str,
        engines_dir: Path,
        threads: int,
        allow_host_code: bool = False,
        mapped_memory: bool = False,
    ) -> None:
        file = engines_dir / f'{spec.name}{BACKENDS[backend].suffix}'
        if allow_host_code and backend == 'tensorrt' and file.is_file():
            spec = dataclasses.replace(spec, host_code_sha256=file_sha256(file))
        if mapped_memory and backend == 'tensorrt':
            spec = dataclasses.replace(spec, mapped_memory=True)
        selection = load_engine(spec, backend, engines_dir=engines_dir, threads=threads)
        self.label = backend
        self._engine: Any = selection.engine
        self._input = spec.inputs[0].name
        self.max_batch: int | None = getattr(self._engine, 'max_batch', None)
        self.details: dict[str, Any] = {'file': str(selection.path)}
        record = read_sidecar(selection.path) if backend == 'tensorrt' else None
        if record is not None:
            self.details['precision'] = record.precision
        for name in ('tensorrt_version', 'uses_cuda_graph', 'max_batch', 'device_memory_bytes'):
            if hasattr(self._engine, name):
                self.details[name] = getattr(self._engine, name)

    def infer(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray]:
        """See :class:`Runner`."""
        return self._engine.infer({self._input: images})

    def infer_s(self, images: npt.NDArray[np.uint8]) -> float:
        """See :class:`Runner`."""
        start = time.perf_counter()
        self.infer(images)
        return time.perf_counter() - start

    def device_s(self, batch: int) -> float | None:
        """See :class:`Runner`."""
        if not hasattr(self._engine, 'replay') or batch > (self.max_batch or batch):
            return None
        start = time.perf_counter()
        self._engine.replay(batch)
        return time.perf_counter() - start

    def close(self) -> None:
        """See :class:`Runner`."""
        self._engine.close()
