# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Identities over time, by positions alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from aitable_ros.perception.faces.tracker import (
    FaceObservation,
    FaceTracker,
    TrackerSettings,
    _assigned,
)

FRAME_S = 1.0 / 30.0


def seen(x, y, size=100.0, previous_id=None, landmarks=None):
    """A square face with its middle at x, y."""
    box = np.array((x - size / 2, y - size / 2, size, size))
    return FaceObservation(box, landmarks, previous_id)


def ids(identities):
    return [identity.face_id for identity in identities]


def test_ids_count_up_and_stay_whatever_the_order_of_observations():
    tracker = FaceTracker()
    first = tracker.update(0.0, [seen(100, 100), seen(400, 100)])
    assert ids(first) == ['f1', 'f2']
    second = tracker.update(0.1, [seen(405, 100), seen(103, 100)])
    assert ids(second) == ['f2', 'f1']
    assert [identity.number for identity in second] == [2, 1]


def test_tracked_time_is_header_time_since_the_id_was_given():
    tracker = FaceTracker()
    tracker.update(1e9, [seen(100, 100)])
    tracker.update(1e9 + 0.5, [])
    (identity,) = tracker.update(1e9 + 1.5, [seen(100, 100)])
    assert identity.tracked_s == pytest.approx(1.5)


def test_the_assignment_is_the_best_for_all_not_greedy():
    # The observation at 170 is nearest to the first face, but then the one at 90 would be new.
    tracker = FaceTracker(TrackerSettings(velocity_time_s=1e6))
    tracker.update(0.0, [seen(150, 100), seen(220, 100)])
    assert ids(tracker.update(FRAME_S, [seen(170, 100), seen(90, 100)])) == ['f2', 'f1']


def test_a_followed_face_keeps_its_id_wherever_it_is():
    tracker = FaceTracker()
    tracker.update(0.0, [seen(100, 100), seen(400, 100)])
    result = tracker.update(FRAME_S, [seen(390, 100, previous_id='f1'), seen(440, 100)])
    assert ids(result) == ['f1', 'f2']


def test_one_id_is_not_given_to_two_observations():
    tracker = FaceTracker()
    tracker.update(0.0, [seen(100, 100)])
    result = tracker.update(
        FRAME_S, [seen(100, 100, previous_id='f1'), seen(101, 100, previous_id='f1')]
    )
    assert ids(result) == ['f1', 'f2']


def test_an_unknown_previous_id_is_treated_as_a_new_detection():
    tracker = FaceTracker()
    tracker.update(0.0, [seen(100, 100)])
    assert ids(tracker.update(FRAME_S, [seen(102, 100, previous_id='f77')])) == ['f1']


@pytest.mark.parametrize(('absent_s', 'expected'), [(2.9, 'f1'), (3.1, 'f2')])
def test_a_face_is_remembered_for_memory_s(absent_s, expected):
    tracker = FaceTracker(TrackerSettings(memory_s=3.0))
    tracker.update(0.0, [seen(100, 100)])
    for stamp_s in np.arange(0.1, absent_s, 0.1):
        tracker.update(float(stamp_s), [])
    assert ids(tracker.update(absent_s, [seen(110, 95)])) == [expected]


def test_a_face_far_from_where_one_was_lost_is_another():
    tracker = FaceTracker(TrackerSettings(max_return_distance=1.5))
    tracker.update(0.0, [seen(100, 100)])
    assert ids(tracker.update(2.0, [seen(300, 100)])) == ['f2']
    assert ids(tracker.update(2.5, [seen(240, 100, previous_id='f2')])) == ['f2']


def test_a_face_of_quite_another_size_is_another():
    tracker = FaceTracker(TrackerSettings(max_size_ratio=2.0))
    tracker.update(0.0, [seen(200, 200, size=100)])
    assert ids(tracker.update(FRAME_S, [seen(200, 200, size=45)])) == ['f2']
    tracker = FaceTracker(TrackerSettings(max_size_ratio=2.0))
    tracker.update(0.0, [seen(200, 200, size=100)])
    assert ids(tracker.update(FRAME_S, [seen(200, 200, size=55)])) == ['f1']


def test_who_is_present_goes_before_who_is_lost():
    # f1 was lost where f2 now comes along: f2 stays f2.
    tracker = FaceTracker()
    tracker.update(0.0, [seen(300, 100), seen(550, 100)])
    for i in range(1, 60):
        (identity,) = tracker.update(i * FRAME_S, [seen(550 - 5 * i, 100)])
        assert identity.face_id == 'f2', i


def test_distances_are_relative_to_the_faces_size():
    for size in (30.0, 300.0):
        tracker = FaceTracker()
        tracker.update(0.0, [seen(1000, 1000, size)])
        near, far = seen(1000 + size, 1000, size), seen(1000 + 1.6 * size, 1000, size)
        assert ids(tracker.update(FRAME_S, [far])) == ['f2']
        tracker.reset()
        tracker.update(0.0, [seen(1000, 1000, size)])
        assert ids(tracker.update(FRAME_S, [near])) == ['f3']


@pytest.mark.parametrize('rate_hz', [5.0, 15.0, 30.0])
@pytest.mark.parametrize('speed', [0.5, 1.5, 3.0])
def test_crossing_faces_keep_their_ids_by_their_motion(rate_hz, speed):
    # Both are seen all the time; in the middle they coincide. Speed in face sizes per second.
    tracker = FaceTracker()
    frames = int(6.0 / speed * rate_hz)
    for i in range(frames + 1):
        x = 300 * i / frames * 2
        pair = [seen(x, 200), seen(600 - x, 205)]
        result = tracker.update(10.0 + i / rate_hz, pair[:: 1 if i % 2 else -1])
        assert ids(result)[:: 1 if i % 2 else -1] == (['f2', 'f1']), i


def test_jitter_and_dropouts_do_not_change_ids():
    random = np.random.default_rng(11)
    tracker = FaceTracker()
    tracker.update(0.0, [seen(200, 200), seen(330, 210), seen(520, 190)])
    centres = np.array(((200.0, 200.0), (330.0, 210.0), (520.0, 190.0)))
    for i in range(1, 600):
        present = random.random(3) > 0.2
        order = random.permutation(np.flatnonzero(present))
        observations = [
            seen(*(centres[k] + random.normal(0.0, 8.0, 2)), size=100 * random.uniform(0.85, 1.15))
            for k in order
        ]
        assert ids(tracker.update(i * FRAME_S, observations)) == [f'f{k + 1}' for k in order]


def test_a_fast_face_at_a_low_rate_is_followed():
    tracker = FaceTracker()
    for i in range(10):
        assert ids(tracker.update(i * 0.2, [seen(100 + 70 * i, 200)])) == ['f1']


def test_the_same_stamp_twice_is_not_going_backwards():
    tracker = FaceTracker()
    tracker.update(1.0, [seen(100, 100)])
    assert ids(tracker.update(1.0, [seen(104, 100)])) == ['f1']
    assert ids(tracker.update(1.0 + FRAME_S, [seen(104, 100)])) == ['f1']


def test_memory_does_not_grow():
    tracker = FaceTracker(TrackerSettings(memory_s=1.0))
    for i in range(2000):
        tracker.update(i * FRAME_S, [seen(300 * (i % 7), 1000 * (i % 5), size=20)])
    assert len(tracker._tracks) <= 36


def test_landmarks_tell_the_place_better_than_the_box():
    # An opening mouth moves the box's middle, not most of the landmarks.
    points = np.zeros((468, 3))
    points[:, :2] = (100, 100)
    tracker = FaceTracker(TrackerSettings(min_iou=1.0, max_distance=0.05, max_speed=0.0))
    tracker.update(0.0, [seen(100, 100, landmarks=points)])
    taller = FaceObservation(np.array((50, 50, 100, 130)), points)
    assert ids(tracker.update(FRAME_S, [taller])) == ['f1']
    without = FaceObservation(np.array((50, 50, 100, 140)))
    assert ids(tracker.update(2 * FRAME_S, [without])) == ['f2']


def test_surprise_is_the_distance_from_where_the_face_was_heading():
    tracker = FaceTracker()
    for i in range(30):
        tracker.update(i * FRAME_S, [seen(100 + 2 * i, 100)])
    assert tracker.surprise('f1', 30 * FRAME_S, seen(160, 100)) == pytest.approx(0, abs=1e-6)
    assert tracker.surprise('f1', 30 * FRAME_S, seen(160, 150)) == pytest.approx(0.5)
    assert math.isinf(tracker.surprise('f9', 30 * FRAME_S, seen(0, 0)))


def test_a_slide_within_the_last_frames_does_not_count_as_the_heading():
    tracker = FaceTracker()
    for i in range(30):
        tracker.update(i * FRAME_S, [seen(300, 100)])
    for i in range(30, 36):
        tracker.update(i * FRAME_S, [seen(300 + 10 * (i - 29), 100)])
    assert tracker.surprise('f1', 36 * FRAME_S, seen(360, 100)) == pytest.approx(0.6)


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 2.0),
            st.lists(
                st.tuples(
                    st.floats(-1e4, 1e4),
                    st.floats(-1e4, 1e4),
                    st.floats(0.1, 1e3),
                    st.sampled_from([None, 'f1', 'f2', 'x']),
                ),
                max_size=5,
            ),
        ),
        max_size=20,
    )
)
def test_whatever_comes_every_observation_gets_one_id_of_its_own(steps):
    tracker, stamp_s, known, highest = FaceTracker(), 0.0, set(), 0
    for elapsed_s, faces in steps:
        stamp_s += elapsed_s
        result = tracker.update(stamp_s, [seen(x, y, s, p) for x, y, s, p in faces])
        assert len(result) == len(faces) == len(set(ids(result)))
        for identity in result:
            if identity.face_id not in known:
                assert identity.number > highest
                highest = identity.number
            known.add(identity.face_id)
            assert identity.tracked_s >= 0.0


@given(
    st.integers(1, 5).flatmap(
        lambda columns: st.lists(
            st.lists(st.floats(0, 10), min_size=columns, max_size=columns), min_size=1, max_size=5
        )
    )
)
def test_pairs_cost_as_little_as_scipys(costs):
    given_costs = np.array(costs)
    pairs = _assigned(given_costs)
    assert len(pairs) == min(given_costs.shape)
    assert len(set(np.transpose(pairs)[0])) == len(set(np.transpose(pairs)[1])) == len(pairs)
    least = given_costs[linear_sum_assignment(given_costs)].sum()
    assert sum(given_costs[pair] for pair in pairs) == pytest.approx(least)
