# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The tensors of a TensorRT engine, and how they carry those of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import (
    DYNAMIC,
    ModelSpec,
    TensorSpec,
    fits,
    is_folded,
    tensor_differences,
)
from aitable_ros.inference.tensorrt.runtime import DTYPES

ALIGNMENT = 256
"""Bytes; that of ``cuMemAlloc``, which TensorRT's kernels expect of every tensor."""


@dataclass(frozen=True)
class EngineTensor:
    """
    An input or output tensor as the engine file has it.

    :param name: its name there.
    :param is_input: input, or else output.
    :param shape: dimensions; :data:`~aitable_ros.inference.model_spec.DYNAMIC` where the profiles
        set the limits.
    :param dtype: TensorRT's name of the element type, as ``FLOAT``.
    """

    name: str
    is_input: bool
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        """Format as ``input_1 FLOAT[N,192,192,3]``."""
        dims = ','.join('N' if size == DYNAMIC else str(size) for size in self.shape)
        return f'{self.name} {self.dtype}[{dims}]'


@dataclass(frozen=True)
class BatchRange:
    """
    The batch sizes that one optimisation profile of an engine takes.

    :param profile: index of the profile.
    :param min: smallest batch; smaller ones are filled up with zeros.
    :param opt: the batch that the engine was tuned for.
    :param max: largest batch.
    """

    profile: int
    min: int
    opt: int
    max: int


@dataclass(frozen=True)
class Binding:
    """
    A tensor of the spec, and what carries it in the engine.

    :param spec: as callers name it.
    :param name: in the engine.
    :param row_shape: in the engine, without the batch.
    :param dtype: in the engine.
    :param write: puts an array of the spec's shape and dtype into one of the engine's.
    """

    spec: TensorSpec
    name: str
    row_shape: tuple[int, ...]
    dtype: np.dtype
    write: Callable[[npt.NDArray, npt.NDArray], None] = np.copyto

    def nbytes(self, batch: int) -> int:
        """Return the size of this tensor for a batch, aligned so that the next may follow."""
        size = batch * math.prod(self.row_shape) * self.dtype.itemsize
        return -(-size // ALIGNMENT) * ALIGNMENT


def bind_tensors(
    spec: ModelSpec, tensors: tuple[EngineTensor, ...]
) -> tuple[tuple[Binding, ...], tuple[Binding, ...]]:
    """
    Find the tensors of the spec in the engine.

    :param spec: the network, with its tensors.
    :param tensors: all inputs and outputs of the engine.
    :returns: inputs and outputs, in the spec's order.
    :raises InferenceError: when some differ; the message names them all.
    """
    differences = [
        f'{tensor}: only the batch may be dynamic'
        for tensor in (*spec.inputs, *spec.outputs)
        if DYNAMIC in tensor.shape[1:]
    ]
    if len({tensor.shape[:1] for tensor in (*spec.inputs, *spec.outputs)}) != 1:
        differences.append('all inputs and outputs must have the same batch dimension')
    inputs = _bind_all('input', spec.inputs, tensors, {}, differences, _image_binding(spec))
    outputs = _bind_all('output', spec.outputs, tensors, spec.tflite_outputs, differences, None)
    if differences:
        raise InferenceError(f'not this network: {"; ".join(differences)}')
    return inputs, outputs


def _bind_all(
    kind: str,
    specs: tuple[TensorSpec, ...],
    tensors: tuple[EngineTensor, ...],
    names: Mapping[str, str],
    differences: list[str],
    otherwise: Callable[[EngineTensor], Binding | None] | None,
) -> tuple[Binding, ...]:
    given = [tensor for tensor in tensors if tensor.is_input == (kind == 'input')]
    if otherwise is not None and len(specs) == len(given) == 1:
        binding = otherwise(given[0])
        if binding is not None:
            return (binding,)
    found = {names.get(tensor.name, tensor.name): tensor for tensor in given}
    if wrong := tensor_differences(kind, specs, found, _agree):
        differences += wrong
        return ()
    return tuple(
        Binding(spec, found[spec.name].name, spec.shape[1:], spec.dtype) for spec in specs
    )


def _agree(spec: TensorSpec, tensor: EngineTensor) -> bool:
    """Tell whether type and what follows the batch agree; outputs may fold dimensions."""
    want, have = spec.shape[1:], tensor.shape[1:]
    if DTYPES.get(tensor.dtype) != spec.dtype or not tensor.shape:
        return False
    if not tensor.is_input and DYNAMIC not in have:
        return is_folded(have, want)
    return fits(have, want)


def _image_binding(spec: ModelSpec) -> Callable[[EngineTensor], Binding | None] | None:
    """Return what binds the spec's uint8 image to a float32 input, where that is what differs."""
    image = spec.inputs[0]
    if image.dtype != np.uint8 or len(image.shape) != 4:
        return None
    height, width, channels = image.shape[1:]
    scale, offset = np.float32(spec.scale), np.float32(spec.offset)

    def write_nhwc(buffer: npt.NDArray, images: npt.NDArray) -> None:
        np.multiply(images, scale, out=buffer, dtype=np.float32)
        if offset:
            np.add(buffer, offset, out=buffer)

    def write_nchw(buffer: npt.NDArray, images: npt.NDArray) -> None:
        write_nhwc(buffer, images.transpose(0, 3, 1, 2))

    layouts = (
        ((height, width, channels), write_nhwc),
        ((channels, height, width), write_nchw),
    )

    def bind(tensor: EngineTensor) -> Binding | None:
        if tensor.dtype != 'FLOAT':
            return None
        for row_shape, write in layouts:
            if fits(tensor.shape[1:], row_shape):
                return Binding(image, tensor.name, row_shape, np.dtype(np.float32), write)
        return None

    return bind
