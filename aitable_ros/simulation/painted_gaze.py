# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The astronaut picture with eyes that look elsewhere: irises painted anew, moved by angles."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.simulation.eyelids import LEFT_EYE, RIGHT_EYE, Eye

# Middles of the irises in the picture [pixels], measured once with the attention mesh; the
# distance of hers is taken for an average adult's.
_IRISES_PX = ((203.3, 100.8), (247.3, 103.4))
_PUPILS_M = 0.063
_PUPIL_RADIUS_M = 0.0104
_IRIS_RADIUS_M = 0.0059
_FINE = 4
"""Oversampling of the painting."""

_SCLERA = (178, 160, 150)
_IRIS = (70, 48, 36)
_PUPIL = (22, 16, 14)


def painted_gaze(
    picture: npt.NDArray[np.uint8], yaw_rad: float, pitch_rad: float, magnification: int = 4
) -> npt.NDArray[np.uint8]:
    """
    Paint eyes that are turned from where they look in the picture.

    :param picture: (512, 512, 3) uint8 RGB, ``skimage.data.astronaut()``.
    :param yaw_rad: to her left is positive [rad].
    :param pitch_rad: down is positive [rad].
    :param magnification: of the result.
    :returns: (512 m, 512 m, 3) uint8 RGB.
    """
    large = cv2.resize(
        picture, None, fx=magnification, fy=magnification, interpolation=cv2.INTER_CUBIC
    )
    scale = math.dist(*_IRISES_PX) / _PUPILS_M
    moved = (
        scale * _PUPIL_RADIUS_M * math.sin(yaw_rad) * math.cos(pitch_rad),
        scale * _PUPIL_RADIUS_M * math.sin(pitch_rad),
    )
    for eye, (x, y) in zip((RIGHT_EYE, LEFT_EYE), _IRISES_PX):
        centre = (x + moved[0], y + moved[1])
        _paint(large, eye, centre, scale * _IRIS_RADIUS_M, magnification)
    return np.asarray(large, np.uint8)


def _paint(
    large: npt.NDArray, eye: Eye, centre_px: tuple[float, float], radius_px: float, scale: int
) -> None:
    """Paint one eye between its lids."""
    x0, y0, x1, y1 = eye.box_px
    fine = scale * _FINE
    size = ((y1 - y0) * fine, (x1 - x0) * fine)

    def place(points: npt.ArrayLike) -> npt.NDArray[np.int32]:
        moved = (np.asarray(points, np.float64) + 0.5 - (x0, y0)) * fine
        return np.asarray(np.round(moved), np.int32)

    opening = np.zeros(size, np.uint8)
    cv2.fillPoly(opening, [place([*eye.upper, *reversed(eye.lower)])], 255)
    ball = np.full((*size, 3), _SCLERA, np.uint8)
    middle = tuple(place([centre_px])[0].tolist())
    for colour, share in ((_IRIS, 1.0), (_PUPIL, 0.4)):
        cv2.circle(ball, middle, round(share * radius_px * fine), colour, -1)
    glint = (middle[0] + fine // 2, middle[1] - fine // 2)
    cv2.circle(ball, glint, max(1, fine // 3), (235, 235, 235), -1)
    soft_ball = cv2.GaussianBlur(ball, (0, 0), 0.35 * fine).astype(np.float32)
    # the upper lid casts a shadow
    shadow = cv2.GaussianBlur(opening, (0, 0), 1.2 * fine).astype(np.float32) / 255.0
    shaded = soft_ball * (0.55 + 0.45 * shadow[..., None])
    soft = cv2.GaussianBlur(opening, (0, 0), 0.25 * fine).astype(np.float32)[..., None] / 255.0
    small = (size[1] // _FINE, size[0] // _FINE)
    painted = cv2.resize(shaded * soft, small, interpolation=cv2.INTER_AREA)
    cover = cv2.resize(soft, small, interpolation=cv2.INTER_AREA)[..., None]
    part = large[y0 * scale : y1 * scale, x0 * scale : x1 * scale]
    part[:] = np.rint(painted + (1.0 - cover) * part).astype(np.uint8)
