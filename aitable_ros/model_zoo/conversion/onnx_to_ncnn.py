# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Convert ONNX graphs made by this package to ncnn.

Only what those graphs are made of is supported: convolutions, batch norms, ReLU, 2x2 max pooling,
joining, adding and multiplying, enlarging by 2, global average pooling, and linear layers, with a
batch of images as uint8 NHWC at the front. Formats and parameters: ncnn's wiki ("param and model
file structure", "operation param weight table").
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from aitable_ros.inference.ncnn_engine import pack

_MAGIC = 7767517
_RAW_FLOATS = struct.pack('<I', 0)  # says before some weights that they are plain float32
_RELU = 1  # ncnn's activation_type
_ADD, _MULTIPLY = 0, 2  # op_type of BinaryOp
_MAX, _AVERAGE = 0, 1  # pooling_type
_NEAREST = 1  # resize_type of Interp


class NcnnConversionError(ValueError):
    """A graph cannot be converted to ncnn; the message says why."""


def convert(model: onnx.ModelProto) -> bytes:
    """
    Convert a graph.

    :param model: its one input must be uint8[N,H,W,3], cast to float and transposed to NCHW.
    :returns: the contents of a ``.ncnn`` file (:func:`aitable_ros.inference.ncnn_engine.pack`).
    :raises NcnnConversionError: when it has operators or attributes that are not supported.
    """
    return pack(*_Converter(model.graph).run())


class _Converter:
    """
    Walks through one graph.

    In ncnn a tensor has one reader; where ONNX has several, a Split layer gives each its name.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants: Mapping[str, npt.NDArray] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        self._readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self._readers[name].append(node)
        self._uses: Counter[str] = Counter(
            name for node in graph.node for name in node.input if name not in self._constants
        )
        self._uses.update(output.name for output in graph.output)
        self._names: dict[str, list[str]] = {}
        self._fused: set[str] = set()
        self._layers: list[tuple[str, str, list[str], list[str], dict[int, float]]] = []
        self._weights = bytearray()

    def run(self) -> tuple[str, bytes]:
        """Return graph and weights."""
        self._add_input()
        for node in self._graph.node:
            if node.name in self._fused:
                continue
            if node.op_type in _SIMPLE:
                kind, parameters, operands = _SIMPLE[node.op_type]
                self._add(kind, node, parameters, inputs=operands)
            elif node.op_type in _HANDLERS:
                _HANDLERS[node.op_type](self, node)
            else:
                raise NcnnConversionError(f'{node.name}: unsupported operator {node.op_type}')
        blobs = sum(len(outputs) for _, _, _, outputs, _ in self._layers)
        lines = [str(_MAGIC), f'{len(self._layers)} {blobs}']
        for kind, name, inputs, outputs, parameters in self._layers:
            values = (f'{key}={value}' for key, value in parameters.items())
            counts = (str(len(inputs)), str(len(outputs)))
            lines.append(' '.join((kind, name, *counts, *inputs, *outputs, *values)))
        return '\n'.join(lines) + '\n', bytes(self._weights)

    def _add_input(self) -> None:
        shape = [d.dim_value for d in self._graph.input[0].type.tensor_type.shape.dim]
        if len(self._graph.input) != 1 or len(shape) != 4 or shape[3] != 3:
            raise NcnnConversionError('expected one input [N,H,W,3]')
        name = self._graph.input[0].name
        parameters = {0: shape[2], 1: shape[1], 2: shape[3]}
        self._layers.append(('Input', name, [], [name], parameters))
        self._define(name)

    def _define(self, name: str) -> None:
        """Give each reader of a tensor a name for it."""
        uses = self._uses[name]
        if uses > 1:
            names = [f'{name}_{i}' for i in range(uses)]
            self._layers.append(('Split', f'Split_{name}', [name], names, {}))
            self._names[name] = list(names)  # read from the front
        else:
            self._names[name] = [name]

    def _add(
        self,
        kind: str,
        node: onnx.NodeProto,
        parameters: Mapping[int, float],
        *,
        inputs: int = 1,
        fuse_relu: bool = False,
    ) -> None:
        names = [self._names[name].pop(0) for name in node.input[:inputs]]
        values = dict(parameters)
        output = node.output[0]
        readers = self._readers[output]
        if fuse_relu and self._uses[output] == 1 and readers and readers[0].op_type == 'Relu':
            values[9] = _RELU
            self._fused.add(readers[0].name)
            output = readers[0].output[0]
        self._layers.append((kind, node.name, names, [output], values))
        self._define(output)

    def _constant(self, node: onnx.NodeProto, position: int) -> npt.NDArray[np.float32]:
        values = self._constants.get(node.input[position])
        if values is None or values.dtype != np.float32:
            raise NcnnConversionError(f'{node.name}: operand {position} is not a float constant')
        return values

    def _write(self, values: npt.NDArray, *, tagged: bool = False) -> None:
        if tagged:
            self._weights += _RAW_FLOATS
        self._weights += np.ascontiguousarray(values, '<f4').tobytes()

    def _forward(self, node: onnx.NodeProto) -> None:
        """Pass over what ncnn's input layer does already: float numbers, channels first."""
        if self._uses[node.output[0]] != 1 or self._uses[node.input[0]] != 1:
            raise NcnnConversionError(f'{node.name}: expected one reader')
        if node.op_type == 'Transpose' and list(_attributes(node)['perm']) != [0, 3, 1, 2]:
            raise NcnnConversionError(f'{node.name}: expected NHWC to NCHW')
        self._names[node.output[0]] = self._names[node.input[0]]

    def _convolution(self, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        weight = self._constant(node, 1)
        strides = attributes.get('strides', [1, 1])
        pads = attributes.get('pads', [0] * 4)
        if (
            weight.shape[2] != weight.shape[3]
            or len({*strides}) != 1
            or len({*pads}) != 1
            or attributes.get('group', 1) != 1
            or {*attributes.get('dilations', [1])} != {1}
        ):
            raise NcnnConversionError(f'{node.name}: expected a square dense convolution')
        has_bias = len(node.input) > 2
        parameters = {
            0: weight.shape[0],
            1: weight.shape[2],
            3: strides[0],
            4: pads[0],
            5: int(has_bias),
            6: weight.size,
        }
        self._add('Convolution', node, parameters, fuse_relu=True)
        self._write(weight, tagged=True)
        if has_bias:
            self._write(self._constant(node, 2))

    def _batch_norm(self, node: onnx.NodeProto) -> None:
        # As a depthwise convolution it is one pass over the memory, with the ReLU that follows.
        scale, shift, mean, variance = (
            self._constant(node, i).astype(np.float64) for i in (1, 2, 3, 4)
        )
        factor = scale / np.sqrt(variance + _attributes(node).get('epsilon', 1e-5))
        channels = len(factor)
        parameters = {0: channels, 1: 1, 5: 1, 6: channels, 7: channels}
        self._add('ConvolutionDepthWise', node, parameters, fuse_relu=True)
        self._write(factor, tagged=True)
        self._write(shift - mean * factor)

    def _linear(self, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        if (
            not attributes.get('transB')
            or attributes.get('transA')
            or len(node.input) != 3
            or {attributes.get('alpha', 1.0), attributes.get('beta', 1.0)} != {1.0}
        ):
            raise NcnnConversionError(f'{node.name}: expected x @ weight.T + bias')
        weight = self._constant(node, 1)
        parameters = {0: weight.shape[0], 1: 1, 2: weight.size}
        self._add('InnerProduct', node, parameters, fuse_relu=True)
        self._write(weight, tagged=True)
        self._write(self._constant(node, 2))

    def _max_pool(self, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        if attributes != {'kernel_shape': [2, 2], 'strides': [2, 2]}:
            raise NcnnConversionError(f'{node.name}: expected 2x2 pooling, got {attributes}')
        self._add('Pooling', node, {0: _MAX, 1: 2, 2: 2, 5: 1})

    def _enlarge(self, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        if self._constant(node, 2).tolist() != [1, 1, 2, 2] or attributes != {
            'mode': b'nearest',
            'coordinate_transformation_mode': b'asymmetric',
            'nearest_mode': b'floor',
        }:
            raise NcnnConversionError(f'{node.name}: expected enlarging by 2, nearest')
        self._add('Interp', node, {0: _NEAREST, 1: 2.0, 2: 2.0})

    def _join(self, node: onnx.NodeProto) -> None:
        if _attributes(node)['axis'] != 1:
            raise NcnnConversionError(f'{node.name}: expected to join along the channels')
        self._add('Concat', node, {0: 0}, inputs=len(node.input))


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


# ncnn's layer, its parameters, and the number of operands
_SIMPLE: Mapping[str, tuple[str, dict[int, float], int]] = {
    'Add': ('BinaryOp', {0: _ADD}, 2),
    'Flatten': ('Flatten', {}, 1),
    'GlobalAveragePool': ('Pooling', {0: _AVERAGE, 4: 1}, 1),
    'Mul': ('BinaryOp', {0: _MULTIPLY}, 2),
    'Relu': ('ReLU', {}, 1),
}

_HANDLERS: Mapping[str, Callable[[_Converter, onnx.NodeProto], None]] = {
    'BatchNormalization': _Converter._batch_norm,
    'Cast': _Converter._forward,
    'Concat': _Converter._join,
    'Conv': _Converter._convolution,
    'Gemm': _Converter._linear,
    'MaxPool': _Converter._max_pool,
    'Resize': _Converter._enlarge,
    'Transpose': _Converter._forward,
}
