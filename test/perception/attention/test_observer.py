# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Where people look over time, who came and who left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from table_scenes import ASIDE, FRONT, PLATE, READING, blinking, play, rad

from aitable_ros.perception.attention.gaze import Gaze, GazeState
from aitable_ros.perception.attention.monitor import (
    AttentionMonitor,
    MonitorSettings,
    Source,
    WindowSettings,
)
from aitable_ros.perception.attention.natural_direction import Natural, NaturalDirection
from aitable_ros.perception.attention.observer import AttentionObserver, AttentionSettings
from aitable_ros.perception.attention.presence import Presence, PresenceSettings
from aitable_ros.perception.attention.zones import Zone, ZoneRule, ZoneSettings
from aitable_ros.perception.events import EventKind
from aitable_ros.perception.faces.face_views import FaceViews
from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.perception.head.head_pose import HeadPoseEstimator
from aitable_ros.perception.images.seeing import Seeing
from aitable_ros.simulation.looking_face import (
    SIZE_PX,
    Looking,
    looking_face,
    looking_landmarks,
)

PLAN = (
    (12.0, FRONT, Zone.FRONT),
    (10.0, READING, Zone.DESK),
    (8.0, FRONT, Zone.FRONT),
    (9.0, ASIDE, Zone.AWAY),
    (10.0, replace(FRONT, gaze_yaw_rad=rad(12), gaze_pitch_rad=-rad(6)), Zone.FRONT),
    (12.0, PLATE, Zone.DESK),
    (8.0, replace(ASIDE, head_yaw_rad=-rad(32), gaze_yaw_rad=-rad(45)), Zone.AWAY),
)


def planned(time_s: float) -> tuple[Looking, Zone]:
    at_s = time_s % sum(duration for duration, _, _ in PLAN)
    for duration_s, looking, zone in PLAN:
        if at_s < duration_s:
            return looking, zone
        at_s -= duration_s
    raise AssertionError('unreachable')


@pytest.mark.parametrize('rate_hz', [15.0, 30.0, 60.0])
def test_zones_are_right_in_97_of_100_seconds_with_noise_and_dropped_frames(rate_hz) -> None:
    """Of eyes of 30 pixels, with a pixel of noise, blinks, and 30 of 100 frames dropped."""

    def scene(t: float) -> Mapping[str, Looking]:
        at = replace(planned(t)[0], position_m=(0.0, 0.0, 0.45))
        return {'f1': blinking(at, t)}

    played = play(scene, 140.0, rate_hz, drop=0.3, noise_px=1.0)
    assert played.right_share(lambda t: planned(t)[1]) >= 0.97


def gaze(yaw: float, pitch: float) -> Gaze:
    return Gaze(GazeState.MEASURED, (0.0, 0.0, -1.0), rad(yaw), rad(pitch))


def watch(monitor: AttentionMonitor, looks: Gaze, from_s: float, to_s: float, rate_hz=10.0):
    state = None
    for i in range(round(rate_hz * from_s), round(rate_hz * to_s)):
        state = monitor.update(i / rate_hz, looks, None)
    return state


class TestZones:
    @pytest.mark.parametrize(
        ('yaw', 'pitch', 'zone'),
        [
            (0, 0, Zone.FRONT),
            (25, 5, Zone.FRONT),
            (35, 0, Zone.AWAY),
            (-35, 0, Zone.AWAY),
            (0, 20, Zone.DESK),
            (40, 25, Zone.DESK),
            (60, 25, Zone.AWAY),
            (0, -30, Zone.AWAY),
        ],
    )
    def test_borders(self, yaw, pitch, zone) -> None:
        assert watch(AttentionMonitor(), gaze(yaw, pitch), 0, 1).zone is zone

    def test_a_zone_is_left_later_than_it_is_entered(self) -> None:
        rule = ZoneRule(ZoneSettings(confirm_s=0.0))
        found = [
            rule.update(i, rad(yaw), 0.0, 1.0)
            for i, yaw in enumerate((0, 25, 31, 25, 22, 20, 25, 31))
        ]
        away, front = Zone.AWAY, Zone.FRONT
        assert found == [front, front, away, away, away, front, front, away]

    def test_of_a_head_alone_less_is_enough(self) -> None:
        rule = ZoneRule()
        assert rule.update(0.0, rad(25), 0.0, 0.7) is Zone.AWAY

    def test_what_is_short_changes_nothing(self) -> None:
        monitor = AttentionMonitor()
        watch(monitor, gaze(0, 0), 0, 5, 30.0)
        assert watch(monitor, gaze(40, 0), 5, 5.1, 30.0).zone is Zone.FRONT

    def test_not_measured_is_unknown_after_a_while(self) -> None:
        monitor, closed = AttentionMonitor(), Gaze(GazeState.EYES_CLOSED)
        watch(monitor, gaze(0, 20), 0, 5)
        assert watch(monitor, closed, 5, 5.3).zone is Zone.DESK
        state = watch(monitor, closed, 5.3, 6.5)
        assert (state.zone, state.source) == (Zone.UNKNOWN, Source.NONE)
        assert math.isnan(state.yaw_rad)


class TestNatural:
    def test_learned_in_a_minute_and_clamped(self) -> None:
        natural = NaturalDirection()
        for _ in range(590):
            natural.learn(rad(10), -rad(40), 0.1)
        assert natural.state is Natural.LEARNING
        assert natural.angles_rad == (0.0, 0.0)
        for _ in range(20):
            natural.learn(rad(10), -rad(40), 0.1)
        assert natural.state is Natural.LEARNED
        yaw, pitch = natural.angles_rad
        assert yaw == pytest.approx(rad(10))
        assert pitch == pytest.approx(-natural.settings.max_up_rad)

    def test_it_is_forgotten_over_minutes(self) -> None:
        natural = NaturalDirection()
        for yaw in (0, 12):
            for _ in range(3600):
                natural.learn(rad(yaw), 0.0, 0.1)
        assert natural.angles_rad[0] == pytest.approx(rad(12) * (1 - math.exp(-1)), rel=0.02)

    def test_only_looks_to_the_front_are_learned(self) -> None:
        monitor = AttentionMonitor()
        watch(monitor, gaze(0, 30), 0, 200)
        assert watch(monitor, gaze(8, 0), 200, 201).natural is Natural.LEARNING
        state = watch(monitor, gaze(8, 0), 201, 265)
        assert state.natural is Natural.LEARNED
        assert state.natural_yaw_rad == pytest.approx(rad(8), abs=1e-3)
        assert state.yaw_rad == pytest.approx(0.0, abs=1e-3)

    def test_set_it_counts_at_once(self) -> None:
        monitor = AttentionMonitor()
        assert not monitor.set_natural()
        assert watch(monitor, gaze(40, 0), 0, 2).zone is Zone.AWAY
        assert monitor.set_natural()
        state = watch(monitor, gaze(40, 0), 2, 3)
        assert (state.zone, state.natural) == (Zone.FRONT, Natural.SET)


class TestOverTime:
    def test_shares_are_of_seconds_not_of_frames(self) -> None:
        monitor = AttentionMonitor()
        watch(monitor, gaze(0, 0), 0, 20, 5.0)
        state = watch(monitor, gaze(0, 25), 20, 40, 60.0)
        assert state.front_share == pytest.approx(0.5, abs=0.01)
        assert state.desk_share == pytest.approx(0.5, abs=0.01)
        assert state.observed_s == pytest.approx(40.0, abs=0.3)
        assert state.zone_s == pytest.approx(20.0, abs=0.1)

    def test_not_valid_before_enough_was_observed(self) -> None:
        monitor = AttentionMonitor()
        assert math.isnan(watch(monitor, gaze(0, 0), 0, 9).front_share)
        assert watch(monitor, gaze(0, 0), 9, 11).front_share == 1.0

    def test_time_since_the_last_look_away(self) -> None:
        monitor = AttentionMonitor()
        assert math.isnan(watch(monitor, gaze(0, 0), 0, 5).since_away_s)
        assert watch(monitor, gaze(40, 0), 5, 8).since_away_s == 0.0
        assert watch(monitor, gaze(0, 0), 8, 18).since_away_s == pytest.approx(10.0, abs=0.3)

    def test_other_thresholds_keep_what_was_seen_another_window_does_not(self) -> None:
        monitor = AttentionMonitor()
        assert monitor.adopt(MonitorSettings(zones=ZoneSettings(away_yaw_rad=0.2)))
        assert not monitor.adopt(MonitorSettings(window=WindowSettings(window_s=60.0)))


class TestPresence:
    def test_who_came_and_left_with_how_long_they_stayed(self) -> None:
        presence, told = Presence(PresenceSettings(2.0, 5.0)), []
        for i in range(200):
            told += presence.update(i / 10, ['f1'] if i < 100 else [])
        assert [one.kind for one in told] == [EventKind.CAME, EventKind.LEFT]
        assert told[1].start_s == 0.0
        assert told[1].duration_s == pytest.approx(9.9)
        assert presence.present == frozenset()

    def test_a_face_for_a_moment_is_nobody(self) -> None:
        presence, told = Presence(PresenceSettings(2.0, 5.0)), []
        for i in range(200):
            told += presence.update(i / 10, ['f1'] if i < 15 else [])
        assert told == []

    def test_nobody_is_missed_while_the_camera_sees_nothing(self) -> None:
        presence, told = Presence(PresenceSettings(2.0, 5.0)), []
        for i in range(400):
            told += presence.update(i / 10, ['f1'] if i < 100 else [], blind=i >= 100)
        assert [one.kind for one in told] == [EventKind.CAME]
        assert presence.present == {'f1'}


def seen(stamp_s: float, *looking: Looking, seeing: Seeing = Seeing.CLEAR) -> SeenFaces:
    faces = [
        looking_face(looking_landmarks(one), f'f{i}', stamp_s) for i, one in enumerate(looking, 1)
    ]
    return SeenFaces(stamp_s, SIZE_PX, faces, 'test', seeing)


def poses(of: SeenFaces):
    found = {
        face.face_id: HeadPoseEstimator().estimate(face.landmarks_px, of.size_px)
        for face in of.faces
    }
    return {face_id: pose for face_id, pose in found.items() if pose is not None}


class TestObserver:
    def test_fields_are_those_of_the_message(self) -> None:
        image = seen(1.0, replace(FRONT, gaze_yaw_rad=rad(10)))
        (reading,) = AttentionObserver().observe(image, poses(image))
        fields = reading.fields()
        assert fields['gaze_valid']
        assert fields['gaze_yaw'] == pytest.approx(rad(10), abs=rad(2))
        assert fields['left_eye_yaw'] == pytest.approx(rad(10), abs=rad(3))
        assert fields['zone'] is Zone.FRONT
        assert fields['zone_reason'] == 'from the eyes'

    def test_the_reason_names_what_can_be_mended(self) -> None:
        image = seen(1.0, FRONT)
        (face,) = image.faces
        dark = replace(face, views=FaceViews(seeing=Seeing.TOO_DARK), landmarks_px=None)
        (reading,) = AttentionObserver().observe(replace(image, faces=[dark]), {})
        assert reading.fields()['zone_reason'] == 'the head is not measured, it is too dark'

    def test_a_look_away_that_ends_unseen_is_truncated(self) -> None:
        def scene(t: float) -> Mapping[str, Looking]:
            return {} if t >= 13.0 else {'f1': ASIDE if t >= 10.0 else FRONT}

        played = play(scene, 20.0, 15.0)
        away = [one for _, one in played.events if one.kind is EventKind.LOOKED_AWAY]
        assert len(away) == 1
        assert away[0].truncated
        assert away[0].duration_s == pytest.approx(3.0, abs=0.7)

    def test_people_stay_while_settings_change_and_observers_follow(self) -> None:
        observer = AttentionObserver()
        for i in range(100):
            image = seen(i / 10, FRONT)
            observer.observe(image, poses(image))
        other = AttentionObserver(AttentionSettings(monitor=MonitorSettings()))
        other.continue_from(observer)
        image = seen(10.0, FRONT)
        (reading,) = other.observe(image, poses(image))
        assert reading.state.observed_s == pytest.approx(10.0, abs=0.3)
        assert other.set_front() == 1
        other.reset()
        assert other.people == 0

    def test_who_waits_for_a_turn_has_neither_left_nor_lost_their_zone(self) -> None:
        observer = AttentionObserver(AttentionSettings(presence=PresenceSettings(1.0, 2.0)))
        told = []
        for i in range(200):
            now = seen(i / 10, Looking(), Looking())
            if i >= 50 and i % 5:
                now = replace(now, faces=now.faces[:1], waiting=now.faces[1:])
            readings = observer.observe(now, poses(now))
            told += observer.events
        assert [one.kind for one in told] == [EventKind.CAME, EventKind.CAME]
        now = seen(20.0, Looking(), Looking())
        readings = observer.observe(now, poses(now))
        assert {one.state.zone for one in readings} == {Zone.FRONT}

    def test_a_late_image_tells_nothing_twice(self) -> None:
        observer, told = AttentionObserver(), []
        for stamp_s in (0.0, 1.0, 2.5, 2.4, 2.6):
            image = seen(stamp_s, FRONT)
            observer.observe(image, poses(image))
            told += observer.events
        assert [one.kind for one in told] == [EventKind.CAME]

    def test_of_a_picture_nothing_is_known_before(self) -> None:
        observer = AttentionObserver()
        image = seen(0.0, READING)
        (reading,) = observer.observe_still(image, poses(image))
        assert reading.state.zone is Zone.DESK
        assert observer.people == 0
