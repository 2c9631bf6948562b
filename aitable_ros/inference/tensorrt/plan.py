# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Engine files (plans): reading one, and what it says of its tensors and batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import DYNAMIC, ModelSpec, TensorSpec
from aitable_ros.inference.tensorrt.gpu_support import explain_unsupported
from aitable_ros.inference.tensorrt.runtime import (
    DTYPES,
    TensorRtLog,
    create_runtime,
    explain_refusal,
    plan_of_file,
)
from aitable_ros.inference.tensorrt.tensors import BatchRange, Binding, EngineTensor
from aitable_ros.regular_files import open_regular


def read_plan(path: Path) -> bytes:
    """
    Return the plan in an engine file.

    :param path: the engine file, as TensorRT or Ultralytics wrote it.
    :raises InferenceError: when it cannot be read.
    """
    try:
        with open_regular(path) as file:
            return plan_of_file(file.read())
    except OSError as error:
        reason = error.strerror or error
        raise InferenceError(f'{path} cannot be read: {reason}') from error


class LoadedPlan:
    """
    A plan in TensorRT's hands.

    Runtime and engine live on the GPU. They are held here alone: a local variable would live on
    in the traceback of an error and be freed whenever that goes.

    :param trt: TensorRT's module.
    :param log: what it says.
    """

    def __init__(self, trt: Any, log: TensorRtLog) -> None:
        self.trt = trt
        self.log = log
        self._runtime: Any = None
        self.engine: Any = None
        self.runtime_config: Any = None
        """How execution contexts are made; None: as by default."""
        self.tensors: tuple[EngineTensor, ...] = ()

    def load(self, plan: bytes, path: Path, device: object, *, allow_host_code: bool) -> None:
        """
        Deserialise the plan and list its tensors; needs a current CUDA context.

        :param plan: as :func:`read_plan` returns it.
        :param path: where it comes from, for messages.
        :param device: the device that refuses it, for messages.
        :param allow_host_code: let the plan bring code that runs in this process.
        :raises InferenceError: when TensorRT refuses it, or its tensors cannot be served.
        """
        if not plan:
            raise InferenceError(f'{path} is empty')
        self._runtime = create_runtime(self.trt, self.log)
        if allow_host_code and hasattr(self._runtime, 'engine_host_code_allowed'):
            self._runtime.engine_host_code_allowed = True
        mark = self.log.mark()
        self.engine = self._runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            said = self.log.quote(mark)
            why = explain_unsupported(said) or explain_refusal(plan, said)
            raise InferenceError(
                f'{path}: {why} [TensorRT {self.trt.__version__}; {device}; {said}]'
            )
        if getattr(self.engine, 'has_implicit_batch_dimension', False):
            raise InferenceError('it was built with an implicit batch dimension; rebuild it')
        self.tensors = tuple(self._list_tensors())

    def free(self) -> None:
        """Free the engine, then the runtime; calling it again does nothing."""
        self.runtime_config = None
        self.engine = None
        self._runtime = None

    def complete(self, spec: ModelSpec) -> ModelSpec:
        """
        Return the spec with the file's tensors, if it has none of its own.

        :raises InferenceError: when one is of a type that numpy cannot hold.
        """
        if not spec.is_open:
            return spec
        own: dict[bool, list[TensorSpec]] = {True: [], False: []}
        for tensor in self.tensors:
            dtype = DTYPES.get(tensor.dtype)
            if dtype is None:
                raise InferenceError(f'tensor {tensor} is of a type that is not supported')
            own[tensor.is_input].append(TensorSpec(tensor.name, tensor.shape, dtype))
        return dataclasses.replace(spec, inputs=tuple(own[True]), outputs=tuple(own[False]))

    def batch_ranges(self, inputs: tuple[Binding, ...]) -> tuple[BatchRange, ...]:
        """
        Return what each optimisation profile takes; of a static engine, one batch size.

        :param inputs: what carries the model's inputs.
        :raises InferenceError: when no profile takes inputs of the model's size.
        """
        shapes = {tensor.name: tensor.shape for tensor in self.tensors}
        static = all(DYNAMIC not in shapes[binding.name] for binding in inputs)
        ranges = []
        for profile in range(1 if static else self.engine.num_optimization_profiles):
            limits = []
            for binding in inputs:
                if static:
                    low = opt = high = shapes[binding.name]
                else:
                    low, opt, high = map(
                        tuple, self.engine.get_tensor_profile_shape(binding.name, profile)
                    )
                rows = zip(low[1:], binding.row_shape, high[1:])
                if all(least <= size <= most for least, size, most in rows):
                    limits.append((low[0], opt[0], high[0]))
            if len(limits) == len(inputs):
                low, opt, high = zip(*limits)
                if max(low) <= min(high):
                    ranges.append(BatchRange(profile, max(low), min(opt), min(high)))
        if not ranges:
            names = ', '.join(str(binding.spec) for binding in inputs)
            raise InferenceError(f'no optimisation profile of it takes {names}')
        return tuple(ranges)

    def _list_tensors(self) -> Iterator[EngineTensor]:
        for index in range(self.engine.num_io_tensors):
            name = self.engine.get_tensor_name(index)
            tensor = EngineTensor(
                name=name,
                is_input=self.engine.get_tensor_mode(name) == self.trt.TensorIOMode.INPUT,
                shape=tuple(self.engine.get_tensor_shape(name)),
                dtype=self.engine.get_tensor_dtype(name).name,
            )
            if self.engine.is_shape_inference_io(name):
                raise InferenceError(f'tensor {tensor} is a shape that the host must give')
            if self.engine.get_tensor_vectorized_dim(name) != -1:
                raise InferenceError(f'tensor {tensor} has a vectorised memory format')
            yield tensor
