# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
TFLite's operators, each in ONNX's.

To add one: write a function, and put it into :data:`OPERATORS`. What it needs of the operator's
options, the reader has to read. Custom operators are in ``attention_operators``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tflite as schema

from aitable_ros.model_zoo.conversion.onnx_graph import TO_NCHW
from aitable_ros.model_zoo.conversion.tflite_network import GraphStyle, Network, Value
from aitable_ros.model_zoo.conversion.tflite_reader import TfliteOperator, enum_names

_ACTIVATIONS = enum_names(schema.ActivationFunctionType)
_CLIPS = {'RELU6': (0, 6), 'RELU_N1_TO_1': (-1, 1)}

Operator = Callable[[Network, TfliteOperator], Value | str | None]
"""
Writes an operator into the ONNX graph.

Returns what its result is there, or None where it has set a constant, and raises ConversionError
for what it does not support.
"""


def _activate(net: Network, operator: TfliteOperator, name: str) -> str:
    code = operator.options['FusedActivationFunction']
    activation = _ACTIVATIONS.get(code, str(code))
    if activation == 'NONE':
        return name
    if activation == 'RELU':
        return net.builder.node('Relu', [name])
    if activation not in _CLIPS:
        raise operator.error(f'unsupported fused activation {activation}')
    bounds = [net.builder.constant(np.float32(limit)) for limit in _CLIPS[activation]]
    return net.builder.node('Clip', [name, *bounds])


def _padding(
    net: Network,
    operator: TfliteOperator,
    kernel: Sequence[int],
    dilations: Sequence[int] = (1, 1),
) -> tuple[list[int], list[int]]:
    """
    Compute strides and explicit padding of a window operator.

    :returns: (rows, columns) strides; ONNX pads (top, left, bottom, right). TFLite's SAME
        puts the odd one at the end.
    """
    options = operator.options
    strides = [options['StrideH'], options['StrideW']]
    if min(*strides, *dilations, *kernel) < 1:
        raise operator.error('impossible window or stride')
    if options['Padding'] == schema.Padding.VALID:
        return strides, [0, 0, 0, 0]
    before, after = [], []
    for size, window, stride, dilation in zip(
        net.shape4(operator, operator.inputs[0])[1:3], kernel, strides, dilations
    ):
        steps = -(-size // stride)
        total = max((steps - 1) * stride + (window - 1) * dilation + 1 - size, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    return strides, before + after


def _convolution(net: Network, operator: TfliteOperator) -> str:
    weights = net.constant(operator, 1)
    channels = net.shape4(operator, operator.inputs[0])[3]
    if weights.ndim != 4 or weights.dtype != np.float32:
        raise operator.error('weights must be four-dimensional')
    if operator.kind == 'DEPTHWISE_CONV_2D':
        # (1, rows, columns, out) to (out, 1, rows, columns)
        weights = weights.transpose(3, 0, 1, 2)
        group = channels
    else:
        # (out, rows, columns, in) to (out, in, rows, columns)
        weights = weights.transpose(0, 3, 1, 2)
        group = channels // weights.shape[1] if weights.shape[1] else 0
    if weights.shape[1] * group != channels or not group or weights.shape[0] % group:
        raise operator.error(
            f'weights of {weights.shape[1]} channels do not fit {net.tensors[operator.inputs[0]]}'
        )
    dilations = [operator.options['DilationHFactor'], operator.options['DilationWFactor']]
    strides, pads = _padding(net, operator, weights.shape[2:], dilations)
    value = net.value(operator.inputs[0])
    scaled = (weights.astype(np.float64) * value.pending_scale).astype(np.float32)
    inputs = [value.name, net.builder.constant(scaled)]
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        inputs.append(net.builder.constant(net.constant(operator, 2)))
    result = net.builder.node(
        'Conv',
        inputs,
        kernel_shape=list(weights.shape[2:]),
        strides=strides,
        dilations=dilations,
        pads=pads,
        group=group,
    )
    return _activate(net, operator, result)


def _depthwise_1x1(net: Network, name: str, factors: npt.NDArray[np.float32]) -> str:
    """Multiply each channel by its factor."""
    weights = net.builder.constant(factors.reshape(-1, 1, 1, 1))
    return net.builder.node('Conv', [name, weights], kernel_shape=[1, 1], group=len(factors))


def _prelu(net: Network, operator: TfliteOperator) -> str:
    channels = net.shape4(operator, operator.inputs[0])[3]
    slopes = net.constant(operator, 1)
    along_channels = slopes.size == math.prod(slopes.shape[-1:]) and slopes.size in (1, channels)
    if slopes.dtype != np.float32 or not along_channels:
        raise operator.error(
            f'slopes of shape {list(slopes.shape)}; supported is one for each of the {channels}'
            ' channels'
        )
    slopes = np.broadcast_to(slopes.reshape(-1), channels).astype(np.float32)
    name = net.scaled(operator.inputs[0])
    if net.style is GraphStyle.NATIVE:
        constant = net.builder.constant(slopes.reshape(-1, 1, 1))
        return net.builder.node('PRelu', [name, constant])
    # PRelu(x) = x + (1 - slope) * Relu(-x). ONNX Runtime fuses the Relu into the first
    # convolution and the addition into the second.
    negated = _depthwise_1x1(net, name, np.full(channels, -1, np.float32))
    negative_part = net.builder.node('Relu', [negated])
    correction = _depthwise_1x1(net, negative_part, np.float32(1) - slopes)
    return net.builder.node('Add', [name, correction])


def _pad(net: Network, operator: TfliteOperator) -> Value:
    shape = net.shape4(operator, operator.inputs[0])
    amounts = net.constant(operator, 1)
    if amounts.shape != (4, 2) or amounts.dtype.kind != 'i' or (amounts < 0).any():
        raise operator.error('expected four pairs of non-negative amounts')
    target = net.tensors[operator.outputs[0]]
    if target.shape != tuple((amounts.sum(axis=1) + shape).tolist()):
        raise operator.error(f'{amounts.tolist()} does not lead to {target}')
    before, after = (amounts[list(TO_NCHW), side].tolist() for side in (0, 1))
    value = net.value(operator.inputs[0])
    # The padding is zero, so a factor may be applied after it as well as before.
    if net.style is GraphStyle.CONVOLUTIONS and not any(
        before[:1] + before[2:] + after[:1] + after[2:]
    ):
        weights = np.zeros((before[1] + shape[3] + after[1], shape[3], 1, 1), np.float32)
        channels = np.arange(shape[3])
        weights[before[1] + channels, channels] = 1
        name = net.builder.node(
            'Conv', [value.name, net.builder.constant(weights)], kernel_shape=[1, 1]
        )
    else:
        pads = net.builder.constant(np.array(before + after, np.int64))
        name = net.builder.node('Pad', [value.name, pads])
    return Value(name, value.pending_scale)


def _binary(net: Network, operator: TfliteOperator) -> str:
    if len(operator.inputs) != 2:
        raise operator.error('expected two operands')
    rank = len(net.tensors[operator.outputs[0]].shape)
    names = []
    for position, index in enumerate(operator.inputs):
        if index in net.constants:
            values = net.constant(operator, position)
            if values.dtype != np.float32 or values.ndim > rank:
                raise operator.error(f'cannot take {net.tensors[index]}')
            values = values.reshape((1,) * (rank - values.ndim) + values.shape)
            names.append(net.builder.constant(values.transpose(TO_NCHW) if rank == 4 else values))
        elif len(net.tensors[index].shape) == rank:
            names.append(net.scaled(index))
        else:
            raise operator.error(f'cannot broadcast {net.tensors[index]}')
    return _activate(net, operator, net.builder.node(operator.kind.title(), names))


def _max_pool(net: Network, operator: TfliteOperator) -> str:
    net.shape4(operator, operator.inputs[0])
    kernel = [operator.options['FilterHeight'], operator.options['FilterWidth']]
    strides, pads = _padding(net, operator, kernel)
    name = net.scaled(operator.inputs[0])
    result = net.builder.node('MaxPool', [name], kernel_shape=kernel, strides=strides, pads=pads)
    return _activate(net, operator, result)


def _mean(net: Network, operator: TfliteOperator) -> str:
    shape = net.shape4(operator, operator.inputs[0])
    axes = sorted(net.constant(operator, 1).reshape(-1).tolist())
    target = net.tensors[operator.outputs[0]]
    if axes != [1, 2] or math.prod(target.shape) != shape[3]:
        raise operator.error(f'supported is the mean over rows and columns, not to {target}')
    name = net.builder.node('GlobalAveragePool', [net.scaled(operator.inputs[0])])
    return name if operator.options['KeepDims'] else net.reshape(name, target.shape[1:])


def _softmax(net: Network, operator: TfliteOperator) -> str:
    if len(net.tensors[operator.inputs[0]].shape) != 2 or operator.options['Beta'] != 1.0:
        raise operator.error('supported are rows of logits, with beta 1')
    return net.builder.node('Softmax', [net.scaled(operator.inputs[0])], axis=1)


def _reshape(net: Network, operator: TfliteOperator) -> str:
    source = net.tensors[operator.inputs[0]]
    target = net.tensors[operator.outputs[0]]
    if math.prod(source.shape) != math.prod(target.shape) or target.shape[:1] != (1,):
        raise operator.error(f'cannot make {target} of {source}')
    name = net.nhwc(net.scaled(operator.inputs[0]), source.shape)
    name = net.reshape(name, target.shape[1:])
    if len(target.shape) == 4:
        name = net.builder.node('Transpose', [name], perm=TO_NCHW)
    return name


def _concatenation(net: Network, operator: TfliteOperator) -> str:
    rank = len(net.tensors[operator.outputs[0]].shape)
    axis = operator.options['Axis']
    axis += rank if axis < 0 else 0
    ranks = {len(net.tensors[index].shape) for index in operator.inputs}
    if not 0 < axis < rank or ranks != {rank}:
        raise operator.error(f'cannot join along axis {axis}')
    names = [net.scaled(index) for index in operator.inputs]
    result = net.builder.node('Concat', names, axis=TO_NCHW.index(axis) if rank == 4 else axis)
    return _activate(net, operator, result)


def _resize_bilinear(net: Network, operator: TfliteOperator) -> str:
    size = net.shape4(operator, operator.inputs[0])[1:3]
    target = net.shape4(operator, operator.outputs[0])[1:3]
    mode = 'asymmetric'
    if operator.options['AlignCorners']:
        mode = 'align_corners'
    elif operator.options['HalfPixelCenters']:
        mode = 'half_pixel'
    # Scales rather than sizes, because sizes would have to hold the batch size.
    scales = np.array([1, 1, target[0] / size[0], target[1] / size[1]], np.float32)
    if tuple(math.floor(a * float(b)) for a, b in zip(size, scales[2:])) != target:
        raise operator.error(f'cannot scale {list(size)} to {list(target)} exactly')
    return net.builder.node(
        'Resize',
        [net.scaled(operator.inputs[0]), '', net.builder.constant(scales)],
        mode='linear',
        coordinate_transformation_mode=mode,
    )


def _depth_to_space(net: Network, operator: TfliteOperator) -> str:
    net.shape4(operator, operator.inputs[0])
    name, size = net.scaled(operator.inputs[0]), operator.options['BlockSize']
    return net.builder.node('DepthToSpace', [name], blocksize=size, mode='DCR')


def _whole_slice(net: Network, operator: TfliteOperator) -> Value:
    source, target = (net.tensors[index[0]] for index in (operator.inputs, operator.outputs))
    if source.shape != target.shape or (net.constant(operator, 3) != 1).any():
        raise operator.error(f'{target} is not all of {source}')
    return net.value(operator.inputs[0])


def _elementwise(op_type: str) -> Operator:
    return lambda net, operator: net.builder.node(op_type, [net.scaled(operator.inputs[0])])


def _fold_constant(net: Network, operator: TfliteOperator) -> None:
    """Apply DENSIFY, already done by the reader, or DEQUANTIZE, of float16 weights."""
    values = net.constant(operator, 0)
    if values.dtype != np.float32:
        raise operator.error(f'{net.tensors[operator.inputs[0]]} is not float16')
    net.constants[operator.outputs[0]] = values


OPERATORS: Mapping[str, Operator] = {
    'ADD': _binary,
    'CONCATENATION': _concatenation,
    'CONV_2D': _convolution,
    'DENSIFY': _fold_constant,
    'DEPTHWISE_CONV_2D': _convolution,
    'DEPTH_TO_SPACE': _depth_to_space,
    'DEQUANTIZE': _fold_constant,
    'LOGISTIC': _elementwise('Sigmoid'),
    'MAX_POOL_2D': _max_pool,
    'MEAN': _mean,
    'MUL': _binary,
    'PAD': _pad,
    'PRELU': _prelu,
    'RELU': _elementwise('Relu'),
    'RESHAPE': _reshape,
    'RESIZE_BILINEAR': _resize_bilinear,
    'SOFTMAX': _softmax,
    'STRIDED_SLICE': _whole_slice,
}
"""What writes an operator into the ONNX graph, by its name."""
