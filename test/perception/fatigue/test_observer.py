# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from posed_faces import seen_face

from aitable_ros.perception.events import EventKind
from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.perception.fatigue.blinks import EyeState
from aitable_ros.perception.fatigue.monitor import FatigueSettings
from aitable_ros.perception.fatigue.observer import FatigueObserver, FatigueObserverSettings
from aitable_ros.perception.fatigue.visibility import Visibility
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.simulation.looking_face import (
    SIZE_PX,
    Looking,
    looking_face,
    looking_landmarks,
)

SIZE = (640, 480)


def look_away(observer, seconds, fps=15.0, start_s=0.0, **face):
    """Show a face for so long; gives the last reading."""
    for i in range(round(seconds * fps)):
        seen = SeenFaces(start_s + i / fps, SIZE, [seen_face(**face)], 'face_mesh: test')
        (reading,) = observer.observe(seen)
    return reading


def test_a_face_is_measured_over_time():
    observer = FatigueObserver()
    reading = look_away(observer, 6.0)
    assert reading.state.visibility is Visibility.MEASURED
    assert reading.backend == 'face_mesh: test'
    assert reading.pose is not None
    assert reading.pose.calibrated is False
    assert (observer.refined, observer.people) == (False, 1)


def test_a_face_without_landmarks_is_neither_open_nor_closed():
    fields = look_away(FatigueObserver(), 20.0, landmarks=None, presence=math.nan).fields()
    assert fields['eye_state'] is EyeState.UNKNOWN
    assert fields['head_pose_valid'] is False
    assert math.isnan(fields['perclos'])
    assert math.isnan(fields['head_yaw'])


def test_of_each_face_its_own():
    observer = FatigueObserver()
    for i in range(30):
        faces = [seen_face(face_id='f1'), seen_face(face_id='f2', landmarks=None)]
        one, other = observer.observe(SeenFaces(i / 15.0, SIZE, faces))
    assert (one.face.face_id, other.face.face_id) == ('f1', 'f2')
    assert math.isfinite(one.state.left_ear)
    assert math.isnan(other.state.left_ear)


def test_of_who_waits_for_a_turn_nothing_is_said_and_nothing_is_lost():
    every, second = FatigueObserver(), FatigueObserver()
    for i in range(300):
        stamp_s, faces = i / 30.0, [seen_face(tracked_s=i / 30.0)]
        (full,) = every.observe(SeenFaces(stamp_s, SIZE, faces))
        measured, waiting = (faces, []) if i % 2 else ([], faces)
        readings = second.observe(SeenFaces(stamp_s, SIZE, measured, waiting=waiting))
        assert len(readings) == i % 2
    (half,) = readings
    assert second.people == 1
    assert half.state.visibility is Visibility.MEASURED
    assert half.state.perclos.observed_s == pytest.approx(full.state.perclos.observed_s, abs=0.2)


def test_who_left_is_forgotten_and_everybody_when_time_goes_back():
    observer = FatigueObserver(FatigueObserverSettings(forget_after_s=2.0))
    look_away(observer, 1.0)
    observer.observe(SeenFaces(3.5, SIZE, []))
    assert observer.people == 0
    counted = look_away(observer, 4.0, start_s=4.0).state.perclos.observed_s
    assert look_away(observer, 0.4, start_s=1.0).state.perclos.observed_s < counted


@pytest.mark.parametrize('stamp_s', [7.93, 7.0, 0.0, -100.0, 3608.0])
def test_a_late_image_changes_nothing(stamp_s):
    observer = FatigueObserver()
    before = look_away(observer, 8.0).fields()
    (late,) = observer.observe(SeenFaces(stamp_s, SIZE, [seen_face()]))
    assert late.fields()['perclos_observed_s'] == before['perclos_observed_s']
    after = look_away(observer, 1.0, start_s=8.0).fields()
    assert after['perclos_observed_s'] == pytest.approx(before['perclos_observed_s'] + 1.0)
    assert observer.stream.late == 1


def test_who_bears_an_id_of_an_earlier_run_inherits_nothing():
    observer = FatigueObserver()
    look_away(observer, 8.0, tracked_s=8.0)
    assert look_away(observer, 1 / 15, start_s=8.0, tracked_s=0.0).state.perclos.observed_s == 0.0


def test_the_lens_counts_where_it_is_known():
    intrinsics = CameraIntrinsics(640, 480, (600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1))
    (reading,) = FatigueObserver().observe(SeenFaces(0.0, SIZE, [seen_face()]), intrinsics)
    assert reading.pose.calibrated


def test_a_picture_knows_of_nothing_before():
    observer = FatigueObserver()
    look_away(observer, 3.0)
    still = observer.observe_still(SeenFaces(0.0, SIZE, [seen_face()]))
    assert still[0].state.perclos.observed_s == 0.0
    assert look_away(observer, 0.1, start_s=3.0).state.perclos.observed_s > 1.0


def test_lids_that_are_not_refined_have_a_closed_ratio_of_their_own():
    settings = FatigueObserverSettings()
    baseline = settings.of_eyes(refined=False).baseline
    assert (baseline.closed_ratio, baseline.max_closed_ratio) == (0.62, 0.8)
    assert settings.of_eyes(refined=True) == FatigueSettings()


def test_other_thresholds_keep_the_people_and_other_windows_do_not():
    observer = FatigueObserver()
    before = look_away(observer, 3.0).state.perclos.observed_s
    fatigue = observer.settings.fatigue
    level = replace(fatigue.level, severe_perclos=fatigue.level.severe_perclos + 0.01)
    observer.adopt(replace(observer.settings, fatigue=replace(fatigue, level=level)))
    after = look_away(observer, 0.1, start_s=3.0).state.perclos.observed_s
    assert after > before
    perclos = replace(fatigue.perclos, window_s=fatigue.perclos.window_s / 2)
    observer.adopt(replace(observer.settings, fatigue=replace(fatigue, perclos=perclos)))
    assert look_away(observer, 0.1, start_s=3.2).state.perclos.observed_s < after


def test_another_observer_goes_on_with_the_people():
    first, second = FatigueObserver(), FatigueObserver()
    before = look_away(first, 3.0).state.perclos.observed_s
    second.continue_from(first)
    assert look_away(second, 0.1, start_s=3.0).state.perclos.observed_s > before


def test_which_lids_they_are_shows_in_the_landmarks_and_is_learned_anew():
    observer = FatigueObserver()
    before = look_away(observer, 4.0).state
    assert not observer.refined
    refined = np.vstack([seen_face().landmarks_px, np.full((10, 3), 200.0, np.float32)])
    after = look_away(observer, 0.1, start_s=4.0, landmarks=refined).state
    assert observer.refined
    assert before.calibrated
    assert not after.calibrated
    assert observer.people == 1


def test_who_is_not_in_an_image_is_not_observed_in_it():
    """What an image does not show is not open: neither before nor after a gap does it count."""
    observer = FatigueObserver()
    before = look_away(observer, 20.0).state
    for i in range(15):
        observer.observe(SeenFaces(20.0 + i / 15.0, SIZE, []))
    after = look_away(observer, 0.1, start_s=21.0).state
    assert after.perclos.observed_s == pytest.approx(before.perclos.observed_s, abs=0.25)


class TestEvents:
    def film(self, seconds, closed, lost=()):
        """What a person at 30 Hz gives who closes the eyes from .. to."""
        observer, told, last = FatigueObserver(), [], None
        for i in range(round(30 * seconds)):
            t = i / 30
            shut = any(a <= t < b for a, b in closed)
            faces = [looking_face(looking_landmarks(Looking(openness=0.05 if shut else 1.0)))]
            if any(a <= t < b for a, b in lost):
                faces = []
            readings = observer.observe(SeenFaces(t, SIZE_PX, faces))
            last = readings[0].state if readings else last
            told += observer.events
        return told, last

    def test_each_closure_is_one_event_and_the_counts_say_the_same(self):
        closed = ((10.0, 10.2), (12.0, 12.7), (14.0, 15.5), (18.0, 18.2))
        told, state = self.film(20.0, closed)
        kinds = [one.kind for one in told]
        assert kinds == [
            *(EventKind.BLINK, EventKind.LONG_CLOSURE, EventKind.MICROSLEEP, EventKind.BLINK)
        ]
        assert kinds.count(EventKind.BLINK) == state.blink_count
        assert kinds.count(EventKind.MICROSLEEP) == state.microsleep_count
        # a microsleep counts among the long closures, and is told as a microsleep alone
        assert len(kinds) - kinds.count(EventKind.BLINK) == state.long_closure_count
        for one, (start_s, end_s) in zip(told, closed):
            assert one.person == 'f1'
            assert abs(one.start_s - start_s) < 0.05
            assert abs(one.duration_s - (end_s - start_s)) < 0.07

    def test_a_sleep_whose_face_is_lost_is_told_once(self):
        told, _ = self.film(16.0, ((10.0, 14.0),), lost=((12.0, 13.0),))
        assert [one.kind for one in told] == [EventKind.MICROSLEEP]
        assert told[0].truncated
        assert abs(told[0].duration_s - 2.0) < 0.1
