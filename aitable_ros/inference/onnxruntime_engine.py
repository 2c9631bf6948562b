# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Run a network with ONNX Runtime, by default on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import DYNAMIC, Engine, InferenceError, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec

DEFAULT_PROVIDERS = ('CPUExecutionProvider',)
"""Execution providers used when none are asked for."""

_DTYPES: Mapping[str, type] = {
    'tensor(bool)': np.bool_,
    'tensor(double)': np.float64,
    'tensor(float)': np.float32,
    'tensor(float16)': np.float16,
    'tensor(int16)': np.int16,
    'tensor(int32)': np.int32,
    'tensor(int64)': np.int64,
    'tensor(int8)': np.int8,
    'tensor(uint16)': np.uint16,
    'tensor(uint32)': np.uint32,
    'tensor(uint64)': np.uint64,
    'tensor(uint8)': np.uint8,
}

_FATAL = 4
"""ONNX Runtime's log level: errors are raised as exceptions and need no second report."""


class OnnxRuntimeEngine(Engine):
    """
    An ONNX file run by ONNX Runtime.

    :param spec: the network's contract; the file must present exactly these tensors. A
        dimension that the spec fixes may be open in the file: inputs are checked before
        and outputs after each run. One without tensors takes those of the file.
    :param path: the ``.onnx`` file.
    :param threads: threads that one run uses. They sleep, not spin, between runs.
    :param providers: ONNX Runtime execution providers, in order of preference, for example
        ``('CUDAExecutionProvider', 'CPUExecutionProvider')``. Each of them must come up.
    :raises InferenceError: when ONNX Runtime or a provider is missing, the file is missing,
        damaged or not ONNX, or its tensors differ from the spec's.
    """

    backend = 'onnxruntime'

    def __init__(
        self,
        spec: ModelSpec,
        path: Path,
        *,
        threads: int = 1,
        providers: Sequence[str] = DEFAULT_PROVIDERS,
    ) -> None:
        super().__init__(spec.name, Path(path), spec.inputs, spec.outputs)
        if threads < 1:
            raise InferenceError(f'{self}: expected at least 1 thread, got {threads}')
        try:
            import onnxruntime
        except ImportError as error:
            raise InferenceError(f'{self}: ONNX Runtime cannot be imported: {error}') from error
        if not self.path.is_file():
            raise InferenceError(f'{self}: {self.path}: no such file')
        missing = [name for name in providers if name not in onnxruntime.get_available_providers()]
        if missing:
            raise InferenceError(
                f'{self}: this ONNX Runtime has no {", ".join(missing)}, only '
                f'{", ".join(onnxruntime.get_available_providers())}'
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = _FATAL
        # ONNX Runtime's errors share no base class below Exception.
        try:
            session = onnxruntime.InferenceSession(
                str(self.path), sess_options=options, providers=list(providers)
            )
        except Exception as error:
            raise InferenceError(f'{self}: {self.path}: cannot be loaded: {error}') from error
        # A provider that fails to start is dropped with no more than a line in the log.
        absent = [name for name in providers if name not in session.get_providers()]
        if absent:
            raise InferenceError(f'{self}: {", ".join(absent)} could not be started')
        if spec.is_open:
            self.inputs = tuple(map(self._tensor_of, session.get_inputs()))
            self.outputs = tuple(map(self._tensor_of, session.get_outputs()))
        differences = [
            *_differences('input', self.inputs, session.get_inputs()),
            *_differences('output', self.outputs, session.get_outputs()),
        ]
        if differences:
            raise InferenceError(
                f'{self}: {self.path}: not this network: {"; ".join(differences)}'
            )
        self._output_names = [output.name for output in self.outputs]
        self._session: Any = session

    def _tensor_of(self, argument: Any) -> TensorSpec:
        dtype = _DTYPES.get(argument.type)
        if dtype is None:
            raise InferenceError(
                f'{self}: {self.path}: {argument.name} is {argument.type}, which is not supported'
            )
        shape = tuple(size if isinstance(size, int) else DYNAMIC for size in argument.shape)
        return TensorSpec(argument.name, shape, np.dtype(dtype))

    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        try:
            results = self._session.run(self._output_names, dict(inputs))
        except Exception as error:
            raise InferenceError(f'{self}: run failed: {error}') from error
        for output, array in zip(self.outputs, results):
            if not output.accepts(array.shape):
                raise InferenceError(
                    f'{self}: output {output}: got {array.dtype.name}{list(array.shape)}'
                )
        return dict(zip(self._output_names, results))

    def _close(self) -> None:
        self._session = None


def _differences(kind: str, expected: Sequence[TensorSpec], found: Sequence[Any]) -> list[str]:
    """
    Tell in words how a file's tensors differ from those expected.

    :param kind: ``input`` or ``output``.
    :param expected: the spec's tensors.
    :param found: the file's, as ONNX Runtime describes them; open dimensions are names or None.
    """
    by_name = {argument.name: argument for argument in found}
    differences = [
        f'{kind} {tensor} is missing, the file has {", ".join(sorted(by_name)) or "none"}'
        for tensor in expected
        if tensor.name not in by_name
    ]
    names = {tensor.name for tensor in expected}
    differences += [f'unexpected {kind} {name}' for name in by_name if name not in names]
    for tensor in expected:
        argument = by_name.get(tensor.name)
        if argument is not None and not _agrees(tensor, argument):
            dims = ','.join(str(size) for size in argument.shape)
            differences.append(f'{kind} {tensor} is {argument.type}[{dims}] in the file')
    return differences


def _agrees(tensor: TensorSpec, argument: Any) -> bool:
    dtype = _DTYPES.get(argument.type)
    return (
        dtype is not None
        and tensor.dtype == dtype
        and len(argument.shape) == len(tensor.shape)
        and all(
            not isinstance(size, int) or (want != DYNAMIC and size == want)
            for want, size in zip(tensor.shape, argument.shape)
        )
    )
