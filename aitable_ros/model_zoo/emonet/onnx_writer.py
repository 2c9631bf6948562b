# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""EmoNet as an ONNX graph, written from its weights without PyTorch's exporter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx

from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.conversion.onnx_graph import PRODUCER, GraphBuilder
from aitable_ros.model_zoo.emonet.contract import ATTRIBUTION, LICENCE, LICENCE_NOTE

_DEPTH = 4
_BATCH_NORM_EPSILON = 1e-5  # PyTorch's default, which the network was trained with

_Floats = npt.NDArray[np.float64]


def build_onnx(
    weights: Mapping[str, npt.NDArray], spec: ModelSpec, *, weights_sha256: str = ''
) -> onnx.ModelProto:
    """
    Write EmoNet as an ONNX graph.

    :param weights: the state_dict as arrays, complete but for ``num_batches_tracked``.
    :param spec: the contract (:func:`~aitable_ros.model_zoo.emonet.contract.emonet_spec`) with
        the weights' number of classes; scaling of the pixels is part of the graph.
    :param weights_sha256: of the checkpoint, for the metadata.
    :returns: a checked model of opset 17 and IR version 8, for any batch size.
    :raises ValueError: when the weights have another number of classes than the spec.
    :raises KeyError: when a weight is missing.
    """
    found = weights['emo_fc_2.3.bias'].shape[0] - 2
    classes = spec.outputs[0].shape[1]
    if found != classes:
        raise ValueError(f'the weights have {found} classes, the spec {classes}')
    metadata = {
        'source_sha256': weights_sha256,
        'licence': LICENCE,
        'licence_note': LICENCE_NOTE,
        'attribution': ATTRIBUTION,
        **PRODUCER,
    }
    builder = _Writer(weights, spec).write()
    return builder.model(spec.name, spec.inputs, spec.outputs, metadata)


class _Writer:
    """Writes one network; see :func:`build_onnx`. Folding is done in double precision."""

    def __init__(self, weights: Mapping[str, npt.NDArray], spec: ModelSpec) -> None:
        self._weights = weights
        self._spec = spec
        self._builder = GraphBuilder()

    def write(self) -> GraphBuilder:
        builder = self._builder
        x = builder.image(self._spec.inputs[0].name)
        x = self._convolution_norm_relu(x, 'conv1', 'bn1', stride=2, scale=self._spec.scale)
        x = self._pool(self._block(x, 'conv2'))
        x = self._block(self._block(x, 'conv3'), 'conv4')

        # Everything that is made of the first stage's features is linear, heatmaps included:
        # one convolution gives what is added to the second stage's input.
        first = self._stage(x, 0)
        from_heatmap, to_features = self._matrix('al0'), self._matrix('bl0')
        injected = self._convolution(
            first,
            to_features + from_heatmap @ self._matrix('l0'),
            self._get('bl0.bias') + self._get('al0.bias') + from_heatmap @ self._get('l0.bias'),
        )
        second = self._stage(builder.node('Add', [x, injected]), 1)

        # The attention, the sum of the heatmaps, is one number per place. Multiplying with it
        # and the 1x1 convolution that follows can change places.
        attention = self._convolution(
            second,
            self._matrix('l1').sum(axis=0, keepdims=True),
            self._get('l1.bias').sum(keepdims=True),
        )
        for_image, for_first, for_second = np.split(self._matrix('conv1x1_input_emo_2'), 3, axis=1)
        attended = self._convolution(
            first, for_first @ to_features, for_first @ self._get('bl0.bias')
        )
        attended = builder.node('Add', [attended, self._convolution(second, for_second)])
        attended = builder.node('Mul', [attended, attention])
        from_image = self._convolution(x, for_image, self._get('conv1x1_input_emo_2.bias'))
        features = builder.node('Add', [attended, from_image])
        for position in (0, 2, 4, 6):
            features = self._pool(self._block(features, f'emo_net_2.{position}'))
        self._head(builder.node('GlobalAveragePool', [features]))
        return builder

    def _head(self, features: str) -> None:
        x = self._builder.node('Flatten', [features])
        scale, shift = self._norm('emo_fc_2.1')
        x = self._linear(
            x,
            self._get('emo_fc_2.0.weight') * scale[:, None],
            self._get('emo_fc_2.0.bias') * scale + shift,
        )
        x = self._builder.node('Relu', [x])
        weight, bias = self._get('emo_fc_2.3.weight'), self._get('emo_fc_2.3.bias')
        begin = 0
        for output in self._spec.outputs:
            rows = slice(begin, begin + output.shape[1])
            self._linear(x, weight[rows], bias[rows], output=output.name)
            begin = rows.stop

    def _stage(self, x: str, k: int) -> str:
        x = self._block(self._hourglass(x, f'm{k}', _DEPTH), f'top_m_{k}')
        return self._convolution_norm_relu(x, f'conv_last{k}', f'bn_end{k}')

    def _hourglass(self, x: str, name: str, level: int) -> str:
        upper = self._block(x, f'{name}.b1_{level}')
        lower = self._block(self._pool(x), f'{name}.b2_{level}')
        if level > 1:
            lower = self._hourglass(lower, name, level - 1)
        else:
            lower = self._block(lower, f'{name}.b2_plus_1')
        lower = self._block(lower, f'{name}.b3_{level}')
        scales = self._constant(np.array((1.0, 1.0, 2.0, 2.0)))
        enlarged = self._builder.node(
            'Resize',
            [lower, '', scales],
            mode='nearest',
            coordinate_transformation_mode='asymmetric',
            nearest_mode='floor',
        )
        return self._builder.node('Add', [upper, enlarged])

    def _block(self, x: str, name: str) -> str:
        parts = []
        part = x
        for i in (1, 2, 3):
            part = self._norm_relu(part, f'{name}.bn{i}')
            part = self._convolution(part, self._get(f'{name}.conv{i}.weight'))
            parts.append(part)
        residual = x
        if f'{name}.downsample.2.weight' in self._weights:
            residual = self._norm_relu(x, f'{name}.downsample.0')
            residual = self._convolution(residual, self._get(f'{name}.downsample.2.weight'))
        joined = self._builder.node('Concat', parts, axis=1)
        return self._builder.node('Add', [joined, residual])

    def _convolution_norm_relu(
        self, x: str, convolution: str, norm: str, *, stride: int = 1, scale: float = 1.0
    ) -> str:
        factor, shift = self._norm(norm)
        weight = self._get(f'{convolution}.weight') * (scale * factor.reshape(-1, 1, 1, 1))
        bias = self._get(f'{convolution}.bias') * factor + shift
        return self._builder.node('Relu', [self._convolution(x, weight, bias, stride=stride)])

    def _norm_relu(self, x: str, norm: str) -> str:
        """Apply a batch norm that follows no convolution of its own: its input is used twice."""
        scale, shift = self._norm(norm)
        zeros, ones = np.zeros_like(scale), np.ones_like(scale)
        inputs = [x, *(self._constant(values) for values in (scale, shift, zeros, ones))]
        x = self._builder.node('BatchNormalization', inputs, epsilon=0.0)
        return self._builder.node('Relu', [x])

    def _convolution(
        self, x: str, weight: _Floats, bias: _Floats | None = None, *, stride: int = 1
    ) -> str:
        if weight.ndim == 2:
            weight = weight[:, :, None, None]
        size = weight.shape[2]
        inputs = [x, self._constant(weight)]
        if bias is not None:
            inputs.append(self._constant(bias))
        return self._builder.node(
            'Conv',
            inputs,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[size // 2] * 4,
        )

    def _linear(self, x: str, weight: _Floats, bias: _Floats, *, output: str | None = None) -> str:
        inputs = [x, self._constant(weight), self._constant(bias)]
        return self._builder.node('Gemm', inputs, output=output, transB=1)

    def _pool(self, x: str) -> str:
        return self._builder.node('MaxPool', [x], kernel_shape=[2, 2], strides=[2, 2])

    def _norm(self, name: str) -> tuple[_Floats, _Floats]:
        """Return what a batch norm multiplies with and what it adds."""
        deviation = np.sqrt(self._get(f'{name}.running_var') + _BATCH_NORM_EPSILON)
        scale = self._get(f'{name}.weight') / deviation
        return scale, self._get(f'{name}.bias') - self._get(f'{name}.running_mean') * scale

    def _matrix(self, name: str) -> _Floats:
        """Return the weights of a 1x1 convolution as a matrix (out, in)."""
        return self._get(f'{name}.weight')[:, :, 0, 0]

    def _get(self, name: str) -> _Floats:
        return self._weights[name].astype(np.float64)

    def _constant(self, values: _Floats) -> str:
        return self._builder.constant(values.astype(np.float32))
