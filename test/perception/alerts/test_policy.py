# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Alerts follow from readings: levels, recovery, acknowledgement, words."""

from __future__ import annotations

import math

import pytest

from aitable_ros.perception.alerts.ladder import AlertLevel, Ladder, LadderSettings
from aitable_ros.perception.alerts.observer import AlertObserver
from aitable_ros.perception.alerts.policy import (
    AlertChange,
    AlertPolicy,
    AlertSettings,
    Cause,
    FaceSigns,
    PostureSigns,
    TiredSettings,
)
from aitable_ros.perception.attention.zones import Zone
from aitable_ros.perception.events import EventKind
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.images.seeing import Seeing
from aitable_ros.perception.posture.states import Posture

LADDER = LadderSettings(hint_s=2.0, warning_s=4.0, critical_s=6.0, recover_s=1.0)
OPEN = FaceSigns(eyes_closed=False, level=FatigueLevel.ALERT, zone=Zone.FRONT)
CLOSED = FaceSigns(eyes_closed=True, level=FatigueLevel.ALERT, zone=Zone.FRONT)


def climb(samples: list[bool | None], settings: LadderSettings = LADDER) -> list[AlertLevel]:
    """Take samples of a tenth of a second each."""
    ladder, levels = Ladder(1.0), []
    for i, on in enumerate(samples):
        ladder.update(10.0 + i / 10, on, settings)
        levels.append(ladder.level)
    return levels


class TestLadder:
    def test_each_level_at_its_time(self) -> None:
        levels = climb([True] * 70)
        assert levels.index(AlertLevel.HINT) == 20
        assert levels.index(AlertLevel.WARNING) == 40
        assert levels.index(AlertLevel.CRITICAL) == 60

    def test_a_duration_of_0_is_never(self) -> None:
        levels = climb([True] * 70, LadderSettings(hint_s=0.0, warning_s=3.0))
        assert set(levels) == {AlertLevel.NONE, AlertLevel.WARNING}

    def test_over_after_the_recovery_alone(self) -> None:
        levels = climb([True] * 30 + [False] * 20)
        assert levels[29:41] == [AlertLevel.HINT] * 11 + [AlertLevel.NONE]

    def test_what_is_not_known_neither_lasts_nor_recovers(self) -> None:
        levels = climb([True] * 15 + [None] * 50 + [True] * 8)
        assert levels.index(AlertLevel.HINT) == 70
        assert climb([True] * 30 + [None] * 500)[-1] is AlertLevel.HINT

    def test_interrupted_it_begins_anew(self) -> None:
        assert set(climb(([True] * 15 + [False]) * 10)) == {AlertLevel.NONE}

    def test_a_level_stays_while_it_comes_back_within_the_recovery(self) -> None:
        levels = climb([True] * 30 + [False] * 5 + [True] * 30)
        assert set(levels[30:]) == {AlertLevel.HINT}

    def test_a_long_gap_counts_as_one_sample(self) -> None:
        ladder = Ladder(1.0)
        ladder.update(0.0, True, LADDER)
        ladder.update(100.0, True, LADDER)
        assert ladder.lasted_s == 1.0


def feed(policy: AlertPolicy, signs: FaceSigns, from_s: float, to_s: float) -> list[AlertChange]:
    found = []
    for i in range(round(10 * from_s), round(10 * to_s)):
        found += policy.faces(i / 10, {'f1': signs}, {'f1'})
    return found


class TestPolicy:
    def test_words_and_since(self) -> None:
        (warning,) = feed(AlertPolicy(), CLOSED, 5.0, 7.0)
        assert (warning.person, warning.cause) == ('f1', Cause.ASLEEP)
        assert warning.level is AlertLevel.WARNING
        assert warning.reason == 'eyes closed for 1.5 s'
        assert warning.since_s == 5.0

    def test_closed_eyes_in_a_yawn_are_no_sleep(self) -> None:
        yawning = FaceSigns(True, 0.8, FatigueLevel.ALERT, '', Zone.FRONT)
        assert feed(AlertPolicy(), yawning, 0.0, 20.0) == []

    def test_acknowledged_is_told_once_and_taken_back_by_a_higher_level(self) -> None:
        policy = AlertPolicy()
        feed(policy, CLOSED, 0.0, 2.0)
        assert policy.acknowledge() == 1
        (noted,) = feed(policy, CLOSED, 2.0, 3.0)
        assert (noted.level, noted.acknowledged) == (AlertLevel.WARNING, True)
        assert policy.acknowledge() == 1
        assert feed(policy, CLOSED, 3.0, 3.5) == []
        (critical,) = feed(policy, CLOSED, 3.5, 5.0)
        assert (critical.level, critical.acknowledged) == (AlertLevel.CRITICAL, False)
        (over,) = feed(policy, OPEN, 5.0, 9.0)
        assert over.level is AlertLevel.NONE
        assert policy.acknowledge() == 0

    def test_a_look_away_counts_from_its_begin(self) -> None:
        away = FaceSigns(False, level=FatigueLevel.ALERT, zone=Zone.AWAY, zone_s=0.5)
        policy, found = AlertPolicy(), []
        for i in range(160):
            for one in policy.faces(10.0 + i / 10, {'f1': away}, {'f1'}):
                found.append((10.0 + i / 10, one))
        ((at_s, hint),) = found
        assert at_s == pytest.approx(10.0 - 0.5 + 15.0)
        assert hint.since_s == 9.5

    def test_tired_for_its_own_reason(self) -> None:
        tired = FaceSigns(False, level=FatigueLevel.SEVERE, level_reason='PERCLOS 20 %')
        found = feed(AlertPolicy(AlertSettings(tired=TiredSettings(hint_s=5.0))), tired, 0.0, 6.0)
        assert [one.reason for one in found] == ['tired: PERCLOS 20 %']

    def test_cannot_see_you_after_a_minute(self) -> None:
        unseen = FaceSigns(zone=Zone.UNKNOWN, zone_reason='the eyes are not seen')
        (hint,) = feed(AlertPolicy(), unseen, 0.0, 61.0)
        assert hint.cause is Cause.UNSEEN
        assert hint.reason == 'cannot see you for 60 s: the eyes are not seen'

    def test_who_is_not_there_while_the_camera_sees_nothing_is_not_seen(self) -> None:
        policy, found = AlertPolicy(), []
        for i in range(700):
            found += policy.faces(i / 10, {}, {'f1'}, 'the camera is covered')
        assert [one.reason for one in found] == [
            'cannot see you for 60 s: the camera is covered',
        ]

    def test_who_is_seen_in_a_bad_picture_is_seen(self) -> None:
        policy, found = AlertPolicy(), []
        for i in range(700):
            found += policy.faces(i / 10, {'f1': OPEN}, {'f1'}, 'the light is too bright')
        assert found == []

    def test_another_stream_ends_all_alerts(self) -> None:
        watch = AlertObserver()
        for i in range(20):
            watch.faces(i / 10, {'f1': CLOSED}, {'f1'}, Seeing.CLEAR)
        assert [one.level for one in watch.policy.alerts] == [AlertLevel.WARNING]
        (over,) = watch.faces(0.0, {'f1': OPEN}, (), Seeing.CLEAR, anew=True)
        assert over.level is AlertLevel.NONE

    def test_who_leaves_takes_their_alerts_along(self) -> None:
        policy = AlertPolicy()
        feed(policy, CLOSED, 0.0, 2.0)
        assert [one.level for one in policy.alerts] == [AlertLevel.WARNING]
        assert policy.faces(2.0, {}, {'f1'}) == []
        (over,) = policy.faces(2.1, {}, set())
        assert (over.level, over.reason) == (AlertLevel.NONE, 'left')
        assert policy.alerts == []

    def test_reset_ends_all_alerts(self) -> None:
        policy = AlertPolicy()
        feed(policy, CLOSED, 0.0, 2.0)
        assert [one.level for one in policy.reset()] == [AlertLevel.NONE]

    def test_shorter_durations_hold_from_the_next_reading_on(self) -> None:
        policy = AlertPolicy()
        assert feed(policy, OPEN, 0.0, 1.0) == []
        policy.adopt(AlertSettings(asleep=type(AlertSettings().asleep)(warning_s=0.5)))
        (warning,) = feed(policy, CLOSED, 1.0, 1.6)
        assert warning.level is AlertLevel.WARNING


def sit(watch: AlertObserver, state: Posture, from_s: float, to_s: float, still_s: float = 1.0):
    events, alerts = [], []
    for i in range(round(5 * from_s), round(5 * to_s)):
        signs = PostureSigns(state, 'neck shorter', still_s > 1200.0)
        told = watch.posture(i / 5, 'f1', signs, i / 5 - from_s, still_s)
        events += told[0]
        alerts += told[1]
    return events, alerts


class TestPostures:
    def test_changes_are_events_but_not_through_unknown(self) -> None:
        watch = AlertObserver()
        assert sit(watch, Posture.UPRIGHT, 0, 5) == ([], [])
        assert sit(watch, Posture.UNKNOWN, 5, 10) == ([], [])
        assert sit(watch, Posture.UPRIGHT, 10, 15) == ([], [])
        (event,), _ = sit(watch, Posture.SLOUCHING, 15, 20)
        assert event.kind is EventKind.POSTURE_CHANGED
        assert (event.start_s, event.value) == (15.0, float(Posture.SLOUCHING))
        assert math.isnan(event.duration_s)

    def test_slouching_for_long_is_a_hint_and_sitting_up_ends_it(self) -> None:
        watch = AlertObserver()
        _, (hint,) = sit(watch, Posture.SLOUCHING, 0, 70)
        assert (hint.cause, hint.level) == (Cause.POOR_POSTURE, AlertLevel.HINT)
        assert hint.reason == 'posture for 60 s: neck shorter'
        _, (over,) = sit(watch, Posture.UPRIGHT, 70, 80)
        assert over.level is AlertLevel.NONE

    def test_sitting_long_is_told_once(self) -> None:
        watch = AlertObserver()
        events, alerts = sit(watch, Posture.UPRIGHT, 0, 20, still_s=1300.0)
        assert [one.kind for one in events] == [EventKind.SAT_TOO_LONG]
        assert events[0].value == 1300.0
        assert [one.cause for one in alerts] == [Cause.SITTING_LONG]
        assert sit(watch, Posture.UPRIGHT, 20, 25)[1][0].level is AlertLevel.NONE

    def test_after_a_reset_the_end_of_alerts_is_told(self) -> None:
        watch = AlertObserver()
        sit(watch, Posture.SLOUCHING, 0, 70)
        watch.reset()
        (over,) = watch.faces(0.0, {}, (), Seeing.CLEAR)
        assert over.level is AlertLevel.NONE


@pytest.mark.parametrize('cause', Cause)
def test_every_cause_has_its_durations(cause: Cause) -> None:
    settings = AlertSettings().of(cause)
    assert any((settings.hint_s, settings.warning_s, settings.critical_s))
