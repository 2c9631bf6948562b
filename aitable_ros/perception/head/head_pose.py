# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Where a head is and where it points, from the landmarks of one image.

The rigid points of an average face (:mod:`aitable_ros.perception.head.canonical_face`) are placed
so that they project onto the landmarks: SQPnP (Terzakis and Lourakis, "A Consistently Fast and
Globally Optimal Solution to the Perspective-n-Point Problem", ECCV 2020), which needs no first
guess, then Levenberg-Marquardt on the reprojection error.

Frames. The pose is that of the face frame of REP-155 (x out of the face, y to the person's left, z
up, origin at the sellion) in the camera's optical frame of REP-103 (x right, y down, z forward).

Angles. Zero yaw, pitch and roll is a face that looks against the camera's viewing direction:
face x = -optical z, face y = optical x, face z = -optical y. From there the head is turned by
Rz(yaw) Ry(pitch) Rx(roll) about the axes of that face, right-handed:

* about z (up), positive yaw turns x (the nose) towards y: to the person's left;
* about y (left), positive pitch turns z (up) towards x: the head bows, the nose goes down;
* about x (out), positive roll turns y (left) towards z (up): the head tilts to the person's right
  shoulder. In the image, which shows the person's right on its left, it turns counterclockwise.

Beside the optical axis a face that looks *into* the camera has yaw and pitch other than zero: it
turns by as much as it is off the axis. How far the camera sees it from the side is told by
:attr:`HeadPose.view_yaw_rad` and :attr:`HeadPose.view_pitch_rad`, which are zero there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.landmarks import check_landmarks
from aitable_ros.perception.head.camera import PINHOLE, Camera, CameraIntrinsics, LastCamera
from aitable_ros.perception.head.canonical_face import EYE_SPAN_M, RIGID_POINTS_M
from aitable_ros.perception.maths import rotation
from aitable_ros.perception.maths.one_euro import (
    OneEuroSettings,
    QuaternionOneEuroFilter,
    VectorOneEuroFilter,
)
from aitable_ros.perception.maths.rotation import Quaternion, Vector
from aitable_ros.perception.maths.settings import Settings, setting

FACING_XYZW: Quaternion = (0.5, 0.5, -0.5, 0.5)
"""Orientation, in the optical frame, of a face with zero yaw, pitch and roll."""

_TO_FACING = rotation.inverse(FACING_XYZW)

_ROWS = np.array(list(RIGID_POINTS_M), dtype=np.intp)
_POINTS_M = np.array(list(RIGID_POINTS_M.values()), dtype=np.float64)


# Landmarks that spread less than this are a point, not a face.
_MIN_SPREAD_PX = 1e-3


@dataclass(frozen=True)
class HeadPose:
    """
    Position and orientation of the face frame in the camera's optical frame.

    :param orientation_xyzw: unit quaternion with w >= 0 that takes vectors of the face frame
        to the optical frame.
    :param position_m: (x, y, z) of the sellion; its distance assumes a face of average size [m].
    :param error_px: RMS distance between the landmarks and the projected face [pixels].
    :param error_ratio: the same relative to how large the distance between the outer eye corners
        would be, were the face turned to the camera.
    :param calibrated: intrinsics came from a calibration, not from an assumed field of view.
    :raises ValueError: when a number is not finite, the quaternion is not a unit one, or the head
        is not in front of the camera.
    """

    orientation_xyzw: Quaternion
    position_m: Vector
    error_px: float
    error_ratio: float
    calibrated: bool

    def __post_init__(self) -> None:
        if not abs(math.hypot(*self.orientation_xyzw) - 1.0) < 1e-6:
            raise ValueError(f'orientation_xyzw: not a unit quaternion: {self.orientation_xyzw}')
        if not (all(map(math.isfinite, self.position_m)) and self.position_m[2] > 0.0):
            raise ValueError(f'position_m: not in front of the camera: {self.position_m}')
        if not (0.0 <= self.error_px < math.inf and 0.0 <= self.error_ratio < math.inf):
            raise ValueError(f'errors: expected >= 0, got {self.error_px}, {self.error_ratio}')

    @property
    def yaw_rad(self) -> float:
        """Turn to the person's left (positive) or right; 0: against the viewing direction."""
        return self._yaw_pitch_roll[0]

    @property
    def pitch_rad(self) -> float:
        """Bow down (positive) or up; 0: against the camera's viewing direction."""
        return self._yaw_pitch_roll[1]

    @property
    def roll_rad(self) -> float:
        """Tilt to the person's right shoulder (positive) or left one."""
        return self._yaw_pitch_roll[2]

    @property
    def view_yaw_rad(self) -> float:
        """Turn to the left (positive) or right of the line to the camera; 0: looks into it."""
        x, y, _ = self._to_camera
        return math.atan2(-y, x)

    @property
    def view_pitch_rad(self) -> float:
        """Bow below (positive) or above the line to the camera; 0: looks into it."""
        x, y, z = self._to_camera
        return math.atan2(z, math.hypot(x, y))

    @property
    def turn_rad(self) -> float:
        """Angle between where the face points and the line to the camera, 0..pi."""
        x, y, z = self._to_camera
        return math.atan2(math.hypot(y, z), x)

    @property
    def distance_m(self) -> float:
        """Distance between sellion and camera, for a face of average size [m]."""
        return math.hypot(*self.position_m)

    @cached_property
    def _yaw_pitch_roll(self) -> Vector:
        turned = rotation.product(_TO_FACING, self.orientation_xyzw)
        return rotation.to_yaw_pitch_roll(turned)

    @cached_property
    def _to_camera(self) -> Vector:
        """The direction from the sellion to the camera in the face frame, not normalised."""
        x, y, z = self.position_m
        return rotation.rotate(rotation.inverse(self.orientation_xyzw), (-x, -y, -z))


@dataclass(frozen=True)
class HeadPoseSettings(Settings):
    """
    How head poses are measured and smoothed.

    :param default_fov_rad: field of view along the image's longer side when the camera is not
        calibrated [rad] (62.2 degrees: Raspberry Pi Camera Module 2, Sony IMX219).
    :param max_error_ratio: a pose whose :attr:`HeadPose.error_ratio` is larger is none. On
        pictures of real faces 0.02 to 0.06 is usual.
    :param max_turn_rad: faces turned farther than this from the line to the camera are none [rad]:
        landmarks are measured on faces, not on the backs of heads.
    :param refine_iterations: Levenberg-Marquardt steps after SQPnP; 0: none.
    :param orientation: smoothing of the orientation, beta in Hz per rad/s.
    :param position: smoothing of the position, beta in Hz per m/s.
    :param max_gap_s: a pose after a longer time without one is not smoothed with those before [s].
    :raises ValueError: for a value out of range.
    """

    default_fov_rad: float = setting(math.radians(62.2), 0.2, 2.8, dynamic=False)
    max_error_ratio: float = setting(0.15, 0.001, 1.0, dynamic=False)
    max_turn_rad: float = setting(math.radians(100.0), 0.1, 3.14, dynamic=False)
    refine_iterations: int = setting(2, 0, 20, dynamic=False)
    orientation: OneEuroSettings = field(
        default_factory=lambda: OneEuroSettings(min_cutoff_hz=2.0, beta=6.0)
    )
    position: OneEuroSettings = field(
        default_factory=lambda: OneEuroSettings(min_cutoff_hz=2.0, beta=20.0)
    )
    max_gap_s: float = setting(0.5, 0.05, 5.0, dynamic=False)


class HeadPoseEstimator:
    """
    Measures head poses image by image; remembers nothing of the faces.

    :param settings: field of view and limits.
    """

    def __init__(self, settings: HeadPoseSettings | None = None) -> None:
        self.settings = settings or HeadPoseSettings()
        self._cameras = LastCamera(self.settings.default_fov_rad)

    def camera(self, size_px: tuple[int, int], intrinsics: CameraIntrinsics | None) -> Camera:
        """
        Return the projection of an image, the assumed one without intrinsics.

        :param size_px: width and height of the image.
        :param intrinsics: the calibration, if there is one.
        :raises ValueError: when the size is not positive or does not go with the intrinsics.
        """
        return self._cameras.of(size_px, intrinsics)

    def estimate(
        self,
        landmarks_px: npt.NDArray,
        size_px: tuple[int, int],
        intrinsics: CameraIntrinsics | None = None,
    ) -> HeadPose | None:
        """
        Measure the pose of one face.

        :param landmarks_px: (468, 2) or (468, 3) landmarks in image pixels; a third column
            (depth) is ignored, rows after the first 468 too.
        :param size_px: width and height of the image.
        :param intrinsics: the camera's calibration; None: the default field of view.
        :returns: None when the landmarks are not finite, have collapsed, or are no face that
            looks towards the camera.
        :raises ValueError: when the landmarks have another shape, or the image's size does not go
            with the intrinsics.
        """
        check_landmarks(landmarks_px)
        camera = self.camera(size_px, intrinsics)
        points_px = landmarks_px.take(_ROWS, axis=0)[:, :2].astype(np.float64)
        # A product with itself is finite only if every number is, and none absurdly large.
        if not math.isfinite(np.vdot(points_px, points_px)):
            return None
        if max(map(_spread, points_px.T.tolist())) < _MIN_SPREAD_PX:
            return None
        solution = self._solve(np.ascontiguousarray(camera.rays(points_px)))
        if solution is None:
            return None
        turn, position_m = solution
        points_m = _POINTS_M @ turn.T + position_m
        if not float(points_m[:, 2].min()) > 0.0:
            return None
        offsets_px = camera.project(points_m) - points_px
        error_px = math.sqrt(np.vdot(offsets_px, offsets_px) / len(_ROWS))
        x, y, z = position_m.tolist()
        error_ratio = error_px * z / (camera.focal_px * EYE_SPAN_M)
        if not error_ratio <= self.settings.max_error_ratio:
            return None
        orientation_xyzw = rotation.from_matrix(turn.tolist())
        pose = HeadPose(orientation_xyzw, (x, y, z), error_px, error_ratio, camera.calibrated)
        return pose if pose.turn_rad <= self.settings.max_turn_rad else None

    def _solve(
        self, rays: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Return (3, 3) rotation and (3,) translation, or None."""
        if not math.isfinite(float(rays.sum())):
            return None
        try:
            found, turn, shift = cv2.solvePnP(
                _POINTS_M, rays, PINHOLE, None, flags=cv2.SOLVEPNP_SQPNP
            )
            if not found:
                return None
            if self.settings.refine_iterations:
                criteria = (cv2.TERM_CRITERIA_COUNT, self.settings.refine_iterations, 0.0)
                turn, shift = cv2.solvePnPRefineLM(
                    _POINTS_M, rays, PINHOLE, None, turn, shift, criteria
                )
        except cv2.error:
            return None
        if not math.isfinite(float(turn.sum() + shift.sum())):
            return None
        matrix = np.asarray(cv2.Rodrigues(turn)[0], dtype=np.float64)
        return matrix, np.asarray(shift, dtype=np.float64)[:, 0]


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)


class HeadPoseTracker:
    """
    The smoothed head pose of one person; make one per face id.

    :param settings: field of view, limits and smoothing.
    """

    def __init__(self, settings: HeadPoseSettings | None = None) -> None:
        self.settings = settings or HeadPoseSettings()
        self._estimator = HeadPoseEstimator(self.settings)
        self._orientation = QuaternionOneEuroFilter(self.settings.orientation)
        self._position = VectorOneEuroFilter(self.settings.position)
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self._orientation.reset()
        self._position.reset()
        self._last_s = math.nan
        self._camera: Camera | None = None
        self.raw: HeadPose | None = None
        """The last image's pose before smoothing; None: there was none."""

    def update(
        self,
        stamp_s: float,
        landmarks_px: npt.NDArray | None,
        size_px: tuple[int, int],
        intrinsics: CameraIntrinsics | None = None,
    ) -> HeadPose | None:
        """
        Measure the pose in the next image, smoothed with those before.

        The smoothing starts anew after a gap, when time goes back, and when the camera becomes
        another one (calibrated now, or of another image size).

        :param stamp_s: header time [s]; an equal one gives the pose of the first image of it.
        :param landmarks_px: as for :meth:`HeadPoseEstimator.estimate`; None: not measured.
        :param size_px: width and height of the image.
        :param intrinsics: the camera's calibration, if there is one.
        :returns: the smoothed pose, with this image's errors; None when this image has none.
        :raises ValueError: as :meth:`HeadPoseEstimator.estimate`, and when the stamp is not
            finite.
        """
        if not math.isfinite(stamp_s):
            raise ValueError(f'stamp_s: expected a finite number, got {stamp_s}')
        if not 0.0 <= stamp_s - self._last_s <= self.settings.max_gap_s:
            self.reset()
        pose = (
            None
            if landmarks_px is None
            else self._estimator.estimate(landmarks_px, size_px, intrinsics)
        )
        if pose is None:
            self.raw = None
            return None
        camera = self._estimator.camera(size_px, intrinsics)
        if self._camera is not None and camera is not self._camera:
            self.reset()
        self._camera = camera
        self._last_s = stamp_s
        self.raw = pose
        orientation_xyzw = self._orientation.update(stamp_s, pose.orientation_xyzw)
        x, y, z = self._position.update(stamp_s, pose.position_m)
        return HeadPose(
            orientation_xyzw, (x, y, z), pose.error_px, pose.error_ratio, pose.calibrated
        )
