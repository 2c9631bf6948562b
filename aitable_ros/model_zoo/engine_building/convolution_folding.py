# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Fewer and larger kernels for GPUs, to which many small ones cost more than the arithmetic.

MediaPipe's networks for phones are made of depthwise separable convolutions (a 3x3 convolution of
each channel by itself, then a 1x1 convolution across the channels; Howard et al. 2017,
arXiv:1704.04861), residual connections (He et al. 2016) and PReLU. Nothing nonlinear stands
between the two convolutions, so that one dense 3x3 convolution gives the same, and adding its
input is one more tap of it. PReLU is linear in the two halves Relu(x) and Relu(-x): a convolution
that gives both x and -x, with the Relu that every GPU kernel can end with, replaces it, and the
slopes go into the weights of what follows.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from aitable_ros.model_zoo.conversion.onnx_graph import rewritten

MAX_MULTIPLICATIONS = 100_000_000
"""Multiplications per image of the largest convolution that is made. FaceMesh's need 21 million
each when dense, 85 million with twice the channels, BlazeFace's up to 25 million: with tensor
cores not much more time than it takes to launch a kernel."""

_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Folded:
    """
    A network and what was done to it.

    :param model: gives the same as before, up to rounding.
    :param separable: depthwise separable convolutions that became dense ones.
    :param residual: additions that became taps of convolutions.
    :param rectified: PReLU that became Relu.
    """

    model: onnx.ModelProto
    separable: int = 0
    residual: int = 0
    rectified: int = 0


def fold_convolutions(model: onnx.ModelProto, *, rectify: bool = True) -> Folded:
    """
    Bring a network into a form that takes fewer kernels.

    :param model: in FP32, its nodes with names of their own; left as it is.
    :param rectify: also replace PReLU, at the price of twice the channels.
    :raises onnx.shape_inference.InferenceError: when the graph contradicts itself.
    """
    attributes = (attribute for node in model.graph.node for attribute in node.attribute)
    if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in attributes):
        return Folded(model)  # what happens in branches and loops would have to be followed
    graph = _Graph(model)
    separable = graph.fold_separable()
    residual = graph.fold_residual()
    rectified = graph.rectify() if rectify else 0
    if not separable and not residual and not rectified:
        return Folded(model)
    return Folded(graph.model(), separable, residual, rectified)


def _shapes_of(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor; 0 for a size left open."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    return {
        info.name: tuple(size.dim_value for size in info.type.tensor_type.shape.dim)
        for info in (*graph.input, *graph.value_info, *graph.output)
    }


@dataclass(frozen=True)
class _Convolution:
    """A convolution in two dimensions with constant weights and zeros around its input."""

    weights: _Floats  # (outputs, inputs / groups, height, width)
    bias: _Floats
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    groups: int = 1

    @property
    def pointwise(self) -> bool:
        """Whether it only combines channels, pixel by pixel."""
        plain = self.strides == (1, 1) and not any(self.pads) and self.groups == 1
        return plain and self.weights.shape[2:] == (1, 1)

    @property
    def keeps_size(self) -> bool:
        """Whether there is an output pixel for each input pixel."""
        rows, columns = self.weights.shape[2:]
        top, left, bottom, right = self.pads
        fits = top + bottom == rows - 1 and left + right == columns - 1
        return self.strides == (1, 1) and fits

    def then(self, mixed: _Floats, bias: _Floats | float = 0.0) -> _Convolution:
        """Return the one that does this and then combines the channels: (outputs, channels)."""
        outputs, per_group, rows, columns = self.weights.shape
        each = outputs // self.groups
        mix = mixed.astype(np.float64)
        dense = np.zeros((len(mix), per_group * self.groups, rows, columns))
        for group in range(self.groups):
            inner = slice(group * each, (group + 1) * each)
            inputs = slice(group * per_group, (group + 1) * per_group)
            dense[:, inputs] = np.einsum('om,mikl->oikl', mix[:, inner], self.weights[inner])
        added = (mix @ self.bias + bias).astype(np.float32)
        return _Convolution(dense.astype(np.float32), added, self.strides, self.pads)

    def after(self, mixed: _Floats) -> _Convolution:
        """Return the one that combines the channels, (channels, inputs), and then does this."""
        weights = np.einsum('omkl,mi->oikl', self.weights.astype(np.float64), mixed)
        return dataclasses.replace(self, weights=weights.astype(np.float32))

    def plus_input(self) -> _Convolution:
        """Return the one that adds its input to the first of its output channels."""
        weights = self.weights.copy()
        channels = range(weights.shape[1])
        weights[channels, channels, self.pads[0], self.pads[1]] += 1.0
        return dataclasses.replace(self, weights=weights)


class _Graph:
    """A graph in which convolutions are replaced."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._shapes = _shapes_of(model)
        self._outputs = {output.name for output in model.graph.output}
        self._constants = {entry.name: entry for entry in model.graph.initializer}
        self._nodes = [copy.deepcopy(node) for node in model.graph.node]

    def fold_separable(self) -> int:
        """Join each grouped convolution with the pointwise one that alone takes its output."""
        count = 0
        for second in list(self._nodes):
            pointwise = self._convolution(second)
            first = self._producer(second.input[0]) if pointwise and pointwise.pointwise else None
            grouped = self._convolution(first)
            if pointwise is None or first is None or grouped is None or grouped.groups == 1:
                continue
            if not self._has_one_user(first.output[0]):
                continue
            dense = grouped.then(pointwise.weights[:, :, 0, 0], pointwise.bias)
            if self._is_too_large(second, dense):
                continue
            self._replace(second, first.input[0], dense)
            self._remove(first)
            count += 1
        return count

    def fold_residual(self) -> int:
        """Make taps of additions whose one operand is a convolution of the other."""
        count = 0
        for add in [node for node in self._nodes if node.op_type == 'Add']:
            for result, other in (tuple(add.input), tuple(add.input)[::-1]):
                node = self._producer(result)
                convolution = self._convolution(node)
                if node is None or convolution is None or not self._has_one_user(result):
                    continue
                if self._shapes.get(result) != self._shapes.get(other):
                    continue  # one is spread over the other
                widening = self._widening(other)
                source = widening.input[0] if widening is not None else other
                outputs, inputs = convolution.weights.shape[:2]
                if source != node.input[0] or not convolution.keeps_size:
                    continue
                if convolution.groups != 1 or (outputs != inputs and widening is None):
                    continue
                made = self._replace(node, source, convolution.plus_input())
                made.output[0] = add.output[0]
                # where the sum stood, so that nodes stay in order
                self._remove(made)
                self._nodes[self._position(add)] = made
                if widening is not None and not self._users(other):
                    self._remove(widening)
                count += 1
                break
        return count

    def rectify(self) -> int:
        """Write each PReLU behind a convolution as a Relu of twice the channels."""
        return sum(self._rectify(node) for node in list(self._nodes) if node.op_type == 'PRelu')

    def _rectify(self, prelu: onnx.NodeProto) -> bool:
        value, result = prelu.input[0], prelu.output[0]
        node, add, beside = self._producer(value), None, ''
        if node is not None and node.op_type == 'Add':
            add, node = node, None
            for name, other in (tuple(add.input), tuple(add.input)[::-1]):
                # not where one is spread over the other
                alike = self._shapes.get(name) == self._shapes.get(other) is not None
                if alike and self._has_one_user(name) and self._convolution(self._producer(name)):
                    node, beside = self._producer(name), other
                    break
        convolution = self._convolution(node)
        if node is None or convolution is None or convolution.groups != 1:
            return False
        channels = len(convolution.weights)
        slopes = self._slopes(prelu, channels)
        if slopes is None or not self._has_one_user(value) or result in self._outputs:
            return False
        one = np.eye(channels, dtype=np.float32)
        both = np.concatenate([one, -one])
        doubled = convolution.then(both)
        if self._is_too_large(node, doubled):
            return False
        users = self._users(result)
        taking = [(user, self._convolution(user)) for user in users]
        linear = all(c is not None and c.groups == 1 for _, c in taking)
        widening = self._widening(beside) if add is not None else None
        # What cannot take both halves, and what is added to them, needs a kernel more.
        if add is not None and widening is None and not linear:
            return False
        made = self._replace(node, node.input[0], doubled)
        if add is not None:
            source, mixed = beside, both
            if widening is not None:
                source = widening.input[0]
                mixed = both[:, : channels - int(self._array(widening.input[1])[5])]
            del add.input[:]
            add.input.extend([made.output[0], ''])
            add.input[1] = self._insert(add, source, mixed, f'{value}_both')
            if widening is not None and not self._users(beside):
                self._remove(widening)
        prelu.op_type = 'Relu'
        del prelu.input[1:]
        joined = np.concatenate([one, -np.diag(slopes)], axis=1)
        whole = ''
        for user, taken in taking:
            if taken is not None and taken.groups == 1:
                self._replace(user, result, taken.after(joined))
                continue
            whole = whole or self._insert(user, result, joined, f'{result}_whole')
            for position, name in enumerate(user.input):
                if name == result:
                    user.input[position] = whole
        return True

    def model(self) -> onnx.ModelProto:
        """Return the graph as a checked model."""
        return rewritten(self._model, self._nodes, self._constants.values())

    def _convolution(self, node: onnx.NodeProto | None) -> _Convolution | None:
        """Return the convolution that a node computes, if it is one that can be folded."""
        if node is None or node.op_type != 'Conv':
            return None
        if any(name not in self._constants for name in node.input[1:] if name):
            return None
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        weights = self._array(node.input[1])
        if weights.ndim != 4 or given.get('auto_pad', b'NOTSET') != b'NOTSET':
            return None
        if weights.dtype != np.float32 or any(step != 1 for step in given.get('dilations', ())):
            return None
        has_bias = len(node.input) > 2 and node.input[2]
        return _Convolution(
            weights,
            self._array(node.input[2]) if has_bias else np.zeros(len(weights), np.float32),
            tuple(given.get('strides', (1, 1))),
            tuple(given.get('pads', (0, 0, 0, 0))),
            given.get('group', 1),
        )

    def _widening(self, name: str) -> onnx.NodeProto | None:
        """Return the node that made a tensor, if it only appends channels of zeros."""
        node = self._producer(name)
        if node is None or node.op_type != 'Pad' or len(node.input) not in (2, 3):
            return None
        mode = next((helper.get_attribute_value(a) for a in node.attribute), b'constant')
        if mode != b'constant' or any(n and n not in self._constants for n in node.input[1:]):
            return None
        if len(node.input) == 3 and node.input[2] and self._array(node.input[2]).any():
            return None
        amounts = self._array(node.input[1])
        before_and_around = [*range(5), 6, 7]
        if len(amounts) != 8 or amounts[before_and_around].any() or amounts[5] < 0:
            return None
        return node

    def _slopes(self, prelu: onnx.NodeProto, channels: int) -> _Floats | None:
        if prelu.input[1] not in self._constants:
            return None
        slopes = self._array(prelu.input[1])
        fits = slopes.shape in ((channels, 1, 1), (1, channels, 1, 1))
        return slopes.reshape(-1) if fits else None

    def _is_too_large(self, node: onnx.NodeProto, convolution: _Convolution) -> bool:
        pixels = math.prod(self._shapes.get(node.output[0], (0,))[2:])
        return not 0 < convolution.weights.size * pixels <= MAX_MULTIPLICATIONS

    def _replace(
        self, node: onnx.NodeProto, source: str, convolution: _Convolution
    ) -> onnx.NodeProto:
        """Put a convolution where a node is; its name and output stay."""
        names = []
        for role, values in (('weights', convolution.weights), ('bias', convolution.bias)):
            name = f'{node.name}_{role}_{len(self._constants)}'
            values = np.ascontiguousarray(values, np.float32)
            self._constants[name] = numpy_helper.from_array(values, name)
            names.append(name)
        made = helper.make_node(
            'Conv',
            [source, *names],
            list(node.output),
            name=node.name,
            kernel_shape=convolution.weights.shape[2:],
            strides=convolution.strides,
            pads=convolution.pads,
            group=convolution.groups,
        )
        self._nodes[self._position(node)] = made
        return made

    def _insert(self, before: onnx.NodeProto, source: str, mixed: _Floats, name: str) -> str:
        """Combine the channels of a tensor by (outputs, inputs) before a node; return its name."""
        made = helper.make_node('Conv', [source], [name], name=name)
        self._nodes.insert(self._position(before), made)
        bias = np.zeros(len(mixed), np.float32)
        self._replace(made, source, _Convolution(mixed[:, :, None, None], bias))
        return name

    def _position(self, node: onnx.NodeProto) -> int:
        # not index(): it compares contents
        return next(i for i, other in enumerate(self._nodes) if other is node)

    def _remove(self, node: onnx.NodeProto) -> None:
        del self._nodes[self._position(node)]

    def _array(self, name: str) -> npt.NDArray:
        return numpy_helper.to_array(self._constants[name])

    def _producer(self, name: str) -> onnx.NodeProto | None:
        return next((node for node in self._nodes if name in node.output), None)

    def _users(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self._nodes if name in node.input]

    def _has_one_user(self, name: str) -> bool:
        taken = sum(list(node.input).count(name) for node in self._nodes)
        return taken == 1 and name not in self._outputs
