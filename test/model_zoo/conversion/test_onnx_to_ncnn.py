# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from aitable_ros.inference.engine import DYNAMIC, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.ncnn_engine import NcnnEngine, unpack
from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
from aitable_ros.model_zoo.conversion.onnx_graph import GraphBuilder
from aitable_ros.model_zoo.conversion.onnx_to_ncnn import NcnnConversionError, convert

SPEC = ModelSpec(
    name='small',
    inputs=(TensorSpec('image', (DYNAMIC, 16, 24, 3), np.dtype(np.uint8)),),
    outputs=(
        TensorSpec('first', (DYNAMIC, 5), np.dtype(np.float32)),
        TensorSpec('second', (DYNAMIC, 2), np.dtype(np.float32)),
    ),
)


class _Small:
    """A network with every operator that is converted, and every way to fuse them."""

    def __init__(self, **changes: Any) -> None:
        self.rng = np.random.default_rng(0)
        self.builder = GraphBuilder()
        self.changes = changes

    def constant(self, *shape: int, low: float = -1.0) -> str:
        values = self.rng.uniform(low, 1.0, shape).astype(np.float32)
        return self.builder.constant(values)

    def node(self, op_type: str, *inputs: str, output: str | None = None, **options: Any) -> str:
        options |= self.changes.get(op_type, {})
        return self.builder.node(op_type, inputs, output=output, **options)

    def conv(self, x: str, outputs: int, inputs: int, size: int, bias: bool, stride: int) -> str:
        operands = [x, self.constant(outputs, inputs, size, size)]
        operands += [self.constant(outputs)] if bias else []
        return self.node(
            'Conv',
            *operands,
            kernel_shape=[size] * 2,
            strides=[stride] * 2,
            pads=[size // 2] * 4,
        )

    def norm(self, x: str, channels: int) -> str:
        scale, shift, mean = (self.constant(channels) for _ in range(3))
        return self.node(
            'BatchNormalization', x, scale, shift, mean, self.constant(channels, low=0.1)
        )

    def model(self) -> onnx.ModelProto:
        x = self.node('Cast', 'image', to=onnx.TensorProto.FLOAT)
        x = self.node('Transpose', x, perm=[0, 3, 1, 2])
        x = self.node('Relu', self.conv(x, 16, 3, 7, True, 2))
        a = self.conv(self.node('Relu', self.norm(x, 16)), 8, 16, 3, False, 1)
        b = self.conv(self.node('Relu', self.norm(a, 8)), 8, 8, 3, False, 1)
        x = self.node('Add', self.node('Concat', a, b, axis=1), x)
        low = self.node('MaxPool', x, kernel_shape=[2, 2], strides=[2, 2])
        scales = self.builder.constant(np.array([1, 1, 2, 2], np.float32))
        up = self.node(
            'Resize',
            self.norm(low, 16),
            '',
            scales,
            mode='nearest',
            coordinate_transformation_mode='asymmetric',
            nearest_mode='floor',
        )
        x = self.node('Add', x, up)
        x = self.node('Relu', self.node('Mul', x, self.conv(x, 1, 16, 1, True, 1)))
        x = self.node('Flatten', self.node('GlobalAveragePool', x))
        x = self.node(
            'Relu', self.node('Gemm', x, self.constant(12, 16), self.constant(12), transB=1)
        )
        for output in SPEC.outputs:
            size = output.shape[1]
            operands = self.constant(size, 12), self.constant(size)
            self.node('Gemm', x, *operands, output=output.name, transB=1)
        return self.builder.model('small', SPEC.inputs, SPEC.outputs)


def test_ncnn_computes_what_onnxruntime_computes(tmp_path: Path) -> None:
    pytest.importorskip('ncnn', reason='ncnn is not installed')
    model = _Small().model()
    onnx.save(model, tmp_path / 'small.onnx')
    (tmp_path / 'small.ncnn').write_bytes(convert(model))
    images = np.random.default_rng(1).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    with (
        NcnnEngine(SPEC, tmp_path / 'small.ncnn') as ours,
        OnnxRuntimeEngine(SPEC, tmp_path / 'small.onnx') as reference,
    ):
        outputs = ours.infer({'image': images})
        for name, expected in reference.infer({'image': images}).items():
            assert np.abs(outputs[name] - expected).max() < 1e-5 * np.abs(expected).max(), name


def test_a_tensor_has_one_reader_and_counts_are_right() -> None:
    graph, _ = unpack(convert(_Small().model()))
    lines = [line.split() for line in graph.splitlines()]
    assert lines[0] == ['7767517']
    layers = lines[2:]
    made: list[str] = []
    read: list[str] = []
    for _, _, inputs, outputs, *rest in layers:
        read += rest[: int(inputs)]
        made += rest[int(inputs) : int(inputs) + int(outputs)]
        assert set(read) <= set(made)
    assert lines[1] == [str(len(layers)), str(len(made))]
    assert len(set(made)) == len(made)
    assert sorted(read) == sorted(set(made) - {'first', 'second'})


def test_relu_and_batch_norm_cost_no_layer_of_their_own() -> None:
    graph, _ = unpack(convert(_Small().model()))
    kinds = [line.split()[0] for line in graph.splitlines()[2:]]
    assert kinds.count('ReLU') == 1  # the one behind the multiplication
    assert kinds.count('ConvolutionDepthWise') == 3
    assert 'BatchNorm' not in kinds


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'Conv': {'dilations': [2, 2]}}, 'square dense convolution'),
        ({'Conv': {'pads': [1, 1, 0, 0]}}, 'square dense convolution'),
        ({'Conv': {'strides': [1, 2]}}, 'square dense convolution'),
        ({'MaxPool': {'kernel_shape': [3, 3]}}, '2x2 pooling'),
        ({'MaxPool': {'ceil_mode': 1}}, '2x2 pooling'),
        ({'Resize': {'mode': 'linear'}}, 'enlarging by 2'),
        ({'Concat': {'axis': 2}}, 'along the channels'),
        ({'Gemm': {'alpha': 2.0}}, 'weight.T'),
        ({'Transpose': {'perm': [0, 3, 2, 1]}}, 'NHWC to NCHW'),
    ],
)
def test_what_ncnn_would_compute_otherwise_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    small = _Small(**changes)
    # the graph need not fit together: it is refused before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx.checker, 'check_model', lambda *args, **options: None)
        model = small.model()
    with pytest.raises(NcnnConversionError, match=message):
        convert(model)


def test_unknown_operators_are_named() -> None:
    builder = GraphBuilder()
    x = builder.node('Cast', ['image'], to=onnx.TensorProto.FLOAT)
    x = builder.node('Transpose', [x], perm=[0, 3, 1, 2])
    builder.node('Tanh', [x], output='y')
    output = TensorSpec('y', (DYNAMIC, 3, 16, 24), np.dtype(np.float32))
    model = builder.model(
        'g',
        SPEC.inputs,
        [output],
    )
    with pytest.raises(NcnnConversionError, match='unsupported operator Tanh'):
        convert(model)
