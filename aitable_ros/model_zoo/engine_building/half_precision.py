# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
FP16 for ONNX graphs: which nodes have to stay in FP32, and the graph with the others in FP16.

FP16 ends at 65,504 and has 11 bits. BlazeFace's heads give up to 30,680 on a black picture, and
kernels that add up in FP16 get there sooner; landmarks in pixels beyond 128 would be rounded to
an eighth. Neither costs time where only the heads, which are small, are computed in FP32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from aitable_ros.model_zoo.conversion.onnx_graph import rewritten

MAX_MAGNITUDE = 8192.0
"""Values beyond an eighth of what FP16 can hold (65,504): nodes that see any stay in FP32."""

WEIGHTED_OPERATORS = frozenset({'Conv', 'ConvTranspose', 'Gemm', 'MatMul'})
"""Operators that sum up products with weights."""

_FP32_ONLY = frozenset(
    {
        'DequantizeLinear',
        'DynamicQuantizeLinear',
        'Multinomial',
        'NonMaxSuppression',
        'QuantizeLinear',
        'RandomNormal',
        'RandomUniform',
        'Range',
    }
)
"""Operators whose FP32 operands or results may not become FP16 (in opset 17)."""

_FP32_OPERANDS: Mapping[str, tuple[int, ...]] = MappingProxyType({'Resize': (1, 2)})
"""Operands that are FP32 whatever the others are; of Resize the region and the scales."""


class PrecisionError(ValueError):
    """The graph has something that cannot be brought to FP16."""


def head_nodes(model: onnx.ModelProto) -> frozenset[str]:
    """
    Return the nodes that compute the outputs: back to the last weights before each, inclusive.

    What else follows from these alone, as where to look for details, is one of them, too.

    :param model: whose nodes have names.
    """
    constant = {entry.name for entry in model.graph.initializer}
    varying = {entry.name for entry in model.graph.input} - constant
    for node in model.graph.node:
        if not varying.isdisjoint(node.input):
            varying.update(node.output)
    producers = {name: node for node in model.graph.node for name in node.output if name}
    heads = set()
    pending = [output.name for output in model.graph.output]
    while pending:
        node = producers.get(pending.pop())
        if node is None or node.name in heads:
            continue
        heads.add(node.name)
        # MatMul may as well multiply what was computed before
        if node.op_type not in WEIGHTED_OPERATORS or varying.issuperset(node.input):
            pending += [name for name in node.input if name]
    exact: set[str] = set()
    for node in model.graph.node:
        taken = varying.intersection(node.input)
        if node.name in heads or (taken and taken <= exact):
            heads.add(node.name)
            exact.update(node.output)
    return frozenset(heads)


def first_nodes(model: onnx.ModelProto, count: int) -> frozenset[str]:
    """
    Return the nodes up to and including one of those with weights, in the graph's order.

    :param model: whose nodes have names.
    :param count: which one; 0 for no nodes at all.
    """
    weighted = [i for i, n in enumerate(model.graph.node) if n.op_type in WEIGHTED_OPERATORS]
    end = weighted[min(count, len(weighted)) - 1] + 1 if count and weighted else 0
    return frozenset(node.name for node in model.graph.node[:end])


def float_nodes(model: onnx.ModelProto) -> frozenset[str]:
    """
    Return the nodes that compute nothing but FP32, as far as that is known.

    The others, as those that compute shapes, or in FP16 already, cannot be held in FP32.

    :param model: in FP32, whose nodes have names.
    """
    types = _element_types(model, strict=False)
    return frozenset(
        node.name
        for node in model.graph.node
        if node.op_type != 'Constant'
        and all(
            (types.get(name) or TensorProto.FLOAT) == TensorProto.FLOAT for name in node.output
        )
    )


def large_valued_nodes(
    model: onnx.ModelProto,
    batches: Iterable[Mapping[str, npt.NDArray]],
    *,
    limit: float = MAX_MAGNITUDE,
) -> dict[str, float]:
    """
    Run a network in FP32 and return the nodes that take or give large values.

    :param model: whose nodes have names.
    :param batches: inputs to run it on, see :func:`probe_images`.
    :param limit: values beyond it, or not finite, count as large.
    :returns: the largest magnitude seen, by node.
    :raises ImportError: when ONNX Runtime is not installed.
    """
    import onnxruntime

    types = _element_types(model)
    observed = copy.deepcopy(model)
    present = {output.name for output in model.graph.output}
    names = [
        name
        for node in model.graph.node
        for name in node.output
        if types.get(name) == TensorProto.FLOAT
    ]
    observed.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if name not in present
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        observed.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    magnitudes = dict.fromkeys(names, 0.0)
    for batch in batches:
        for name, values in zip(names, session.run(names, dict(batch))):
            magnitude = float(np.abs(values).max(initial=0.0))
            # NaN compares false, so it would be lost in max()
            magnitudes[name] = (
                max(magnitudes[name], magnitude) if np.isfinite(magnitude) else np.inf
            )
    large = {}
    for node in model.graph.node:
        seen = max((magnitudes.get(name, 0.0) for name in (*node.input, *node.output)), default=0)
        if seen > limit:
            large[node.name] = seen
    return large


def probe_images(shape: Sequence[int]) -> list[npt.NDArray[np.uint8]]:
    """
    Return pictures that drive networks to extremes: black, white, grey, and noise.

    :param shape: (height, width, channels).
    :returns: arrays (1, height, width, channels).
    """
    noise = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    return [*(np.full((1, *shape), level, np.uint8) for level in (0, 255, 128)), noise]


def to_half(model: onnx.ModelProto, keep: Iterable[str] = ()) -> onnx.ModelProto:
    """
    Return the network with all but some nodes in FP16, for strongly typed TensorRT networks.

    Inputs and outputs keep their types. Casts stand where FP16 and FP32 meet.

    :param model: in FP32.
    :param keep: names of nodes that stay in FP32.
    :raises PrecisionError: when the graph has control flow.
    """
    for node in model.graph.node:
        if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute):
            raise PrecisionError(f'{node.op_type} {node.name}: control flow is not supported')
    return _HalfPass(model, frozenset(keep)).run()


class _HalfPass:
    """Walks through one graph; see :func:`to_half`."""

    def __init__(self, model: onnx.ModelProto, keep: frozenset[str]) -> None:
        self._model = model
        self._keep = keep
        self._types = _element_types(model)
        self._constants = {entry.name: entry for entry in model.graph.initializer}
        self._now: dict[str, int] = dict(self._types)
        self._made: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._new_constants: list[onnx.TensorProto] = []

    def run(self) -> onnx.ModelProto:
        outputs = {output.name for output in self._model.graph.output}
        for node in self._model.graph.node:
            if node.op_type == 'Constant' and node.attribute[0].name == 'value':
                tensor = copy.deepcopy(node.attribute[0].t)
                tensor.name = node.output[0]
                self._constants[tensor.name] = tensor
                if tensor.name in outputs:
                    self._nodes.append(node)
                continue
            self._convert(node, outputs)
        constants = (*self._constants.values(), *self._new_constants)
        return rewritten(self._model, self._nodes, constants)

    def _convert(self, node: onnx.NodeProto, outputs: set[str]) -> None:
        half = self._becomes_half(node)
        made = copy.deepcopy(node)
        fixed = _FP32_OPERANDS.get(node.op_type, ())
        for position, name in enumerate(node.input):
            if self._types.get(name) == TensorProto.FLOAT:
                want = TensorProto.FLOAT16 if half and position not in fixed else TensorProto.FLOAT
                made.input[position] = self._as(name, want)
        if half:
            for attribute in made.attribute:
                if node.op_type == 'Cast' and attribute.name == 'to':
                    attribute.i = TensorProto.FLOAT16
                elif attribute.type == onnx.AttributeProto.TENSOR:
                    attribute.t.CopyFrom(_half_tensor(attribute.t, attribute.t.name))
        self._nodes.append(made)
        for position, name in enumerate(node.output):
            if not half or self._types.get(name) != TensorProto.FLOAT:
                continue
            if name in outputs:
                made.output[position] = inner = f'{name}_half'
                self._types[inner] = TensorProto.FLOAT
                self._now[inner] = TensorProto.FLOAT16
                self._made[name, TensorProto.FLOAT16] = inner
                self._cast(inner, TensorProto.FLOAT, name)
            else:
                self._now[name] = TensorProto.FLOAT16

    def _becomes_half(self, node: onnx.NodeProto) -> bool:
        if node.name in self._keep or node.op_type in _FP32_ONLY:
            return False
        if all(self._types.get(name) != TensorProto.FLOAT for name in node.output):
            return False
        for name in node.input:
            constant = self._constants.get(name)
            if constant is not None and constant.data_type == TensorProto.FLOAT:
                values = numpy_helper.to_array(constant)
                if values.size and np.abs(values).max() > np.finfo(np.float16).max:
                    return False
        return True

    def _as(self, name: str, want: int) -> str:
        """Return the name under which a tensor is there in the type wanted."""
        if self._now[name] == want:
            return name
        if (name, want) not in self._made:
            made = f'{name}_{"half" if want == TensorProto.FLOAT16 else "float"}'
            self._made[name, want] = made
            if name in self._constants:
                self._new_constants.append(_half_tensor(self._constants[name], made))
            else:
                self._cast(name, want, made)
        return self._made[name, want]

    def _cast(self, source: str, want: int, target: str) -> None:
        self._nodes.append(
            helper.make_node('Cast', [source], [target], name=f'{target}_cast', to=want)
        )


def _half_tensor(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    if tensor.data_type != TensorProto.FLOAT:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name)


def _element_types(model: onnx.ModelProto, *, strict: bool = True) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=strict).graph
    types = {entry.name: entry.data_type for entry in graph.initializer}
    for info in (*graph.input, *graph.value_info, *graph.output):
        types[info.name] = info.type.tensor_type.elem_type
    return types
