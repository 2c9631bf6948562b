# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Read a TFLite flatbuffer into plain Python objects.

Everything is read and checked here, at once, so that a damaged file is refused as such and
the conversion that follows works on sound data. Format:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite
from flatbuffers import flexbuffers

_FILE_IDENTIFIER = b'TFL3'  # bytes 4 to 7

MAX_ELEMENTS = 1 << 26
"""Largest tensor that is read; a damaged file can ask for any amount of memory."""

_DTYPES: Mapping[int, np.dtype] = {
    tflite.TensorType.FLOAT32: np.dtype(np.float32),
    tflite.TensorType.FLOAT16: np.dtype(np.float16),
    tflite.TensorType.INT8: np.dtype(np.int8),
    tflite.TensorType.INT32: np.dtype(np.int32),
    tflite.TensorType.INT64: np.dtype(np.int64),
}

_WINDOW = ('Padding', 'StrideH', 'StrideW', 'FusedActivationFunction')
_CONVOLUTION = (*_WINDOW, 'DilationHFactor', 'DilationWFactor')

_OPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    'ADD': ('AddOptions', ('FusedActivationFunction',)),
    'CONCATENATION': ('ConcatenationOptions', ('Axis', 'FusedActivationFunction')),
    'CONV_2D': ('Conv2DOptions', _CONVOLUTION),
    'DEPTHWISE_CONV_2D': ('DepthwiseConv2DOptions', _CONVOLUTION),
    'DEPTH_TO_SPACE': ('DepthToSpaceOptions', ('BlockSize',)),
    'MAX_POOL_2D': ('Pool2DOptions', (*_WINDOW, 'FilterHeight', 'FilterWidth')),
    'MEAN': ('ReducerOptions', ('KeepDims',)),
    'MUL': ('MulOptions', ('FusedActivationFunction',)),
    'RESIZE_BILINEAR': ('ResizeBilinearOptions', ('AlignCorners', 'HalfPixelCenters')),
    'SOFTMAX': ('SoftmaxOptions', ('Beta',)),
}
"""By operator: the schema's options table and the fields that the conversion needs."""

_CUSTOM_OPTIONS: Mapping[str, tuple[str, ...]] = {
    'CUSTOM:Landmarks2TransformMatrix': (
        *('subset_idxs', 'left_rotation_idx', 'right_rotation_idx', 'target_rotation_radians'),
        *('scale_x', 'scale_y', 'output_width', 'output_height'),
    ),
    'CUSTOM:TransformLandmarks': (),
    'CUSTOM:TransformTensorBilinear': ('output_width', 'output_height'),
}
"""By custom operator (version 2): what the conversion needs of its options, numbers all."""


# The generated accessors check nothing: whatever offsets a damaged file holds, they follow.
# Python's own bounds checks then raise one of these.
_DAMAGE = (
    *(struct.error, AssertionError, AttributeError, LookupError, MemoryError),
    *(OverflowError, TypeError, ValueError),
)


class ConversionError(ValueError):
    """The file is not a TFLite network, is damaged, or uses something unsupported."""


@dataclass(frozen=True)
class TfliteTensor:
    """
    A tensor of the network.

    :param name: its name in the file; not necessarily unique.
    :param shape: its dimensions, with the batch size that the file was made for.
    :param dtype: element type; None when it is none of those supported.
    :param type_name: element type as the schema calls it, for messages.
    :param values: contents of a constant, else None. Sparse constants have been expanded, int8
        ones are float32: multiplied by their scales.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype | None
    type_name: str
    values: npt.NDArray | None

    def __str__(self) -> str:
        """Format as ``conv2d_1 FLOAT32[1,96,96,16]``."""
        return f'{self.name} {self.type_name}[{",".join(map(str, self.shape))}]'


@dataclass(frozen=True)
class TfliteOperator:
    """
    An operator of the network.

    :param kind: operator name as the schema has it (``CONV_2D``); custom operators
        read ``CUSTOM:name``.
    :param inputs: indices into the tensors; -1 for an optional input left out.
    :param outputs: indices into the tensors.
    :param options: the options that matter to the conversion, by field name; those of custom
        operators are float64 arrays.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]

    def error(self, problem: str) -> ConversionError:
        """Return the error that this operator has a problem."""
        return ConversionError(f'operator {self.kind}: {problem}')


@dataclass(frozen=True)
class TfliteGraph:
    """
    The network.

    :param tensors: all tensors.
    :param operators: all operators, in an order in which they can be executed.
    :param inputs: indices of the tensors that the network takes.
    :param outputs: indices of the tensors that the network gives.
    """

    tensors: tuple[TfliteTensor, ...]
    operators: tuple[TfliteOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(content: bytes) -> TfliteGraph:
    """
    Read a TFLite file.

    :param content: the whole file.
    :raises ConversionError: when it is not TFLite, is truncated or damaged, or has several
        subgraphs.
    """
    if len(content) < 8 or content[4:8] != _FILE_IDENTIFIER:
        raise ConversionError(
            f'not a TFLite file: {len(content)} bytes without the identifier TFL3 at byte 4'
        )
    try:
        return _read_graph(content)
    except ConversionError:
        raise
    except _DAMAGE as error:
        raise ConversionError(
            f'damaged or truncated TFLite file ({len(content)} bytes): {error}'
        ) from error


def _read_graph(content: bytes) -> TfliteGraph:
    model = tflite.Model.GetRootAsModel(content, 0)
    if model.SubgraphsLength() != 1:
        raise ConversionError(f'expected one subgraph, found {model.SubgraphsLength()}')
    graph = model.Subgraphs(0)
    result = TfliteGraph(
        tuple(_read_tensor(graph.Tensors(i), model) for i in range(graph.TensorsLength())),
        tuple(_read_operator(graph.Operators(i), model) for i in range(graph.OperatorsLength())),
        _indices(graph.InputsAsNumpy()),
        _indices(graph.OutputsAsNumpy()),
    )
    _check_references(result)
    return result


def _indices(vector: Any) -> tuple[int, ...]:
    # The accessors return 0 for a vector that is absent.
    return () if isinstance(vector, int) else tuple(int(value) for value in vector)


def enum_names(enumeration: type) -> dict[int, str]:
    """Return the names of one of the schema's enumerations by their numbers."""
    return {value: key for key, value in vars(enumeration).items() if isinstance(value, int)}


_OPERATOR_NAMES = enum_names(tflite.BuiltinOperator)
_OPTIONS_NAMES = enum_names(tflite.BuiltinOptions)
_TYPE_NAMES = enum_names(tflite.TensorType)


def _text(raw: bytes | None) -> str:
    return '' if raw is None else raw.decode('utf-8')


def _read_tensor(tensor: Any, model: Any) -> TfliteTensor:
    name = _text(tensor.Name())
    shape = _indices(tensor.ShapeAsNumpy())
    if any(size < 0 for size in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise ConversionError(f'tensor {name!r} has the impossible shape {list(shape)}')
    type_name = _TYPE_NAMES.get(tensor.Type(), f'type {tensor.Type()}')
    dtype = _DTYPES.get(tensor.Type())
    values = None
    buffer = model.Buffers(tensor.Buffer())
    if buffer.DataLength() and dtype is not None:
        data = buffer.DataAsNumpy().tobytes()
        stored = np.frombuffer(data, dtype.newbyteorder('<')).astype(dtype)
        sparsity = tensor.Sparsity()
        if sparsity is not None:
            stored = _densify(stored, shape, sparsity, name)
        elif stored.size != math.prod(shape):
            raise ConversionError(
                f'tensor {name!r} of shape {list(shape)} holds {stored.size} values'
            )
        values = stored.reshape(shape)
        if values.dtype == np.int8:
            values = _dequantise(values, tensor.Quantization(), name)
    return TfliteTensor(name, shape, dtype, type_name, values)


def _dequantise(stored: npt.NDArray, quantisation: Any, name: str) -> npt.NDArray[np.float32]:
    """
    Multiply int8 weights by their scales: one for all, or one for each channel.

    https://ai.google.dev/edge/litert/models/quantization_spec: weights are symmetric, so their
    zero points are 0.
    """
    scales = np.empty(0) if quantisation is None else np.float32(quantisation.ScaleAsNumpy())
    points = np.empty(0) if quantisation is None else np.array(quantisation.ZeroPointAsNumpy())
    axis = 0 if quantisation is None else quantisation.QuantizedDimension()
    per_channel = scales.size > 1
    if (
        scales.ndim != 1
        or not 0 <= axis < max(stored.ndim, 1)
        or scales.size != (stored.shape[axis] if per_channel else 1)
        or not np.isfinite(scales).all()
        or points.any()
    ):
        raise ConversionError(f'tensor {name!r} is quantised in an unsupported way')
    along = [-1 if per_channel and a == axis else 1 for a in range(stored.ndim)]
    return np.asarray(stored * scales.reshape(along), np.float32)


def _densify(stored: npt.NDArray, shape: tuple[int, ...], sparsity: Any, name: str) -> npt.NDArray:
    """
    Expand a sparse constant.

    Supported is what MediaPipe's networks use: every dimension dense but the last, whose
    entries are compressed row by row, in the order of the dimensions and without blocks.
    """
    kinds = tflite.DimensionType
    formats = [sparsity.DimMetadata(i).Format() for i in range(sparsity.DimMetadataLength())]
    if (
        formats != [*[kinds.DENSE] * (len(shape) - 1), kinds.SPARSE_CSR]
        or _indices(sparsity.TraversalOrderAsNumpy()) != tuple(range(len(shape)))
        or sparsity.BlockMapLength()
    ):
        raise ConversionError(f'tensor {name!r} is stored in an unsupported sparse layout')
    metadata = sparsity.DimMetadata(len(shape) - 1)
    starts = _sparse_indices(metadata.ArraySegmentsType(), metadata.ArraySegments(), name)
    columns = _sparse_indices(metadata.ArrayIndicesType(), metadata.ArrayIndices(), name)
    rows = math.prod(shape[:-1])
    lengths = np.diff(starts)
    if (
        starts.size != rows + 1
        or starts[0] != 0
        or (lengths < 0).any()
        or starts[-1] != columns.size
        or columns.size > stored.size
        or (columns < 0).any()
        or (columns >= shape[-1]).any()
    ):
        raise ConversionError(f'tensor {name!r} has inconsistent sparse indices')
    dense = np.zeros((rows, shape[-1]), stored.dtype)
    dense[np.repeat(np.arange(rows), lengths), columns] = stored[: columns.size]
    return dense


def _sparse_indices(kind: int, table: Any, name: str) -> npt.NDArray[np.int64]:
    classes = {
        tflite.SparseIndexVector.Int32Vector: tflite.Int32Vector,
        tflite.SparseIndexVector.Uint16Vector: tflite.Uint16Vector,
        tflite.SparseIndexVector.Uint8Vector: tflite.Uint8Vector,
    }
    if kind not in classes or table is None:
        raise ConversionError(f'tensor {name!r} has no sparse indices')
    vector = classes[kind]()
    vector.Init(table.Bytes, table.Pos)
    return np.array(_indices(vector.ValuesAsNumpy()), np.int64)


def _read_operator(operator: Any, model: Any) -> TfliteOperator:
    if not 0 <= operator.OpcodeIndex() < model.OperatorCodesLength():
        raise ConversionError(f'operator code {operator.OpcodeIndex()} does not exist')
    code = model.OperatorCodes(operator.OpcodeIndex())
    # Codes below 127 are in the old one-byte field, and old files have nothing else.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = _OPERATOR_NAMES.get(number, f'operator {number}')
    if number == tflite.BuiltinOperator.CUSTOM:
        kind = f'CUSTOM:{_text(code.CustomCode())}'
    return TfliteOperator(
        kind,
        _indices(operator.InputsAsNumpy()),
        _indices(operator.OutputsAsNumpy()),
        _read_options(kind, code.Version(), operator),
    )


def _read_options(kind: str, version: int, operator: Any) -> dict[str, Any]:
    if kind in _CUSTOM_OPTIONS:
        if version != 2:
            raise ConversionError(f'operator {kind} is of version {version}; supported is 2')
        names = _CUSTOM_OPTIONS[kind]
        raw = flexbuffers.Loads(operator.CustomOptionsAsNumpy().tobytes()) if names else {}
        return {name: np.asarray_chkfinite(raw[name], np.float64) for name in names}
    if kind not in _OPTIONS:
        return {}
    class_name, fields = _OPTIONS[kind]
    found = _OPTIONS_NAMES.get(operator.BuiltinOptionsType(), 'unknown')
    table = operator.BuiltinOptions()
    if found != class_name or table is None:
        raise ConversionError(f'operator {kind} carries {found} instead of {class_name}')
    options = getattr(tflite, class_name)()
    options.Init(table.Bytes, table.Pos)
    return {field: getattr(options, field)() for field in fields}


def _check_references(graph: TfliteGraph) -> None:
    count = len(graph.tensors)
    for operator in graph.operators:
        if any(not -1 <= index < count for index in operator.inputs) or any(
            not 0 <= index < count for index in operator.outputs
        ):
            raise ConversionError(f'operator {operator.kind} refers to tensors that do not exist')
    if any(not 0 <= index < count for index in graph.inputs + graph.outputs):
        raise ConversionError('the network refers to inputs or outputs that do not exist')
