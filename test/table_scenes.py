# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
People at a table whose heads and eyes do what a scene says, seen by the real observers.

A scene tells for every time who is there and where they look; the landmarks that a camera would
give go through fatigue, attention and alerts, as in the nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from aitable_ros.perception.alerts.observer import AlertObserver
from aitable_ros.perception.alerts.policy import AlertChange, AlertSettings, FaceSigns
from aitable_ros.perception.attention.observer import AttentionObserver, AttentionSettings
from aitable_ros.perception.attention.zones import Zone
from aitable_ros.perception.events import PersonEvent
from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.perception.fatigue.blinks import EyeState
from aitable_ros.perception.fatigue.observer import FatigueObserver
from aitable_ros.perception.images.seeing import Seeing
from aitable_ros.simulation.looking_face import (
    SIZE_PX,
    Looking,
    looking_face,
    looking_landmarks,
)
from aitable_ros.simulation.synthetic_face import camera_stamps

Scene = Callable[[float], Mapping[str, Looking]]


def rad(degrees: float) -> float:
    return math.radians(degrees)


FRONT = Looking(position_m=(0.0, 0.0, 0.5))
READING = replace(FRONT, head_pitch_rad=rad(16), gaze_pitch_rad=rad(30))
ASIDE = replace(FRONT, head_yaw_rad=rad(32), gaze_yaw_rad=rad(45))
PLATE = replace(FRONT, head_pitch_rad=rad(12), gaze_pitch_rad=rad(28))


def blinking(looking: Looking, time_s: float, every_s: float = 4.0) -> Looking:
    """Close the eyes for 0.2 s again and again."""
    return replace(looking, openness=0.05) if time_s % every_s > every_s - 0.2 else looking


def asleep(looking: Looking) -> Looking:
    return replace(looking, openness=0.05)


@dataclass
class Played:
    """What the observers made of a scene."""

    zones: list[tuple[float, str, Zone]] = field(default_factory=list)
    events: list[tuple[float, PersonEvent]] = field(default_factory=list)
    alerts: list[tuple[float, AlertChange]] = field(default_factory=list)

    def right_share(self, truth: Callable[[float], Zone], from_s: float = 0.0) -> float:
        """Give the share of time in which the zone was the true one."""
        right = whole = 0.0
        for (start_s, _, zone), (end_s, _, _) in zip(self.zones, self.zones[1:]):
            if start_s >= from_s:
                whole += end_s - start_s
                right += (end_s - start_s) * (zone is truth(start_s))
        return right / whole


_EYES = {EyeState.OPEN: False, EyeState.CLOSED: True}


def play(
    scene: Scene,
    duration_s: float,
    rate_hz: float = 30.0,
    *,
    drop: float = 0.0,
    noise_px: float = 0.3,
    seeing: Callable[[float], Seeing] = lambda time_s: Seeing.CLEAR,
    settings: AttentionSettings | None = None,
    alerts: AlertSettings | None = None,
    start_s: float = 1000.0,
) -> Played:
    """Film a scene; its time begins with 0, that of the images with ``start_s``."""
    rng = np.random.default_rng(18)
    fatigue, attention = FatigueObserver(), AttentionObserver(settings)
    watch, played = AlertObserver(alerts), Played()
    first_s: dict[str, float] = {}
    for time_s in camera_stamps(rng, rate_hz, duration_s, drop=drop).tolist():
        stamp_s = start_s + time_s
        conditions = seeing(time_s)
        people = {} if conditions is not Seeing.CLEAR else scene(time_s)
        faces = [
            looking_face(
                looking_landmarks(looking, noise_px, rng),
                face_id,
                time_s - first_s.setdefault(face_id, time_s),
            )
            for face_id, looking in people.items()
        ]
        seen = SeenFaces(stamp_s, SIZE_PX, faces, '', conditions)
        tired = {one.face.face_id: one for one in fatigue.observe(seen)}
        poses = {face_id: one.pose for face_id, one in tired.items() if one.pose}
        readings = attention.observe(seen, poses)
        signs = {}
        for one in readings:
            name, state = one.face.face_id, tired[one.face.face_id].state
            signs[name] = FaceSigns(
                _EYES.get(state.eye_state),
                state.mar,
                state.level,
                state.level_reason,
                one.state.zone,
                one.state.zone_s,
                one.reason,
            )
            played.zones.append((time_s, name, one.state.zone))
        played.events += [(time_s, one) for one in (*fatigue.events, *attention.events)]
        changes = watch.faces(stamp_s, signs, attention.present, conditions)
        played.alerts += [(time_s, one) for one in changes]
    return played
