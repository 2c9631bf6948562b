# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Record what the analysis of fatigue says about synthetic people."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from aitable_ros.perception.fatigue.events import Event
from aitable_ros.perception.fatigue.eye_openness import eye_aspect_ratios, mouth_aspect_ratio
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.fatigue.monitor import (
    FatigueMonitor,
    FatigueSample,
    FatigueSettings,
    FatigueState,
)
from aitable_ros.perception.fatigue.visibility import FaceView
from aitable_ros.simulation.script import Person, Script
from aitable_ros.simulation.synthetic_face import Frame, camera_stamps, film

EYE_MIDDLES = ((33, 133), (362, 263))
PERCLOS_EVERY_S = 5.0


@dataclass
class Recording:
    """
    What the monitor said about one filmed script.

    :param states: the state every :data:`PERCLOS_EVERY_S`, with its stamp.
    :param blinks: all found.
    :param closures: all that ended.
    :param microsleep_stamps_s: when each was counted.
    :param yawns: all found.
    :param levels: each level taken, with the stamp from which on.
    :param last: the last state.
    """

    states: list[tuple[float, FatigueState]] = field(default_factory=list)
    blinks: list[Event] = field(default_factory=list)
    closures: list[Event] = field(default_factory=list)
    microsleep_stamps_s: list[float] = field(default_factory=list)
    yawns: list[Event] = field(default_factory=list)
    levels: list[tuple[float, FatigueLevel, str]] = field(default_factory=list)
    last: FatigueState = field(init=False)


def sample_of(frame: Frame, *, knows_pose: bool = True) -> FatigueSample:
    """Measure a frame as the node measures a face."""
    points = frame.landmarks_px
    if points is None:
        return FatigueSample(math.nan, math.nan, view=FaceView(presence=math.nan))
    ears = eye_aspect_ratios(points)
    right, left = (points[list(pair), :2].mean(axis=0) for pair in EYE_MIDDLES)
    view = FaceView(
        presence=frame.presence,
        eye_distance_px=math.hypot(*(left - right).tolist()),
        yaw_rad=frame.yaw_rad if knows_pose else math.nan,
        pitch_rad=frame.pitch_rad if knows_pose else math.nan,
    )
    return FatigueSample(
        ears.left,
        ears.right,
        mouth_aspect_ratio(points),
        view,
        head_pitch_rad=view.pitch_rad,
    )


def record(
    script: Script,
    person: Person,
    rate_hz: float,
    seed: int,
    *,
    drop: float = 0.0,
    jitter: float = 0.15,
    knows_pose: bool = True,
    settings: FatigueSettings | None = None,
) -> Recording:
    """
    Film a script and run the monitor over it.

    :param script: what happens.
    :param person: whose eyes.
    :param rate_hz: of the camera.
    :param seed: of jitter, drops and noise.
    :param drop: share of frames lost.
    :param jitter: of the stamps, in intervals.
    :param knows_pose: whether yaw and pitch are given to the monitor.
    :param settings: of the monitor.
    """
    rng = np.random.default_rng(seed)
    stamps_s = camera_stamps(
        rng, rate_hz, script.duration_s, start_s=script.start_s, jitter=jitter, drop=drop
    )
    monitor = FatigueMonitor(settings)
    recording = Recording()
    microsleeps, level, next_s = 0, None, -math.inf
    for frame in film(script, person, stamps_s, rng):
        state = monitor.update(frame.stamp_s, sample_of(frame, knows_pose=knows_pose))
        if state.ended_blink:
            recording.blinks.append(state.ended_blink)
        if state.ended_closure:
            recording.closures.append(state.ended_closure)
        if state.ended_yawn:
            recording.yawns.append(state.ended_yawn)
        if state.microsleep_count > microsleeps:
            recording.microsleep_stamps_s.append(frame.stamp_s)
        microsleeps = state.microsleep_count
        if state.level is not level:
            level = state.level
            recording.levels.append((frame.stamp_s, level, state.level_reason))
        if frame.stamp_s >= next_s:
            recording.states.append((frame.stamp_s, state))
            next_s = frame.stamp_s + PERCLOS_EVERY_S
        recording.last = state
    return recording
