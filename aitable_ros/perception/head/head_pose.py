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
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

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

MESH_SIZE = 468
"""Landmarks of the face mesh; meshes refined with irises append theirs after these."""

_TO_FACING = rotation.inverse(FACING_XYZW)

_ROWS = np.array(list(RIGID_POINTS_M), dtype=np.intp)
_POINTS_M = np.array(list(RIGID_POINTS_M.values()), dtype=np.float64)

_PINHOLE = np.eye(3)

# Lengths of D that OpenCV understands as its own model, by the name that ROS has for it.
_COEFFICIENTS = {
    'plumb_bob': (4, 5, 8, 12, 14),
    'rational_polynomial': (4, 5, 8, 12, 14),
    'equidistant': (4,),
}

# How long lens distortion is undone: OpenCV's default of 5 iterations leaves some of it.
_UNDISTORT_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)

# How much the two directions' scales of an image may differ from those of its calibration: sizes
# are rounded to whole pixels.
_MAX_ASPECT_ERROR = 0.02

# Landmarks that spread less than this are a point, not a face.
_MIN_SPREAD_PX = 1e-3


@dataclass(frozen=True)
class CameraIntrinsics:
    """
    What sensor_msgs/CameraInfo says of a camera's lens.

    :param width_px: width of the calibrated image, before binning and cropping.
    :param height_px: its height.
    :param k: the camera matrix, row-major: fx, 0, cx, 0, fy, cy, 0, 0, 1 [pixels].
    :param d: distortion coefficients; empty or all zero: none.
    :param distortion_model: 'plumb_bob', 'rational_polynomial' or 'equidistant'; any when there
        is no distortion.
    :param binning_xy: how many pixels of the calibrated image are one of the camera's images; 0
        is 1.
    :param roi_xywh_px: the part of the calibrated image that the camera's images show, in its
        pixels; all zero: the whole.
    :raises ValueError: when this is no lens.
    """

    width_px: int
    height_px: int
    k: tuple[float, ...]
    d: tuple[float, ...] = ()
    distortion_model: str = 'plumb_bob'
    binning_xy: tuple[int, int] = (1, 1)
    roi_xywh_px: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        if self.width_px <= 0 or self.height_px <= 0:
            raise ValueError(
                f'camera info has no image size: {self.width_px} x {self.height_px} pixels'
            )
        if len(self.k) != 9 or not all(map(math.isfinite, self.k)):
            raise ValueError(f'camera matrix K: expected 9 finite numbers, got {self.k}')
        fx, skew, _, below, fy, _, *last = self.k
        if not (fx > 0.0 and fy > 0.0 and skew == below == 0.0 and last == [0.0, 0.0, 1.0]):
            raise ValueError(
                f'camera matrix K: expected fx, 0, cx, 0, fy, cy, 0, 0, 1, got {self.k}'
            )
        if not all(map(math.isfinite, self.d)):
            raise ValueError(f'distortion coefficients D are not finite: {self.d}')
        if self.distorted:
            lengths = _COEFFICIENTS.get(self.distortion_model)
            if lengths is None:
                raise ValueError(
                    f'distortion model {self.distortion_model!r}: expected one of '
                    f'{", ".join(_COEFFICIENTS)}'
                )
            if len(self.d) not in lengths:
                raise ValueError(
                    f'{self.distortion_model}: expected D of {" or ".join(map(str, lengths))} '
                    f'coefficients, got {len(self.d)}'
                )
        x, y, width, height = self.roi_xywh_px
        if (
            min(*self.binning_xy, *self.roi_xywh_px) < 0
            or x + width > self.width_px
            or y + height > self.height_px
        ):
            raise ValueError(
                f'binning {self.binning_xy} and region of interest {self.roi_xywh_px} do not fit '
                f'an image of {self.width_px} x {self.height_px} pixels'
            )

    @classmethod
    def from_camera_info(cls, message: Any, *, rectified: bool = False) -> CameraIntrinsics | None:
        """
        Read a sensor_msgs/CameraInfo.

        :param message: the message, or anything with its fields.
        :param rectified: the images are rectified (``image_rect``): P counts instead of K and D.
        :returns: None when the camera is not calibrated, which CameraInfo marks by K[0] = 0 (for
            rectified images P[0] = 0).
        :raises ValueError: when it is calibrated with something else than a lens.
        """
        k: tuple[float, ...]
        if rectified:
            p = [float(value) for value in message.p]
            if len(p) != 12:
                raise ValueError(f'projection matrix P: expected 12 numbers, got {len(p)}')
            k = (p[0], 0.0, p[2], 0.0, p[5], p[6], 0.0, 0.0, 1.0)
        else:
            k = tuple(float(value) for value in message.k)
        if k and k[0] == 0.0:
            return None
        roi = message.roi
        return cls(
            width_px=int(message.width),
            height_px=int(message.height),
            k=k,
            d=() if rectified else tuple(float(value) for value in message.d),
            distortion_model=str(message.distortion_model),
            binning_xy=(int(message.binning_x), int(message.binning_y)),
            roi_xywh_px=(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)),
        )

    @property
    def distorted(self) -> bool:
        """Whether there are distortion coefficients other than zero."""
        return any(self.d)

    @property
    def image_size_px(self) -> tuple[int, int]:
        """Width and height of the images that the camera info belongs to."""
        _, _, width, height = self.roi_xywh_px
        bx, by = (max(binning, 1) for binning in self.binning_xy)
        return (width or self.width_px) // bx, (height or self.height_px) // by


class Camera:
    """
    Projection of one image: between pixels and rays of the optical frame.

    :param fx: focal length along x [pixels].
    :param fy: focal length along y [pixels].
    :param cx: principal point [pixels; whole numbers are pixel centres].
    :param cy: principal point.
    :param d: distortion coefficients of OpenCV's model, or of its fisheye model.
    :param fisheye: which of the two.
    :param calibrated: whether this was measured rather than assumed.
    """

    def __init__(
        self,
        fx: float,
        fy: float,
        cx: float,
        cy: float,
        d: Sequence[float] = (),
        *,
        fisheye: bool = False,
        calibrated: bool = False,
    ) -> None:
        self.calibrated = calibrated
        self.focal_px = math.sqrt(fx * fy)
        self._focal = np.array((fx, fy))
        self._center = np.array((cx, cy))
        self._matrix = np.array(((fx, 0.0, cx), (0.0, fy, cy), (0.0, 0.0, 1.0)))
        self._d = np.array(d, dtype=np.float64) if any(d) else None
        self._fisheye = fisheye

    @classmethod
    def assumed(cls, size_px: tuple[int, int], fov_rad: float) -> Camera:
        """
        Return a camera without distortion that looks at the middle of the image.

        :param size_px: width and height of the image.
        :param fov_rad: field of view along its longer side.
        """
        width, height = size_px
        focal_px = 0.5 * max(width, height) / math.tan(0.5 * fov_rad)
        return cls(focal_px, focal_px, 0.5 * (width - 1), 0.5 * (height - 1))

    @classmethod
    def from_intrinsics(cls, intrinsics: CameraIntrinsics, size_px: tuple[int, int]) -> Camera:
        """
        Return the camera of an image of this size.

        The region of interest is cut out and binned as image_geometry's PinholeCameraModel does.
        An image of another size but of the same shape is taken for a resized one.

        :param intrinsics: the calibration.
        :param size_px: width and height of the image.
        :raises ValueError: when the image has another shape than the calibrated one: then it was
            cropped, and nobody knows where.
        """
        width, height = size_px
        expected_width, expected_height = intrinsics.image_size_px
        sx, sy = width / max(expected_width, 1), height / max(expected_height, 1)
        if not (sx > 0.0 and sy > 0.0 and abs(sx / sy - 1.0) <= _MAX_ASPECT_ERROR):
            raise ValueError(
                f'the camera info is for images of {expected_width} x {expected_height} pixels, '
                f'which one of {width} x {height} is not a resized version of'
            )
        fx, _, cx, _, fy, cy, *_ = intrinsics.k
        x0, y0, *_ = intrinsics.roi_xywh_px
        bx, by = (max(binning, 1) for binning in intrinsics.binning_xy)
        fx, cx, fy, cy = fx / bx, (cx - x0) / bx, fy / by, (cy - y0) / by
        if (sx, sy) != (1.0, 1.0):
            # Resizing keeps the image's corners, which lie half a pixel outside of pixel centres.
            fx, cx, fy, cy = sx * fx, sx * (cx + 0.5) - 0.5, sy * fy, sy * (cy + 0.5) - 0.5
        return cls(
            *(fx, fy, cx, cy),
            intrinsics.d,
            fisheye=intrinsics.distortion_model == 'equidistant',
            calibrated=True,
        )

    def rays(self, points_px: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """
        Undo projection and distortion.

        :param points_px: (N, 2) float64 pixels.
        :returns: (N, 2) x / z and y / z of their rays in the optical frame. Of pixels that the
            distortion model does not reach, anything.
        """
        if self._d is None:
            return (points_px - self._center) / self._focal
        if self._fisheye:
            rays = cv2.fisheye.undistortPoints(points_px[:, None], self._matrix, self._d)
        else:
            rays = cv2.undistortPointsIter(
                points_px[:, None],
                self._matrix,
                self._d,
                _PINHOLE,  # no rectification, no new camera matrix
                _PINHOLE,
                _UNDISTORT_CRITERIA,
            )
        return np.asarray(rays, dtype=np.float64)[:, 0]

    def project(self, points_m: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """
        Project points.

        :param points_m: (N, 3) float64 in the optical frame, in front of the camera (z > 0).
        :returns: (N, 2) float64 pixels.
        """
        if self._d is None:
            return points_m[:, :2] / points_m[:, 2:] * self._focal + self._center
        project = cv2.fisheye.projectPoints if self._fisheye else cv2.projectPoints
        still = np.zeros(3)
        pixels = project(points_m[:, None], still, still, self._matrix, self._d)[0]
        return np.asarray(pixels, dtype=np.float64)[:, 0]


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
        self._camera: Camera | None = None
        self._camera_of: tuple[CameraIntrinsics | None, tuple[int, int]] | None = None

    def camera(self, size_px: tuple[int, int], intrinsics: CameraIntrinsics | None) -> Camera:
        """
        Return the projection of an image, the assumed one without intrinsics.

        :param size_px: width and height of the image.
        :param intrinsics: the calibration, if there is one.
        :raises ValueError: when the size is not positive or does not go with the intrinsics.
        """
        if self._camera is None or self._camera_of != (intrinsics, size_px):
            if min(size_px) <= 0:
                raise ValueError(f'size_px: expected width and height > 0, got {size_px}')
            self._camera = (
                Camera.assumed(size_px, self.settings.default_fov_rad)
                if intrinsics is None
                else Camera.from_intrinsics(intrinsics, size_px)
            )
            self._camera_of = (intrinsics, size_px)
        return self._camera

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
        if (
            landmarks_px.ndim != 2
            or landmarks_px.shape[0] < MESH_SIZE
            or landmarks_px.shape[1] not in (2, 3)
        ):
            raise ValueError(
                f'expected landmarks of shape ({MESH_SIZE}, 2) or ({MESH_SIZE}, 3), '
                f'got {landmarks_px.shape}'
            )
        camera = self.camera(size_px, intrinsics)
        points_px = landmarks_px.take(_ROWS, axis=0)[:, :2].astype(np.float64)
        # A sum is finite only if every term is (or the terms are absurdly large).
        if not math.isfinite(float(points_px.sum())):
            return None
        if max(np.ptp(points_px, axis=0).tolist()) < _MIN_SPREAD_PX:
            return None
        solution = self._solve(np.ascontiguousarray(camera.rays(points_px)))
        if solution is None:
            return None
        turn, position_m = solution
        points_m = _POINTS_M @ turn.T + position_m
        if not float(points_m[:, 2].min()) > 0.0:
            return None
        offsets_px = camera.project(points_m) - points_px
        error_px = math.sqrt(float(np.einsum('ij,ij->', offsets_px, offsets_px)) / len(_ROWS))
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
                _POINTS_M, rays, _PINHOLE, None, flags=cv2.SOLVEPNP_SQPNP
            )
            if not found:
                return None
            if self.settings.refine_iterations:
                criteria = (cv2.TERM_CRITERIA_COUNT, self.settings.refine_iterations, 0.0)
                turn, shift = cv2.solvePnPRefineLM(
                    _POINTS_M, rays, _PINHOLE, None, turn, shift, criteria
                )
        except cv2.error:
            return None
        if not math.isfinite(float(turn.sum() + shift.sum())):
            return None
        matrix = np.asarray(cv2.Rodrigues(turn)[0], dtype=np.float64)
        return matrix, np.asarray(shift, dtype=np.float64)[:, 0]


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
