# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which network gives the body keypoints, from which file, and what is said about it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import load_engine
from aitable_ros.perception.posture import body_source
from aitable_ros.perception.posture.body_pipeline import BodyPipeline
from aitable_ros.perception.posture.body_source import BLAZEPOSE_MODELS, load_body_source
from aitable_ros.perception.posture.yolo_pose import YoloPose


@pytest.fixture
def load(catalog, engines_dir):
    """Loads networks of the catalog on one backend, or on the first of the chain."""

    def on(backend):
        return lambda names: [
            load_engine(catalog[name], backend, engines_dir=engines_dir) for name in names
        ]

    return on


def refuse(names):
    raise AssertionError(f'{names} are not asked for')


@pytest.mark.models
def test_both_cpu_backends_give_the_same_keypoints(load, engines_dir, astronaut):
    bodies = []
    for backend in ('onnxruntime', 'litert'):
        source = load_body_source(load(backend), engines_dir=engines_dir)
        assert isinstance(source.estimator, BodyPipeline)
        assert source.backend == f'pose_detection: {backend}, pose_landmark: {backend}'
        bodies.append(source.estimator.process_still(astronaut))
        source.close()
        with pytest.raises(InferenceError, match='after close'):
            source.estimator.process_still(astronaut)
    assert bodies[0].score > 0.9
    np.testing.assert_allclose(bodies[0].xy_px, bodies[1].xy_px, atol=0.5)
    np.testing.assert_allclose(bodies[0].world_m, bodies[1].world_m, atol=2e-3)
    np.testing.assert_allclose(bodies[0].visibility, bodies[1].visibility, atol=1e-3)


@pytest.mark.models
def test_networks_that_make_no_estimator_are_closed(load, engines_dir, monkeypatch):
    loaded = []

    def remember(names):
        loaded.extend(load('auto')(names))
        return loaded

    def fail(engine):
        raise InferenceError('of another network')

    monkeypatch.setattr(body_source, 'BodyLandmarker', fail)
    with pytest.raises(InferenceError, match='of another network'):
        load_body_source(remember, engines_dir=engines_dir)
    assert [selection.engine.closed for selection in loaded] == [True, True]


@pytest.mark.parametrize('named', [True, False], ids=['model', 'engines folder'])
@pytest.mark.parametrize('backend', ['auto', 'onnxruntime'])
def test_a_file_of_the_user_s_own_is_used_instead(yolo_file, backend, named, tmp_path):
    folder = tmp_path / 'engines'
    folder.mkdir()
    if not named:
        yolo_file = yolo_file.rename(folder / 'yolo_pose.onnx')
    source = load_body_source(
        refuse, 'yolo', model=yolo_file if named else '', backend=backend, engines_dir=folder
    )
    assert isinstance(source.estimator, YoloPose)
    assert source.backend == f'{yolo_file.stem}: onnxruntime'
    body = source.estimator.process(np.zeros((128, 128, 3), dtype=np.uint8), 0.0)
    assert body.world_m is None
    assert body.xy_px[0] == pytest.approx((64, 64))
    source.close()


@pytest.mark.models
@pytest.mark.parametrize(
    ('name', 'backend', 'reason'),
    [
        ('my.pt', 'auto', r'my\.pt: expected an \.engine or an \.onnx file'),
        ('yolo11n-pose.onnx', 'litert', 'cannot run on litert: it is for onnxruntime'),
        ('absent.onnx', 'auto', r'absent\.onnx is missing'),
        ('pose_landmark.onnx', 'auto', 'YOLO-pose file has one input and one output'),
        ('damaged.onnx', 'auto', 'damaged has no working backend: onnxruntime'),
        ('damaged.engine', 'auto', 'damaged has no working backend: tensorrt'),
        ('', 'auto', r'yolo_pose\.onnx is missing'),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_and_nothing_takes_its_place(
    engines_dir, yolo_file, name, backend, reason
):
    folder = yolo_file.parent
    for model in BLAZEPOSE_MODELS:
        shutil.copyfile(engines_dir / f'{model}.onnx', folder / f'{model}.onnx')
    for damaged in ('damaged.onnx', 'damaged.engine', 'my.pt'):
        (folder / damaged).write_bytes(b'not a network')
    model = folder / name if name else ''
    with pytest.raises(InferenceError, match=reason):
        load_body_source(refuse, 'yolo', model=model, backend=backend, engines_dir=folder)
