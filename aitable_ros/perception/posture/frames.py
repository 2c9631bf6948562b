# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Where up is, and how the camera stands above the desk.

The *level frame* is the optical frame turned upright, with its origin in the camera: z up, x
horizontal and against the camera's viewing direction (towards the camera for whoever sits in front
of it), y to the right of the image. For who sits upright and square to the camera those are the
axes of REP-103 for a body: x forward, y to the person's left, z up. It is the frame in which a
face has zero yaw, pitch and roll (:mod:`aitable_ros.perception.head.head_pose`), with the camera's
tilt taken out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.maths import rotation
from aitable_ros.perception.maths.rotation import Quaternion, Vector

Array = npt.NDArray[np.float64]

# A camera that looks this steeply up or down has no horizontal viewing direction.
_MIN_HORIZONTAL = math.sin(math.radians(5.0))


class PlacementSource(IntEnum):
    """Where a placement comes from."""

    NONE = 0
    PARAMETERS = 1
    TF = 2


@dataclass(frozen=True)
class CameraPlacement:
    """
    How the camera stands above the desk.

    :param up: upwards, in the optical frame (x right, y down, z forward); any length.
    :param height_m: of the optical centre above the desk [m]; NaN: unknown.
    :param source: where this comes from.
    :raises ValueError: when a number is not finite, or the camera looks straight up or down.
    """

    up: Vector = (0.0, -1.0, 0.0)
    height_m: float = math.nan
    source: PlacementSource = PlacementSource.NONE

    def __post_init__(self) -> None:
        length = math.hypot(*self.up)
        if not 0.0 < length < math.inf:
            raise ValueError(f'up: expected a direction, got {self.up}')
        object.__setattr__(self, 'up', tuple(value / length for value in self.up))
        if math.hypot(*self.up[:2]) < _MIN_HORIZONTAL:
            raise ValueError('the camera looks straight up or down: posture cannot be measured')
        if math.isinf(self.height_m):
            raise ValueError(f'height_m: expected a finite number or NaN, got {self.height_m}')

    @classmethod
    def from_angles(
        cls, pitch_rad: float, roll_rad: float = 0.0, height_m: float = math.nan
    ) -> CameraPlacement:
        """
        Make a placement from how the camera is tilted.

        :param pitch_rad: of the viewing direction below the horizon [rad]; REP-103: down is
            positive.
        :param roll_rad: about the viewing direction [rad]; to the camera's right is positive.
        :param height_m: above the desk [m]; NaN: unknown.
        """
        cos_pitch, sin_pitch = math.cos(pitch_rad), math.sin(pitch_rad)
        up = (-cos_pitch * math.sin(roll_rad), -cos_pitch * math.cos(roll_rad), -sin_pitch)
        return cls(up, height_m, PlacementSource.PARAMETERS)

    @classmethod
    def from_transform(cls, translation_m: Vector, xyzw: Quaternion) -> CameraPlacement:
        """
        Make a placement from the transform that takes the optical frame to a frame of the desk.

        :param translation_m: the optical centre in the desk's frame, whose z axis points up and
            is zero on the desk [m].
        :param xyzw: unit quaternion that takes vectors of the optical frame to that frame.
        """
        up = rotation.rotate(rotation.inverse(xyzw), (0.0, 0.0, 1.0))
        return cls(up, translation_m[2], PlacementSource.TF)

    def level_from_optical(self) -> Array:
        """Give the (3, 3) rotation that takes vectors of the optical frame to the level frame."""
        up = np.array(self.up)
        view = np.array((0.0, 0.0, 1.0))
        forward = -(view - up * up[2])
        forward /= np.linalg.norm(forward)
        return np.stack((forward, np.cross(up, forward), up))


def turn_to(direction: Array) -> Array:
    """
    Give the smallest rotation that takes the viewing direction (z of the optical frame) there.

    What a network tells of a crop's third dimension is relative to the line of sight to what the
    crop shows: it cannot know where in the image the crop was.

    :param direction: (3,) in the optical frame, z > 0; any length.
    :returns: (3, 3) rotation.
    """
    x, y, z = (float(value) for value in direction / np.linalg.norm(direction))
    # Rodrigues' formula about (-y, x, 0), the axis normal to both
    share = 1.0 / (1.0 + z)
    return np.array(
        (
            (1.0 - share * x * x, -share * x * y, x),
            (-share * x * y, 1.0 - share * y * y, y),
            (-x, -y, z),
        )
    )
