# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A network on its way from TFLite to ONNX: which of its tensors are in the new graph already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.model_spec import DYNAMIC, TensorSpec
from aitable_ros.model_zoo.conversion.onnx_graph import TO_NCHW, GraphBuilder
from aitable_ros.model_zoo.conversion.tflite_reader import (
    ConversionError,
    TfliteGraph,
    TfliteOperator,
)


class GraphStyle(Enum):
    """
    How operators that have no fast form in ONNX Runtime are written.

    ONNX Runtime's CPU kernels for convolutions work on a blocked channel layout (NCHWc). PRelu
    and channel padding have no kernel for it: around each of them the tensor is reordered to
    NCHW and back, and PRelu itself is slow; docs/performance.md has the times of both styles.
    """

    NATIVE = 'native'
    """One ONNX operator for each TFLite operator: PRelu, Pad."""

    CONVOLUTIONS = 'convolutions'
    """PRelu as two depthwise 1x1 convolutions, channel padding as a 1x1 convolution."""


@dataclass(frozen=True)
class Value:
    """
    A tensor of the ONNX graph; NCHW where the TFLite tensor has four dimensions.

    :param name: its name.
    :param pending_scale: factor that its consumers still have to apply.
    """

    name: str
    pending_scale: float = 1.0


class Network:
    """
    The TFLite network, and the ONNX graph as far as it has been written.

    ``tensors`` are the file's; of these, by index, ``values`` are in the graph already and
    ``constants`` known before the network runs.

    :param graph: the TFLite network.
    :param style: how to write what has no fast form.
    """

    def __init__(self, graph: TfliteGraph, style: GraphStyle) -> None:
        self.style = style
        self.builder = GraphBuilder()
        self.tensors = graph.tensors
        self.values: dict[int, Value] = {}
        self.constants: dict[int, npt.NDArray] = {
            index: tensor.values
            for index, tensor in enumerate(graph.tensors)
            if tensor.values is not None
        }

    def shape4(self, operator: TfliteOperator, index: int) -> tuple[int, ...]:
        """
        Return the NHWC shape of an operator's tensor.

        :raises ConversionError: when it has not four dimensions.
        """
        shape = self.tensors[index].shape
        if len(shape) != 4 or 0 in shape:
            raise operator.error(f'expected four dimensions, got {self.tensors[index]}')
        return shape

    def value(self, index: int) -> Value:
        """
        Return a tensor of the graph, the factor that is due not yet applied.

        :raises ConversionError: when nothing has computed it.
        """
        if index not in self.values:
            raise ConversionError(f'nothing computes tensor {self.tensors[index]} before its use')
        return self.values[index]

    def scaled(self, index: int) -> str:
        """Return the name of a tensor of the graph with its factor applied; see :meth:`value`."""
        value = self.value(index)
        if value.pending_scale == 1.0:
            return value.name
        factor = self.builder.constant(np.float32(value.pending_scale))
        return self.builder.node('Mul', [value.name, factor])

    def set_result(self, operator: TfliteOperator, result: Value | str) -> None:
        """
        State which tensor of the graph is an operator's result.

        :raises ConversionError: when the file says that it is not float32, or mixes the batch.
        """
        tensor = self.tensors[operator.outputs[0]]
        shape = tensor.shape
        if tensor.dtype != np.float32:
            raise operator.error(f'result {tensor} has an unsupported element type')
        if shape[:1] != (1,):
            raise operator.error(f'result {tensor} mixes batch items')
        value = result if isinstance(result, Value) else Value(result)
        if len(shape) == 4:
            shape = tuple(shape[axis] for axis in TO_NCHW)
        self.builder.annotate(TensorSpec(value.name, (DYNAMIC, *shape[1:]), tensor.dtype))
        self.values[operator.outputs[0]] = value

    def constant(self, operator: TfliteOperator, position: int) -> npt.NDArray:
        """
        Return a constant operand: of float types as float32.

        :raises ConversionError: when it is none, of an unsupported type, or not finite.
        """
        index = operator.inputs[position] if position < len(operator.inputs) else -1
        if index not in self.constants:
            what = self.tensors[index] if index >= 0 else f'operand {position}'
            raise operator.error(f'{what} must be a constant of a supported type')
        values = self.constants[index]
        if not np.isfinite(values).all():
            raise operator.error(f'{self.tensors[index]} holds infinite or NaN values')
        return values.astype(np.float32) if values.dtype == np.float16 else values

    def reshape(self, name: str, shape: Sequence[int], output: str | None = None) -> str:
        """Give a tensor of the graph another shape; the batch comes on top and stays."""
        # 0 keeps the batch dimension as it comes.
        target = self.builder.constant(np.array([0, *shape], np.int64))
        return self.builder.node('Reshape', [name, target], output=output)

    def nhwc(self, name: str, shape: Sequence[int]) -> str:
        """Bring a tensor's values into TFLite's order; its shape may remain NCHW's."""
        if len(shape) != 4 or shape[3] == 1 or shape[1] * shape[2] == 1:
            return name
        return self.builder.node('Transpose', [name], perm=(0, 2, 3, 1))
