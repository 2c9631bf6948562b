# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from posed_faces import seen_face
from sitting_person import SittingPerson, film_body

from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.posture.frames import CameraPlacement
from aitable_ros.perception.posture.observer import PostureObserver, PostureObserverSettings
from aitable_ros.perception.posture.states import Posture

INTRINSICS = CameraIntrinsics(640, 480, (600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1))
IMAGE = np.zeros((480, 640, 3), np.uint8)
UPRIGHT = SittingPerson(forward_head_rad=0.3, hips_m=(-0.9, 0.0, -0.5))


class Actor:
    """Stands in for the network."""

    def __init__(self):
        self.person = UPRIGHT
        self.resets = 0

    def process(self, image, stamp_s):
        return self.process_still(image)

    def process_still(self, image):
        if self.person is None:
            return None
        return film_body(self.person, INTRINSICS, CameraPlacement())

    def reset(self):
        self.resets += 1


@pytest.fixture
def actor():
    return Actor()


def observer_of(actor, **settings):
    source = SimpleNamespace(estimator=actor, selections=(), backend='pose: test')
    return PostureObserver(source, PostureObserverSettings(**settings))


def sit(observer, seconds, start_s=0.0, fps=10, seen=None):
    """Sit for so long; gives the last reading."""
    reading = None
    for i in range(round(seconds * fps)):
        reading = observer.observe(IMAGE, start_s + i / fps, seen) or reading
    return reading


def test_a_posture_is_judged_over_time(actor):
    observer = observer_of(actor)
    assert sit(observer, 6.0).state.posture is Posture.UPRIGHT
    actor.person = replace(UPRIGHT, shoulder_tilt_rad=0.25)
    fields = sit(observer, 6.0, 6.0).fields()
    assert fields['state'] is Posture.TILTED
    assert fields['shoulder_tilt'] == pytest.approx(0.25, abs=0.01)
    assert fields['good_s'] > 1.0
    assert fields['poor_s'] > 1.0


def test_only_as_many_images_as_the_rate_says_and_none_twice(actor):
    observer = observer_of(actor, max_rate_hz=10.0)
    taken = [observer.observe(IMAGE, i / 30) for i in range(30)]
    assert sum(one is not None for one in taken) == 10
    assert observer.observe(IMAGE, 29 / 30) is None


def test_the_face_that_goes_with_the_body_names_the_person_until_they_leave(actor):
    observer = observer_of(actor)
    x, y = film_body(UPRIGHT, INTRINSICS, CameraPlacement()).xy_px[0]
    own = replace(seen_face('f3'), xywh_px=np.array((x - 60, y - 60, 120, 120), np.float32))
    seen = SeenFaces(0.0, (640, 480), [seen_face('f1'), own])
    assert sit(observer, 1.0, seen=seen).person_id == 'f3'
    assert sit(observer, 1.0, 1.0).person_id == 'f3', 'an image without its faces'
    actor.person = None
    gone = sit(observer, 6.0, 2.0)
    assert (gone.state.posture, gone.person_id) == (Posture.AWAY, '')
    actor.person = UPRIGHT
    assert sit(observer, 4.0, 8.0, seen=seen).person_id == 'f3'
    assert sit(observer, 1.0).person_id == '', 'time went back'


def test_another_observer_keeps_the_calibration(actor):
    first = observer_of(actor)
    sit(first, 8.0)
    second = observer_of(actor)
    second.continue_from(first)
    assert second.observe(IMAGE, 8.0).state.calibration.name == 'AUTOMATIC'
    second.reset()
    assert actor.resets == 1
    assert second.observe(IMAGE, 8.1).state.calibration.name == 'RUNNING'


def test_another_window_keeps_the_calibration_alone(actor):
    observer = observer_of(actor)
    before = sit(observer, 8.0).state
    settings = observer.settings
    window = replace(settings.posture.window, window_s=settings.posture.window.window_s / 2)
    observer.adopt(replace(settings, posture=replace(settings.posture, window=window)))
    after = observer.observe(IMAGE, 8.0).state
    assert after.calibration is before.calibration
    assert after.observed_s == 0.0


def test_a_picture_has_angles_and_knows_of_nothing_before(actor):
    observer = observer_of(actor)
    sit(observer, 8.0)
    still = observer.observe_still(IMAGE)
    assert still.fields()['forward_head'] == pytest.approx(0.3, abs=0.01)
    assert still.state.observed_s == 0.0
    assert still.size_px == (640, 480)


def test_nobody(actor):
    actor.person = None
    reading = observer_of(actor).observe(IMAGE, 0.0)
    assert (reading.body, reading.person_id) == (None, '')
