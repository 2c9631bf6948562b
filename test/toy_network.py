# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A network of six layers to build engines from."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from aitable_ros.inference.engine import DYNAMIC, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.conversion.onnx_graph import GraphBuilder

UINT8, FLOAT32 = np.dtype(np.uint8), np.dtype(np.float32)
TOY = ModelSpec(
    'toy',
    (TensorSpec('image', (DYNAMIC, 4, 4, 3), UINT8),),
    (TensorSpec('mean', (DYNAMIC, 1), FLOAT32),),
    tflite_outputs={'conv2d_1': 'mean'},
)
HEAD = ['Conv_4', 'Reshape_5']


def toy(batch=DYNAMIC, output='mean', scale=1.0, open_shape=False):
    """
    Return two convolutions, as far as TensorRT's part is concerned a network.

    :param scale: of the first one's weights; 1,000 brings its values near to FP16's end.
    :param open_shape: compute the output's shape in the graph, as PyTorch's exporter likes to.
    """
    builder = GraphBuilder()
    pixels = builder.node('Cast', ['image'], to=TensorProto.FLOAT)
    planes = builder.node('Transpose', [pixels], perm=[0, 3, 1, 2])
    weights = np.random.default_rng(0).normal(0, scale, (5, 3, 3, 3)).astype(np.float32)
    features = builder.node('Conv', [planes, builder.constant(weights)], kernel_shape=[3, 3])
    positive = builder.node('Relu', [features])
    kernel = builder.constant(np.full((1, 5, 2, 2), 0.05, np.float32))
    head = builder.node('Conv', [positive, kernel], kernel_shape=[2, 2])
    shape = builder.constant(np.array([0, 1], np.int64))
    if open_shape:
        sizes = builder.node('Shape', [head])
        first = builder.node('Gather', [sizes, builder.constant(np.array([0], np.int64))])
        one = builder.constant(np.array([1], np.int64))
        shape = builder.node('Concat', [first, one], axis=0)
    builder.node('Reshape', [head, shape], output=output)
    inputs = (TensorSpec('image', (batch, 4, 4, 3), UINT8),)
    outputs = (TensorSpec(output, (batch, 1), FLOAT32),)
    return builder.model('toy', inputs, outputs)
