# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
YOLO-pose files that a user brings: layouts told apart, letterbox, suppression, COCO's keypoints.

The networks are small ONNX graphs with names of their own. One kind answers always the same; the
other looks for the reddest pixel and puts its keypoints there, so that a dot drawn into a picture
must be found again in the picture's own pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aitable_ros.inference.engine import DYNAMIC, Engine, InferenceError, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
from aitable_ros.perception.posture.body_keypoints import BodyKeypoint
from aitable_ros.perception.posture.yolo_pose import (
    COCO_KEYPOINTS,
    Letterbox,
    YoloPose,
    infer_format,
)

MISSING = sorted(set(BodyKeypoint) - set(COCO_KEYPOINTS))


def dense_row(cx, cy, width, height, score, points=None):
    points = np.full((17, 3), (cx, cy, 0.9)) if points is None else points
    return np.array([cx, cy, width, height, score, *np.ravel(points)], dtype=np.float32)


def end_to_end_row(left, top, right, bottom, score, kind=0.0, points=None):
    middle = ((left + right) / 2, (top + bottom) / 2, 0.9)
    points = np.full((17, 3), middle) if points is None else points
    row = [left, top, right, bottom, score, kind, *np.ravel(points)]
    return np.array(row, dtype=np.float32)


def numbered_points():
    """Keypoint i at (20 + 3 i, 40 + 5 i) with visibility i / 20."""
    return np.array([(20.0 + 3 * i, 40.0 + 5 * i, i / 20) for i in range(17)])


def save(path: Path, nodes, image_shape, output_shape, dtype=TensorProto.FLOAT) -> Path:
    graph = helper.make_graph(
        nodes,
        'yolo',
        [helper.make_tensor_value_info('pictures', dtype, image_shape)],
        [helper.make_tensor_value_info('answer', TensorProto.FLOAT, output_shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def constant(name: str, value) -> onnx.NodeProto:
    return helper.make_node(
        'Constant', [], [name], value=numpy_helper.from_array(np.asarray(value), name)
    )


@pytest.fixture
def answering(tmp_path: Path) -> Callable[..., OnnxRuntimeEngine]:
    """Make a network that gives these values whatever it sees."""

    def make(values, image_shape=(1, 3, 128, 128), dtype=TensorProto.FLOAT, output_shape=None):
        values = np.asarray(values, dtype=np.float32)
        nodes = [
            helper.make_node('Cast', ['pictures'], ['pixels'], to=TensorProto.FLOAT),
            helper.make_node('ReduceMin', ['pixels'], ['darkest'], keepdims=0),
            constant('zero', np.float32(0)),
            helper.make_node('Mul', ['darkest', 'zero'], ['nothing']),
            constant('values', values),
            helper.make_node('Add', ['values', 'nothing'], ['answer']),
        ]
        shape = values.shape if output_shape is None else output_shape
        return opened(save(tmp_path / 'my-pose.onnx', nodes, image_shape, shape, dtype))

    return make


def opened(path: Path) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(ModelSpec(path.stem, (), ()), path)


def dense(rows) -> np.ndarray:
    """(1, 56, N) of rows; there are always 80 anchors, most of them without anybody."""
    values = np.zeros((1, 56, 80), dtype=np.float32)
    for i, row in enumerate(rows):
        values[0, :, 7 * i + 3] = row
    return values


def end_to_end(rows) -> np.ndarray:
    values = np.zeros((1, 30, 57), dtype=np.float32)
    values[0, : len(rows)] = rows
    return values


SQUARE = np.zeros((128, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize('is_dense', [True, False])
def test_both_layouts_give_the_same_keypoints(answering, is_dense):
    points = numbered_points()
    values = (
        dense([dense_row(64, 70, 40, 100, 0.8, points)])
        if is_dense
        else end_to_end([end_to_end_row(44, 20, 84, 120, 0.8, 0, points)])
    )
    with answering(values) as engine:
        assert infer_format(engine).dense is is_dense
        body = YoloPose(engine).process(SQUARE, 0.0)
    assert body.score == pytest.approx(0.8)
    np.testing.assert_allclose(body.xy_px[list(COCO_KEYPOINTS)], points[:, :2], atol=1e-4)
    np.testing.assert_allclose(body.visibility[list(COCO_KEYPOINTS)], points[:, 2], atol=1e-6)
    assert np.isnan(body.xy_px[MISSING]).all()
    assert not body.visibility[MISSING].any()
    assert body.world_m is None


def test_the_seventeen_keypoints_are_coco_s_in_its_order():
    names = [keypoint.name.lower() for keypoint in COCO_KEYPOINTS]
    pairs = ('eye', 'ear', 'shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
    assert names == ['nose', *(f'{side}_{part}' for part in pairs for side in ('left', 'right'))]


def reddest_pixel_network(path: Path, image_shape, dtype, *, channels_first: bool) -> Path:
    """
    One box around the reddest pixel, all keypoints on it.

    Its red is the score; of a uint8 input, a 255th of it.
    """
    width = image_shape[3] if channels_first else image_shape[2]
    base = np.zeros((56, 1), dtype=np.float32)
    base[2:4] = 30.0
    along_x, along_y, red = (np.zeros((56, 1), dtype=np.float32) for _ in range(3))
    along_x[[0, *range(5, 56, 3)]] = 1
    along_y[[1, *range(6, 56, 3)]] = 1
    red[[4, *range(7, 56, 3)]] = 1 / 255 if dtype == TensorProto.UINT8 else 1
    nodes = [
        helper.make_node('Cast', ['pictures'], ['pixels'], to=TensorProto.FLOAT),
        constant('first', np.int64(0)),
        helper.make_node('Gather', ['pixels', 'first'], ['reds'], axis=1 if channels_first else 3),
        constant('flat', np.array([-1], np.int64)),
        helper.make_node('Reshape', ['reds', 'flat'], ['line']),
        helper.make_node('ArgMax', ['line'], ['where'], axis=0, keepdims=0),
        helper.make_node('ReduceMax', ['line'], ['peak'], keepdims=0),
        constant('width', np.int64(width)),
        helper.make_node('Div', ['where', 'width'], ['row']),
        helper.make_node('Mod', ['where', 'width'], ['column']),
        helper.make_node('Cast', ['row'], ['y'], to=TensorProto.FLOAT),
        helper.make_node('Cast', ['column'], ['x'], to=TensorProto.FLOAT),
        constant('base', base),
        constant('along_x', along_x),
        constant('along_y', along_y),
        constant('red', red),
        helper.make_node('Mul', ['along_x', 'x'], ['dx']),
        helper.make_node('Mul', ['along_y', 'y'], ['dy']),
        helper.make_node('Mul', ['red', 'peak'], ['score']),
        helper.make_node('Sum', ['base', 'dx', 'dy', 'score'], ['one']),
        constant('shape', np.array([1, 56, 80], np.int64)),
        helper.make_node('Expand', ['one', 'shape'], ['answer']),
    ]
    return save(path, nodes, image_shape, (1, 56, 80), dtype)


@pytest.mark.parametrize(
    ('image_shape', 'dtype'),
    [
        ((1, 3, 128, 128), TensorProto.FLOAT),
        ((1, 3, 96, 160), TensorProto.FLOAT),
        ((1, 3, 128, 128), TensorProto.FLOAT16),
        ((1, 128, 160, 3), TensorProto.UINT8),
        ((1, 3, 160, 128), TensorProto.UINT8),
    ],
    ids=str,
)
def test_a_dot_is_found_again_where_it_is_in_the_picture(tmp_path, image_shape, dtype):
    path = reddest_pixel_network(
        tmp_path / 'dot.onnx', image_shape, dtype, channels_first=image_shape[1] == 3
    )
    sizes = ((480, 640), (640, 480), (90, 160), (33, 501), (128, 128))
    places = ((0.1, 0.2), (0.5, 0.5), (0.93, 0.85))
    with opened(path) as engine:
        pose = YoloPose(engine)
        form = pose.format
        for (rows, columns), (x, y) in itertools.product(sizes, places):
            scale = min(form.height / rows, form.width / columns)
            # A block as large as an input pixel, in the picture's pixels, and well inside of it.
            half = int(np.ceil(1.5 / scale))
            x_px = int(np.clip(x * columns, half, columns - 1 - half))
            y_px = int(np.clip(y * rows, half, rows - 1 - half))
            image = np.full((rows, columns, 3), (0, 255, 255), dtype=np.uint8)
            image[y_px - half : y_px + half + 1, x_px - half : x_px + half + 1] = (204, 0, 0)
            body = pose.process_still(image)
            nose = body.xy_px[BodyKeypoint.NOSE]
            # ArgMax gives the block's first pixel of full red: within the block, to a pixel of the
            # input.
            assert np.abs(nose - (x_px, y_px)).max() <= half + 1.0 / scale + 1.0
            assert body.score == pytest.approx(0.8, abs=0.01)  # 204 of 255


def test_the_letterbox_keeps_the_aspect_ratio_and_is_grey_and_in_the_middle():
    image = np.full((480, 640, 3), 250, dtype=np.uint8)
    letterbox, framed = Letterbox.fit(image, 640, 640)
    assert framed.shape == (640, 640, 3)
    assert (framed[:80] == 114).all()
    assert (framed[-80:] == 114).all()
    assert (framed[80:-80] == 250).all()
    np.testing.assert_allclose(letterbox.to_image([[0, 80], [640, 560]]), [[0, 0], [640, 480]])


@pytest.mark.parametrize('size', [(1, 1), (1, 5000), (5000, 1), (3, 2), (33, 501), (480, 640)])
def test_the_corners_of_pictures_of_any_shape_come_back_exactly(size):
    letterbox, framed = Letterbox.fit(np.full((*size, 3), 250, dtype=np.uint8), 64, 96)
    assert framed.shape == (64, 96, 3)
    rows, columns = np.nonzero(framed[..., 0] == 250)
    ends = [(columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)]
    np.testing.assert_allclose(letterbox.to_image(ends), [(0, 0), size[::-1]], atol=1e-9)


class DeclaredEngine(Engine):
    """Says what its tensors are, and runs nothing."""

    backend = 'declared'

    def __init__(self, output_shape) -> None:
        image = TensorSpec('pictures', (1, 3, 128, 128), np.dtype(np.float32))
        output = TensorSpec('answer', output_shape, np.dtype(np.float32))
        super().__init__(ModelSpec('my-pose', (image,), (output,)), Path('my-pose.engine'))

    def _infer(self, inputs):
        raise NotImplementedError

    def _close(self) -> None:
        pass


@pytest.mark.parametrize(
    ('shape', 'reason'),
    [
        ((1, 56, 57), 'ambiguous'),
        ((1, 56, DYNAMIC), 'is open'),
        ((1, DYNAMIC, DYNAMIC), 'is open'),
        ((1, DYNAMIC, 57), 'is open'),
        ((DYNAMIC, 56, DYNAMIC), 'is open'),
        ((1, 80, 56), 'expected float'),
        ((1, 5, 80), 'expected float'),
        ((2, 56, 80), 'expected float'),
        ((56, 80), 'expected float'),
    ],
    ids=str,
)
def test_an_output_whose_shape_does_not_tell_is_refused_with_what_was_expected(shape, reason):
    with pytest.raises(InferenceError, match=reason) as caught:
        YoloPose(DeclaredEngine(shape))
    assert '[1,56,N]' in str(caught.value)
    assert '[1,N,57]' in str(caught.value)
    assert 'my-pose' in str(caught.value)


@pytest.mark.parametrize(
    ('shape', 'dtype', 'reason'),
    [
        ((1, 3, 'height', 'width'), TensorProto.FLOAT, 'picture size is open'),
        ((1, 1, 128, 128), TensorProto.FLOAT, 'expected one RGB picture'),
        ((1, 3, 128, 3), TensorProto.FLOAT, 'expected one RGB picture'),
        ((4, 3, 128, 128), TensorProto.FLOAT, 'expected one RGB picture'),
        ((3, 128, 128), TensorProto.FLOAT, 'expected one RGB picture'),
        ((1, 3, 128, 128), TensorProto.INT32, 'expected one RGB picture'),
        ((1, 3, 128, 10000), TensorProto.FLOAT, 'more than 8192'),
    ],
    ids=str,
)
def test_an_input_that_is_no_single_picture_of_known_size_is_refused(
    answering, shape, dtype, reason
):
    with (
        answering(dense([]), image_shape=shape, dtype=dtype) as engine,
        pytest.raises(InferenceError, match=reason),
    ):
        YoloPose(engine)


def test_an_open_batch_is_taken_as_one(answering):
    values = dense([dense_row(64, 64, 40, 60, 0.8)])
    with answering(values, ('batch', 3, 128, 128), output_shape=('batch', 56, 80)) as engine:
        assert YoloPose(engine).process(SQUARE, 0.0) is not None


def test_a_file_with_two_outputs_is_refused(tmp_path):
    nodes = [helper.make_node('Identity', ['pictures'], ['answer'])]
    path = save(tmp_path / 'two.onnx', nodes, (1, 3, 8, 8), (1, 3, 8, 8))
    model = onnx.load(path)
    model.graph.node.append(helper.make_node('Identity', ['pictures'], ['again']))
    model.graph.output.append(helper.make_tensor_value_info('again', TensorProto.FLOAT, None))
    onnx.save(model, path)
    with opened(path) as engine, pytest.raises(InferenceError, match='one input and one output'):
        YoloPose(engine)


def test_the_dense_layout_is_suppressed_before_the_largest_is_chosen(answering):
    # The second box is larger but hides in the first, which is surer.
    rows = [dense_row(64, 64, 40, 60, 0.9), dense_row(64, 64, 42, 62, 0.6)]
    with answering(dense(rows)) as engine:
        assert YoloPose(engine).process(SQUARE, 0.0).score == pytest.approx(0.9)


@pytest.mark.parametrize('is_dense', [True, False])
def test_the_largest_of_several_is_the_one_at_the_table(answering, is_dense):
    if is_dense:
        values = dense([dense_row(20, 30, 20, 30, 0.95), dense_row(90, 64, 50, 90, 0.6)])
    else:
        values = end_to_end(
            [end_to_end_row(10, 15, 30, 45, 0.95), end_to_end_row(65, 19, 115, 109, 0.6)]
        )
    with answering(values) as engine:
        body = YoloPose(engine).process(SQUARE, 0.0)
    assert body.xy_px[BodyKeypoint.NOSE] == pytest.approx((90, 64))


def test_what_is_not_a_person_or_too_unsure_is_nobody(answering):
    rows = [end_to_end_row(10, 10, 90, 90, 0.9, 1.0), end_to_end_row(10, 10, 60, 60, 0.49)]
    with answering(end_to_end(rows)) as engine:
        assert YoloPose(engine).process(SQUARE, 0.0) is None


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 3e38])
def test_numbers_that_make_no_sense_drop_the_person_and_leave_the_others(answering, bad):
    for place in (0, 2, 4, 5, 7, 55):
        broken = dense_row(64, 64, 80, 80, 0.9)
        broken[place] = bad
        with answering(dense([broken, dense_row(30, 30, 20, 20, 0.6)])) as engine:
            body = YoloPose(engine).process(SQUARE, 0.0)
        assert body.score == pytest.approx(1.0 if place == 4 and bad == 3e38 else 0.6)
        assert np.isfinite(body.xy_px[list(COCO_KEYPOINTS)]).all()


def test_keypoints_outside_of_the_picture_are_not_visible(answering):
    points = np.full((17, 3), (64.0, 64.0, 0.9))
    points[:4] = [(64, 10, 0.9), (-1, 64, 0.9), (128.5, 64, 0.9), (64, 110, 0.9)]
    with answering(dense([dense_row(64, 64, 40, 40, 0.9, points)])) as engine:
        # 128 x 64 is letterboxed: 32 rows of border above and below.
        body = YoloPose(engine).process(np.zeros((64, 128, 3), dtype=np.uint8), 0.0)
    seen = body.visibility[list(COCO_KEYPOINTS)]
    assert seen[:4].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(seen[4:], 0.9)
    assert np.isfinite(body.xy_px[list(COCO_KEYPOINTS)]).all()


class ChangingEngine:
    """Two people whose sizes the test sets from image to image."""

    def __init__(self, engine: OnnxRuntimeEngine) -> None:
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.widths = (40.0, 30.0)

    def infer(self, inputs):
        left, right = self.widths
        rows = [dense_row(32, 64, left, left, 0.8), dense_row(96, 64, right, right, 0.9)]
        return {'answer': dense(rows)}


@pytest.fixture
def two_people(answering):
    engine = answering(dense([]))
    pose = YoloPose(ChangingEngine(engine))  # type: ignore[arg-type]

    def see(stamp_s: float, left: float, right: float) -> str:
        pose.engine.widths = (left, right)
        x = pose.process(SQUARE, stamp_s).xy_px[BodyKeypoint.NOSE, 0]
        return 'left' if x < 64 else 'right'

    yield see
    engine.close()


def test_the_person_chosen_stays_until_another_is_much_larger(two_people):
    assert two_people(0.0, 40, 30) == 'left'
    assert two_people(0.1, 40, 50) == 'left'
    assert two_people(0.2, 40, 61) == 'right'
    assert two_people(0.3, 58, 45) == 'right'


@pytest.mark.parametrize('stamp_s', [-5.0, 0.8])
def test_after_a_gap_or_a_jump_back_the_largest_is_chosen_anew(two_people, stamp_s):
    assert two_people(0.0, 40, 30) == 'left'
    assert two_people(0.1, 40, 45) == 'left'
    assert two_people(stamp_s, 40, 45) == 'right'


def test_stills_leave_the_stream_alone_and_reset_forgets(answering):
    with answering(dense([])) as engine:
        changing = ChangingEngine(engine)
        pose = YoloPose(changing)
        pose.process(SQUARE, 0.0)
        changing.widths = (40.0, 50.0)
        assert pose.process_still(SQUARE).xy_px[0, 0] == pytest.approx(96)
        assert pose.process(SQUARE, 0.1).xy_px[0, 0] == pytest.approx(32)
        pose.reset()
        assert pose.process(SQUARE, 0.2).xy_px[0, 0] == pytest.approx(96)


def test_bad_images_stamps_are_refused(answering):
    with answering(dense([])) as engine:
        pose = YoloPose(engine)
        with pytest.raises(ValueError, match='expected an image'):
            pose.process(np.zeros((5, 5), dtype=np.uint8), 0.0)
        with pytest.raises(ValueError, match='stamp_s'):
            pose.process(SQUARE, float('nan'))
