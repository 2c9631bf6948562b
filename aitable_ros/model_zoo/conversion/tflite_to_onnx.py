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
import itertools
import math
from collections.abc import Sequence

import numpy as np
import onnx

from aitable_ros.inference.model_spec import ModelSpec, TensorSpec
from aitable_ros.model_zoo.conversion.attention_operators import ATTENTION_OPERATORS
from aitable_ros.model_zoo.conversion.onnx_graph import PRODUCER, GraphBuilder
from aitable_ros.model_zoo.conversion.operators import OPERATORS
from aitable_ros.model_zoo.conversion.tflite_network import GraphStyle, Network, Value
from aitable_ros.model_zoo.conversion.tflite_reader import (
    ConversionError,
    TfliteGraph,
    TfliteOperator,
    read,
)


def convert(
    content: bytes,
    spec: ModelSpec,
    *,
    style: GraphStyle = GraphStyle.CONVOLUTIONS,
    licence: str = 'Apache-2.0',
) -> onnx.ModelProto:
    """
    Convert a TFLite network to ONNX.

    ``pixel * spec.scale + spec.offset`` is part of the graph: the factor goes into the weights
    of the first convolution and the offset is added to the pixels before it as
    ``offset / scale``, so that the convolution's zero padding stays a zero after scaling, as in
    the TFLite network. Operators that none of the wanted outputs needs are left out.

    :param content: of the file.
    :param spec: the contract to present; its one input must be uint8[N,H,W,3], and
        ``tflite_outputs`` must name the TFLite tensor of each output.
    :param style: how to write PRelu and channel padding; the results agree to rounding.
    :param licence: of the file; MediaPipe's by default.
    :returns: a checked model of opset 17 and IR version 8. ``metadata_props`` holds
        ``source_sha256``, ``licence``, ``producer_name``, ``producer_version`` and
        ``graph_style``.
    :raises ConversionError: when it is not TFLite, is truncated or damaged, does not fit the
        spec, or uses an operator, element type or activation that is not supported; the
        message says which.
    """
    origin = f'{spec.name} ({len(content)} bytes)'
    try:
        return _write(read(content), spec, style).model(
            spec.name,
            spec.inputs,
            spec.outputs,
            {
                'source_sha256': hashlib.sha256(content).hexdigest(),
                'licence': licence,
                **PRODUCER,
                'graph_style': style.value,
            },
        )
    except ConversionError as error:
        raise ConversionError(f'{origin}: {error}') from error
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f'{origin}: shapes do not fit together: {error}') from error


def _write(graph: TfliteGraph, spec: ModelSpec, style: GraphStyle) -> GraphBuilder:
    network = Network(graph, style)
    wanted = [(output, _find_output(graph, spec, output)) for output in spec.outputs]
    operators = _needed_operators(graph, [index for _, index in wanted])
    known = OPERATORS.keys() | ATTENTION_OPERATORS.keys()
    unknown = sorted({operator.kind for operator in operators} - known)
    if unknown:
        raise ConversionError(f'unsupported operators: {", ".join(unknown)}')
    _add_input(network, graph, spec)
    for operator in operators:
        if not operator.inputs or operator.inputs[0] < 0 or len(operator.outputs) != 1:
            raise operator.error(
                f'expected operands and one result, found {len(operator.inputs)} and'
                f' {len(operator.outputs)}'
            )
    for kind, group in itertools.groupby(operators, key=lambda operator: operator.kind):
        if kind in ATTENTION_OPERATORS:
            ATTENTION_OPERATORS[kind](network, list(group))
            continue
        for operator in group:
            result = OPERATORS[kind](network, operator)
            if result is not None:
                network.set_result(operator, result)
    for output, index in wanted:
        shape = graph.tensors[index].shape
        name = network.nhwc(network.scaled(index), shape)
        if shape[1:] == output.shape[1:] and len(shape) != 4:
            network.builder.node('Identity', [name], output=output.name)
        else:
            network.reshape(name, output.shape[1:], output=output.name)
    return network.builder


def _add_input(network: Network, graph: TfliteGraph, spec: ModelSpec) -> None:
    image = spec.inputs[0]
    shape = (1, *image.shape[1:])
    tensors = [graph.tensors[index] for index in graph.inputs]
    if len(tensors) != 1 or tensors[0].dtype != np.float32 or tensors[0].shape != shape:
        raise ConversionError(
            f'expected one input FLOAT32{list(shape)} for {image}, '
            f'found {", ".join(map(str, tensors)) or "none"}'
        )
    name = network.builder.image(image.name)
    if spec.offset:
        shift = network.builder.constant(np.float32(spec.offset / spec.scale))
        name = network.builder.node('Add', [name, shift])
    network.values[graph.inputs[0]] = Value(name, spec.scale)


def _find_output(graph: TfliteGraph, spec: ModelSpec, output: TensorSpec) -> int:
    names = {name for name, own in spec.tflite_outputs.items() if own == output.name}
    size = math.prod(output.shape[1:])
    found = [
        index
        for index in graph.outputs
        if graph.tensors[index].name in names and math.prod(graph.tensors[index].shape) == size
    ]
    if len(found) != 1:
        outputs = ', '.join(str(graph.tensors[index]) for index in graph.outputs)
        raise ConversionError(
            f'expected one output named {" or ".join(sorted(names)) or "?"} with {size} '
            f'values for {output}, found {len(found)}; the file has {outputs or "none"}'
        )
    return found[0]


def _needed_operators(graph: TfliteGraph, outputs: Sequence[int]) -> list[TfliteOperator]:
    needed = set(outputs)
    operators = []
    for operator in reversed(graph.operators):
        if not needed.isdisjoint(operator.outputs):
            operators.append(operator)
            needed.update(operator.inputs)
    return operators[::-1]
