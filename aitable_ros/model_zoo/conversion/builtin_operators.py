# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The custom operators of MediaPipe's attention mesh, in TFLite's own: LiteRT knows no others.

What they compute is in :mod:`aitable_ros.model_zoo.conversion.attention_operators`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from aitable_ros.model_zoo.conversion.tflite_reader import TfliteOperator, read

_FILE_IDENTIFIER = b'TFL3'


def without_custom_operators(content: bytes) -> bytes:
    """
    Write a TFLite network's custom operators as built-in ones; the results agree to rounding.

    :param content: of a file with the attention mesh's operators.
    :returns: of the new file; the same bytes where there is no custom operator.
    :raises ConversionError: when it is no whole TFLite file, or has another custom operator.
    """
    known = read(content).operators
    if not any(operator.kind.startswith('CUSTOM:') for operator in known):
        return content
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    writer = _Writer(model)
    graph = model.subgraphs[0]
    for operator, of_file in zip(known, graph.operators):
        if operator.kind.startswith('CUSTOM:'):
            if operator.kind not in _OPERATORS:
                raise operator.error('is not known')
            result = _OPERATORS[operator.kind](writer, operator)
            if writer.shape(result) != writer.shape(operator.outputs[0]):
                raise operator.error('has a result of another shape')
            writer.operators[-1].outputs = of_file.outputs
        else:
            writer.operators.append(of_file)
    graph.operators = writer.operators
    builder = flatbuffers.Builder(2 * len(content))
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())


class _Writer:
    """Appends operators, their results and constants to a model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._tensors = model.subgraphs[0].tensors
        self._codes: dict[int, int] = {}
        self.operators: list[Any] = []

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return tuple(int(n) for n in self._tensors[index].shape)

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> int:
        """Add a constant."""
        array = np.ascontiguousarray(values, dtype)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return self._tensor(array.shape, array.dtype, len(self._model.buffers) - 1)

    def _tensor(self, shape: Sequence[int], dtype: npt.DTypeLike, buffer: int = 0) -> int:
        tensor = schema.TensorT()
        tensor.name = f'written_{len(self._tensors)}'
        tensor.shape = np.array(shape, np.int32)
        tensor.type = _TYPES[np.dtype(dtype)]
        tensor.buffer = buffer
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def add(
        self,
        kind: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        dtype: npt.DTypeLike = np.float32,
        **options: Any,
    ) -> int:
        """Append an operator; return its result."""
        code = getattr(schema.BuiltinOperator, kind)
        if code not in self._codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
            self._codes[code] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(entry)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes[code]
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array([self._tensor(shape, dtype)], np.int32)
        if options:
            name = _OPTIONS.get(kind, f'{kind.title()}Options')
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = getattr(schema, f'{name}T')()
            vars(operator.builtinOptions).update(options)
        self.operators.append(operator)
        return int(operator.outputs[0])

    def cast(self, values: int, dtype: npt.DTypeLike) -> int:
        """Append a change of type."""
        types = self._tensors[values].type, _TYPES[np.dtype(dtype)]
        options = dict(zip(('inDataType', 'outDataType'), types))
        return self.add('CAST', [values], self.shape(values), dtype, **options)

    def each(self, kind: str, values: int) -> int:
        """Append a function of each value."""
        return self.add(kind, [values], self.shape(values))

    def arithmetic(self, kind: str, left: int, right: int | npt.ArrayLike) -> int:
        """Append an operator on two tensors, broadcast against each other."""
        other = right if isinstance(right, int) else self.constant(right)
        return self.add(
            kind, [left, other], np.broadcast_shapes(self.shape(left), self.shape(other))
        )

    def product(self, left: int, right: int, *, transposed: bool = False) -> int:
        """Append a product of matrices, the second one transposed or not."""
        columns = self.shape(right)[-2 if transposed else -1]
        shape = (*self.shape(left)[:-1], columns)
        return self.add('BATCH_MATMUL', [left, right], shape, adjY=transposed)

    def gather(self, values: int, indices: npt.ArrayLike, axis: int) -> int:
        """Append a choice along an axis."""
        chosen = self.constant(indices, np.int32)
        before, after = self.shape(values)[:axis], self.shape(values)[axis + 1 :]
        shape = (*before, *self.shape(chosen), *after)
        return self.add('GATHER', [values, chosen], shape, axis=axis)

    def part(self, values: int, begin: Sequence[int], size: Sequence[int]) -> int:
        """Append a cut out."""
        bounds = [self.constant(one, np.int32) for one in (begin, size)]
        return self.add('SLICE', [values, *bounds], size)

    def reduced(self, kind: str, values: int, axis: int) -> int:
        """Append a reduction along an axis, which stays."""
        shape = list(self.shape(values))
        shape[axis] = 1
        axes = self.constant([axis], np.int32)
        return self.add(kind, [values, axes], shape, keepDims=True)

    def reshaped(self, values: int, shape: Sequence[int]) -> int:
        """Append a change of shape."""
        return self.add('RESHAPE', [values, self.constant(shape, np.int32)], shape)


_TYPES: Mapping[Any, int] = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}
_REDUCTIONS = ('SUM', 'REDUCE_MIN', 'REDUCE_MAX', 'REDUCE_PROD')
_OPTIONS: Mapping[str, str] = {
    'BATCH_MATMUL': 'BatchMatMulOptions',
    **dict.fromkeys(_REDUCTIONS, 'ReducerOptions'),
}
"""Names of options that are not their operator's."""


def _matrix(w: _Writer, operator: TfliteOperator) -> int:
    """Write Landmarks2TransformMatrix: [1,P,3] landmarks to [1,4,4], from a crop to them."""
    options, landmarks = operator.options, operator.inputs[0]
    count = w.shape(landmarks)[1]
    ends = [options['left_rotation_idx'], options['right_rotation_idx']]
    used = np.concatenate([ends, options['subset_idxs']])
    if options['target_rotation_radians'] or used.min() < 0 or used.max() >= count:
        raise operator.error('unsupported landmarks or rotation')
    points = w.part(landmarks, [0, 0, 0], [1, count, 2])
    # the little makes the angle of nothing 0, as atan2 does; anything else swallows it
    vector = w.product(w.constant([[[-1, 1]]]), w.gather(points, ends, axis=1))
    vector = w.arithmetic('ADD', vector, [[[1e-12, 0]]])
    length = w.each('SQRT', w.reduced('SUM', w.each('SQUARE', vector), 2))
    direction = w.arithmetic('DIV', vector, length)
    to_matrix = w.constant([[[1, 0, 0, 1], [0, -1, 1, 0]]])
    turn = w.reshaped(w.product(direction, to_matrix), (1, 2, 2))
    upright = w.product(w.gather(points, options['subset_idxs'], axis=1), turn)
    low, high = (w.reduced(f'REDUCE_{side}', upright, 1) for side in ('MIN', 'MAX'))
    low, size = (w.reshaped(one, (1, 2, 1)) for one in (low, w.arithmetic('SUB', high, low)))
    # x = low + size * ((1 - scale) / 2 + scale * column / columns), and so for y
    scale = np.array([options['scale_x'], options['scale_y']])
    pixels = np.array([options['output_width'], options['output_height']])
    per_size = np.zeros((1, 2, 4))
    per_size[0, [0, 1], [0, 1]] = scale / pixels
    per_size[0, :, 3] = (1 - scale) / 2
    place = w.arithmetic('MUL', size, per_size)
    place = w.arithmetic('ADD', place, w.arithmetic('MUL', low, [[[0, 0, 0, 1]]]))
    margins = w.constant([[0, 0], [0, 2], [0, 0]], np.int32)
    rows = w.add('PAD', [w.product(turn, place), margins], (1, 4, 4))
    return w.arithmetic('ADD', rows, [np.diag([0, 0, 1, 1])])


def _along(w: _Writer, points: int, matrix: int) -> int:
    """Transform [1,P,2] points by the first two rows of [1,4,4]."""
    turned = w.product(points, w.part(matrix, [0, 0, 0], [1, 2, 2]), transposed=True)
    shift = w.reshaped(w.part(matrix, [0, 0, 3], [1, 2, 1]), (1, 1, 2))
    return w.arithmetic('ADD', turned, shift)


def _landmarks(w: _Writer, operator: TfliteOperator) -> int:
    """Write TransformLandmarks: [1,P,2] landmarks along [1,4,4]."""
    return _along(w, *operator.inputs)


def _sample(w: _Writer, operator: TfliteOperator) -> int:
    """Write TransformTensorBilinear: [1,H,H,C] features sampled along [1,4,4]."""
    features, matrix = operator.inputs
    _, side, width, channels = w.shape(features)
    target = tuple(int(operator.options[f'output_{name}']) for name in ('height', 'width'))
    centres = np.indices(target).reshape(2, 1, -1).T[..., ::-1].reshape(1, -1, 2) + 0.5
    count = centres.shape[1]
    source = w.arithmetic('SUB', _along(w, w.constant(centres), matrix), 0.5)
    last = np.array([width, side]) - 1.0
    near = w.arithmetic('MINIMUM', w.arithmetic('MAXIMUM', source, 0.0), last)
    corner = w.each('FLOOR', w.arithmetic('MINIMUM', near, last - 1))
    around = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]).reshape(4, 1, 2)
    corners = w.arithmetic('ADD', corner, around)
    index = w.reduced('SUM', w.arithmetic('MUL', corners, [1, width]), 2)
    index = w.cast(w.reshaped(index, (4, count)), np.int32)
    pixels = w.reshaped(features, (side * width, channels))
    neighbours = w.add('GATHER', [pixels, index], (4, count, channels), axis=0)
    distance = w.each('ABS', w.arithmetic('SUB', near, corners))
    inside = w.add('EQUAL', [source, near], (1, count, 2), np.bool_)
    weights = w.arithmetic('SUB', w.constant(1.0), distance)
    weights = w.arithmetic('MUL', weights, w.cast(inside, np.float32))
    weights = w.reduced('REDUCE_PROD', weights, 2)
    sampled = w.reduced('SUM', w.arithmetic('MUL', neighbours, weights), 0)
    return w.reshaped(sampled, (1, *target, channels))


_OPERATORS: Mapping[str, Callable[[_Writer, TfliteOperator], int]] = {
    'CUSTOM:Landmarks2TransformMatrix': _matrix,
    'CUSTOM:TransformLandmarks': _landmarks,
    'CUSTOM:TransformTensorBilinear': _sample,
}
