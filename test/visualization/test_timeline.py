# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The timeline shows openness, PERCLOS, events and level of a recording."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aitable_ros.analysis.fatigue_monitor import FatigueMonitor, FatigueSample
from aitable_ros.analysis.synthetic import (
    LidClosure,
    Person,
    Script,
    Span,
    camera_stamps,
    film,
)
from aitable_ros.tools.fatigue_recording import sample_of
from aitable_ros.visualization.timeline import Timeline

MICROSLEEP = (252, 165, 165)
YAWN = (147, 91, 214)
BLINK = (56, 140, 220)
UNKNOWN = (236, 239, 244)


def timeline_of(script):
    rng = np.random.default_rng(0)
    monitor, timeline = FatigueMonitor(), Timeline()
    for frame in film(script, Person(), camera_stamps(rng, 30.0, script.duration_s), rng):
        timeline.add(frame.stamp_s, monitor.update(frame.stamp_s, sample_of(frame)))
    return timeline


def columns(image, colour):
    return np.flatnonzero((image == colour).all(axis=2)[:300].any(axis=0))


def time_of(column, width_px, duration_s):
    return (column - 76) / (width_px - 96) * duration_s


SCRIPT = Script(
    duration_s=60.0,
    blinks=(LidClosure(10.0, 10.2),),
    microsleeps=(LidClosure(20.0, 23.0),),
    yawns=(Span(30.0, 36.0, 0.9),),
    dropouts=(Span(45.0, 50.0),),
)


def test_events_are_where_they_happened():
    image = timeline_of(SCRIPT).draw('f1', width_px=1296)
    assert image.shape == (640, 1296, 3)
    assert image.dtype == np.uint8
    for colour, start_s, end_s in (
        (MICROSLEEP, 20.0, 23.0),
        (YAWN, 31.0, 35.0),
        (BLINK, 10.0, 10.0),
    ):
        found = columns(image, colour)
        assert time_of(found.min(), 1296, 60.0) == pytest.approx(start_s, abs=0.6)
        assert time_of(found.max(), 1296, 60.0) == pytest.approx(end_s, abs=0.6)
    unseen = time_of(columns(image, UNKNOWN), 1296, 60.0)
    assert ((unseen < 2.5) | ((unseen > 44.5) & (unseen < 50.5))).all()
    assert (unseen > 46).any()


def test_nothing_happens_without_events():
    image = timeline_of(Script(duration_s=20.0)).draw(width_px=800, height_px=300)
    for colour in (MICROSLEEP, YAWN, BLINK):
        assert not columns(image[:200], colour).size


def test_a_single_state_can_be_drawn():
    timeline = Timeline()
    timeline.add(5.0, FatigueMonitor().update(5.0, FatigueSample(math.nan, math.nan)))
    assert len(timeline) == 1
    assert timeline.draw(width_px=480, height_px=280).shape == (280, 480, 3)


def test_impossible_pictures_are_refused():
    timeline = Timeline()
    with pytest.raises(ValueError, match='nothing to draw'):
        timeline.draw()
    state = FatigueMonitor().update(5.0, FatigueSample(0.3, 0.3))
    timeline.add(5.0, state)
    with pytest.raises(ValueError, match='not after'):
        timeline.add(5.0, state)
    with pytest.raises(ValueError, match='480 x 280'):
        timeline.draw(width_px=100)
