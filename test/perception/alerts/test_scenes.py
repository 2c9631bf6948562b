# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What happens at a table, and what a table is told of it; in seconds of header time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from table_scenes import ASIDE, FRONT, PLATE, READING, Played, asleep, blinking, play, rad

from aitable_ros.perception.alerts.ladder import AlertLevel
from aitable_ros.perception.alerts.policy import AlertSettings, Cause
from aitable_ros.perception.attention.zones import Zone
from aitable_ros.perception.events import EventKind, PersonEvent
from aitable_ros.perception.images.seeing import Seeing
from aitable_ros.simulation.looking_face import Looking

RATE_HZ = 15.0
FRAME_S = 1.5 / RATE_HZ
"""Stamps jitter."""

POLICY = AlertSettings()


def alerts(played: Played) -> list[tuple[str, Cause, AlertLevel]]:
    return [(one.person, one.cause, one.level) for _, one in played.alerts]


def times(played: Played) -> list[float]:
    return [time_s for time_s, _ in played.alerts]


def events(played: Played, *without: EventKind) -> list[PersonEvent]:
    return [one for _, one in played.events if one.kind not in (EventKind.BLINK, *without)]


def zones_after(played: Played, from_s: float, face_id: str = 'f1') -> set[Zone]:
    return {zone for time_s, name, zone in played.zones if time_s >= from_s and name == face_id}


def test_reading_a_book_for_ten_minutes_is_desk_and_raises_nothing() -> None:
    played = play(lambda t: {'f1': blinking(READING, t)}, 600.0, RATE_HZ)
    assert zones_after(played, 0.5) == {Zone.DESK}
    assert played.alerts == []
    assert [one.kind for one in events(played)] == [EventKind.CAME]
    blinks = [one for _, one in played.events if one.kind is EventKind.BLINK]
    assert len(blinks) == pytest.approx(150, abs=15)


def test_microsleep_of_two_seconds_while_reading() -> None:
    def scene(t: float) -> Mapping[str, Looking]:
        return {'f1': asleep(READING) if 61.0 <= t < 63.0 else blinking(READING, t)}

    played = play(scene, 90.0, RATE_HZ)
    found = events(played, EventKind.CAME)
    assert [one.kind for one in found] == [EventKind.MICROSLEEP]
    assert found[0].start_s == pytest.approx(1061.0, abs=0.1)
    assert found[0].duration_s == pytest.approx(2.0, abs=0.15)
    assert not found[0].truncated
    assert alerts(played) == [
        ('f1', Cause.ASLEEP, AlertLevel.WARNING),
        ('f1', Cause.ASLEEP, AlertLevel.NONE),
    ]
    warned_s, over_s = times(played)
    assert warned_s == pytest.approx(61.0 + POLICY.asleep.warning_s, abs=2 * FRAME_S)
    assert over_s == pytest.approx(63.0 + POLICY.asleep.recover_s + 0.2, abs=2 * FRAME_S)
    # a blink has interrupted it
    assert zones_after(played, 0.5) == {Zone.DESK}


def test_looking_around_for_three_seconds_is_an_event_and_no_alert() -> None:
    def scene(t: float) -> Mapping[str, Looking]:
        return {'f1': blinking(ASIDE if 20.0 <= t < 23.0 else FRONT, t)}

    played = play(scene, 40.0, RATE_HZ)
    found = events(played, EventKind.CAME)
    assert [one.kind for one in found] == [EventKind.LOOKED_AWAY]
    assert found[0].start_s == pytest.approx(1020.0, abs=2 * FRAME_S)
    assert found[0].duration_s == pytest.approx(3.0, abs=0.3)
    assert found[0].value == pytest.approx(rad(45), abs=rad(10))
    assert not found[0].truncated
    assert played.alerts == []


def test_glance_down_at_the_plate() -> None:
    def scene(t: float) -> Mapping[str, Looking]:
        return {'f1': blinking(PLATE if 20.0 <= t < 21.5 else FRONT, t)}

    played = play(scene, 40.0, RATE_HZ)
    assert zones_after(played, 0.5) == {Zone.FRONT, Zone.DESK}
    assert events(played, EventKind.CAME) == []
    assert played.alerts == []


def test_looking_away_for_long_goes_up_the_ladder() -> None:
    def scene(t: float) -> Mapping[str, Looking]:
        return {'f1': blinking(ASIDE if 20.0 <= t < 90.0 else FRONT, t)}

    played = play(scene, 100.0, RATE_HZ)
    assert alerts(played) == [
        ('f1', Cause.LOOKING_AWAY, level)
        for level in (AlertLevel.HINT, AlertLevel.WARNING, AlertLevel.NONE)
    ]
    away = POLICY.looking_away
    assert times(played) == pytest.approx(
        [20.0 + away.hint_s, 20.0 + away.warning_s, 90.2 + away.recover_s], abs=2 * FRAME_S
    )


def test_of_two_people_one_sleeps() -> None:
    left = replace(FRONT, position_m=(0.15, 0.0, 0.5))
    right = replace(FRONT, position_m=(-0.15, 0.0, 0.5))

    def scene(t: float) -> Mapping[str, Looking]:
        return {'f1': blinking(left, t), 'f2': asleep(right) if t >= 61.0 else blinking(right, t)}

    played = play(scene, 75.0, RATE_HZ)
    assert alerts(played) == [
        ('f2', Cause.ASLEEP, AlertLevel.WARNING),
        ('f2', Cause.ASLEEP, AlertLevel.CRITICAL),
        ('f2', Cause.TIRED, AlertLevel.HINT),
    ]
    assert times(played)[:2] == pytest.approx(
        [61.0 + POLICY.asleep.warning_s, 61.0 + POLICY.asleep.critical_s], abs=2 * FRAME_S
    )
    assert {one.person for one in events(played, EventKind.CAME)} <= {'f2'}


def test_a_face_that_is_lost_for_twenty_seconds() -> None:
    def scene(t: float) -> Mapping[str, Looking]:
        return {} if 30.0 <= t < 50.0 else {'f1': blinking(FRONT, t)}

    played = play(scene, 80.0, RATE_HZ)
    assert played.alerts == []
    assert [one.kind for one in events(played)] == [EventKind.CAME]


def test_who_falls_asleep_and_whose_face_is_lost_then() -> None:
    def scene(t: float) -> Mapping[str, Looking]:
        if t >= 63.5:
            return {}
        return {'f1': asleep(FRONT) if t >= 61.0 else blinking(FRONT, t)}

    played = play(scene, 120.0, RATE_HZ)
    found = events(played, EventKind.CAME)
    assert [one.kind for one in found] == [EventKind.MICROSLEEP, EventKind.LEFT]
    assert found[0].truncated
    assert found[0].duration_s == pytest.approx(2.5, abs=0.15)
    assert found[1].duration_s == pytest.approx(63.5, abs=0.15)
    assert alerts(played) == [
        ('f1', Cause.ASLEEP, AlertLevel.WARNING),
        ('f1', Cause.ASLEEP, AlertLevel.NONE),
    ]
    assert played.alerts[-1][1].reason == 'left'


def test_camera_covered_for_two_minutes() -> None:
    played = play(
        lambda t: {'f1': blinking(FRONT, t)},
        200.0,
        RATE_HZ,
        seeing=lambda t: Seeing.COVERED if 30.0 <= t < 150.0 else Seeing.CLEAR,
    )
    assert alerts(played) == [
        ('f1', Cause.UNSEEN, AlertLevel.HINT),
        ('f1', Cause.UNSEEN, AlertLevel.NONE),
    ]
    assert times(played) == pytest.approx(
        [30.0 + POLICY.unseen.hint_s, 150.0 + POLICY.unseen.recover_s], abs=0.6
    )
    assert 'the camera is covered' in played.alerts[0][1].reason
    assert [one.kind for one in events(played)] == [EventKind.CAME]


def test_an_empty_table_at_night_raises_nothing() -> None:
    played = play(
        lambda t: {'f1': blinking(FRONT, t)} if t < 30.0 else {},
        400.0,
        RATE_HZ,
        seeing=lambda t: Seeing.TOO_DARK if t > 100.0 else Seeing.CLEAR,
    )
    assert played.alerts == []
    assert [one.kind for one in events(played)] == [EventKind.CAME, EventKind.LEFT]


def test_an_hour_of_an_alert_person_raises_nothing() -> None:
    """Screen, book, partner, plate, looks around, yawn-free talk, breaks from the table."""
    partner = replace(FRONT, head_yaw_rad=rad(10), gaze_yaw_rad=rad(18), gaze_pitch_rad=-rad(8))
    aside = replace(ASIDE, head_yaw_rad=-rad(32), gaze_yaw_rad=-rad(45))
    slots = (
        *((60.0, FRONT), (90.0, READING), (4.0, ASIDE), (50.0, partner), (20.0, PLATE)),
        *((2.0, aside), (70.0, replace(partner, mar=0.4)), (8.0, ASIDE), (120.0, READING)),
    )
    round_s = sum(duration for duration, _ in slots)

    def scene(t: float) -> Mapping[str, Looking]:
        if 1500.0 <= t < 1700.0:  # a break
            return {}
        at_s = t % round_s
        for duration_s, looking in slots:
            if at_s < duration_s:
                sway = 0.03 * math.sin(t / 7.0)
                moved = replace(looking, position_m=(sway, 0.5 * sway, 0.5 + sway))
                return {'f1' if t < 1600.0 else 'f2': blinking(moved, t, 4.3)}
            at_s -= duration_s
        raise AssertionError('unreachable')

    played = play(scene, 3600.0, 10.0, drop=0.1)
    assert played.alerts == []
    kinds = [one.kind for one in events(played)]
    assert kinds.count(EventKind.CAME) == 2
    assert kinds.count(EventKind.LEFT) == 1
    assert not {EventKind.MICROSLEEP, EventKind.LONG_CLOSURE, EventKind.NOD} & set(kinds)


def test_the_same_readings_give_the_same_events_and_alerts() -> None:
    def scene(t: float) -> Mapping[str, Looking]:
        return {'f1': asleep(FRONT) if 29.0 <= t < 35.0 else blinking(FRONT, t)}

    one, other = (play(scene, 50.0, RATE_HZ) for _ in range(2))
    assert one.events == other.events
    assert one.alerts == other.alerts
    assert alerts(one) == [
        ('f1', Cause.ASLEEP, AlertLevel.WARNING),
        ('f1', Cause.ASLEEP, AlertLevel.CRITICAL),
        ('f1', Cause.ASLEEP, AlertLevel.NONE),
        ('f1', Cause.TIRED, AlertLevel.HINT),
    ]
