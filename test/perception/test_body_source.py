# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which network gives the body keypoints, what is said about it, and what takes its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import NoBackendError
from aitable_ros.perception import body_source
from aitable_ros.perception.body_pose import BodyPipeline, BodySettings
from aitable_ros.perception.body_source import MODELS, load_body_source
from aitable_ros.perception.yolo_pose import YoloPose

pytestmark = pytest.mark.models


@pytest.fixture
def folder(engines_dir: Path, tmp_path: Path) -> Path:
    """An engines folder of the test's own with BlazePose in it."""
    for name in MODELS:
        for suffix in ('.tflite', '.onnx', '.json'):
            shutil.copyfile(engines_dir / f'{name}{suffix}', tmp_path / f'{name}{suffix}')
    return tmp_path


@pytest.fixture
def yolo_file(tmp_path: Path) -> Path:
    """A file that always sees one person, in the middle of 64 x 64 pixels, with a score of 0.6."""
    row = [32, 32, 20, 40, 0.6, *[32, 32, 0.9] * 17]
    values = np.zeros((1, 56, 84), dtype=np.float32)
    values[0, :, 50] = row
    nodes = [
        helper.make_node('ReduceMin', ['images'], ['least'], keepdims=0),
        helper.make_node('Constant', [], ['zero'], value=numpy_helper.from_array(np.float32(0))),
        helper.make_node('Mul', ['least', 'zero'], ['nothing']),
        helper.make_node('Constant', [], ['values'], value=numpy_helper.from_array(values)),
        helper.make_node('Add', ['values', 'nothing'], ['output0']),
    ]
    graph = helper.make_graph(
        nodes,
        'pose',
        [helper.make_tensor_value_info('images', TensorProto.FLOAT, (1, 3, 64, 64))],
        [helper.make_tensor_value_info('output0', TensorProto.FLOAT, (1, 56, 84))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    model.ir_version = 8
    path = tmp_path / 'yolo11n-pose.onnx'
    onnx.save(model, path)
    return path


class FakeMediapipe:
    """Stands for MediaPipe's solution where that is not installed."""

    def __init__(self, **settings) -> None:
        self.settings = settings
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_auto_takes_blazepose_and_says_from_which_files(catalog, folder, astronaut):
    source = load_body_source(catalog, engines_dir=folder)
    assert isinstance(source.estimator, BodyPipeline)
    assert source.backend == 'pose_detection: onnxruntime, pose_landmark: onnxruntime'
    detection, landmark = source.explanation
    assert f'pose_detection runs on onnxruntime ({folder}/pose_detection.onnx)' in detection
    assert 'skipped: tensorrt' in landmark
    assert source.estimator.process(astronaut, 0.0).score > 0.9
    source.close()
    with pytest.raises(InferenceError, match='after close'):
        source.estimator.process(astronaut, 0.1)


def test_both_cpu_backends_give_the_same_keypoints(catalog, folder, astronaut):
    bodies = []
    for backend in ('onnxruntime', 'litert'):
        source = load_body_source(catalog, backend, engines_dir=folder)
        assert source.backend == f'pose_detection: {backend}, pose_landmark: {backend}'
        bodies.append(source.estimator.process_still(astronaut))
        source.close()
    np.testing.assert_allclose(bodies[0].xy_px, bodies[1].xy_px, atol=0.5)
    np.testing.assert_allclose(bodies[0].world_m, bodies[1].world_m, atol=2e-3)
    np.testing.assert_allclose(bodies[0].visibility, bodies[1].visibility, atol=1e-3)


def test_the_chain_goes_on_per_network(catalog, folder):
    (folder / 'pose_landmark.onnx').unlink()
    source = load_body_source(catalog, engines_dir=folder)
    assert source.backend == 'pose_detection: onnxruntime, pose_landmark: litert'
    source.close()


def test_mediapipe_comes_last_and_says_why(catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(body_source, 'MediapipePose', FakeMediapipe)
    source = load_body_source(
        catalog, engines_dir=tmp_path, min_detection=0.6, settings=BodySettings(min_presence=0.4)
    )
    assert source.backend == 'mediapipe'
    assert source.estimator.settings == {'min_detection': 0.6, 'min_presence': 0.4}
    (line,) = source.explanation
    assert 'pose_detection has no working backend' in line
    assert 'pose_detection.onnx is missing' in line
    source.close()
    assert source.estimator.closed


def test_nothing_at_all_lists_every_reason(catalog, tmp_path, monkeypatch):
    def refuse(**settings):
        raise InferenceError('mediapipe: is not there')

    monkeypatch.setattr(body_source, 'MediapipePose', refuse)
    with pytest.raises(NoBackendError) as caught:
        load_body_source(catalog, engines_dir=tmp_path)
    message = str(caught.value)
    assert 'pose_detection.onnx is missing' in message
    assert message.endswith('; mediapipe: is not there')


def test_a_named_backend_has_no_substitute(catalog, folder, monkeypatch):
    monkeypatch.setattr(body_source, 'MediapipePose', FakeMediapipe)
    (folder / 'pose_landmark.tflite').unlink()
    with pytest.raises(InferenceError, match=r'pose_landmark cannot run on litert: .* is missing'):
        load_body_source(catalog, 'litert', engines_dir=folder)
    assert load_body_source(catalog, 'mediapipe', engines_dir=folder).backend == 'mediapipe'


def test_a_network_that_loaded_is_closed_when_the_other_does_not(catalog, folder, monkeypatch):
    loaded = []
    load = body_source.load_engine

    def spy(*arguments, **settings):
        loaded.append(load(*arguments, **settings))
        return loaded[-1]

    monkeypatch.setattr(body_source, 'load_engine', spy)
    (folder / 'pose_landmark.onnx').unlink()
    with pytest.raises(InferenceError):
        load_body_source(catalog, 'onnxruntime', engines_dir=folder)
    (selection,) = loaded
    assert selection.engine.closed


def test_files_are_fetched_first_and_a_failure_matters_only_if_they_are_not_there(
    catalog, folder, tmp_path
):
    asked = []
    load_body_source(catalog, engines_dir=folder, fetch=asked.append).close()
    assert asked == [MODELS]

    def offline(names):
        raise RuntimeError('no route\nto host')

    load_body_source(catalog, engines_dir=folder, fetch=offline).close()
    for path in folder.glob('pose_*'):
        path.unlink()
    with pytest.raises(InferenceError, match=r'fetching failed: no route to host'):
        load_body_source(catalog, 'onnxruntime', engines_dir=folder, fetch=offline)


@pytest.mark.parametrize('backend', ['auto', 'onnxruntime'])
def test_a_file_of_the_user_s_own_is_used_instead(catalog, yolo_file, backend, tmp_path):
    source = load_body_source(
        catalog, backend, engines_dir=tmp_path / 'elsewhere', model_file=yolo_file
    )
    assert isinstance(source.estimator, YoloPose)
    assert source.backend == 'yolo11n-pose: onnxruntime'
    assert source.explanation == (
        f'yolo11n-pose runs on onnxruntime ({yolo_file}); YOLO-pose, dense, 64 x 64',
    )
    body = source.estimator.process(np.zeros((128, 128, 3), dtype=np.uint8), 0.0)
    assert body.xy_px[0] == pytest.approx((64, 64))
    source.close()


def test_its_threshold_is_that_of_detections(catalog, yolo_file, tmp_path):
    source = load_body_source(
        catalog, engines_dir=tmp_path, model_file=yolo_file, min_detection=0.7
    )
    assert source.estimator.process(np.zeros((64, 64, 3), dtype=np.uint8), 0.0) is None
    source.close()


@pytest.mark.parametrize(
    ('name', 'backend', 'reason'),
    [
        ('my.pt', 'auto', r'expected one that ends in \.onnx or \.engine'),
        ('yolo11n-pose.onnx', 'litert', 'runs on onnxruntime, not on litert'),
        ('yolo11n-pose.onnx', 'mediapipe', 'runs on onnxruntime, not on mediapipe'),
        ('absent.onnx', 'auto', 'no such file'),
        ('pose_landmark.onnx', 'auto', 'YOLO-pose file has one input and one output'),
        ('damaged.onnx', 'auto', 'damaged cannot run on onnxruntime'),
        ('damaged.engine', 'auto', 'damaged cannot run on tensorrt'),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_and_nothing_takes_its_place(
    catalog, folder, yolo_file, monkeypatch, name, backend, reason
):
    monkeypatch.setattr(body_source, 'MediapipePose', FakeMediapipe)
    for damaged in ('damaged.onnx', 'damaged.engine', 'my.pt'):
        (folder / damaged).write_bytes(b'not a network')
    with pytest.raises(InferenceError, match=reason):
        load_body_source(catalog, backend, engines_dir=folder, model_file=folder / name)
