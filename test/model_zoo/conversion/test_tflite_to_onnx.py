# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import numpy_helper
from skimage import data
from tiny_tflite import (
    ACTIVATION,
    OPERATOR,
    SAME,
    VALID,
    TinyNetwork,
    assert_same_as_litert,
    make_spec,
    run_litert,
    run_onnx,
    sample_images,
    weights,
)

from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
from aitable_ros.model_zoo.conversion.tflite_to_onnx import ConversionError, GraphStyle, convert

STYLES = list(GraphStyle)


REAL = {
    'face_detection_short_range': make_spec(
        (128, 128, 3),
        {'regressors': ('boxes', (896, 16)), 'classificators': ('scores', (896, 1))},
        scale=2 / 255,
        offset=-1.0,
    ),
    'face_landmark': make_spec(
        (192, 192, 3),
        {'conv2d_21': ('landmarks', (468, 3)), 'conv2d_31': ('presence', (1,))},
        scale=1 / 255,
    ),
    'pose_detection': make_spec(
        (224, 224, 3),
        {'Identity': ('boxes', (2254, 12)), 'Identity_1': ('scores', (2254, 1))},
        scale=2 / 255,
        offset=-1.0,
    ),
    'pose_landmark_full': make_spec(
        (256, 256, 3),
        {
            'Identity': ('landmarks', (39, 5)),
            'Identity_1': ('presence', (1,)),
            'Identity_3': ('heatmap', (64, 64, 39)),
            'Identity_4': ('world', (39, 3)),
        },
        scale=1 / 255,
    ),
}


@pytest.fixture(scope='module', params=STYLES, ids=lambda style: style.value)
def style(request: pytest.FixtureRequest) -> GraphStyle:
    return request.param


@pytest.fixture(scope='module', params=list(REAL))
def real_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope='module')
def real_path(real_name: str, tflite_dir: Path) -> Path:
    return tflite_dir / f'{real_name}.tflite'


@pytest.fixture(scope='module')
def real_model(real_name: str, real_path: Path, style: GraphStyle) -> onnx.ModelProto:
    return convert(real_path.read_bytes(), REAL[real_name], style=style)


@pytest.mark.models
@pytest.mark.parametrize('batch', [1, 3])
def test_real_networks_agree_with_litert(
    real_name: str, real_path: Path, real_model: onnx.ModelProto, batch: int
) -> None:
    """LiteRT runs them one by one, so the items of a batch do not mix either."""
    spec = REAL[real_name]
    kinds = sample_images(spec, 1)
    images = np.concatenate(list(kinds.values()) if batch == 3 else [kinds['noise']])
    ours = run_onnx(real_model, images)
    theirs = run_litert(real_path.read_bytes(), spec, images)
    for output in spec.outputs:
        assert ours[output.name].shape == (batch, *output.shape[1:])
        # 1e-3 of a pixel; a black image drives face detection's logits to 30,000, where
        # LiteRT's own kernels differ from each other by 0.04. The pose networks' values reach
        # hundreds on pictures without anybody, after three times the layers.
        atol = 1e-3
        if 'pose' in real_name:
            atol += 3e-4 * float(np.abs(theirs[output.name]).max())
        np.testing.assert_allclose(
            ours[output.name], theirs[output.name], rtol=1e-6, atol=atol, err_msg=output.name
        )


POSE_ATOL = {
    # pixels of the input (and logits of scores and visibility), metres, probability
    'boxes': 5e-3,
    'scores': 1e-3,
    'landmarks': 5e-3,
    'presence': 1e-4,
    'heatmap': 2e-3,
    'world': 1e-4,
}


@pytest.mark.models
@pytest.mark.parametrize('name', ['pose_detection', 'pose_landmark_full'])
def test_pose_networks_agree_with_litert_on_a_person(
    name: str, style: GraphStyle, tflite_dir: Path
) -> None:
    spec = REAL[name]
    side = spec.inputs[0].shape[1]
    picture = data.astronaut()[: 2 * side, : 2 * side]
    images = np.stack([picture[::2, ::2], picture[::2, ::-2], picture[::2, ::2] // 3])
    content = (tflite_dir / f'{name}.tflite').read_bytes()
    ours = run_onnx(convert(content, spec, style=style), images)
    theirs = run_litert(content, spec, images)
    for output in spec.outputs:
        np.testing.assert_allclose(
            ours[output.name], theirs[output.name], rtol=0, atol=POSE_ATOL[output.name]
        )


@pytest.mark.models
def test_model_presents_the_spec(
    real_name: str, real_path: Path, real_model: onnx.ModelProto, tmp_path: Path
) -> None:
    path = tmp_path / 'model.onnx'
    onnx.save(real_model, path)
    with OnnxRuntimeEngine(REAL[real_name], path):
        pass  # the engine compares names, types and shapes with the spec
    batches = {
        tensor.type.tensor_type.shape.dim[0].dim_param
        for tensor in [*real_model.graph.input, *real_model.graph.output]
    }
    assert batches == {'N'}
    assert real_model.ir_version == 8
    assert [(opset.domain, opset.version) for opset in real_model.opset_import] == [('', 17)]
    properties = {prop.key: prop.value for prop in real_model.metadata_props}
    assert properties['source_sha256'] == hashlib.sha256(real_path.read_bytes()).hexdigest()
    assert properties['licence'] == 'Apache-2.0'
    assert properties['producer_name'] == 'aitable'
    assert properties['producer_version'] == real_model.producer_version != ''


@pytest.mark.models
def test_graph_has_only_operators_that_tensorrt_8_6_parses(real_model: onnx.ModelProto) -> None:
    assert {node.domain for node in real_model.graph.node} == {''}
    assert {node.op_type for node in real_model.graph.node} <= {
        'Add', 'Cast', 'Clip', 'Concat', 'Conv', 'DepthToSpace', 'Identity', 'MaxPool', 'PRelu',
        'Pad', 'Relu', 'Reshape', 'Resize', 'Sigmoid', 'Transpose',
    }  # fmt: skip
    # TensorRT takes a uint8 input only where a cast follows directly.
    readers = [node.op_type for node in real_model.graph.node if 'image' in node.input]
    assert readers == ['Cast']


@pytest.mark.models
def test_default_style_leaves_nothing_that_breaks_the_blocked_layout(
    real_name: str, real_path: Path
) -> None:
    model = convert(real_path.read_bytes(), REAL[real_name])
    assert 'PRelu' not in {node.op_type for node in model.graph.node}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == 'Pad':  # of rows and columns: ONNX Runtime makes it the convolution's
            amounts = constants[node.input[1]].reshape(2, 4)
            assert not amounts[:, :2].any()
            assert 'pose' in real_name


@pytest.mark.models
def test_the_same_file_comes_every_time(tflite_dir: Path) -> None:
    content = (tflite_dir / 'face_landmark.tflite').read_bytes()
    first, second = (convert(content, REAL['face_landmark']) for _ in range(2))
    assert first.SerializeToString() == second.SerializeToString()


@pytest.mark.parametrize(
    ('size', 'kernel', 'stride', 'dilation', 'padding', 'result'),
    [
        (8, 3, 1, 1, SAME, 8),
        (8, 3, 2, 1, SAME, 4),  # one row of padding, at the end
        (7, 3, 2, 1, SAME, 4),
        (9, 2, 1, 1, SAME, 9),
        (9, 5, 2, 1, VALID, 3),
        (9, 3, 1, 2, SAME, 9),
        (8, 1, 2, 1, SAME, 4),
    ],
)
def test_convolution_windows(
    size: int, kernel: int, stride: int, dilation: int, padding: int, result: int
) -> None:
    # Zero padding is a zero after scaling: pixel 127.5, not black.
    for depthwise, filters, channels in ((False, 5, 5), (True, 1, 3)):
        network = TinyNetwork((size, size, 3))
        output = network.conv(
            network.image,
            weights(filters, kernel, kernel, 3),
            (1, result, result, channels),
            stride=stride,
            dilation=dilation,
            padding=padding,
            depthwise=depthwise,
        )
        assert_same_as_litert(network, output, style=GraphStyle.NATIVE)


@pytest.mark.parametrize(
    'activation', [ACTIVATION.RELU, ACTIVATION.RELU6, ACTIVATION.RELU_N1_TO_1]
)
def test_fused_activations(activation: int) -> None:
    network = TinyNetwork((6, 6, 3))
    output = network.conv(
        network.image, 10 * weights(4, 3, 3, 3), (1, 6, 6, 4), activation=activation
    )
    assert_same_as_litert(network, output, style=GraphStyle.NATIVE)


def test_depthwise_convolution_with_several_results_for_each_channel() -> None:
    network = TinyNetwork((5, 5, 3))
    output = network.conv(network.image, weights(1, 3, 3, 6), (1, 5, 5, 6), depthwise=True)
    assert_same_as_litert(network, output, style=GraphStyle.NATIVE)


@pytest.mark.parametrize('slopes', [[0.3, -0.7, 1.4, 0.0], [0.25]], ids=['each', 'shared'])
def test_prelu(slopes: list[float], style: GraphStyle) -> None:
    network = TinyNetwork((5, 5, 4))
    constant = network.constant(np.array(slopes, np.float32).reshape(1, 1, -1))
    output = network.operator(OPERATOR.PRELU, [network.image, constant], (1, 5, 5, 4))
    assert_same_as_litert(network, output, style=style)


@pytest.mark.parametrize(
    'amounts',
    [
        [[0, 0], [0, 0], [0, 0], [0, 3]],
        [[0, 0], [0, 0], [0, 0], [2, 1]],
        [[0, 0], [1, 0], [0, 2], [0, 0]],
        [[0, 0], [1, 2], [3, 4], [0, 5]],
    ],
    ids=['channels', 'channels at both ends', 'space', 'both'],
)
def test_padding_of_the_image_and_of_a_result(amounts: list[list[int]], style: GraphStyle) -> None:
    network = TinyNetwork((4, 4, 3))
    shape = tuple(size + sum(pad) for size, pad in zip((1, 4, 4, 3), amounts))
    pads = network.constant(np.array(amounts, np.int32))
    padded = network.operator(OPERATOR.PAD, [network.image, pads], shape, 'PadOptions')
    output = network.conv(padded, weights(2, 3, 3, shape[3]), (1, *shape[1:3], 2))
    features = network.conv(network.image, weights(3, 1, 1, 3), (1, 4, 4, 3))
    other = network.operator(OPERATOR.PAD, [features, pads], shape, 'PadOptions')
    assert_same_as_litert(network, padded, output, other, style=style)


def test_operators_without_weights_get_the_scaled_image(style: GraphStyle) -> None:
    network = TinyNetwork((6, 6, 8))
    pool = network.operator(
        OPERATOR.MAX_POOL_2D,
        [network.image],
        (1, 3, 3, 8),
        'Pool2DOptions',
        padding=SAME,
        strideH=2,
        strideW=2,
        filterHeight=3,
        filterWidth=3,
    )
    relu = network.operator(OPERATOR.RELU, [network.image], (1, 6, 6, 8))
    sigmoid = network.operator(OPERATOR.LOGISTIC, [network.image], (1, 6, 6, 8))
    offsets = network.constant(weights(8))
    added = network.operator(OPERATOR.ADD, [relu, offsets], (1, 6, 6, 8), 'AddOptions')
    both = network.operator(
        OPERATOR.ADD, [added, sigmoid], (1, 6, 6, 8), 'AddOptions', fusedActivationFunction=1
    )
    depth = network.operator(
        OPERATOR.DEPTH_TO_SPACE, [both], (1, 12, 12, 2), 'DepthToSpaceOptions', blockSize=2
    )
    assert_same_as_litert(network, pool, sigmoid, both, depth, style=style)


def test_products_and_slices_of_everything(style: GraphStyle) -> None:
    network = TinyNetwork((2, 3, 2))
    rows = network.reshape(network.image, (1, 6, 2))
    halved = network.operator(
        OPERATOR.MUL, [rows, network.constant(np.float32([0.5]))], (1, 6, 2), 'MulOptions'
    )
    factors = network.operator(
        OPERATOR.MUL, [halved, network.constant(weights(1, 6, 2))], (1, 6, 2), 'MulOptions'
    )
    square = network.operator(
        OPERATOR.MUL, [factors, rows], (1, 6, 2), 'MulOptions', fusedActivationFunction=1
    )
    bounds = [network.constant(np.array(v, np.int32)) for v in ([0, 0, 0], [1, 6, 2], [1, 1, 1])]
    same = network.operator(
        OPERATOR.STRIDED_SLICE, [square, *bounds], (1, 6, 2), 'StridedSliceOptions'
    )
    assert_same_as_litert(network, factors, same, style=style)


@pytest.mark.parametrize(
    ('strides', 'rows'), [([1, 1, 1], 4), ([1, -1, 1], 6)], ids=['part', 'reversed']
)
def test_slices_of_something_are_refused(strides: list[int], rows: int) -> None:
    network = TinyNetwork((2, 3, 2))
    source = network.reshape(network.image, (1, 6, 2))
    bounds = [network.constant(np.array(v, np.int32)) for v in ([0, 0, 0], [1, rows, 2], strides)]
    part = network.operator(
        OPERATOR.STRIDED_SLICE, [source, *bounds], (1, rows, 2), 'StridedSliceOptions'
    )
    with pytest.raises(ConversionError, match='STRIDED_SLICE: .* is not all of'):
        convert(network.content(part), network.spec(part))


@pytest.mark.parametrize(('corners', 'half_pixel'), [(False, False), (True, False), (False, True)])
def test_resize_bilinear(corners: bool, half_pixel: bool) -> None:
    network = TinyNetwork((4, 6, 3))
    size = network.constant(np.array([8, 18], np.int32))
    output = network.operator(
        OPERATOR.RESIZE_BILINEAR,
        [network.image, size],
        (1, 8, 18, 3),
        'ResizeBilinearOptions',
        alignCorners=corners,
        halfPixelCenters=half_pixel,
    )
    assert_same_as_litert(network, output, style=GraphStyle.NATIVE)


def test_reshape_and_concatenation_keep_the_order_of_values() -> None:
    network = TinyNetwork((4, 2, 6))
    flat = network.reshape(network.image, (1, 16, 3))
    joined = network.operator(
        OPERATOR.CONCATENATION, [flat, flat], (1, 32, 3), 'ConcatenationOptions', axis=1
    )
    last = network.operator(
        OPERATOR.CONCATENATION, [flat, flat], (1, 16, 6), 'ConcatenationOptions', axis=-1
    )
    back = network.reshape(flat, (1, 2, 8, 3))
    channels = network.operator(
        OPERATOR.CONCATENATION, [back, back], (1, 2, 8, 6), 'ConcatenationOptions', axis=3
    )
    output = network.conv(channels, weights(2, 3, 3, 6), (1, 2, 8, 2))
    assert_same_as_litert(network, joined, last, output, style=GraphStyle.NATIVE)


def simple_network() -> tuple[TinyNetwork, int]:
    network = TinyNetwork((4, 4, 3))
    return network, network.conv(network.image, weights(2, 3, 3, 3), (1, 4, 4, 2), name='result')


def test_operators_that_no_wanted_output_needs_are_left_out() -> None:
    network, output = simple_network()
    unwanted = network.operator(OPERATOR.ELU, [output], (1, 4, 4, 2))
    model = convert(network.content(output, unwanted), network.spec(output))
    assert [node.op_type for node in model.graph.node if node.op_type == 'Conv'] == ['Conv']


def test_output_is_chosen_by_name_and_size() -> None:
    network, output = simple_network()
    twin = network.operator(OPERATOR.RELU, [network.image], (1, 4, 4, 3), name='result')
    content = network.content(twin, output)
    (ours,) = run_onnx(
        convert(content, network.spec(output)), np.zeros((1, 4, 4, 3), np.uint8)
    ).values()
    assert ours.shape == (1, 4, 4, 2)


@pytest.mark.parametrize(
    ('outputs', 'message'),
    [
        ({'nothing': ('out', (4, 4, 2))}, r'one output named nothing .* found 0; .*result'),
        ({'result': ('out', (4, 4, 3))}, r'named result with 48 values .* found 0'),
    ],
    ids=['name', 'size'],
)
def test_missing_output_is_named(
    outputs: dict[str, tuple[str, Sequence[int]]], message: str
) -> None:
    network, output = simple_network()
    with pytest.raises(ConversionError, match=message):
        convert(network.content(output), make_spec((4, 4, 3), outputs))


def test_ambiguous_output_is_refused() -> None:
    network, output = simple_network()
    twin = network.operator(OPERATOR.RELU, [output], (1, 4, 4, 2), name='result')
    with pytest.raises(ConversionError, match='found 2'):
        convert(network.content(output, twin), network.spec(output))


def test_unknown_operators_are_named_together() -> None:
    network, output = simple_network()
    elu = network.operator(OPERATOR.ELU, [output], (1, 4, 4, 2))
    custom = network.operator(OPERATOR.CUSTOM, [elu], (1, 4, 4, 2), custom='Landmarks')
    with pytest.raises(ConversionError, match=r'unsupported operators: CUSTOM:Landmarks, ELU'):
        convert(network.content(custom), network.spec(custom))


def test_unsupported_activation_is_named() -> None:
    network = TinyNetwork((4, 4, 3))
    output = network.conv(
        network.image, weights(2, 3, 3, 3), (1, 4, 4, 2), activation=ACTIVATION.TANH
    )
    with pytest.raises(ConversionError, match='CONV_2D: unsupported fused activation TANH'):
        convert(network.content(output), network.spec(output))


def test_unsupported_element_types_are_named() -> None:
    network = TinyNetwork((4, 4, 3))
    quantized = network.constant(np.ones((2, 1, 1, 3), np.int8))
    output = network.conv(network.image, quantized, (1, 4, 4, 2))
    with pytest.raises(ConversionError, match=r"'constant_1' is quantised in an unsupported way"):
        convert(network.content(output), network.spec(output))
    network = TinyNetwork((4, 4, 3))
    output = network.operator(
        OPERATOR.RELU, [network.image], (1, 4, 4, 3), kind=schema.TensorType.INT8, name='q'
    )
    with pytest.raises(ConversionError, match=r'RELU: result q INT8.* unsupported element type'):
        convert(network.content(output), network.spec(output))


def test_weights_that_are_not_numbers_are_refused() -> None:
    network = TinyNetwork((4, 4, 3))
    damaged = weights(2, 3, 3, 3)
    damaged[1, 2, 0, 1] = np.nan
    output = network.conv(network.image, damaged, (1, 4, 4, 2))
    with pytest.raises(ConversionError, match=r'CONV_2D: .* holds infinite or NaN values'):
        convert(network.content(output), network.spec(output))


def test_other_image_size_than_the_file_has_is_refused() -> None:
    network, output = simple_network()
    spec = make_spec((8, 8, 3), {'result': ('out', (4, 4, 2))})
    with pytest.raises(ConversionError, match=r'\[1, 8, 8, 3\] .* found image FLOAT32\[1,4,4,3\]'):
        convert(network.content(output), spec)


def test_shapes_that_contradict_the_weights_are_refused() -> None:
    network = TinyNetwork((4, 4, 3))
    output = network.conv(network.image, weights(2, 3, 3, 5), (1, 4, 4, 2))
    with pytest.raises(ConversionError, match='weights of 5 channels do not fit'):
        convert(network.content(output), network.spec(output))
    network = TinyNetwork((4, 4, 3))
    features = network.conv(network.image, weights(2, 3, 3, 3), (1, 4, 4, 2))
    output = network.operator(
        OPERATOR.CONCATENATION, [features, features], (1, 4, 5, 2), 'ConcatenationOptions', axis=1
    )
    spec = network.spec(output)
    with pytest.raises(ConversionError, match='shapes do not fit together'):
        convert(network.content(output), spec)


@pytest.mark.parametrize(
    'content',
    [b'', b'TFL3', b'PK\x03\x04 a zip file', b'\x00' * 4096, bytes(range(256)) * 16],
    ids=['empty', 'short', 'zip', 'zeros', 'garbage'],
)
def test_other_files_are_refused(content: bytes) -> None:
    network, output = simple_network()
    with pytest.raises(ConversionError, match=r'not a TFLite file: \d+ bytes'):
        convert(content, network.spec(output))


@pytest.mark.models
def test_truncated_file_is_refused(real_name: str, real_path: Path) -> None:
    content = real_path.read_bytes()
    for fraction in (0.0001, 0.01, 0.5, 0.9, 0.999):
        with pytest.raises(ConversionError, match='truncated'):
            convert(content[: 8 + int(len(content) * fraction)], REAL[real_name])


def test_damaged_files_raise_nothing_else() -> None:
    network = TinyNetwork((4, 4, 4))
    slopes = network.constant(np.full((1, 1, 4), 0.2, np.float32))
    features = network.conv(network.image, weights(4, 3, 3, 4), (1, 4, 4, 4))
    active = network.operator(OPERATOR.PRELU, [features, slopes], (1, 4, 4, 4))
    pads = network.constant(np.array([[0, 0], [0, 0], [0, 0], [0, 4]], np.int32))
    wide = network.operator(OPERATOR.PAD, [active, pads], (1, 4, 4, 8), 'PadOptions')
    output = network.reshape(wide, (1, 16, 8))
    content, spec = network.content(output), network.spec(output)
    convert(content, spec)
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        for position in rng.integers(8, len(content), rng.integers(1, 6)):
            damaged[position] = rng.integers(256)
        try:
            convert(bytes(damaged), spec)
        except ConversionError:
            refused += 1
    assert refused > 100
