# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The custom operators of MediaPipe's attention mesh (arXiv:2006.10962), in ONNX's.

What they compute is that of ``mediapipe/util/tflite/operations`` (0.10.21), version 2 of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from aitable_ros.model_zoo.conversion.tflite_network import Network
from aitable_ros.model_zoo.conversion.tflite_reader import TfliteOperator


def _floats(net: Network, values: npt.ArrayLike) -> str:
    return net.builder.constant(np.asarray(values, np.float32))


def _set_results(net: Network, operators: Sequence[TfliteOperator], name: str, axis: int) -> None:
    for i, operator in enumerate(operators):
        part = net.builder.node('Gather', [name, net.builder.constant(i)], axis=axis)
        net.set_result(operator, part)


def _landmarks_to_matrices(net: Network, operators: Sequence[TfliteOperator]) -> None:
    """
    Write Landmarks2TransformMatrix: [N,P,3] landmarks to [N,4,4], from a crop to them.

    Turned so that two of the landmarks are level, the crop is the tight box around a subset of
    them, each side enlarged by its factor.
    """
    add, constant = net.builder.node, net.builder.constant
    count = math.prod(net.tensors[operators[0].inputs[0]].shape) // 3
    shapes = {net.tensors[operator.inputs[0]].shape for operator in operators}

    def options(*names: str) -> npt.NDArray[np.float64]:
        return np.array([[operator.options[name] for name in names] for operator in operators])

    scales, sizes = options('scale_x', 'scale_y'), options('output_width', 'output_height')
    subsets = [operator.options['subset_idxs'] for operator in operators]
    longest = max(subset.size for subset in subsets)
    repeated = [np.resize(subset, longest) for subset in subsets]  # which changes no box
    used = np.c_[options('right_rotation_idx', 'left_rotation_idx'), repeated].astype(np.int64)
    wrong = shapes != {(1, count, 3)} or used.min() < 0 or used.max() >= count
    if wrong or sizes.min() < 1 or options('target_rotation_radians').any():
        raise operators[0].error('unsupported landmarks, size or rotation')

    # x and y of each operator's landmarks: [N,operators,2,landmarks]
    flat = [net.reshape(net.scaled(operator.inputs[0]), (3 * count,)) for operator in operators]
    chosen = 3 * (count * np.arange(len(operators))[:, None] + used)[:, None] + [[0], [1]]
    coordinates = add('Concat', flat, axis=1)
    right, left, points = (
        add('Gather', [coordinates, constant(chosen[..., part])], axis=1)
        for part in (slice(1), slice(1, 2), slice(2, None))
    )
    # The little makes the angle of nothing 0, as atan2 does; anything else swallows it.
    vector = add('Add', [add('Sub', [right, left]), _floats(net, [[1e-12], [0.0]])])
    # cosine and sine of the angle; the matrix of them turns from upright to as the region is
    direction = add('Div', [vector, add('ReduceL2', [vector], axes=[2])])
    direction = net.reshape(direction, (len(operators), 2))
    turn = add('Gather', [direction, constant([[0, 1], [1, 0]])], axis=2)
    turn = add('Mul', [turn, _floats(net, [[1, -1], [1, 1]])])
    upright = add('MatMul', [add('Transpose', [turn], perm=(0, 1, 3, 2)), points])
    low, high = (add(f'Reduce{side}', [upright], axes=[3]) for side in ('Min', 'Max'))
    # x = low + size * ((1 - scale) / 2 + scale * column / columns), and so for y
    per_size = np.zeros((len(operators), 2, 4))
    per_size[:, [0, 1], [0, 1]] = scales / sizes
    per_size[..., 3] = (1 - scales) / 2
    place = add('Mul', [add('Sub', [high, low]), _floats(net, per_size)])
    place = add('Add', [place, add('Mul', [low, _floats(net, [0, 0, 0, 1])])])
    rows = add('Pad', [add('MatMul', [turn, place]), constant([0, 0, 0, 0, 0, 0, 2, 0])])
    matrices = add('Add', [rows, _floats(net, np.diag([0, 0, 1, 1]))])
    _set_results(net, operators, matrices, axis=1)


def _along_matrix(net: Network, points: str, matrix: str, rank: int) -> str:
    """Transform points [...,P,2] by the first two rows of matrices [...,4,4]."""
    add, constant = net.builder.node, net.builder.constant
    columns = add('Transpose', [matrix], perm=(*range(rank - 2), rank - 1, rank - 2))
    axes = constant([rank - 2, rank - 1])
    turn, shift = (
        add('Slice', [columns, constant([first, 0]), constant([end, 2]), axes])
        for first, end in ((0, 2), (3, 4))
    )
    return add('Add', [add('MatMul', [points, turn]), shift])


def _transform_landmarks(net: Network, operators: Sequence[TfliteOperator]) -> None:
    """Write TransformLandmarks: [N,P,2] landmarks along [N,4,4]."""
    for operator in operators:
        points, matrix = (net.scaled(index) for index in operator.inputs)
        net.set_result(operator, _along_matrix(net, points, matrix, rank=3))


def _sample(net: Network, operators: Sequence[TfliteOperator]) -> None:
    """
    Write TransformTensorBilinear: [N,H,H,C] features sampled along [N,4,4].

    Pixels' centres are at halves. Beyond the outermost centres everything is zero at once, where
    ONNX's GridSample fades out over one pixel; gathering is also faster than it on a CPU.
    """
    add, constant = net.builder.node, net.builder.constant
    features = operators[0].inputs[0]
    _, side, width, channels = net.shape4(operators[0], features)
    target = net.shape4(operators[0], operators[0].outputs[0])[1:3]
    for operator in operators:
        size = operator.options['output_height'], operator.options['output_width']
        if (operator.inputs[0], size, width) != (features, target, side):
            raise operator.error(f'cannot make {list(target)} of {net.tensors[features]}')
    count = len(operators) * target[0] * target[1]
    matrices = add('Concat', [net.scaled(operator.inputs[1]) for operator in operators], axis=1)
    matrices = net.reshape(matrices, (len(operators), 4, 4))
    centres = np.indices(target).reshape(2, -1).T[:, ::-1] + 0.5
    source = _along_matrix(net, _floats(net, centres), matrices, rank=4)
    source = add('Transpose', [add('Sub', [source, _floats(net, 0.5)])], perm=(0, 3, 1, 2))
    source = net.reshape(source, (2, 1, count))
    near = add('Clip', [source, _floats(net, 0), _floats(net, side - 1)])
    corner = add('Floor', [add('Min', [near, _floats(net, side - 2)])])
    # of the four around: x and y in [N,2,4,count]
    around = [[[0], [1], [0], [1]], [[0], [0], [1], [1]]]
    corners = add('Add', [corner, _floats(net, around)])
    index = add('Mul', [corners, _floats(net, [[[1]], [[side]]])])
    index = add('Cast', [add('ReduceSum', [index, constant([1])])], to=TensorProto.INT64)
    pixels = net.nhwc(net.scaled(features), (1, side, side, channels))
    pixels = net.reshape(pixels, (side * side, channels))
    neighbours = add('GatherND', [pixels, net.reshape(index, (4, count, 1))], batch_dims=1)
    weights = add('Sub', [_floats(net, 1), add('Abs', [add('Sub', [near, corners])])])
    inside = add('Cast', [add('Equal', [source, near])], to=TensorProto.FLOAT)
    weights = add('ReduceProd', [add('Mul', [weights, inside])], axes=[1])
    sampled = add('Mul', [neighbours, net.reshape(weights, (4, count, 1))])
    sampled = add('ReduceSum', [sampled, constant([1])], keepdims=0)
    sampled = add('Transpose', [sampled], perm=(0, 2, 1))
    sampled = net.reshape(sampled, (channels, len(operators), *target))
    _set_results(net, operators, sampled, axis=2)


ATTENTION_OPERATORS: Mapping[str, Callable[[Network, Sequence[TfliteOperator]], None]] = {
    'CUSTOM:Landmarks2TransformMatrix': _landmarks_to_matrices,
    'CUSTOM:TransformLandmarks': _transform_landmarks,
    'CUSTOM:TransformTensorBilinear': _sample,
}
"""What writes those that stand one after the other: for three regions in the nodes of one."""
