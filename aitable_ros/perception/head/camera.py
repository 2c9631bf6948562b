# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The camera that sees the head: intrinsics, rays and projection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

PINHOLE = np.eye(3)


# Lengths of D that OpenCV understands as its own model, by the name that ROS has for it.
_COEFFICIENTS = {
    'plumb_bob': (4, 5, 8, 12, 14),
    'rational_polynomial': (4, 5, 8, 12, 14),
    'equidistant': (4,),
}


# How long lens distortion is undone: OpenCV's default of 5 iterations leaves some of it.
_UNDISTORT_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)

# OpenCV 5 has one function for both
_undistort: Any = getattr(cv2, 'undistortPointsIter', cv2.undistortPoints)


# How much the two directions' scales of an image may differ from those of its calibration: sizes
# are rounded to whole pixels.
_MAX_ASPECT_ERROR = 0.02


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
            or min(self.image_size_px) <= 0
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
            rays = _undistort(
                points_px[:, None],
                self._matrix,
                self._d,
                R=PINHOLE,  # no rectification, no new camera matrix
                P=PINHOLE,
                criteria=_UNDISTORT_CRITERIA,
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


class LastCamera:
    """
    Makes the camera of an image, and keeps it for the next images like it.

    :param default_fov_rad: field of view along the longer side where there is no calibration.
    """

    def __init__(self, default_fov_rad: float) -> None:
        self._default_fov_rad = default_fov_rad
        self._camera: Camera | None = None
        self._camera_of: tuple[CameraIntrinsics | None, tuple[int, int]] | None = None

    def of(self, size_px: tuple[int, int], intrinsics: CameraIntrinsics | None) -> Camera:
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
                Camera.assumed(size_px, self._default_fov_rad)
                if intrinsics is None
                else Camera.from_intrinsics(intrinsics, size_px)
            )
            self._camera_of = (intrinsics, size_px)
        return self._camera
