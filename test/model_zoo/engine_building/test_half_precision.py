# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from skimage import data

from aitable_ros.inference.engine import DYNAMIC, TensorSpec
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.conversion.onnx_graph import GraphBuilder
from aitable_ros.model_zoo.conversion.tflite_to_onnx import GraphStyle, convert
from aitable_ros.model_zoo.engine_building.build_options import options_for
from aitable_ros.model_zoo.engine_building.convolution_folding import fold_convolutions
from aitable_ros.model_zoo.engine_building.half_precision import (
    MAX_MAGNITUDE,
    PrecisionError,
    head_nodes,
    large_valued_nodes,
    probe_images,
    to_half,
)
from aitable_ros.model_zoo.store import SOURCES
from aitable_ros.perception.images.roi import RotatedRoi

MODELS = ('face_detection', 'face_mesh', 'face_attention')


def _run(model: onnx.ModelProto, image: np.ndarray) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    # or the casts between FP16 nodes, and the rounding with them, are optimised away
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {'image': image})))


@pytest.fixture(scope='module')
def networks(tflite_dir: Path) -> dict[str, onnx.ModelProto]:
    """MediaPipe's networks as TensorRT gets them, in FP32."""
    models = {
        name: convert(
            (tflite_dir / Path(SOURCES[name].path).name).read_bytes(),
            CONTRACTS[name],
            style=GraphStyle.NATIVE,
        )
        for name in MODELS
    }
    for name, model in models.items():
        if options_for(name).form == 'relu':
            models[name] = fold_convolutions(model).model
    return models


def _toy(scale: float = 1.0, weight: float = 1.0) -> onnx.ModelProto:
    """Pixels times a scale, a 1x1 convolution, a ReLU, their sum over the picture."""
    builder = GraphBuilder()
    pixels = builder.node('Cast', ['image'], to=TensorProto.FLOAT)
    planes = builder.node('Transpose', [pixels], perm=[0, 3, 1, 2])
    scaled = builder.node('Mul', [planes, builder.constant(np.float32(scale))])
    weights = builder.constant(np.full((1, 3, 1, 1), weight, np.float32))
    features = builder.node('Conv', [scaled, weights], kernel_shape=[1, 1])
    positive = builder.node('Relu', [features])
    kernel = builder.constant(np.full((1, 1, 2, 2), 0.25, np.float32))
    head = builder.node('Conv', [positive, kernel], kernel_shape=[2, 2])
    builder.node('Reshape', [head, builder.constant(np.array([0, 1]))], output='mean')
    return builder.model(
        'toy',
        (TensorSpec('image', (DYNAMIC, 2, 2, 3), np.dtype(np.uint8)),),
        (TensorSpec('mean', (DYNAMIC, 1), np.dtype(np.float32)),),
    )


def _types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {info.name: info.type.tensor_type.elem_type for info in graph.value_info}
    return {
        node.name: types[node.output[0]] for node in model.graph.node if node.output[0] in types
    }


class TestHeads:
    def test_are_all_from_the_outputs_back_to_the_last_weights(self) -> None:
        assert head_nodes(_toy()) == {'Conv_5', 'Reshape_6'}

    def test_a_product_of_what_was_computed_is_none_of_weights(self) -> None:
        model = _toy()
        model.graph.node[5].op_type = 'MatMul'
        del model.graph.node[5].attribute[:]
        assert head_nodes(model) == {'Conv_5', 'Reshape_6'}
        model.graph.node[5].input[1] = model.graph.node[4].output[0]
        assert head_nodes(model) == {'Conv_3', 'Relu_4', 'Conv_5', 'Reshape_6'}


class TestLargeValues:
    def test_nodes_that_take_or_give_them_are_found(self) -> None:
        white = np.full((1, 2, 2, 3), 255, np.uint8)
        large = large_valued_nodes(_toy(scale=100.0), [{'image': white}])
        assert set(large) == {'Mul_2', 'Conv_3', 'Relu_4', 'Conv_5', 'Reshape_6'}
        assert large['Mul_2'] == 25500.0
        assert large['Relu_4'] == 76500.0
        assert large_valued_nodes(_toy(), [{'image': white}]) == {}

    def test_nothing_is_worse_than_no_number(self) -> None:
        black = np.zeros((1, 2, 2, 3), np.uint8)
        large = large_valued_nodes(_toy(scale=np.inf), [{'image': black}])  # 0 * inf
        assert large['Mul_2'] == np.inf

    @pytest.mark.models
    def test_black_pictures_drive_blazeface_s_heads_and_nothing_else_there(
        self, networks: dict[str, onnx.ModelProto]
    ) -> None:
        probes = [{'image': image} for image in probe_images((128, 128, 3))]
        model = networks['face_detection']
        black = large_valued_nodes(model, probes[:1])
        assert max(black.values()) > 30_000
        assert set(black) <= head_nodes(model)
        assert large_valued_nodes(model, probes[1:]) == {}


class TestToHalf:
    def test_inputs_and_outputs_keep_their_types(self) -> None:
        half = to_half(_toy())
        for before, after in zip(_toy().graph.input, half.graph.input):
            assert after == before
        assert half.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
        assert [o.name for o in half.graph.output] == ['mean']

    def test_everything_but_what_is_kept_is_half(self) -> None:
        types = _types(to_half(_toy(), keep={'Conv_5'}))
        assert types['Conv_5'] == TensorProto.FLOAT
        for name in ('Cast_0', 'Transpose_1', 'Mul_2', 'Conv_3', 'Relu_4', 'Reshape_6'):
            assert types[name] == TensorProto.FLOAT16

    def test_no_float_weights_remain_but_those_of_kept_nodes(self) -> None:
        half = to_half(_toy(), keep={'Conv_5'})
        of_float = [c for c in half.graph.initializer if c.data_type == TensorProto.FLOAT]
        assert [tuple(c.dims) for c in of_float] == [(1, 1, 2, 2)]

    def test_a_node_whose_weights_do_not_fit_stays_in_float(self) -> None:
        types = _types(to_half(_toy(weight=70_000.0)))
        assert types['Conv_3'] == TensorProto.FLOAT
        assert types['Mul_2'] == TensorProto.FLOAT16

    def test_what_overflows_in_half_does_not_where_it_is_kept(self) -> None:
        white = np.full((1, 2, 2, 3), 255, np.uint8)
        model = _toy(scale=100.0)  # 76,500 after the convolution
        assert np.isinf(_run(to_half(model), white)['mean']).all()
        large = large_valued_nodes(model, [{'image': white}], limit=MAX_MAGNITUDE)
        np.testing.assert_allclose(_run(to_half(model, large), white)['mean'], 76_500, rtol=1e-3)

    def test_the_scales_of_a_resize_stay_in_float(self) -> None:
        builder = GraphBuilder()
        pixels = builder.node('Cast', ['image'], to=TensorProto.FLOAT)
        planes = builder.node('Transpose', [pixels], perm=[0, 3, 1, 2])
        scales = builder.constant(np.array([1, 1, 2, 2], np.float32))
        builder.node('Resize', [planes, '', scales], mode='nearest', output='large')
        model = builder.model(
            'resize',
            (TensorSpec('image', (DYNAMIC, 2, 2, 3), np.dtype(np.uint8)),),
            (TensorSpec('large', (DYNAMIC, 3, 4, 4), np.dtype(np.float32)),),
        )
        half = to_half(model)  # checked, types included
        assert half.graph.initializer[0].data_type == TensorProto.FLOAT
        image = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
        np.testing.assert_array_equal(_run(half, image)['large'], _run(model, image)['large'])

    def test_constants_that_are_nodes_are_taken_for_constants(self) -> None:
        model = _toy()
        value = numpy_helper.from_array(np.float32(2.0))
        node = onnx.helper.make_node('Constant', [], ['two'], name='two', value=value)
        model.graph.node.insert(0, node)
        model.graph.node[3].input[1] = 'two'  # the Mul
        half = to_half(model)
        assert all(node.op_type != 'Constant' for node in half.graph.node)
        white = np.full((1, 2, 2, 3), 255, np.uint8)
        np.testing.assert_allclose(_run(half, white)['mean'], 3 * 2 * 255, rtol=1e-3)

    def test_control_flow_is_refused(self) -> None:
        body = onnx.helper.make_graph([], 'body', [], [])
        model = _toy()
        model.graph.node.append(
            onnx.helper.make_node(
                'If', ['c'], ['x'], name='If', then_branch=body, else_branch=body
            )
        )
        with pytest.raises(PrecisionError, match='If: control flow is not supported'):
            to_half(model)

    @pytest.mark.models
    @pytest.mark.parametrize('name', MODELS)
    def test_the_networks_stay_close_and_never_flip(
        self, networks: dict[str, onnx.ModelProto], name: str
    ) -> None:
        model = networks[name]
        half = to_half(model, head_nodes(model))
        for image in probe_images(CONTRACTS[name].inputs[0].shape[1:]):
            want, got = _run(model, image), _run(half, image)
            for output, expected in want.items():
                assert np.isfinite(got[output]).all()
                atol = 0.01 * np.abs(expected).max()
                np.testing.assert_allclose(got[output], expected, rtol=0, atol=atol)
            for logit in {'scores', 'presence'} & set(want):
                assert ((got[logit] > 0) == (want[logit] > 0))[np.abs(want[logit]) > 1].all()

    @pytest.mark.models
    def test_heads_in_float_keep_landmarks_from_being_rounded(
        self, networks: dict[str, onnx.ModelProto]
    ) -> None:
        model = networks['face_mesh']
        image = probe_images((192, 192, 3))[3]
        want = _run(model, image)['landmarks']
        kept = np.abs(_run(to_half(model, head_nodes(model)), image)['landmarks'] - want).max()
        rounded = np.abs(_run(to_half(model), image)['landmarks'] - want).max()
        assert kept < 0.06 < rounded  # half of FP16's step between 128 and 256 is 0.0625

    @pytest.mark.models
    def test_landmarks_of_the_attention_mesh_stay_where_they_are(
        self, networks: dict[str, onnx.ModelProto]
    ) -> None:
        model = networks['face_attention']
        image = RotatedRoi(225.0, 124.0, 155.0).crop(data.astronaut(), 192)[0][None]
        want, got = _run(model, image), _run(to_half(model, head_nodes(model)), image)
        for name in ('lips', 'left_eye', 'right_eye', 'left_iris', 'right_iris'):
            assert np.abs(got[name] - want[name]).max() < 0.1  # px; median 0.001
