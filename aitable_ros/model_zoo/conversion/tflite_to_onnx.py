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
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from aitable_ros import __version__
from aitable_ros.inference.engine import DYNAMIC, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.conversion.onnx_graph import GraphBuilder
from aitable_ros.model_zoo.conversion.operators import OPERATORS
from aitable_ros.model_zoo.conversion.tflite_network import TO_NCHW, GraphStyle, Network, Value
from aitable_ros.model_zoo.conversion.tflite_reader import (
    ConversionError,
    TfliteGraph,
    TfliteOperator,
    read,
)

__all__ = ['ConversionError', 'GraphStyle', 'convert']

PRODUCER = 'aitable'
"""Producer name in the models' metadata."""

LICENCE = 'Apache-2.0'
"""Licence of MediaPipe's networks, kept in the models' metadata."""


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


class _Converter:
    """Walks through one network; see :func:`convert`."""

    def __init__(self, graph: TfliteGraph, spec: ModelSpec, style: GraphStyle) -> None:
        self._graph = graph
        self._spec = spec
        self._network = Network(graph, style)
        self._builder = self._network.builder

    def run(self) -> GraphBuilder:
        wanted = [(output, self._find_output(output)) for output in self._spec.outputs]
        operators = self._needed_operators([index for _, index in wanted])
        unknown = sorted({operator.kind for operator in operators} - OPERATORS.keys())
        if unknown:
            raise ConversionError(f'unsupported operators: {", ".join(unknown)}')
        self._add_input()
        for operator in operators:
            if not operator.inputs or operator.inputs[0] < 0 or len(operator.outputs) != 1:
                raise ConversionError(
                    f'operator {operator.kind}: expected operands and one result, found '
                    f'{len(operator.inputs)} and {len(operator.outputs)}'
                )
            result = OPERATORS[operator.kind](self._network, operator)
            if result is not None:
                self._network.set_result(operator, result)
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
        name = self._builder.node('Transpose', [name], perm=TO_NCHW)
        if self._spec.offset:
            shift = self._builder.constant(np.float32(self._spec.offset / self._spec.scale))
            name = self._builder.node('Add', [name, shift])
        self._network.set_input(self._graph.inputs[0], Value(name, self._spec.scale))

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
        name = self._network.nhwc(self._network.scaled(index), tensor.shape)
        if tensor.shape[1:] == output.shape[1:] and len(tensor.shape) != 4:
            self._builder.node('Identity', [name], output=output.name)
        else:
            self._network.reshape(name, output.shape[1:], output=output.name)
