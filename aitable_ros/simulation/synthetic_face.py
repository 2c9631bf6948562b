# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Synthetic face landmarks with known truth, for measuring the analysis of fatigue.

A :class:`Script` says when a person blinks, nods off, yawns, talks, turns the head, looks down
and is lost. A :class:`Person` says what their eyes measure. :func:`film` turns both into what a
camera and the landmark networks would give: landmarks of a turning head at given, maybe
irregular stamps, with the noise that was measured on real frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.landmarks import LANDMARKS, LEFT_EYE_EAR, RIGHT_EYE_EAR
from aitable_ros.perception.fatigue.eye_openness import INNER_LIPS
from aitable_ros.simulation.script import Array, Person, Script, drift

_EYE_WIDTH = 0.45
_MOUTH_WIDTH = 0.75


@dataclass(frozen=True, eq=False)
class Frame:
    """
    What one image of one person gives.

    :param stamp_s: header time [s].
    :param landmarks_px: (468, 3) landmarks [pixels]; None: no face was found.
    :param presence: of the landmarks; NaN without.
    :param yaw_rad: measured turn of the head [rad]; NaN without a face.
    :param pitch_rad: measured pitch, down is positive [rad].
    """

    stamp_s: float
    landmarks_px: npt.NDArray[np.float32] | None
    presence: float
    yaw_rad: float
    pitch_rad: float


def camera_stamps(
    rng: np.random.Generator,
    rate_hz: float,
    duration_s: float,
    *,
    start_s: float = 0.0,
    jitter: float = 0.15,
    drop: float = 0.0,
) -> Array:
    """
    Make the stamps of a camera.

    :param rng: source of randomness.
    :param rate_hz: nominal rate.
    :param duration_s: length [s].
    :param start_s: first stamp, about [s].
    :param jitter: standard deviation of the stamps, in intervals, cut at 0.45.
    :param drop: share of frames that are lost, at random.
    :returns: ascending stamps [s].
    """
    stamps_s = start_s + np.arange(0, duration_s, 1 / rate_hz)
    stamps_s += np.clip(rng.normal(0, jitter, stamps_s.size), -0.45, 0.45) / rate_hz
    return stamps_s[rng.random(stamps_s.size) >= drop]


def film(
    script: Script, person: Person, stamps_s: Array, rng: np.random.Generator
) -> Iterator[Frame]:
    """
    Film a person.

    :param script: what the person does.
    :param person: who it is.
    :param stamps_s: (N,) ascending times of the frames [s].
    :param rng: source of the noise.
    """
    count = stamps_s.size
    yaw, pitch = script.yaw_rad(stamps_s), script.pitch_rad(stamps_s)
    openness = script.openness(stamps_s)
    ears = person.open_ear * (person.closed_share + (1 - person.closed_share) * openness)
    follow = np.clip(pitch / math.radians(25.0), 0.0, 1.0)
    ears = ears * (1 - (1 - person.lids_follow) * follow)
    far = pitch > math.radians(30.0)
    ears[far] = np.minimum(ears[far], person.looking_down_ear / np.cos(pitch[far]))
    # A face in profile: what the network makes of the far eye is anything.
    wild = np.abs(yaw) > math.radians(40.0)
    both = np.stack((ears * (1 + person.eye_difference), ears))
    both *= 1 + drift(rng, person, stamps_s)
    both += rng.normal(0, person.ear_noise, both.shape)
    both[:, wild] = rng.uniform(0.02, 0.45, (2, int(wild.sum())))
    both = np.maximum(both, 0.0)
    mars = np.maximum(script.mar(stamps_s) + rng.normal(0, person.mar_noise, count), 0.0)
    found = script.has_face(stamps_s)
    measured = np.stack((yaw, pitch)) + rng.normal(0, person.pose_noise_rad, (2, count))
    for i, stamp_s in enumerate(stamps_s.tolist()):
        if not found[i]:
            yield Frame(stamp_s, None, math.nan, math.nan, math.nan)
            continue
        points = face_landmarks(
            both[0, i], both[1, i], mars[i], yaw[i], pitch[i], person.eye_distance_px
        )
        yield Frame(stamp_s, points, 0.98, float(measured[0, i]), float(measured[1, i]))


def face_landmarks(
    left_ear: float,
    right_ear: float,
    mar: float,
    yaw_rad: float = 0.0,
    pitch_rad: float = 0.0,
    eye_distance_px: float = 70.0,
) -> npt.NDArray[np.float32]:
    """
    Make face mesh landmarks with given ratios.

    The points that the ratios are measured on lie in a plane that turns with the head and is
    projected in parallel; all others lie on an egg around them.

    :param left_ear: EAR of the left eye before turning.
    :param right_ear: EAR of the right eye before turning.
    :param mar: MAR before turning.
    :param yaw_rad: turn of the head [rad].
    :param pitch_rad: pitch of the head, down is positive [rad].
    :param eye_distance_px: between the middles of the eyes before turning [pixels].
    :returns: (468, 3) float32 [pixels].
    """
    points = _EGG.copy()
    points[list(RIGHT_EYE_EAR)] = _eye(-0.5, right_ear)
    points[list(LEFT_EYE_EAR)] = _eye(0.5, left_ear)
    half_height = 0.5 * mar * _MOUTH_WIDTH
    points[list(INNER_LIPS)] = (
        (0.0, 1.1 - half_height, 0.0),
        (0.0, 1.1 + half_height, 0.0),
        (-0.5 * _MOUTH_WIDTH, 1.1, 0.0),
        (0.5 * _MOUTH_WIDTH, 1.1, 0.0),
    )
    cos_yaw, sin_yaw = math.cos(yaw_rad), math.sin(yaw_rad)
    cos_pitch, sin_pitch = math.cos(pitch_rad), math.sin(pitch_rad)
    turn = np.array(
        (
            (cos_yaw, 0.0, sin_yaw),
            (sin_pitch * sin_yaw, cos_pitch, -sin_pitch * cos_yaw),
            (-cos_pitch * sin_yaw, sin_pitch, cos_pitch * cos_yaw),
        )
    )
    turned = points @ turn.T * eye_distance_px + (320.0, 240.0, 0.0)
    return turned.astype(np.float32)


def _eye(middle: float, ear: float) -> list[tuple[float, float, float]]:
    """Lay out p1..p6 around a middle, with this aspect ratio; corners in image order."""
    half_width, half_height = 0.5 * _EYE_WIDTH, 0.5 * ear * _EYE_WIDTH
    inner = 0.3 * _EYE_WIDTH
    return [
        (middle - half_width, 0.0, 0.0),
        (middle - inner, -half_height, 0.0),
        (middle + inner, -half_height, 0.0),
        (middle + half_width, 0.0, 0.0),
        (middle + inner, half_height, 0.0),
        (middle - inner, half_height, 0.0),
    ]


def _egg() -> Array:
    """Spread all points over the front of an egg (golden spiral); fixed."""
    index = np.arange(LANDMARKS) + 0.5
    depth = 1 - index / LANDMARKS
    radius = np.sqrt(1 - depth**2)
    angle = math.pi * (1 + math.sqrt(5)) * index
    return np.stack(
        (1.1 * radius * np.cos(angle), 0.5 + 1.5 * radius * np.sin(angle), 1 - depth), axis=1
    )


_EGG = _egg()
