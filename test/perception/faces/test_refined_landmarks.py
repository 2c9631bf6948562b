# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The 478 landmarks: which output of the attention mesh gives which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import load_engine
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.perception.faces import landmarks as fl
from aitable_ros.perception.images.roi import RotatedRoi


@pytest.fixture
def outputs() -> dict[str, npt.NDArray[np.float32]]:
    """Of two faces: every number another one."""
    random = np.random.default_rng(0)
    return {
        output.name: random.normal(size=(2, *output.shape[1:])).astype(np.float32)
        for output in CONTRACTS['face_attention'].outputs
    }


def test_each_output_replaces_its_own_landmarks(outputs: Mapping[str, npt.NDArray]) -> None:
    refined = fl.refined_landmarks(outputs)
    assert (refined.shape, refined.dtype) == ((2, 478, 3), np.float32)
    sets = {
        'lips': fl.REFINED_LIPS,
        'right_eye': fl.REFINED_RIGHT_EYE,
        'left_eye': fl.REFINED_LEFT_EYE,
        'right_iris': fl.RIGHT_IRIS,
        'left_iris': fl.LEFT_IRIS,
    }
    for name, points in sets.items():
        np.testing.assert_array_equal(refined[:, points, :2], outputs[name])
    replaced = [point for points in sets.values() for point in points]
    assert len(set(replaced)) == len(replaced) == 222 + 10
    kept = sorted(set(range(468)) - set(replaced))
    np.testing.assert_array_equal(refined[:, kept], outputs['mesh'][:, kept])


def test_depth_is_the_mesh_s_and_an_iris_lies_in_its_lids(
    outputs: Mapping[str, npt.NDArray],
) -> None:
    refined = fl.refined_landmarks(outputs)
    np.testing.assert_array_equal(refined[:, :468, 2], outputs['mesh'][..., 2])
    sides = ((fl.RIGHT_IRIS, fl.RIGHT_EYE_RING), (fl.LEFT_IRIS, fl.LEFT_EYE_RING))
    for iris, lids in sides:
        depth = outputs['mesh'][:, lids, 2].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(refined[:, iris, 2], np.repeat(depth, 5, axis=1), rtol=1e-5)


@pytest.mark.models
def test_the_lists_are_those_of_the_network_s_file(tflite_dir: Path) -> None:
    from aitable_ros.model_zoo.conversion.tflite_reader import read

    graph = read((tflite_dir / 'face_landmark_with_attention.tflite').read_bytes())
    lists = [
        tuple(operator.options['subset_idxs'].astype(int))
        for operator in graph.operators
        if operator.kind == 'CUSTOM:Landmarks2TransformMatrix'
    ]
    assert lists == [fl.REFINED_LIPS, fl.REFINED_RIGHT_EYE, fl.REFINED_LEFT_EYE]


@pytest.mark.models
def test_left_and_right_are_the_persons_own(
    catalog: dict[str, ModelSpec], engines_dir: Path, astronaut: npt.NDArray[np.uint8]
) -> None:
    crop, _ = RotatedRoi(225.0, 124.0, 155.0).crop(astronaut, 192)
    with load_engine(catalog['face_attention'], engines_dir=engines_dir).engine as engine:
        outputs = engine.infer({'image': crop[None]})
    (face,) = fl.refined_landmarks(outputs)
    assert outputs['presence'][0, 0] > 0
    for iris, eye, corners in (
        (fl.RIGHT_IRIS, 'right_eye', (33, 133)),
        (fl.LEFT_IRIS, 'left_eye', (362, 263)),
    ):
        lids = outputs[eye][0, :16]
        assert (lids.min(axis=0) < face[iris[0], :2]).all()
        assert (face[iris[0], :2] < lids.max(axis=0)).all()
        # the mesh's own corners, which are another output's, are where the refined ones are
        np.testing.assert_allclose(outputs['mesh'][0, corners, :2], face[corners, :2], atol=4)
        assert face[iris[1], 0] > face[iris[0], 0] > face[iris[3], 0]
        assert face[iris[2], 1] < face[iris[0], 1] < face[iris[4], 1]
    assert face[fl.RIGHT_IRIS[0], 0] < face[fl.LEFT_IRIS[0], 0]
