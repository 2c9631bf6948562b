# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
A synthetic sitting person of known angles in front of a camera, for measuring the analysis.

The person is made of rigid parts that are turned by the given angles: trunk (hips to shoulders),
the shoulder line, the neck (shoulders to ears) and the head. Frames, signs and names are those of
:mod:`aitable_ros.perception.posture.angles`, but the joints are built here the other way round,
from angles to points, and projected with OpenCV's camera model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from aitable_ros.perception.head.camera import Camera, CameraIntrinsics
from aitable_ros.perception.posture.body_keypoints import (
    KEYPOINT_COUNT,
    BodyKeypoint,
    BodyKeypoints,
)
from aitable_ros.perception.posture.frames import CameraPlacement, turn_to
from aitable_ros.perception.posture.head import HEAD_POINTS_M

Array = npt.NDArray[np.float64]

K = BodyKeypoint

TRUNK_M = 0.50
"""From the middle of the hips to that of the shoulders: the *torso length* [m]."""

SHOULDERS_M = 0.36
HIPS_M = 0.24
NECK_M = 0.20
"""From the middle of the shoulders to that of the ears [m]."""


@dataclass(frozen=True)
class SittingPerson:
    """
    How somebody sits; angles as in :mod:`aitable_ros.perception.posture.angles`.

    :param torso_yaw_rad: of the shoulders.
    :param shoulder_tilt_rad: of the shoulders.
    :param trunk_pitch_rad: of the trunk, seen from the side.
    :param trunk_roll_rad: of the trunk, seen from the front.
    :param forward_head_rad: of the neck, seen from the side.
    :param head_yaw_rad: of the head in the torso frame.
    :param head_pitch_rad: the same.
    :param head_roll_rad: the same.
    :param hips_m: middle of the hips in the level frame of the camera: towards it, to the right
        of the image, up [m].
    :param eye_distance_m: between the pupils [m].
    """

    torso_yaw_rad: float = 0.0
    shoulder_tilt_rad: float = 0.0
    trunk_pitch_rad: float = 0.0
    trunk_roll_rad: float = 0.0
    forward_head_rad: float = 0.0
    head_yaw_rad: float = 0.0
    head_pitch_rad: float = 0.0
    head_roll_rad: float = 0.0
    hips_m: tuple[float, float, float] = (-0.9, 0.0, -0.45)
    eye_distance_m: float = 0.063

    @property
    def neck_flexion_rad(self) -> float:
        """Of the neck, seen from the side, to the trunk."""
        return self.forward_head_rad - self.trunk_pitch_rad

    def points_m(self) -> Array:
        """
        Place the keypoints.

        :returns: (33, 3) in the level frame [m]; NaN: elbows and what is beyond, and the legs.
        """
        points = np.full((KEYPOINT_COUNT, 3), math.nan)
        up = np.array((0.0, 0.0, 1.0))
        yaw = self.torso_yaw_rad
        heading = np.array((math.cos(yaw), math.sin(yaw), 0.0))
        left = np.array((-math.sin(yaw), math.cos(yaw), 0.0))
        tilt = self.shoulder_tilt_rad
        across = math.cos(tilt) * left + math.sin(tilt) * up
        trunk = (
            math.tan(self.trunk_pitch_rad) * heading + up - math.tan(self.trunk_roll_rad) * left
        )
        trunk *= TRUNK_M / np.linalg.norm(trunk)
        hips = np.array(self.hips_m)
        shoulders = hips + trunk
        neck = math.sin(self.forward_head_rad) * heading + math.cos(self.forward_head_rad) * up
        ears = shoulders + NECK_M * neck
        for sign, hip, shoulder in (
            (0.5, K.LEFT_HIP, K.LEFT_SHOULDER),
            (-0.5, K.RIGHT_HIP, K.RIGHT_SHOULDER),
        ):
            points[hip] = hips + sign * HIPS_M * left
            points[shoulder] = shoulders + sign * SHOULDERS_M * across
        head = self.torso_frame(trunk, across) @ self.head_in_torso()
        model = np.array([HEAD_POINTS_M[row] for row in sorted(HEAD_POINTS_M)])
        rows = sorted(HEAD_POINTS_M)
        ears_model = (np.array(HEAD_POINTS_M[K.LEFT_EAR]) + HEAD_POINTS_M[K.RIGHT_EAR]) / 2
        eyes_m = HEAD_POINTS_M[K.LEFT_EYE][1] - HEAD_POINTS_M[K.RIGHT_EYE][1]
        model = (model - ears_model) * (self.eye_distance_m / eyes_m)
        points[rows] = ears + model @ head.T
        return points

    def head_in_torso(self) -> Array:
        """Give the head's rotation Rz(yaw) Ry(pitch) Rx(roll) in the torso frame, (3, 3)."""
        turns = (self.head_yaw_rad, self.head_pitch_rad, self.head_roll_rad)
        return Rotation.from_euler('ZYX', turns).as_matrix()

    @staticmethod
    def torso_frame(trunk: Array, across: Array) -> Array:
        """Give the torso's axes (forward, left, up) as columns, (3, 3)."""
        forward = np.cross(across, trunk)
        forward /= np.linalg.norm(forward)
        return np.stack((forward, across, np.cross(forward, across)), axis=1)


def film_body(
    person: SittingPerson,
    intrinsics: CameraIntrinsics,
    placement: CameraPlacement,
    *,
    rng: np.random.Generator | None = None,
    noise: float = 0.0,
    world: bool = True,
    along_sight: bool = True,
    hips_visible: bool = True,
) -> BodyKeypoints:
    """
    Give the keypoints that a perfect, or an evenly imperfect, network finds.

    :param person: who sits there.
    :param intrinsics: of the camera, whose image has the calibrated size.
    :param placement: how the camera is tilted.
    :param rng: source of the noise.
    :param noise: standard deviation of every coordinate, in torso lengths: of the world
        coordinates in metres, and of the image's in pixels at the shoulders' distance.
    :param world: whether the network gives a third dimension.
    :param along_sight: whether its axes follow the line of sight to the shoulders, as those of
        networks do that see a crop.
    :param hips_visible: False: their visibility is low, as when a table hides them.
    """
    to_level = placement.level_from_optical()
    points = person.points_m() @ to_level  # row vectors: the inverse
    camera = Camera.from_intrinsics(intrinsics, intrinsics.image_size_px)
    known = np.isfinite(points).all(axis=1)
    xy_px = np.full((KEYPOINT_COUNT, 2), math.nan)
    xy_px[known] = camera.project(points[known])
    shoulders = (points[K.LEFT_SHOULDER] + points[K.RIGHT_SHOULDER]) / 2
    sight = camera.rays((xy_px[[K.LEFT_SHOULDER]] + xy_px[[K.RIGHT_SHOULDER]]) / 2)[0]
    origin = (points[K.LEFT_HIP] + points[K.RIGHT_HIP]) / 2
    world_m = points - origin
    if along_sight:
        world_m = world_m @ turn_to(np.array((*sight, 1.0)))
    if rng is not None and noise > 0.0:
        torso_px = camera.focal_px * TRUNK_M / float(shoulders[2])
        xy_px += rng.normal(0.0, noise * torso_px, xy_px.shape)
        world_m = world_m + rng.normal(0.0, noise * TRUNK_M, world_m.shape)
    visibility = np.where(known, 0.99, 0.0)
    if not hips_visible:
        visibility[[K.LEFT_HIP, K.RIGHT_HIP]] = 0.1
    return BodyKeypoints(
        xy_px.astype(np.float32),
        visibility.astype(np.float32),
        0.99,
        np.nan_to_num(world_m).astype(np.float32) if world else None,
    )


def depth_image(
    person: SittingPerson,
    intrinsics: CameraIntrinsics,
    placement: CameraPlacement,
) -> Array:
    """
    Render what a registered depth camera sees: a body in patches of 3 cm, and a wall at 2.5 m.

    Every pixel near the body shows the depth of the keypoint that is nearest to it in the image;
    the middle of the eyes counts as one.

    :param person: who sits there.
    :param intrinsics: of the camera, without distortion.
    :param placement: how it is tilted.
    :returns: (H, W) depths along the optical axis [m].
    """
    points = person.points_m() @ placement.level_from_optical()
    eyes = (points[K.LEFT_EYE] + points[K.RIGHT_EYE]) / 2
    points = np.concatenate((points[np.isfinite(points).all(axis=1)], eyes[None]))
    camera = Camera.from_intrinsics(intrinsics, intrinsics.image_size_px)
    width, height = intrinsics.image_size_px
    rows, columns = np.mgrid[:height, :width]
    image = np.full((height, width), 2.5)
    nearest = np.full((height, width), np.inf)
    for (x, y), z in zip(camera.project(points).tolist(), points[:, 2].tolist()):
        away_px = np.hypot(columns - x, rows - y)
        own = (away_px < nearest) & (away_px <= camera.focal_px * 0.03 / z)
        image[own], nearest[own] = z, away_px[own]
    return image
