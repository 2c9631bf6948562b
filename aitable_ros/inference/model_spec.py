# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a network takes and gives, independent of the runtime that executes it."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

DYNAMIC = -1
"""Marks a dimension that may take any size from one call to the next (the batch)."""


@dataclass(frozen=True)
class TensorSpec:
    """
    Name, shape and element type of one input or output tensor.

    :param name: the tensor's name, the same on every backend.
    :param shape: dimensions; :data:`DYNAMIC` where any size is accepted.
    :param dtype: NumPy element type.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def accepts(self, shape: Sequence[int]) -> bool:
        """Tell whether an array of this shape fits."""
        return len(shape) == len(self.shape) and all(
            want in (DYNAMIC, got) and got > 0 for want, got in zip(self.shape, shape)
        )

    def __str__(self) -> str:
        """Format as ``image uint8[N,192,192,3]``."""
        dims = ','.join('N' if d == DYNAMIC else str(d) for d in self.shape)
        return f'{self.name} {self.dtype.name}[{dims}]'


@dataclass(frozen=True)
class ModelSpec:
    """
    The contract of one network; every backend presents it exactly so.

    Image inputs are NHWC uint8 RGB. Files whose own input is float (TFLite) get
    ``pixel * scale + offset``; in ONNX files that step is part of the graph.

    A spec without any tensors is that of a file which the user brings: ONNX Runtime and TensorRT
    then present what the file has, and whoever uses it must look at that.

    :param name: the model's name; its files are ``<name>.onnx``, ``<name>.tflite``,
        ``<name>.engine`` in the engines folder.
    :param inputs: input tensors, first dimension the batch.
    :param outputs: output tensors, first dimension the batch.
    :param scale: factor from pixel value to what the network was trained on.
    :param offset: added after scaling.
    :param tflite_outputs: canonical output name by the name that the TFLite file uses.
    :param chain: backends in the order in which ``auto`` tries them.
    :param required: whether its node cannot work without this network.
    :param host_code_sha256: SHA-256 of the one TensorRT engine file that may bring code which
        runs in this process, as version-compatible plans do; empty: none may.
    :param mapped_memory: let TensorRT work on the host's memory instead of copies of it.
    :param gpu_crops: let TensorRT's engine cut regions out of the picture on the GPU.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    scale: float = 1.0
    offset: float = 0.0
    tflite_outputs: Mapping[str, str] = field(default_factory=dict)
    chain: tuple[str, ...] = ()
    required: bool = True
    host_code_sha256: str = ''
    mapped_memory: bool = False
    gpu_crops: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the tensors are the file's own."""
        return not self.inputs and not self.outputs


def is_folded(have: Sequence[int], want: Sequence[int]) -> bool:
    """
    Tell whether two shapes have the same values in the same order.

    That is so where joining neighbouring dimensions of one gives the other, as [1,1,1404] for
    [468,3]. Others of as many values, as the transposed [3,468], have them in another order.

    :param have: one shape, with fixed dimensions.
    :param want: the other one.
    """
    ends, wanted = ({1, *itertools.accumulate(shape, operator.mul)} for shape in (have, want))
    return math.prod(have) == math.prod(want) and (ends <= wanted or wanted <= ends)


def fits(have: Sequence[int], want: Sequence[int]) -> bool:
    """Tell whether a file's dimensions, some of them open, can be those of a contract."""
    return len(have) == len(want) and all(h in (DYNAMIC, w) for h, w in zip(have, want))


Tensor = TypeVar('Tensor')


def tensor_differences(
    kind: str,
    specs: Sequence[TensorSpec],
    found: Mapping[str, Tensor],
    agree: Callable[[TensorSpec, Tensor], bool],
) -> list[str]:
    """
    Tell in words how a file's tensors differ from those of a contract.

    :param kind: ``input`` or ``output``.
    :param specs: the contract's.
    :param found: the file's, by the contract's names.
    :param agree: whether two of one name agree.
    """
    listing = ', '.join(map(str, found.values())) or 'none'
    differences = []
    for spec in specs:
        if spec.name not in found:
            differences.append(f'{kind} {spec} is missing, the file has {listing}')
        elif not agree(spec, found[spec.name]):
            differences.append(f'{kind} {spec} is {found[spec.name]} in the file')
    unexpected = found.keys() - {spec.name for spec in specs}
    return differences + [f'unexpected {kind} {found[n]}' for n in found if n in unexpected]
