# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which networks look at faces, and that it is said where it is not the better one."""

from __future__ import annotations

import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import load_engine
from aitable_ros.perception.faces.landmarks import are_refined
from aitable_ros.perception.faces.observer import FaceObserver

pytestmark = pytest.mark.models


@pytest.fixture
def load(catalog, engines_dir):
    return lambda names: [load_engine(catalog[name], engines_dir=engines_dir) for name in names]


@pytest.fixture
def load_all_but_attention(load):
    def load_or_fail(names):
        if 'face_attention' in names:
            raise InferenceError('face_attention has no working backend')
        return load(names)

    return load_or_fail


def seen(observer, picture):
    (face,) = observer.observe_still(picture).faces
    observer.close()
    return observer.backend, observer.why_unrefined, are_refined(face.landmarks_px)


def test_lids_lips_and_irises_are_refined(load, astronaut):
    backend = 'face_detection: litert, face_attention: litert'
    assert seen(FaceObserver.load(load), astronaut) == (backend, '', True)


def test_the_light_network_does_where_it_was_asked_for(load, astronaut):
    backend = 'face_detection: litert, face_mesh: litert'
    observer = FaceObserver.load(load, refine_eyes=False)
    assert seen(observer, astronaut) == (backend, 'refine_eyes is false', False)


def test_where_the_better_network_does_not_load_the_light_one_does_and_says_why(
    load_all_but_attention, astronaut
):
    observer = FaceObserver.load(load_all_but_attention)
    assert seen(observer, astronaut)[1:] == ('face_attention has no working backend', False)


def test_a_named_backend_is_that_one_or_an_error(load_all_but_attention):
    with pytest.raises(InferenceError, match='no working backend'):
        FaceObserver.load(load_all_but_attention, backend='tensorrt')


def test_who_is_followed_keeps_the_id_with_another_network(load, astronaut):
    light, better = FaceObserver.load(load, refine_eyes=False), FaceObserver.load(load)
    (before,) = light.observe(astronaut, 1.0).faces
    better.continue_from(light)
    (after,) = better.observe(astronaut, 1.03).faces
    assert (before.face_id, after.face_id) == ('f1', 'f1')
    for observer in (light, better):
        observer.close()
