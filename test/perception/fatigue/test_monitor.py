# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""One person's fatigue from ratios and views: relative to the person's own eyes."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitable_ros.perception.faces.face_views import FaceViews, View
from aitable_ros.perception.fatigue.blinks import EyeState
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.fatigue.monitor import FatigueMonitor, FatigueSample
from aitable_ros.perception.fatigue.visibility import FaceView, Visibility
from aitable_ros.simulation.script import Person, random_script
from aitable_ros.simulation.synthetic_face import camera_stamps, film
from aitable_ros.tools.fatigue_report.recording import sample_of

AHEAD = FaceView(presence=0.95, eye_distance_px=70.0, yaw_rad=0.0, pitch_rad=0.0)


def sample(ear, **changes):
    return FatigueSample(ear, ear, mar=0.02, view=AHEAD)._replace(**changes)


def run(monitor, sample_at, *, start_s=0.0, seconds=30.0, rate_hz=30.0):
    state = None
    for stamp_s in np.arange(start_s, start_s + seconds, 1 / rate_hz):
        given_ = sample_at(stamp_s)
        state = monitor.update(
            float(stamp_s), given_ if isinstance(given_, FatigueSample) else sample(given_)
        )
    return state


def blinking(open_ear):
    """Shut for 0.2 s every 4 s, from the third second on."""
    return lambda t: 0.2 * open_ear if t % 4.0 < 0.2 and t > 2 else open_ear


@pytest.mark.parametrize('open_ear', [0.15, 0.22, 0.3, 0.4])
def test_same_verdict_for_narrow_and_wide_eyes(open_ear):
    state = run(FatigueMonitor(), blinking(open_ear), seconds=40)
    assert state.calibrated
    assert state.left_ear_baseline == pytest.approx(open_ear, abs=0.005)
    assert state.blink_count == 9
    assert state.perclos.p80 == pytest.approx(9 * 0.2 / 38, abs=0.01)
    assert state.eye_state is EyeState.OPEN
    assert state.level is FatigueLevel.ALERT
    assert state.blink_rate == pytest.approx(9 * 60 / 38, rel=0.05)
    assert state.mean_blink_duration_s == pytest.approx(0.2, abs=1 / 30)


def test_nothing_is_claimed_before_calibration():
    state = run(FatigueMonitor(), lambda t: 0.3, seconds=1.5)
    assert not state.calibrated
    assert math.isnan(state.left_openness)
    assert state.eye_state is EyeState.UNKNOWN
    assert not state.perclos.valid
    assert math.isnan(state.blink_rate)
    assert state.level is FatigueLevel.UNKNOWN


def test_one_unmeasured_eye_makes_the_sample_unknown():
    monitor = FatigueMonitor()
    before = run(monitor, lambda t: 0.3, seconds=15.0)
    state = run(monitor, lambda t: sample(0.05, left_ear=math.nan), start_s=15.0, seconds=2.0)
    assert state.eye_state is EyeState.UNKNOWN
    assert state.perclos.observed_s == pytest.approx(before.perclos.observed_s, abs=0.1)


@pytest.mark.parametrize(
    ('change', 'visibility'),
    [
        ({'view': FaceView(presence=math.nan)}, Visibility.NO_FACE),
        ({'view': AHEAD._replace(presence=0.2)}, Visibility.LOW_PRESENCE),
        ({'view': AHEAD._replace(eye_distance_px=10.0)}, Visibility.TOO_SMALL),
        ({'view': AHEAD._replace(yaw_rad=0.9)}, Visibility.TURNED),
        ({'view': AHEAD._replace(pitch_rad=0.7)}, Visibility.PITCHED),
        *(
            ({'view': AHEAD._replace(parts=FaceViews(view, view))}, visibility)
            for view, visibility in (
                (View.OUTSIDE, Visibility.EYES_OUTSIDE),
                (View.DARK, Visibility.EYES_DARK),
                (View.BLURRED, Visibility.EYES_BLURRED),
                (View.COVERED, Visibility.EYES_COVERED),
            )
        ),
    ],
)
def test_eyes_that_are_not_seen_well_are_neither_open_nor_closed(change, visibility):
    """Whatever is measured then, it changes no figure."""
    monitor = FatigueMonitor()
    before = run(monitor, blinking(0.3), seconds=40.0)
    state = run(monitor, lambda t: sample(0.02, **change), start_s=40.0, seconds=10.0)
    assert state.visibility is visibility
    assert state.eye_state is EyeState.UNKNOWN
    assert math.isnan(state.left_ear)
    assert math.isnan(state.left_openness)
    assert math.isnan(state.closure_duration_s)
    assert state.perclos.p80 == pytest.approx(before.perclos.p80, abs=0.003)
    assert state.blink_count == before.blink_count
    assert state.microsleep_count == 0
    assert state.level is FatigueLevel.UNKNOWN
    assert state.left_ear_baseline == before.left_ear_baseline


def test_the_reason_is_the_true_one_also_before_anything_was_learned():
    covered = AHEAD._replace(parts=FaceViews(View.COVERED, View.COVERED))
    state = run(FatigueMonitor(), lambda t: sample(0.3, view=covered), seconds=20.0)
    assert state.level_reason == 'the eyes were not seen: covered'


@pytest.mark.parametrize(
    ('right_ear', 'right_eye', 'why'),
    [(0.04, View.SEEN, 'never open'), (0.3, View.COVERED, 'never open')],
)
def test_one_eye_decides_alone_when_the_other_never_opens_or_is_never_seen(
    right_ear, right_eye, why
):
    view = AHEAD._replace(parts=FaceViews(right_eye=right_eye))

    def one_eye(t):
        return sample(blinking(0.3)(t), right_ear=right_ear, view=view)

    monitor = FatigueMonitor()
    assert run(monitor, one_eye, seconds=8.0).eye_state is EyeState.UNKNOWN
    state = run(monitor, one_eye, start_s=8.0, seconds=52.0)
    assert state.calibrated
    assert state.blink_count >= 10
    assert math.isnan(state.right_openness)
    assert state.level_reason.endswith(f'; the right eye is {why}')
    asleep = run(
        monitor, lambda t: sample(0.04, right_ear=right_ear, view=view), start_s=60.0, seconds=4.0
    )
    assert asleep.level is FatigueLevel.ASLEEP


def test_an_eye_that_is_covered_later_leaves_the_other_to_decide_after_a_while():
    monitor = FatigueMonitor()
    run(monitor, blinking(0.3), seconds=20.0)
    covered = AHEAD._replace(parts=FaceViews(right_eye=View.COVERED))
    unknown = run(monitor, lambda t: sample(0.3, view=covered), start_s=20.0, seconds=5.0)
    assert unknown.eye_state is EyeState.UNKNOWN
    state = run(monitor, lambda t: sample(0.3, view=covered), start_s=25.0, seconds=10.0)
    assert state.eye_state is EyeState.OPEN
    assert state.level_reason.endswith('; the right eye is not seen')


def test_perclos_is_not_valid_after_long_without_the_eyes():
    monitor = FatigueMonitor()
    run(monitor, blinking(0.3), seconds=60.0)
    state = run(
        monitor, lambda t: sample(0.3, view=AHEAD._replace(yaw_rad=1.0)), start_s=60, seconds=40
    )
    assert not state.perclos.valid
    assert math.isnan(state.perclos.p80)
    assert state.perclos.coverage == pytest.approx(20 / 60, abs=0.02)


def test_falling_asleep_passes_through_the_levels():
    monitor = FatigueMonitor()
    levels = []
    for i in range(30 * 60):
        stamp_s = i / 30
        level = monitor.update(stamp_s, sample(0.3 if stamp_s < 45 else 0.07)).level
        if not levels or levels[-1][1] is not level:
            levels.append((stamp_s, level))
    assert [level for _, level in levels] == [
        FatigueLevel.UNKNOWN,
        FatigueLevel.ALERT,
        FatigueLevel.MICROSLEEP,
        FatigueLevel.ASLEEP,
    ]
    assert levels[2][0] == pytest.approx(46.0, abs=0.07)
    assert levels[3][0] == pytest.approx(48.0, abs=0.07)


def test_eyes_closed_in_a_yawn_are_no_microsleep():
    monitor = FatigueMonitor()

    def yawning(t):
        wide = 40 < t < 44
        return sample(0.07 if 41 < t < 43.5 else 0.3, mar=0.9 if wide else 0.05)

    state = run(monitor, yawning, seconds=50.0)
    assert state.yawn_count == 1
    assert state.microsleep_count == 0
    assert state.long_closure_count == 1
    assert state.level is FatigueLevel.ALERT


def test_loud_talk_does_not_excuse_closed_eyes():
    """Syllables at 4 Hz, each wide for a moment, like the begin of a yawn."""
    monitor = FatigueMonitor()

    def talking(t):
        mar = 0.03 + 0.7 * (0.5 - 0.5 * math.cos(8 * math.pi * t)) if 38 < t < 46 else 0.02
        return sample(0.07 if 41 < t < 43.5 else 0.3, mar=mar)

    state = run(monitor, talking, seconds=50.0)
    assert state.yawn_count == 0
    assert state.microsleep_count == 1


def test_a_yawn_is_seen_with_the_head_back():
    monitor = FatigueMonitor()
    back = AHEAD._replace(pitch_rad=math.radians(-35))

    def yawning(t):
        wide = 40 < t < 44
        return sample(0.3, mar=0.9 if wide else 0.05, view=back if wide else AHEAD)

    state = run(monitor, yawning, seconds=50.0)
    assert state.yawn_count == 1


def test_a_head_that_drops_with_closed_eyes_nods():
    """The eyes close, the head drops by 20 degrees half a second later and comes up again."""
    monitor = FatigueMonitor()

    def nodding(t):
        pitch_rad = math.radians(20) * min(max(t - 40.6, 0.0) / 0.6, max(42.4 - t, 0.0) / 0.4, 1.0)
        return sample(
            0.07 if 40 < t < 42 else 0.3,
            view=AHEAD._replace(pitch_rad=pitch_rad),
            head_pitch_rad=pitch_rad,
        )

    state = run(monitor, nodding, seconds=44.0)
    assert state.nod_count == 1
    assert state.microsleep_count == 1
    state = run(monitor, nodding, start_s=44.0, seconds=16.0)
    assert state.level is FatigueLevel.MILD


def test_a_wrong_begin_leaves_no_perclos_behind():
    """The first thing seen are closed eyes with glasses, which measure like narrow open ones."""
    monitor = FatigueMonitor()
    state = run(monitor, lambda t: 0.16 if t < 30 else 0.38, seconds=60.0)
    assert state.calibrated
    assert state.left_ear_baseline == pytest.approx(0.38, abs=0.01)
    assert state.perclos.observed_s < 30
    assert state.perclos.p80 == 0.0


def test_who_takes_the_seat_with_narrower_eyes_is_not_asleep_for_long():
    monitor = FatigueMonitor()
    run(monitor, lambda t: sample(blinking(0.38)(t)), seconds=60.0)
    states = []
    for i in range(15 * 120):
        t = 60.0 + i / 15
        # 0.15 open, 0.03 closed: what the eyes before measured when shut
        ear = 0.03 if t % 4.0 < 0.2 else 0.15
        states.append(monitor.update(t, sample(ear)))
    asleep = [state.level is FatigueLevel.ASLEEP for state in states]
    assert sum(asleep) / 15 < 15.0
    assert not any(asleep[15 * 30 :])
    last = states[-1]
    assert last.level is FatigueLevel.ALERT, 'and what was seen of the wrong eyes is forgotten'
    assert last.perclos.p80 < 0.1
    assert last.left_ear_baseline == pytest.approx(0.15, abs=0.01)


def test_equal_stamps_change_nothing():
    monitor = FatigueMonitor()
    state = run(monitor, lambda t: 0.3, seconds=10.0)
    assert monitor.update(monitor.last_stamp_s, sample(0.02)) is state


def test_huge_gaps_are_harmless():
    monitor = FatigueMonitor()
    run(monitor, blinking(0.3), seconds=60.0)
    state = monitor.update(1e7, sample(0.3))
    assert not state.perclos.valid
    assert state.eye_state is EyeState.OPEN
    state = run(monitor, blinking(0.3), start_s=1e7 + 0.1, seconds=70.0)
    assert state.perclos.valid
    assert state.perclos.p80 == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize('stamp_s', [math.nan, math.inf])
def test_stamps_have_to_be_numbers(stamp_s):
    with pytest.raises(ValueError, match='stamp_s'):
        FatigueMonitor().update(stamp_s, sample(0.3))


def same(a, b):
    """Compare; NaN equals NaN."""
    return repr(a) == repr(b)


ratios = st.one_of(st.floats(0, 1), st.just(math.nan), st.sampled_from([-1.0, math.inf]))
views = st.builds(
    FaceView,
    presence=st.one_of(st.floats(0, 1), st.just(math.nan)),
    eye_distance_px=st.one_of(st.floats(0, 200), st.just(math.nan)),
    yaw_rad=st.one_of(st.floats(-2, 2), st.just(math.nan)),
    pitch_rad=st.one_of(st.floats(-2, 2), st.just(math.nan)),
)
histories = st.lists(
    st.tuples(
        st.floats(0.0, 2.0),
        st.builds(FatigueSample, ratios, ratios, ratios, views, ratios),
    ),
    max_size=60,
)


@given(histories, histories)
def test_no_state_survives_going_back_in_time(before, after):
    used, fresh = FatigueMonitor(), FatigueMonitor()
    stamp_s = 1e6
    for step_s, taken in before:
        stamp_s += step_s
        used.update(stamp_s, taken)
    stamp_s = 0.0
    for step_s, taken in after:
        stamp_s += step_s
        assert same(used.update(stamp_s, taken), fresh.update(stamp_s, taken))


@given(histories)
def test_nothing_is_claimed_that_was_not_seen(history):
    monitor = FatigueMonitor()
    stamp_s = 0.0
    for step_s, taken in history:
        stamp_s += step_s
        state = monitor.update(stamp_s, taken)
        unseen = state.visibility is not Visibility.MEASURED or not state.calibrated
        if unseen:
            assert state.eye_state is EyeState.UNKNOWN
            assert math.isnan(state.openness)
        assert state.perclos.valid or math.isnan(state.perclos.p80)
        assert math.isnan(state.blink_rate) or state.blinks_valid
        if state.level is FatigueLevel.ALERT and 'until now' not in state.level_reason:
            assert state.perclos.valid


def test_memory_is_constant():
    """All that a busy person leaves behind, in half an hour and in an hour."""
    rng = np.random.default_rng(0)
    script = random_script(rng, 600.0, microsleeps_per_min=2.0, yawns_per_min=1.0)
    stamps_s = camera_stamps(rng, 10.0, 600.0)
    samples = [sample_of(frame) for frame in film(script, Person(), stamps_s, rng)]
    monitor = FatigueMonitor()
    sizes = []
    for k in range(6):
        for stamp_s, taken in zip(stamps_s.tolist(), samples):
            monitor.update(stamp_s + 600.0 * k, taken)
        sizes.append(len(pickle.dumps(monitor)))
    assert max(sizes[3:]) <= 1.02 * max(sizes[:3])
    assert max(sizes) < 200_000


def test_other_thresholds_are_adopted_with_everything_seen_kept():
    monitor = FatigueMonitor()
    state = run(monitor, blinking(0.3), seconds=40)
    assert state.level is FatigueLevel.ALERT
    settings = replace(
        monitor.settings,
        level=replace(monitor.settings.level, mild_perclos=0.02, severe_perclos=0.9),
        blinks=replace(monitor.settings.blinks, max_blink_s=0.1),
        visibility=replace(monitor.settings.visibility, min_eye_distance_px=50.0),
    )
    assert monitor.adopt(settings)
    later = run(monitor, blinking(0.3), start_s=40.0, seconds=4)
    assert later.level is FatigueLevel.MILD
    assert later.perclos.observed_s > 41
    assert later.left_ear_baseline == pytest.approx(state.left_ear_baseline, abs=0.005)
    assert later.blink_count == state.blink_count  # those of 0.2 s are none any more
    small = run(
        monitor,
        lambda _: sample(0.3, view=AHEAD._replace(eye_distance_px=40.0)),
        start_s=44.0,
        seconds=0.1,
    )
    assert small.visibility is Visibility.TOO_SMALL


@pytest.mark.parametrize(
    ('part', 'change'),
    [
        ('perclos', {'window_s': 90.0}),
        ('blinks', {'window_s': 90.0}),
        ('yawns', {'window_s': 90.0}),
        ('baseline', {'closed_ratio': 0.4}),
    ],
)
def test_settings_that_what_was_gathered_does_not_fit_are_not_adopted(part, change):
    monitor = FatigueMonitor()
    before = monitor.settings
    settings = replace(before, **{part: replace(getattr(before, part), **change)})
    assert not monitor.adopt(settings)
    assert monitor.settings is before


def test_every_part_uses_the_adopted_settings():
    monitor = FatigueMonitor()
    settings = replace(
        monitor.settings,
        level=replace(monitor.settings.level, event_window_s=120.0),
        nods=replace(monitor.settings.nods, min_observed_s=0.7),
        yawns=replace(monitor.settings.yawns, wide_mar=0.61),
        perclos=replace(monitor.settings.perclos, min_coverage=0.33),
    )
    assert monitor.adopt(settings)
    as_made = FatigueMonitor(settings)
    for name, part in vars(as_made).items():
        adopted = getattr(monitor, name)
        if hasattr(part, 'settings'):
            assert adopted.settings == part.settings, name
        if hasattr(part, 'window_s'):
            assert adopted.window_s == part.window_s, name
