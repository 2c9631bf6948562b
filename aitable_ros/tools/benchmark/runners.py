# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmark times: the networks, on aitable's backends."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import BACKENDS, load_engine
from aitable_ros.inference.tensorrt.sidecar import read_sidecar
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.emonet.contract import emonet_spec
from aitable_ros.regular_files import file_sha256
from aitable_ros.tools.benchmark.remote import load_torch
from aitable_ros.tools.benchmark.timing import Runner

SPECS: Mapping[str, ModelSpec] = MappingProxyType({'emonet': emonet_spec(8), **CONTRACTS})
"""What can be timed. EmoNet's file is the user's own; random weights take as long."""

TORCH = 'torch'
TORCH_MODEL = 'emonet'
TORCH_REFERENCE = 'PyTorch, FP32, on the CPU'


@dataclasses.dataclass(frozen=True)
class Opening:
    """
    How a network is loaded, in values that JSON can carry to a process of its own.

    :param model: a key of :data:`SPECS`.
    :param label: a backend, or a variant of PyTorch.
    :param engines_dir: folder of the model files.
    :param threads: for what runs on the CPU.
    :param allow_host_code: let a TensorRT engine bring code that runs in this process.
    :param mapped_memory: let TensorRT work on the host's memory.
    """

    model: str
    label: str
    engines_dir: str
    threads: int = 1
    allow_host_code: bool = False
    mapped_memory: bool = False

    def open(self) -> Runner:
        """
        Load it.

        :raises InferenceError: when it does not load.
        :raises RuntimeError: when PyTorch cannot.
        """
        if self.label in BACKENDS:
            return EngineRunner(self)
        return load_torch(self.threads).TorchRunner(self.label)


class EngineRunner(Runner):
    """
    A network on one of aitable's backends.

    :param opening: the network, its backend, and how it is loaded.
    :raises InferenceError: when it does not load.
    """

    def __init__(self, opening: Opening) -> None:
        spec, folder = SPECS[opening.model], Path(opening.engines_dir)
        self.label = opening.label
        on_tensorrt = self.label.startswith('tensorrt')
        file = folder / f'{spec.name}{BACKENDS[self.label].suffix}'
        if opening.allow_host_code and on_tensorrt and file.is_file():
            spec = dataclasses.replace(spec, host_code_sha256=file_sha256(file))
        if opening.mapped_memory and on_tensorrt:
            spec = dataclasses.replace(spec, mapped_memory=True)
        selection = load_engine(spec, self.label, engines_dir=folder, threads=opening.threads)
        self._engine: Any = selection.engine
        self._input = spec.inputs[0].name
        self.details: dict[str, Any] = {'file': str(selection.path)}
        record = read_sidecar(selection.path) if on_tensorrt else None
        if record is not None:
            self.details['precision'] = record.precision
        for name in ('tensorrt_version', 'uses_cuda_graph', 'max_batch', 'device_memory_bytes'):
            if hasattr(self._engine, name):
                self.details[name] = getattr(self._engine, name)

    def infer(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray]:
        """See :class:`Runner`."""
        return self._engine.infer({self._input: images})

    def device_s(self, batch: int) -> float | None:
        """See :class:`Runner`; also None where the batch does not run in one piece."""
        if not hasattr(self._engine, 'replay') or batch > self.details.get('max_batch', batch):
            return None
        start = time.perf_counter()
        self._engine.replay(batch)
        return time.perf_counter() - start

    def close(self) -> None:
        """See :class:`Runner`."""
        self._engine.close()
