# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The gaze of one person: both eyes together, whether they can be believed, smoothed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

import numpy.typing as npt

from aitable_ros.perception.attention.eye_direction import (
    AnchorSettings,
    EyeAnchor,
    EyeLook,
    EyeSettings,
    look,
    view_angles,
)
from aitable_ros.perception.faces.face_views import FaceViews, View
from aitable_ros.perception.faces.landmarks import are_refined
from aitable_ros.perception.head.head_pose import HeadPose
from aitable_ros.perception.maths.one_euro import OneEuroSettings, VectorOneEuroFilter
from aitable_ros.perception.maths.rotation import Vector
from aitable_ros.perception.maths.settings import Settings, setting


class GazeState(IntEnum):
    """Whether the gaze was measured, or why it was not."""

    MEASURED = 0
    NO_HEAD = 1
    NO_IRISES = 2
    TOO_SMALL = 3
    TURNED = 4
    EYES_UNSEEN = 5
    EYES_CLOSED = 6
    EYES_DISAGREE = 7


@dataclass(frozen=True)
class GazeSettings(Settings):
    """
    From where on a gaze is believed, and how it is smoothed.

    :param min_eye_px: narrowest eye, from corner to corner, were it turned to the camera [pixels]
        (14: a pixel is 8 degrees then; at 30 it is 4).
    :param max_turn_rad: farthest turn of the head from the line to the camera [rad] (45 degrees:
        choice; the far eye is hidden by the nose from about there on).
    :param max_far_turn_rad: beyond this turn only the nearer eye counts [rad] (30 degrees:
        choice).
    :param min_aperture: lids that are less far apart hide the iris; in its diameters (0.3: choice;
        open eyes show 0.6 to 1, closed ones of the attention mesh 0.1 to 0.25).
    :param max_difference_rad: eyes that look apart by more are not believed [rad] (30 degrees:
        choice; glare on glasses and wrong irises look so, and so does a squint).
    :param max_eccentricity_rad: an eye that is turned farther in the head is not believed [rad]
        (50 degrees: the reach of eyes is about 45 to 50).
    :param max_gap_s: a gaze after a longer time without one is not smoothed with those before
        [s].
    :param eye: the eyeball.
    :param anchor: how the place of the eyes in the face is learned.
    :param smoothing: of the direction, beta in Hz per unit of length.
    :raises ValueError: for a value out of range.
    """

    min_eye_px: float = setting(14.0, 4.0, 500.0)
    max_turn_rad: float = setting(math.radians(45.0), 0.1, 1.57)
    max_far_turn_rad: float = setting(math.radians(30.0), 0.0, 1.57)
    min_aperture: float = setting(0.3, 0.0, 2.0)
    max_difference_rad: float = setting(math.radians(30.0), 0.02, 3.14)
    max_eccentricity_rad: float = setting(math.radians(50.0), 0.1, 1.57)
    max_gap_s: float = setting(0.5, 0.05, 5.0)
    eye: EyeSettings = field(default_factory=EyeSettings)
    anchor: AnchorSettings = field(default_factory=AnchorSettings)
    smoothing: OneEuroSettings = field(
        default_factory=lambda: OneEuroSettings(min_cutoff_hz=1.5, beta=4.0)
    )


@dataclass(frozen=True)
class Gaze:
    """
    Where a person looks. NaN: not measured.

    :param state: MEASURED, or why it is not.
    :param direction: unit vector in the camera's optical frame, smoothed.
    :param yaw_rad: from the line to the camera, to the person's left is positive [rad].
    :param pitch_rad: the same, down is positive [rad].
    :param right: the right eye in this image.
    :param left: the left eye.
    """

    state: GazeState
    direction: Vector = (math.nan, math.nan, math.nan)
    yaw_rad: float = math.nan
    pitch_rad: float = math.nan
    right: EyeLook | None = None
    left: EyeLook | None = None


class GazeTracker:
    """
    The smoothed gaze of one person.

    :param settings: limits, eyeball and smoothing.
    """

    def __init__(self, settings: GazeSettings | None = None) -> None:
        self.settings = settings or GazeSettings()
        self._anchor = EyeAnchor(self.settings.anchor)
        self._filter = VectorOneEuroFilter(
            self.settings.smoothing, max_gap_s=self.settings.max_gap_s
        )

    def reset(self) -> None:
        """Forget the person."""
        self._filter.reset()
        self._anchor.reset()

    def update(
        self,
        stamp_s: float,
        landmarks_px: npt.NDArray | None,
        pose: HeadPose | None,
        views: FaceViews,
    ) -> Gaze:
        """
        Measure the gaze in the next image.

        :param stamp_s: header time [s].
        :param landmarks_px: (468 or 478, 2 or 3) [pixels]; None: not measured.
        :param pose: of the head; None: not measured.
        :param views: what the image shows of the eyes.
        """
        gaze = self._measure(stamp_s, landmarks_px, pose, views)
        if gaze.state is not GazeState.MEASURED:
            return gaze
        assert pose is not None
        x, y, z = self._filter.update(stamp_s, gaze.direction)
        length = math.hypot(x, y, z)
        direction: Vector = (x / length, y / length, z / length)
        yaw, pitch = view_angles(direction, pose.position_m)
        return Gaze(gaze.state, direction, yaw, pitch, gaze.right, gaze.left)

    def _measure(
        self,
        stamp_s: float,
        landmarks_px: npt.NDArray | None,
        pose: HeadPose | None,
        views: FaceViews,
    ) -> Gaze:
        settings = self.settings
        if pose is None:
            return Gaze(GazeState.NO_HEAD)
        if landmarks_px is None or not are_refined(landmarks_px):
            return Gaze(GazeState.NO_IRISES)
        if pose.turn_rad > settings.max_turn_rad:
            return Gaze(GazeState.TURNED)
        looks = look(landmarks_px, pose, settings.eye, self._anchor, stamp_s)
        seen = [
            (eye, view)
            for eye, view in zip(looks, (views.right_eye, views.left_eye))
            if not math.isnan(eye.direction[0])
        ]
        if not seen:
            return Gaze(GazeState.NO_IRISES)
        # the person's left eye is the far one where the head is turned to the left
        if pose.turn_rad > settings.max_far_turn_rad and len(seen) == 2:
            seen = seen[:1] if pose.view_yaw_rad > 0.0 else seen[1:]
        state, eyes = GazeState.MEASURED, [eye for eye, _ in seen]
        for why, fits in (
            (GazeState.TOO_SMALL, [eye.width_px >= settings.min_eye_px for eye, _ in seen]),
            (GazeState.EYES_UNSEEN, [view is View.SEEN for _, view in seen]),
            (GazeState.EYES_CLOSED, [eye.aperture >= settings.min_aperture for eye, _ in seen]),
            (GazeState.EYES_DISAGREE, [self._is_possible(eye) for eye, _ in seen]),
        ):
            kept = [one for one, fit in zip(seen, fits) if fit]
            if not kept:
                state = why
                break
            seen = kept
        else:
            eyes = [eye for eye, _ in seen]
            if len(eyes) == 2 and _angle(*eyes) > settings.max_difference_rad:
                state = GazeState.EYES_DISAGREE
        right, left = looks
        if state is not GazeState.MEASURED:
            return Gaze(state, right=right, left=left)
        return Gaze(state, _combined(eyes), right=right, left=left)

    def _is_possible(self, eye: EyeLook) -> bool:
        return math.hypot(eye.yaw_rad, eye.pitch_rad) <= self.settings.max_eccentricity_rad


def _combined(eyes: list[EyeLook]) -> Vector:
    """Give the mean direction, each eye by how much of its iris is seen."""
    x = y = z = 0.0
    for eye in eyes:
        weight = min(eye.aperture, 1.0)
        x += weight * eye.direction[0]
        y += weight * eye.direction[1]
        z += weight * eye.direction[2]
    length = math.hypot(x, y, z)
    return (x / length, y / length, z / length)


def _angle(one: EyeLook, other: EyeLook) -> float:
    cosine = sum(a * b for a, b in zip(one.direction, other.direction))
    return math.acos(min(max(cosine, -1.0), 1.0))
