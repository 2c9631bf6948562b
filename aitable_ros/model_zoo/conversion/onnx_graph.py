# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Write an ONNX graph node by node."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from aitable_ros import __version__
from aitable_ros.inference.model_spec import DYNAMIC, TensorSpec

OPSET = 17
"""Operator set of the graphs: the newest one that TensorRT 8.6's parser knows."""

IR_VERSION = 8
"""File format version that belongs to opset 17; ONNX Runtime >= 1.12 and TensorRT 8.6 read it."""

TO_NCHW = (0, 3, 1, 2)
"""Permutation of the dimensions of NHWC."""

PRODUCER = {'producer_name': 'aitable', 'producer_version': __version__}
"""Who made a model, for its metadata."""


class GraphBuilder:
    """Collects nodes and constants and makes a checked model of them."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._annotations: list[onnx.ValueInfoProto] = []
        self._constant_names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def node(
        self,
        op_type: str,
        inputs: Sequence[str],
        *,
        output: str | None = None,
        **attributes: Any,
    ) -> str:
        """
        Add a node with one output.

        :param op_type: operator of the default ONNX domain.
        :param inputs: names of the input tensors.
        :param output: name of the output tensor; made up when left out.
        :param attributes: the operator's attributes.
        :returns: name of the output tensor.
        """
        name = f'{op_type}_{len(self._nodes)}'
        output = output or f'{name}_out'
        self._nodes.append(
            helper.make_node(op_type, list(inputs), [output], name=name, **attributes)
        )
        return output

    def image(self, name: str) -> str:
        """Bring the uint8 NHWC input of this name to float NCHW; return the tensor's name."""
        # The cast comes first: TensorRT takes uint8 inputs only where a cast follows directly.
        return self.node(
            'Transpose', [self.node('Cast', [name], to=onnx.TensorProto.FLOAT)], perm=TO_NCHW
        )

    def constant(self, array: npt.ArrayLike) -> str:
        """Add a constant, whose dtype is kept; return its name. Equal arrays share one."""
        values = np.array(array, order='C')
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._constant_names:
            name = f'constant_{len(self._constants)}'
            self._constants.append(numpy_helper.from_array(values, name))
            self._constant_names[key] = name
        return self._constant_names[key]

    def annotate(self, tensor: TensorSpec) -> None:
        """State the shape of a node's output; the check of the model compares it."""
        self._annotations.append(_value_info(tensor))

    def model(
        self,
        name: str,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> onnx.ModelProto:
        """
        Make the model and check it, shapes and types included.

        :param name: name of the graph.
        :param inputs: the graph's inputs; :data:`~aitable_ros.inference.model_spec.DYNAMIC`
            dimensions are named ``N``.
        :param outputs: the graph's outputs.
        :param metadata: key-value pairs for ``metadata_props``.
        :raises onnx.checker.ValidationError: when the graph is not valid ONNX.
        :raises onnx.shape_inference.InferenceError: when the declared outputs or annotations
            contradict the nodes.
        """
        graph = helper.make_graph(
            self._nodes,
            name,
            [_value_info(spec) for spec in inputs],
            [_value_info(spec) for spec in outputs],
            self._constants,
            value_info=self._annotations,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid('', OPSET)],
            ir_version=IR_VERSION,
            **PRODUCER,
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model


def rewritten(
    model: onnx.ModelProto,
    nodes: Iterable[onnx.NodeProto],
    constants: Iterable[onnx.TensorProto],
) -> onnx.ModelProto:
    """
    Return a model with other nodes, checked; of the constants it has those that are used.

    :raises onnx.checker.ValidationError: when it is not valid ONNX.
    """
    made = copy.deepcopy(model)
    graph = made.graph
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    used = {name for node in graph.node for name in node.input}
    used.update(output.name for output in graph.output)
    graph.initializer.extend(constant for constant in constants if constant.name in used)
    onnx.checker.check_model(made, full_check=True)
    return made


def _value_info(spec: TensorSpec) -> onnx.ValueInfoProto:
    shape = ['N' if size == DYNAMIC else size for size in spec.shape]
    return helper.make_tensor_value_info(
        spec.name, helper.np_dtype_to_tensor_dtype(spec.dtype), shape
    )
