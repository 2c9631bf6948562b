# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the network fer needs beside MediaPipe's: means, softmax, weights of eight bits."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from skimage import color, data, transform
from tiny_tflite import OPERATOR, TinyNetwork, assert_same_as_litert, run_litert, run_onnx, weights

from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.conversion.tflite_to_onnx import ConversionError, GraphStyle, convert


def mean(network, source, axes, shape, *, keep=False):
    target = network.constant(np.array(axes, np.int32))
    return network.operator(
        OPERATOR.MEAN, [source, target], shape, 'ReducerOptions', keepDims=keep
    )


def softmax(network, source, shape, beta=1.0):
    return network.operator(OPERATOR.SOFTMAX, [source], shape, 'SoftmaxOptions', beta=beta)


def quantised(network, values, scales, *, axis=0, zero=0):
    """Add int8 weights that stand for ``values * scale``."""
    index = network.constant(values)
    quantisation = schema.QuantizationParametersT()
    quantisation.scale = list(scales)
    quantisation.zeroPoint = [zero] * len(scales)
    quantisation.quantizedDimension = axis
    network.graph.tensors[index].quantization = quantisation
    return index


@pytest.mark.parametrize('keep', [False, True])
def test_means_over_the_picture_and_softmax(keep):
    network = TinyNetwork((6, 6, 3))
    features = network.conv(network.image, weights(5, 3, 3, 3), (1, 6, 6, 5))
    pooled = mean(network, features, [1, 2], (1, 1, 1, 5) if keep else (1, 5), keep=keep)
    rows = network.reshape(pooled, (1, 5)) if keep else pooled
    output = softmax(network, rows, (1, 5))
    assert_same_as_litert(network, output, style=GraphStyle.CONVOLUTIONS)


def test_the_axes_of_a_mean_may_come_in_any_order():
    network = TinyNetwork((6, 4, 3))
    assert_same_as_litert(
        network, mean(network, network.image, [2, 1], (1, 3)), style=GraphStyle.NATIVE
    )


@pytest.mark.parametrize('axes', [[1], [3], [1, 3]])
def test_means_over_something_else_are_refused(axes):
    network = TinyNetwork((4, 4, 3))
    shape = tuple(size for axis, size in enumerate((1, 4, 4, 3)) if axis not in axes)
    output = mean(network, network.image, axes, shape)
    with pytest.raises(ConversionError, match='MEAN: supported is the mean over rows'):
        convert(network.content(output), network.spec(output))


def test_another_beta_is_refused():
    network = TinyNetwork((4, 4, 3))
    pooled = mean(network, network.image, [1, 2], (1, 3))
    output = softmax(network, pooled, (1, 3), beta=2.0)
    with pytest.raises(ConversionError, match='SOFTMAX: supported are rows of logits'):
        convert(network.content(output), network.spec(output))


@pytest.mark.parametrize('scales', [[0.02], [0.01, 0.02, 0.03, 0.04]])
@pytest.mark.parametrize('depthwise', [False, True])
def test_weights_of_eight_bits_are_their_values_times_the_scale(scales, depthwise):
    """Compared with float weights: LiteRT rounds what meets such weights to eight bits, too."""
    shape = (1, 3, 3, 4) if depthwise else (4, 3, 3, 4)
    axis = 3 if depthwise else 0
    stored = np.random.default_rng(5).integers(-127, 128, shape, dtype=np.int8)
    along = [-1 if a == axis and len(scales) > 1 else 1 for a in range(4)]
    floats = stored * np.array(scales, np.float32).reshape(along)
    made = []
    for eight_bits in (True, False):
        network = TinyNetwork((6, 6, 4))
        values = quantised(network, stored, scales, axis=axis) if eight_bits else floats
        output = network.conv(
            network.image, values, (1, 6, 6, 4), depthwise=depthwise, name='output'
        )
        made.append(convert(network.content(output), network.spec(output)))
    images = np.random.default_rng(6).integers(0, 256, (2, 6, 6, 4), dtype=np.uint8)
    ours, theirs = (run_onnx(model, images)['out_output'] for model in made)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    'change', [{'zero': 3}, {'scales': [0.1, 0.2]}, {'axis': 7}, {'scales': [float('nan')] * 4}]
)
def test_weights_that_are_quantised_otherwise_are_refused(change):
    network = TinyNetwork((4, 4, 3))
    values = np.ones((4, 1, 1, 3), np.int8)
    index = quantised(network, values, **{'scales': [0.1] * 4, **change})
    output = network.conv(network.image, index, (1, 4, 4, 4))
    with pytest.raises(ConversionError, match='quantised in an unsupported way'):
        convert(network.content(output), network.spec(output))


@pytest.mark.models
def test_the_network_fer_says_of_faces_what_litert_says(engines_dir):
    """Not to the last digit: LiteRT rounds the activations of its eight-bit layers."""
    spec = CONTRACTS['fer']
    content = (engines_dir / 'fer.tflite').read_bytes()
    model = convert(content, spec, licence='MIT')
    assert {'licence': 'MIT'}.items() <= {p.key: p.value for p in model.metadata_props}.items()
    grey = color.rgb2gray(data.astronaut())
    crops = [grey[60:190, 160:290], grey[40:200, 150:310], grey[70:180, 170:280]]
    faces = np.stack([np.uint8(255 * transform.resize(crop, (64, 64, 1))) for crop in crops])
    ours = run_onnx(model, faces)['probabilities']
    theirs = run_litert(content, spec, faces)['probabilities']
    np.testing.assert_allclose(ours.sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(ours, theirs, atol=5e-3)
    assert (ours.argmax(axis=1) == 3).all(), 'she smiles'
