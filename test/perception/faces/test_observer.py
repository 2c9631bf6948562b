# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which networks look at faces, and that it is said where it is not the better one."""

from __future__ import annotations

import re
from contextlib import closing

import cv2
import numpy as np
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
    found = observer.observe_still(picture)
    (face,) = found.faces
    observer.close()
    return found.backend, observer.why_unrefined, are_refined(face.landmarks_px)


def test_lids_lips_and_irises_are_refined(load, astronaut):
    backend = 'face_detection: litert, face_attention: litert, face_detection_back: litert'
    assert seen(FaceObserver.load(load), astronaut) == (backend, '', True)


def test_the_light_network_does_where_it_was_asked_for(load, astronaut):
    backend = 'face_detection: litert, face_mesh: litert, face_detection_back: litert'
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
    assert before.face_id == after.face_id
    for observer in (light, better):
        observer.close()


def test_ids_of_another_run_are_others_and_those_of_the_same_images_the_same(load, astronaut):
    def first_id(stamp_s):
        with closing(FaceObserver.load(load, refine_eyes=False)) as observer:
            return observer.observe(astronaut, stamp_s).faces[0].face_id

    ids = [first_id(stamp_s) for stamp_s in (1.7e9, 1.7e9, 1.7e9 + 1, 0.0)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert ids[3] == 'f1', 'time without a date'
    assert all(re.fullmatch(r'f\d{5}_1', one) for one in ids[:3])


def test_late_images_have_the_faces_of_the_stream(load, astronaut):
    with closing(FaceObserver.load(load, refine_eyes=False)) as observer:
        stamps_s = (50.0, 50.03, 50.027, 0.0, 3650.0, -5.0, 50.06)
        seen = [observer.observe(astronaut, stamp_s) for stamp_s in stamps_s]
        assert len({face.face_id for one in seen for face in one.faces}) == 1
        assert [one.stamp_s for one in seen] == list(stamps_s)
        assert observer.stream.late == 4


@pytest.mark.parametrize('other', ['of its size', 'of another size'])
def test_images_of_a_second_camera_are_left_out(load, astronaut, other):
    elsewhere = np.roll(astronaut, 60, axis=1)
    if other == 'of another size':
        elsewhere = elsewhere[:-16].copy()
    with closing(FaceObserver.load(load, refine_eyes=False)) as observer:
        ids = set()
        for i in range(10):
            ids |= {face.face_id for face in observer.observe(astronaut, i / 20, 'a').faces}
            assert observer.observe(elsewhere, i / 20 + 0.01, 'b') is None
        assert len(ids) == 1


def test_detectors_that_images_of_this_size_do_not_need_are_let_go(load, astronaut):
    with closing(FaceObserver.load(load)) as observer:
        held = {one.engine.name: one.engine for one in observer.selections[2:]}
        assert all(engine.held for engine in held.values())
        observer.observe(astronaut, 1.0)
        needed = observer.looking.partition(':')[0]
        assert {name for name, engine in held.items() if engine.held} == {needed}
        observer.reset()
        observer.observe(cv2.resize(astronaut, (240, 180)), 2.0)
        now_needed = observer.looking.partition(':')[0]
        assert now_needed != needed
        assert {name for name, engine in held.items() if engine.held} == {now_needed}
