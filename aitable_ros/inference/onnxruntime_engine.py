# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Networks on ONNX Runtime, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine
from aitable_ros.inference.model_spec import (
    DYNAMIC,
    ModelSpec,
    TensorSpec,
    fits,
    tensor_differences,
)

_DTYPES: Mapping[str, np.dtype] = {
    'tensor(float)': np.dtype(np.float32),
    'tensor(double)': np.dtype(np.float64),
    **{
        f'tensor({name})': np.dtype(name)
        for name in (
            'bool',
            'float16',
            *(f'{s}int{n}' for s in ('', 'u') for n in (8, 16, 32, 64)),
        )
    },
}


class OnnxRuntimeEngine(Engine):
    """
    An ONNX file run by ONNX Runtime.

    :param spec: the network's contract; the file must present exactly these tensors. A
        dimension that the spec fixes may be open in the file: inputs are checked before
        and outputs after each run. One without tensors takes those of the file.
    :param path: the ``.onnx`` file.
    :param threads: threads that one run uses. They sleep, not spin, between runs.
    :raises InferenceError: when ONNX Runtime is missing, the file is missing, damaged or not
        ONNX, or its tensors differ from the spec's.
    """

    backend = 'onnxruntime'

    def __init__(self, spec: ModelSpec, path: Path, *, threads: int = 1) -> None:
        super().__init__(spec, path, threads)
        try:
            import onnxruntime
        except ImportError as error:
            raise self._error(f'ONNX Runtime cannot be imported: {error}') from error
        if not self.path.is_file():
            raise self._error(f'{self.path}: no such file')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4  # fatal: errors are raised, no need to tell them twice
        # ONNX Runtime's errors share no base class below Exception.
        try:
            session = onnxruntime.InferenceSession(
                str(self.path), sess_options=options, providers=['CPUExecutionProvider']
            )
        except Exception as error:
            raise self._error(f'{self.path}: cannot be loaded: {error}') from error
        inputs = tuple(map(self._tensor_of, session.get_inputs()))
        outputs = tuple(map(self._tensor_of, session.get_outputs()))
        if spec.is_open:
            self.inputs, self.outputs = inputs, outputs
        differences = [
            *tensor_differences('input', self.inputs, {t.name: t for t in inputs}, _agree),
            *tensor_differences('output', self.outputs, {t.name: t for t in outputs}, _agree),
        ]
        if differences:
            raise self._error(f'{self.path}: not this network: {"; ".join(differences)}')
        self._output_names = [output.name for output in self.outputs]
        self._session: Any = session

    def _tensor_of(self, argument: Any) -> TensorSpec:
        dtype = _DTYPES.get(argument.type)
        if dtype is None:
            raise self._error(
                f'{self.path}: {argument.name} is {argument.type}, which is not supported'
            )
        shape = tuple(size if isinstance(size, int) else DYNAMIC for size in argument.shape)
        return TensorSpec(argument.name, shape, dtype)

    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        try:
            results = self._session.run(self._output_names, dict(inputs))
        except Exception as error:
            raise self._error(f'run failed: {error}') from error
        for output, array in zip(self.outputs, results):
            self._check_output(output, array)
        return dict(zip(self._output_names, results))

    def _close(self) -> None:
        self._session = None


def _agree(spec: TensorSpec, found: TensorSpec) -> bool:
    return found.dtype == spec.dtype and fits(found.shape, spec.shape)
