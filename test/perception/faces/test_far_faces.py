# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which network looks for far faces, when, and that it finds them."""

from __future__ import annotations

import math
from contextlib import closing

import cv2
import numpy as np
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import load_engine
from aitable_ros.perception.faces.detector import GRIDS, FaceDetector
from aitable_ros.perception.faces.far_faces import FINDS, FarFaces, FarSettings
from aitable_ros.perception.faces.observer import FaceObserver, FaceSettings

pytestmark = pytest.mark.models

VGA = (480, 640, 3)
NEAR, FULL, BACK = GRIDS


@pytest.fixture
def detectors(scripted_engine):
    return {name: FaceDetector(scripted_engine(name, lambda _: {})) for name in GRIDS}


@pytest.fixture
def make(detectors):
    def make_far(*, choose=True, min_face_px=0.0, far=(FULL, BACK), **settings):
        return FarFaces(
            detectors[NEAR],
            [detectors[name] for name in far],
            FarSettings(**settings),
            choose=choose,
            min_face_px=min_face_px,
        )

    return make_far


@pytest.fixture
def load(catalog, engines_dir):
    return lambda names: [load_engine(catalog[name], engines_dir=engines_dir) for name in names]


def name_of(detector):
    return detector and detector.name


def test_each_network_finds_smaller_faces_than_the_one_before():
    assert list(FINDS) == list(GRIDS)
    assert sorted(FINDS.values(), reverse=True) == list(FINDS.values())


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        ({}, BACK),
        ({'max_distance_m': 0.9}, None),  # 88 px of 640
        ({'max_distance_m': 1.2}, FULL),  # 66 px
        ({'default_fov_rad': 0.45}, FULL),  # a long lens: 70 px at 3 m
        ({'min_face_px': 100.0}, None),
        ({'min_face_px': 70.0}, FULL),
        ({'max_distance_m': 50.0}, BACK),  # the best there is
    ],
)
def test_image_field_of_view_and_smallest_face_tell_which_is_needed(make, settings, expected):
    assert name_of(make(**settings).detector(VGA, 0.0)) == expected


def test_a_small_image_of_the_same_view_needs_less_where_small_faces_do_not_matter(make):
    far = make(min_face_px=24.0)
    assert name_of(far.detector(VGA, 0.0)) == BACK
    assert name_of(far.detector((180, 240, 3), 0.0)) == FULL
    assert far.detector((120, 160, 3), 0.0) is None


def test_a_picture_gets_the_best_one_and_one_that_was_chosen_always_looks(make):
    assert name_of(make(max_distance_m=0.9).detector(VGA, math.nan)) == BACK
    assert name_of(make(max_distance_m=0.9, choose=False, far=[FULL]).detector(VGA, 0.0)) == FULL
    assert make(far=[]).detector(VGA, math.nan) is None


def looks(far, followed_px, seconds):
    return sum(far.due(VGA, i / 30, followed_px) is not None for i in range(round(30 * seconds)))


def test_it_looks_seldom_while_all_are_near_and_often_for_those_that_are_not(make):
    assert looks(make(interval_s=2.0), [150.0], 10) == 5
    assert looks(make(search_interval_s=0.2), [], 10) == pytest.approx(48, abs=2)
    assert looks(make(), [150.0, 40.0], 1) == 30  # whenever the pipeline looks
    far = make()
    looks(far, [150.0], 10.0)
    assert 'finds faces from 27 px on, 27 px are asked for; looked 4 times' in str(far)


def far_away(place_astronaut, width_px):
    return place_astronaut(420, 200, width_px / 92)


@pytest.mark.parametrize('width_px', [30, 40])
def test_far_faces_are_found_where_the_short_range_network_alone_sees_none(
    load, place_astronaut, width_px
):
    image = np.full(VGA, 120, np.uint8)
    small = far_away(place_astronaut, width_px)
    image[100:300, 320:520] = small[100:300, 320:520]
    with closing(FaceObserver.load(load)) as observer:
        (face,) = observer.observe_still(image).faces
        (same,) = observer.observe(image, 1.0).faces
    for one in (face, same):
        x, y, width, height = one.xywh_px
        assert math.dist((x + width / 2, y + height / 2), (420, 200)) < 0.3 * width_px
    with closing(FaceObserver.load(load, detector='short')) as observer:
        assert not observer.observe_still(image).faces


def test_near_faces_are_measured_as_without_it(load, place_astronaut):
    readings = []
    for detector in ('short', 'auto'):
        with closing(FaceObserver.load(load, detector=detector)) as observer:
            faces = [
                observer.observe(place_astronaut(320 + 3 * i, 240, 1.5), i / 30).faces
                for i in range(70)
            ]
        readings.append([face.landmarks_px for seen in faces for face in seen])
    np.testing.assert_array_equal(*readings)


@pytest.mark.parametrize('picture', ['coffee', 'rocket', 'moon', 'hubble_deep_field', 'chelsea'])
def test_nobody_is_found_where_nobody_is(load, picture):
    from skimage import data

    image = getattr(data, picture)()
    image = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    with closing(FaceObserver.load(load)) as observer:
        assert not observer.observe_still(image).faces


def test_without_the_larger_networks_auto_does_and_says_so_and_a_named_one_is_an_error(load):
    def near_only(names):
        if any(name in (FULL, BACK) for name in names):
            raise InferenceError(f'{names[0]} has no working backend')
        return load(names)

    with closing(FaceObserver.load(near_only)) as observer:
        assert observer.why_near == f'{BACK} has no working backend'
        assert observer.looking.endswith(observer.why_near)
    with pytest.raises(InferenceError, match=f'{BACK} has no working backend'):
        FaceObserver.load(near_only, detector='back')


def test_a_reload_goes_on_with_the_stream(load, place_astronaut):
    image = place_astronaut(320, 240, 1.5)
    with closing(FaceObserver.load(load)) as old, closing(FaceObserver.load(load)) as new:
        old.observe(image, 1.0)
        new.continue_from(old)
        new.observe(image, 1.1)
        assert 'looked 1 times' in new.looking
        new.adopt(FaceSettings(far=FarSettings(max_distance_m=0.5)))
        new.observe(image, 1.2)
        assert new.looking.startswith('face_detection: finds faces from 80 px on, 159 px')
