# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A nod is a head that drops while the eyes are already drooping; looking down is none."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from aitable_ros.perception.fatigue.nods import NodDetector, NodSettings


def ramp(*points):
    """Return the function of time that joins (time, value) by straight lines."""
    times, values = zip(*points)
    return lambda t: float(np.interp(t, times, values))


def run(pitch_deg, openness, *, seconds=12.0, rate_hz=30.0, jitter=0.0, settings=None, noise=0.0):
    random = np.random.default_rng(5)
    detector = NodDetector(settings)
    nods = []
    stamps = np.arange(0.0, seconds, 1 / rate_hz)
    stamps += random.uniform(-jitter, jitter, len(stamps)) / rate_hz
    for t in stamps:
        pitch = math.radians(pitch_deg(t) + random.normal(0, noise))
        if nod := detector.update(float(t), pitch, openness(t)):
            nods.append(nod)
    assert detector.count == len(nods)
    return nods


# The head drops by 25 degrees in 0.5 s, stays down for 1 s and is jerked up.
DROP = ramp((0, 3), (5, 3), (5.5, 28), (6.5, 28), (6.8, 3))
CLOSED_BEFORE = ramp((0, 1), (4.0, 1), (4.2, 0.05), (6.5, 0.05), (6.7, 1))
OPEN = ramp((0, 1))


@pytest.mark.parametrize('rate_hz', [5, 10, 15, 30, 60])
@pytest.mark.parametrize('noise', [0.0, 0.5])
def test_a_head_that_drops_with_closed_eyes_is_one_nod(rate_hz, noise):
    (nod,) = run(DROP, CLOSED_BEFORE, rate_hz=rate_hz, jitter=0.2, noise=noise)
    assert not nod.truncated
    assert nod.start_s == pytest.approx(5.05, abs=0.05 + 1.3 / rate_hz)
    assert nod.end_s == pytest.approx(6.65, abs=0.05 + 1.3 / rate_hz)
    assert math.degrees(nod.size) == pytest.approx(25.0, abs=0.01 + 6 * noise)


def test_drooping_eyes_are_enough():
    assert len(run(DROP, ramp((0, 0.35)))) == 1


def test_looking_down_with_open_eyes_is_no_nod():
    assert not run(DROP, OPEN)


def test_a_blink_on_the_way_down_makes_no_nod():
    assert not run(DROP, ramp((4.9, 1), (4.95, 0), (5.25, 0), (5.3, 1)))


@pytest.mark.parametrize('fall_s', [0.3, 0.6, 1.0])
@pytest.mark.parametrize('depth_deg', [20, 35, 50])
def test_lids_that_follow_the_gaze_down_make_no_nod(fall_s, depth_deg):
    """The gaze leads by 0.1 s; seen from above, the open eyes look nearly closed."""
    pitch = ramp((0, 0), (5, 0), (5 + fall_s, depth_deg))
    openness = ramp((0, 1), (4.9, 1), (5.1, 0.3), (5 + fall_s, 0.15))
    assert not run(pitch, openness, seconds=20.0)


def test_looking_down_and_then_further_down_is_no_nod():
    pitch = ramp((0, 0), (5, 0), (5.6, 20), (7, 20), (7.6, 40))
    assert not run(pitch, ramp((0, 1), (5, 1), (5.3, 0.3)), seconds=9.0)


def test_reading_and_writing_for_a_minute_has_no_nods():
    """Up and down between book and screen, eyes unmeasured while the head is down."""
    pitch = ramp(*[(t, 35 * (t // 3 % 2) + 3 * math.sin(t)) for t in np.arange(0, 60, 0.5)])
    nods = run(pitch, lambda t: math.nan if pitch(t) > 25 else 0.9, seconds=60.0)
    assert not nods


def test_eyes_that_were_not_seen_prove_nothing():
    assert not run(DROP, lambda t: math.nan)
    assert not run(DROP, lambda t: 0.05 if 4.8 < t < 5.0 else math.nan)


def test_it_is_enough_to_see_the_eyes_before_the_head_is_down():
    nods = run(DROP, lambda t: math.nan if DROP(t) > 15 else CLOSED_BEFORE(t))
    assert len(nods) == 1


def test_samples_without_eyes_count_neither_way():
    seen = itertools.cycle((True, False, False))
    assert run(DROP, lambda t: CLOSED_BEFORE(t) if next(seen) else math.nan, rate_hz=60)
    seen = itertools.cycle((True, False, False))
    assert not run(DROP, lambda t: 1.0 if next(seen) else math.nan, rate_hz=60)


def test_nodding_yes_is_no_nod():
    assert not run(lambda t: 12 * math.sin(2 * math.pi * 2 * t), OPEN)
    # Small ones are too shallow even with closed eyes.
    assert not run(lambda t: 6 * math.sin(2 * math.pi * 2 * t), ramp((0, 0.1)))


def test_a_head_that_sinks_slowly_is_no_nod():
    assert not run(ramp((0, 0), (2, 0), (10, 30)), ramp((0, 0.1)))


def test_turning_up_is_no_nod():
    assert not run(ramp((0, 30), (5, 30), (5.5, 0)), ramp((0, 0.1)))


@pytest.mark.parametrize('tilt_deg', [-30, -10, 20])
def test_the_habitual_pitch_does_not_matter(tilt_deg):
    (nod,) = run(lambda t: DROP(t) + tilt_deg, CLOSED_BEFORE)
    assert math.degrees(nod.size) == pytest.approx(25.0, abs=0.01)


def test_every_nod_counts():
    def pitch(t):
        return DROP(t % 6.0 + 3.0)

    nods = run(pitch, lambda t: CLOSED_BEFORE(t % 6.0 + 3.0), seconds=60.0)
    assert len(nods) == 10


def test_a_head_that_stays_down_is_one_nod_that_did_not_recover():
    nods = run(ramp((0, 0), (5, 0), (5.5, 30)), ramp((0, 0.1)), seconds=60.0)
    (nod,) = nods
    assert nod.truncated
    assert nod.duration_s == pytest.approx(5.0, abs=0.1)


def test_bobbing_while_down_is_the_same_nod():
    pitch = ramp((0, 0), (5, 0), (5.5, 30), (6, 22), (6.5, 32), (7, 24), (7.5, 0))
    (nod,) = run(pitch, ramp((0, 0.1)))
    assert not nod.truncated
    assert math.degrees(nod.size) == pytest.approx(32, abs=0.5)


def test_a_face_that_is_lost_while_down_ends_the_nod():
    detector = NodDetector()
    nods = []
    for t in np.arange(0.0, 12.0, 1 / 30):
        lost = 5.8 < t < 9.0
        pitch = math.nan if lost else math.radians(DROP(t))
        nods.append(detector.update(float(t), pitch, math.nan if lost else 0.05))
    (nod,) = filter(None, nods)
    assert nod.truncated
    assert nod.end_s == pytest.approx(5.8, abs=0.04)


def test_a_drop_across_a_gap_is_no_nod():
    detector = NodDetector()
    assert not any(detector.update(t, 0.0, 0.1) for t in np.arange(0.0, 3.0, 0.1))
    assert not any(detector.update(t, 0.6, 0.1) for t in np.arange(3.6, 6.0, 0.1))
    assert detector.count == 0


def test_the_thresholds_are_settings():
    assert not run(DROP, CLOSED_BEFORE, settings=NodSettings(min_drop_rad=math.radians(30)))
    assert not run(DROP, ramp((0, 0.35)), settings=NodSettings(droop_openness=0.2))
    assert not run(DROP, CLOSED_BEFORE, settings=NodSettings(max_fall_s=0.2))
    assert not run(DROP, CLOSED_BEFORE, settings=NodSettings(min_observed_s=5.0))
    late = ramp((0, 1), (4.9, 1), (5.0, 0.05))
    assert not run(DROP, late)
    assert run(DROP, late, settings=NodSettings(lead_s=0.0, min_observed_s=0.2))
    (nod,) = run(DROP, CLOSED_BEFORE, settings=NodSettings(recover_share=0.9))
    assert nod.end_s > run(DROP, CLOSED_BEFORE)[0].end_s
    (nod,) = run(DROP, CLOSED_BEFORE, settings=NodSettings(max_down_s=0.8))
    assert nod.truncated


def test_memory_is_bounded():
    detector = NodDetector()
    for i in range(20_000):
        detector.update(i * 1e-5, 0.0, 0.5)
    assert len(detector._samples) <= 1024
