# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Convert MediaPipe's TFLite networks to ONNX, without TensorFlow.

The ONNX graph takes the picture itself (uint8, NHWC, RGB), computes in NCHW, and gives the
outputs under the names and with the shapes of the network's
:class:`~aitable_ros.inference.model_spec.ModelSpec`, for any batch size.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import tflite as schema

from aitable_ros import __version__
from aitable_ros.inference.engine import DYNAMIC, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.conversion.onnx_graph import GraphBuilder
from aitable_ros.model_zoo.conversion.tflite_reader import (
    ConversionError,
    TfliteGraph,
    TfliteOperator,
    TfliteTensor,
    read,
)

__all__ = ['ConversionError', 'GraphStyle', 'convert']

PRODUCER = 'aitable'
"""Producer name in the models' metadata."""

LICENCE = 'Apache-2.0'
"""Licence of MediaPipe's networks, kept in the models' metadata."""

_TO_NCHW = (0, 3, 1, 2)
_TO_NHWC = (0, 2, 3, 1)

_ACTIVATION_NAMES = {
    value: name
    for name, value in vars(schema.ActivationFunctionType).items()
    if isinstance(value, int)
}


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


def convert(
    tflite: bytes | Path, spec: ModelSpec, *, style: GraphStyle = GraphStyle.CONVOLUTIONS
) -> onnx.ModelProto:
    """
    Convert a TFLite network to ONNX.

    ``pixel * spec.scale + spec.offset`` is part of the graph: the factor goes into the weights
    of the first convolution and the offset is added to the pixels before it as
    ``offset / scale``, so that the convolution's zero padding stays a zero after scaling, as in
    the TFLite network. Operators that none of the wanted outputs needs are left out.

    :param tflite: the file, or its contents.
    :param spec: the contract to present; its one input must be uint8[N,H,W,3], and
        ``tflite_outputs`` must name the TFLite tensor of each output.
    :param style: how to write PRelu and channel padding; the results agree to rounding.
    :returns: a checked model of opset 17 and IR version 8. ``metadata_props`` holds
        ``source_sha256``, ``licence``, ``producer_name``, ``producer_version`` and
        ``graph_style``.
    :raises ConversionError: when the file cannot be read, is not TFLite, is truncated or
        damaged, does not fit the spec, or uses an operator, element type or activation
        that is not supported; the message says which.
    """
    origin = str(tflite) if isinstance(tflite, Path) else f'{spec.name} ({len(tflite)} bytes)'
    try:
        content = tflite.read_bytes() if isinstance(tflite, Path) else tflite
    except OSError as error:
        raise ConversionError(f'{origin}: cannot be read: {error.strerror}') from error
    try:
        _check_spec(spec)
        builder = _Converter(read(content), spec, style).run()
        return builder.model(
            spec.name,
            spec.inputs,
            spec.outputs,
            producer_name=PRODUCER,
            producer_version=__version__,
            metadata={
                'source_sha256': hashlib.sha256(content).hexdigest(),
                'licence': LICENCE,
                'producer_name': PRODUCER,
                'producer_version': __version__,
                'graph_style': style.value,
            },
        )
    except ConversionError as error:
        raise ConversionError(f'{origin}: {error}') from error
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f'{origin}: shapes do not fit together: {error}') from error


def _check_spec(spec: ModelSpec) -> None:
    image = spec.inputs[0] if len(spec.inputs) == 1 else None
    if (
        image is None
        or image.dtype != np.uint8
        or len(image.shape) != 4
        or image.shape[0] != DYNAMIC
        or DYNAMIC in image.shape[1:]
    ):
        raise ConversionError(
            f'the spec must have one input uint8[N,H,W,C], not {", ".join(map(str, spec.inputs))}'
        )
    for output in spec.outputs:
        if (
            output.dtype != np.float32
            or output.shape[:1] != (DYNAMIC,)
            or (DYNAMIC in output.shape[1:])
        ):
            raise ConversionError(f'output {output} of the spec must be float32[N,...]')
    if not spec.scale > 0 or not math.isfinite(spec.scale) or not math.isfinite(spec.offset):
        raise ConversionError(f'cannot scale pixels by {spec.scale} and {spec.offset}')


@dataclass(frozen=True)
class _Value:
    """
    A tensor of the ONNX graph; NCHW where the TFLite tensor has four dimensions.

    :param name: its name.
    :param pending_scale: factor that its consumers still have to apply.
    """

    name: str
    pending_scale: float = 1.0


class _Converter:
    """Walks through one network; see :func:`convert`."""

    def __init__(self, graph: TfliteGraph, spec: ModelSpec, style: GraphStyle) -> None:
        self._graph = graph
        self._spec = spec
        self._style = style
        self._builder = GraphBuilder()
        self._values: dict[int, _Value] = {}
        self._constants: dict[int, npt.NDArray] = {
            index: tensor.values
            for index, tensor in enumerate(graph.tensors)
            if tensor.values is not None
        }

    def run(self) -> GraphBuilder:
        wanted = [(output, self._find_output(output)) for output in self._spec.outputs]
        operators = self._needed_operators([index for _, index in wanted])
        unknown = sorted({operator.kind for operator in operators} - _HANDLERS.keys())
        if unknown:
            raise ConversionError(f'unsupported operators: {", ".join(unknown)}')
        self._add_input()
        for operator in operators:
            if not operator.inputs or operator.inputs[0] < 0 or len(operator.outputs) != 1:
                raise ConversionError(
                    f'operator {operator.kind}: expected operands and one result, found '
                    f'{len(operator.inputs)} and {len(operator.outputs)}'
                )
            _HANDLERS[operator.kind](self, operator)
        for output, index in wanted:
            self._add_output(output, index)
        return self._builder

    def _add_input(self) -> None:
        image = self._spec.inputs[0]
        tensors = [self._graph.tensors[index] for index in self._graph.inputs]
        if (
            len(tensors) != 1
            or tensors[0].dtype != np.float32
            or tensors[0].shape != (1, *image.shape[1:])
        ):
            raise ConversionError(
                f'expected one input FLOAT32{[1, *image.shape[1:]]} for {image}, '
                f'found {", ".join(map(str, tensors)) or "none"}'
            )
        # The cast comes first: TensorRT takes uint8 inputs only where a cast follows directly.
        name = self._builder.node('Cast', [image.name], to=onnx.TensorProto.FLOAT)
        name = self._builder.node('Transpose', [name], perm=_TO_NCHW)
        if self._spec.offset:
            shift = self._builder.constant(np.float32(self._spec.offset / self._spec.scale))
            name = self._builder.node('Add', [name, shift])
        self._values[self._graph.inputs[0]] = _Value(name, self._spec.scale)

    def _find_output(self, output: TensorSpec) -> int:
        names = {
            name
            for name, canonical in self._spec.tflite_outputs.items()
            if canonical == output.name
        }
        size = math.prod(output.shape[1:])
        found = [
            index
            for index in self._graph.outputs
            if self._graph.tensors[index].name in names
            and math.prod(self._graph.tensors[index].shape) == size
        ]
        if len(found) != 1:
            outputs = ', '.join(str(self._graph.tensors[index]) for index in self._graph.outputs)
            raise ConversionError(
                f'expected one output named {" or ".join(sorted(names)) or "?"} with {size} '
                f'values for {output}, found {len(found)}; the file has {outputs or "none"}'
            )
        return found[0]

    def _needed_operators(self, outputs: Sequence[int]) -> list[TfliteOperator]:
        needed = set(outputs)
        operators = []
        for operator in reversed(self._graph.operators):
            if not needed.isdisjoint(operator.outputs):
                operators.append(operator)
                needed.update(operator.inputs)
        return operators[::-1]

    def _add_output(self, output: TensorSpec, index: int) -> None:
        tensor = self._graph.tensors[index]
        name = self._nhwc(self._scaled(index), tensor.shape)
        if tensor.shape[1:] == output.shape[1:] and len(tensor.shape) != 4:
            self._builder.node('Identity', [name], output=output.name)
        else:
            self._reshape(name, output.shape[1:], output=output.name)

    def _reshape(self, name: str, shape: Sequence[int], output: str | None = None) -> str:
        # 0 keeps the batch dimension as it comes.
        target = self._builder.constant(np.array([0, *shape], np.int64))
        return self._builder.node('Reshape', [name, target], output=output)

    def _nhwc(self, name: str, shape: Sequence[int]) -> str:
        """Bring a tensor's values into TFLite's order; its shape may remain NCHW's."""
        if len(shape) != 4 or shape[3] == 1 or shape[1] * shape[2] == 1:
            return name
        return self._builder.node('Transpose', [name], perm=_TO_NHWC)

    def _tensor(self, index: int) -> TfliteTensor:
        return self._graph.tensors[index]

    def _value(self, index: int) -> _Value:
        if index not in self._values:
            raise ConversionError(f'nothing computes tensor {self._tensor(index)} before its use')
        return self._values[index]

    def _scaled(self, index: int) -> str:
        value = self._value(index)
        if value.pending_scale == 1.0:
            return value.name
        factor = self._builder.constant(np.float32(value.pending_scale))
        return self._builder.node('Mul', [value.name, factor])

    def _set(self, operator: TfliteOperator, value: _Value | str) -> None:
        tensor = self._tensor(operator.outputs[0])
        if tensor.dtype != np.float32:
            raise ConversionError(
                f'operator {operator.kind}: result {tensor} has an unsupported element type'
            )
        if tensor.shape[:1] != (1,):
            raise ConversionError(f'operator {operator.kind}: result {tensor} mixes batch items')
        value = value if isinstance(value, _Value) else _Value(value)
        shape = (
            [tensor.shape[axis] for axis in _TO_NCHW] if len(tensor.shape) == 4 else tensor.shape
        )
        self._builder.annotate(TensorSpec(value.name, (DYNAMIC, *shape[1:]), tensor.dtype))
        self._values[operator.outputs[0]] = value

    def _constant(self, operator: TfliteOperator, position: int) -> npt.NDArray:
        """Get a constant operand: of float types as float32."""
        index = operator.inputs[position] if position < len(operator.inputs) else -1
        if index not in self._constants:
            what = self._tensor(index) if index >= 0 else f'operand {position}'
            raise ConversionError(
                f'operator {operator.kind}: {what} must be a constant of a supported type'
            )
        values = self._constants[index]
        if not np.isfinite(values).all():
            raise ConversionError(
                f'operator {operator.kind}: {self._tensor(index)} holds infinite or NaN values'
            )
        return values.astype(np.float32) if values.dtype == np.float16 else values

    def _activate(self, operator: TfliteOperator, name: str) -> str:
        code = operator.options['FusedActivationFunction']
        if code == schema.ActivationFunctionType.NONE:
            return name
        if code == schema.ActivationFunctionType.RELU:
            return self._builder.node('Relu', [name])
        limits = {
            schema.ActivationFunctionType.RELU6: (0, 6),
            schema.ActivationFunctionType.RELU_N1_TO_1: (-1, 1),
        }.get(code)
        if limits is None:
            activation = _ACTIVATION_NAMES.get(code, code)
            raise ConversionError(
                f'operator {operator.kind}: unsupported fused activation {activation}'
            )
        bounds = [self._builder.constant(np.float32(limit)) for limit in limits]
        return self._builder.node('Clip', [name, *bounds])

    def _padding(
        self, operator: TfliteOperator, kernel: Sequence[int], dilations: Sequence[int] = (1, 1)
    ) -> tuple[list[int], list[int]]:
        """
        Compute strides and explicit padding of a window operator.

        :returns: (rows, columns) strides; ONNX pads (top, left, bottom, right). TFLite's SAME
            puts the odd one at the end.
        """
        options = operator.options
        strides = [options['StrideH'], options['StrideW']]
        if min(*strides, *dilations, *kernel) < 1:
            raise ConversionError(f'operator {operator.kind}: impossible window or stride')
        if options['Padding'] == schema.Padding.VALID:
            return strides, [0, 0, 0, 0]
        before, after = [], []
        for size, window, stride, dilation in zip(
            self._shape4(operator, operator.inputs[0])[1:3], kernel, strides, dilations
        ):
            steps = -(-size // stride)
            total = max((steps - 1) * stride + (window - 1) * dilation + 1 - size, 0)
            before.append(total // 2)
            after.append(total - total // 2)
        return strides, before + after

    def _shape4(self, operator: TfliteOperator, index: int) -> tuple[int, ...]:
        shape = self._tensor(index).shape
        if len(shape) != 4 or 0 in shape:
            raise ConversionError(
                f'operator {operator.kind}: expected four dimensions, got {self._tensor(index)}'
            )
        return shape

    def _convolution(self, operator: TfliteOperator) -> None:
        weights = self._constant(operator, 1)
        channels = self._shape4(operator, operator.inputs[0])[3]
        if weights.ndim != 4 or weights.dtype != np.float32:
            raise ConversionError(f'operator {operator.kind}: weights must be four-dimensional')
        if operator.kind == 'DEPTHWISE_CONV_2D':
            # (1, rows, columns, out) to (out, 1, rows, columns)
            weights = weights.transpose(3, 0, 1, 2)
            group = channels
        else:
            # (out, rows, columns, in) to (out, in, rows, columns)
            weights = weights.transpose(0, 3, 1, 2)
            group = channels // weights.shape[1] if weights.shape[1] else 0
        if weights.shape[1] * group != channels or not group or weights.shape[0] % group:
            raise ConversionError(
                f'operator {operator.kind}: weights of {weights.shape[1]} channels do not fit '
                f'{self._tensor(operator.inputs[0])}'
            )
        dilations = [operator.options['DilationHFactor'], operator.options['DilationWFactor']]
        strides, pads = self._padding(operator, weights.shape[2:], dilations)
        value = self._value(operator.inputs[0])
        inputs = [value.name, self._builder.constant(_times(weights, value.pending_scale))]
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            inputs.append(self._builder.constant(self._constant(operator, 2)))
        result = self._builder.node(
            'Conv',
            inputs,
            kernel_shape=list(weights.shape[2:]),
            strides=strides,
            dilations=dilations,
            pads=pads,
            group=group,
        )
        self._set(operator, self._activate(operator, result))

    def _depthwise_1x1(self, name: str, factors: npt.NDArray[np.float32]) -> str:
        """Multiply each channel by its factor."""
        weights = self._builder.constant(factors.reshape(-1, 1, 1, 1))
        return self._builder.node('Conv', [name, weights], kernel_shape=[1, 1], group=len(factors))

    def _prelu(self, operator: TfliteOperator) -> None:
        channels = self._shape4(operator, operator.inputs[0])[3]
        slopes = self._constant(operator, 1)
        if (
            slopes.dtype != np.float32
            or slopes.size not in (1, channels)
            or (slopes.size != math.prod(slopes.shape[-1:]))
        ):
            raise ConversionError(
                f'operator PRELU: slopes of shape {list(slopes.shape)}; supported is one for '
                f'each of the {channels} channels'
            )
        slopes = np.broadcast_to(slopes.reshape(-1), channels).astype(np.float32)
        name = self._scaled(operator.inputs[0])
        if self._style is GraphStyle.NATIVE:
            constant = self._builder.constant(slopes.reshape(-1, 1, 1))
            self._set(operator, self._builder.node('PRelu', [name, constant]))
            return
        # PRelu(x) = x + (1 - slope) * Relu(-x). ONNX Runtime fuses the Relu into the first
        # convolution and the addition into the second.
        negated = self._depthwise_1x1(name, np.full(channels, -1, np.float32))
        negative_part = self._builder.node('Relu', [negated])
        correction = self._depthwise_1x1(negative_part, np.float32(1) - slopes)
        self._set(operator, self._builder.node('Add', [name, correction]))

    def _pad(self, operator: TfliteOperator) -> None:
        shape = self._shape4(operator, operator.inputs[0])
        amounts = self._constant(operator, 1)
        if amounts.shape != (4, 2) or amounts.dtype.kind != 'i' or (amounts < 0).any():
            raise ConversionError('operator PAD: expected four pairs of non-negative amounts')
        target = self._tensor(operator.outputs[0])
        if target.shape != tuple((amounts.sum(axis=1) + shape).tolist()):
            raise ConversionError(f'operator PAD: {amounts.tolist()} does not lead to {target}')
        before, after = (amounts[list(_TO_NCHW), side].tolist() for side in (0, 1))
        value = self._value(operator.inputs[0])
        # The padding is zero, so a factor may be applied after it as well as before.
        if self._style is GraphStyle.CONVOLUTIONS and not any(
            before[:1] + before[2:] + after[:1] + after[2:]
        ):
            weights = np.zeros((before[1] + shape[3] + after[1], shape[3], 1, 1), np.float32)
            channels = np.arange(shape[3])
            weights[before[1] + channels, channels] = 1
            name = self._builder.node(
                'Conv', [value.name, self._builder.constant(weights)], kernel_shape=[1, 1]
            )
        else:
            pads = self._builder.constant(np.array(before + after, np.int64))
            name = self._builder.node('Pad', [value.name, pads])
        self._set(operator, _Value(name, value.pending_scale))

    def _add(self, operator: TfliteOperator) -> None:
        if len(operator.inputs) != 2:
            raise ConversionError('operator ADD: expected two operands')
        rank = len(self._tensor(operator.outputs[0]).shape)
        names = []
        for position, index in enumerate(operator.inputs):
            if index in self._constants:
                values = self._constant(operator, position)
                if values.dtype != np.float32 or values.ndim > rank:
                    raise ConversionError(f'operator ADD: cannot add {self._tensor(index)}')
                values = values.reshape((1,) * (rank - values.ndim) + values.shape)
                names.append(
                    self._builder.constant(values.transpose(_TO_NCHW) if rank == 4 else values)
                )
            elif len(self._tensor(index).shape) == rank:
                names.append(self._scaled(index))
            else:
                raise ConversionError(f'operator ADD: cannot broadcast {self._tensor(index)}')
        self._set(operator, self._activate(operator, self._builder.node('Add', names)))

    def _max_pool(self, operator: TfliteOperator) -> None:
        self._shape4(operator, operator.inputs[0])
        kernel = [operator.options['FilterHeight'], operator.options['FilterWidth']]
        strides, pads = self._padding(operator, kernel)
        result = self._builder.node(
            'MaxPool',
            [self._scaled(operator.inputs[0])],
            kernel_shape=kernel,
            strides=strides,
            pads=pads,
        )
        self._set(operator, self._activate(operator, result))

    def _reshape_operator(self, operator: TfliteOperator) -> None:
        source = self._tensor(operator.inputs[0])
        target = self._tensor(operator.outputs[0])
        if math.prod(source.shape) != math.prod(target.shape) or target.shape[:1] != (1,):
            raise ConversionError(f'operator RESHAPE: cannot make {target} of {source}')
        name = self._nhwc(self._scaled(operator.inputs[0]), source.shape)
        name = self._reshape(name, target.shape[1:])
        if len(target.shape) == 4:
            name = self._builder.node('Transpose', [name], perm=_TO_NCHW)
        self._set(operator, name)

    def _concatenation(self, operator: TfliteOperator) -> None:
        rank = len(self._tensor(operator.outputs[0]).shape)
        axis = operator.options['Axis']
        axis += rank if axis < 0 else 0
        ranks = {len(self._tensor(index).shape) for index in operator.inputs}
        if not 0 < axis < rank or ranks != {rank}:
            raise ConversionError(f'operator CONCATENATION: cannot join along axis {axis}')
        names = [self._scaled(index) for index in operator.inputs]
        result = self._builder.node(
            'Concat', names, axis=_TO_NCHW.index(axis) if rank == 4 else axis
        )
        self._set(operator, self._activate(operator, result))

    def _resize_bilinear(self, operator: TfliteOperator) -> None:
        size = self._shape4(operator, operator.inputs[0])[1:3]
        target = self._shape4(operator, operator.outputs[0])[1:3]
        mode = 'asymmetric'
        if operator.options['AlignCorners']:
            mode = 'align_corners'
        elif operator.options['HalfPixelCenters']:
            mode = 'half_pixel'
        # Scales rather than sizes, because sizes would have to hold the batch size.
        scales = np.array([1, 1, target[0] / size[0], target[1] / size[1]], np.float32)
        if tuple(math.floor(a * float(b)) for a, b in zip(size, scales[2:])) != target:
            raise ConversionError(
                f'operator RESIZE_BILINEAR: cannot scale {list(size)} to {list(target)} exactly'
            )
        name = self._builder.node(
            'Resize',
            [self._scaled(operator.inputs[0]), '', self._builder.constant(scales)],
            mode='linear',
            coordinate_transformation_mode=mode,
        )
        self._set(operator, name)

    def _depth_to_space(self, operator: TfliteOperator) -> None:
        self._shape4(operator, operator.inputs[0])
        name = self._builder.node(
            'DepthToSpace',
            [self._scaled(operator.inputs[0])],
            blocksize=operator.options['BlockSize'],
            mode='DCR',
        )
        self._set(operator, name)

    def _elementwise(self, operator: TfliteOperator, op_type: str) -> None:
        self._set(operator, self._builder.node(op_type, [self._scaled(operator.inputs[0])]))

    def _relu(self, operator: TfliteOperator) -> None:
        self._elementwise(operator, 'Relu')

    def _logistic(self, operator: TfliteOperator) -> None:
        self._elementwise(operator, 'Sigmoid')

    def _fold_constant(self, operator: TfliteOperator) -> None:
        """Apply DENSIFY, already done by the reader, or DEQUANTIZE, of float16 weights."""
        values = self._constant(operator, 0)
        if values.dtype != np.float32:
            raise ConversionError(
                f'operator {operator.kind}: {self._tensor(operator.inputs[0])} is not float16'
            )
        self._constants[operator.outputs[0]] = values


def _times(weights: npt.NDArray[np.float32], factor: float) -> npt.NDArray[np.float32]:
    return (weights.astype(np.float64) * factor).astype(np.float32)


_HANDLERS: Mapping[str, Callable[[_Converter, TfliteOperator], None]] = {
    'ADD': _Converter._add,
    'CONCATENATION': _Converter._concatenation,
    'CONV_2D': _Converter._convolution,
    'DENSIFY': _Converter._fold_constant,
    'DEPTHWISE_CONV_2D': _Converter._convolution,
    'DEPTH_TO_SPACE': _Converter._depth_to_space,
    'DEQUANTIZE': _Converter._fold_constant,
    'LOGISTIC': _Converter._logistic,
    'MAX_POOL_2D': _Converter._max_pool,
    'PAD': _Converter._pad,
    'PRELU': _Converter._prelu,
    'RELU': _Converter._relu,
    'RESHAPE': _Converter._reshape_operator,
    'RESIZE_BILINEAR': _Converter._resize_bilinear,
}
