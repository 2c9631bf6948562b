# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""From the keypoints of one image, and whatever else is known of it, to angles and a distance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.head.camera import Camera, CameraIntrinsics, LastCamera
from aitable_ros.perception.maths import rotation
from aitable_ros.perception.maths.rotation import Quaternion, Vector
from aitable_ros.perception.maths.settings import Settings, setting
from aitable_ros.perception.posture.angles import (
    Basis,
    HeadSource,
    PostureAngles,
    body_angles,
    image_angles,
    no_points,
)
from aitable_ros.perception.posture.body_keypoints import (
    KEYPOINT_COUNT,
    BodyKeypoint,
    BodyKeypoints,
)
from aitable_ros.perception.posture.distance import (
    DepthImage,
    DistanceSettings,
    DistanceSource,
    eyes_middle,
    lift,
)
from aitable_ros.perception.posture.frames import CameraPlacement, turn_to
from aitable_ros.perception.posture.head import HEAD_POINTS_M, head_from_keypoints

Array = npt.NDArray[np.float64]

# How far the tip of the nose may be from the middle between the eyes, over their distance, for a
# head of unknown orientation to count as facing the camera: 0.64 tan(yaw), so 17 degrees, with
# which a distance is measured 5 % too far.
_MAX_NOSE_OFFSET = 0.2

NOWHERE: Vector = (math.nan, math.nan, math.nan)

_SHOULDERS = (BodyKeypoint.LEFT_SHOULDER, BodyKeypoint.RIGHT_SHOULDER)
_LIFTED = np.array(
    sorted({*HEAD_POINTS_M, *_SHOULDERS, BodyKeypoint.LEFT_HIP, BodyKeypoint.RIGHT_HIP})
)
# The depth patch of a body without eyes: a share of the shoulders' distance, which is about six
# times that of the eyes.
_EYES_PER_SHOULDERS = 1.0 / 6.0


@dataclass(frozen=True)
class MeasureSettings(Settings):
    """
    What is taken for seen.

    :param min_visibility: a keypoint is seen from this visibility on (0.5: as likely as
        not).
    :param leave_visibility: and no longer below this one (0.35: choice; without it the
        hips at the edge of a table come and go).
    :param default_fov_rad: field of view along the image's longer side when the camera is not
        calibrated [rad] (62.2 degrees: Raspberry Pi Camera Module 2, Sony IMX219).
    :raises ValueError: for a value out of range.
    """

    min_visibility: float = setting(0.5, 0.0, 1.0)
    leave_visibility: float = setting(0.35, 0.0, 1.0)
    default_fov_rad: float = setting(math.radians(62.2), 0.2, 2.8, dynamic=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.leave_visibility <= self.min_visibility:
            raise ValueError(f'need leave_visibility <= min_visibility: {self}')


@dataclass(frozen=True)
class SeenFace:
    """
    What the face's own landmarks tell, which is more exact than the body's keypoints.

    :param orientation_xyzw: unit quaternion that takes vectors of the face frame (REP-155) to
        the optical frame; None: not measured.
    :param left_eye_px: middle of the person's left eye [pixels].
    :param right_eye_px: and of the right eye.
    """

    orientation_xyzw: Quaternion | None
    left_eye_px: tuple[float, float]
    right_eye_px: tuple[float, float]


@dataclass(frozen=True)
class PostureSample:
    """
    What one image shows of one person. NaN: not measured.

    :param present: whether there is anybody.
    :param angles: of body and head.
    :param eyes_m: middle of the eyes in the level frame, whose origin is the camera [m].
    :param distance_source: what ``eyes_m`` was measured with.
    :param head_px: middle of the head's visible keypoints, for telling whether it moves.
    :param shoulders_px: middle of the shoulders.
    :param shoulder_width_px: distance of the shoulders in the image.
    :param camera_calibrated: the intrinsics were measured, not assumed.
    :param placement: how the camera stands.
    """

    present: bool = False
    angles: PostureAngles = field(default_factory=PostureAngles)
    eyes_m: Vector = NOWHERE
    distance_source: DistanceSource = DistanceSource.NONE
    head_px: tuple[float, float] = (math.nan, math.nan)
    shoulders_px: tuple[float, float] = (math.nan, math.nan)
    shoulder_width_px: float = math.nan
    camera_calibrated: bool = False
    placement: CameraPlacement = field(default_factory=CameraPlacement)


class PostureMeter:
    """
    Measures one person image by image; remembers only which keypoints were seen.

    :param settings: what is taken for seen.
    :param distance: how distances are measured.
    """

    def __init__(
        self,
        settings: MeasureSettings | None = None,
        distance: DistanceSettings | None = None,
    ) -> None:
        self.settings = settings or MeasureSettings()
        self.distance = distance or DistanceSettings()
        self._cameras = LastCamera(self.settings.default_fov_rad)
        self.reset()

    def reset(self) -> None:
        """Forget which keypoints were seen."""
        self._seen = np.zeros(KEYPOINT_COUNT, dtype=bool)

    def measure(
        self,
        body: BodyKeypoints | None,
        size_px: tuple[int, int],
        *,
        intrinsics: CameraIntrinsics | None = None,
        placement: CameraPlacement | None = None,
        face: SeenFace | None = None,
        depth: DepthImage | None = None,
    ) -> PostureSample:
        """
        Measure one image.

        :param body: the keypoints; None: nobody was found.
        :param size_px: width and height of the image.
        :param intrinsics: the camera's calibration; None: an assumed field of view.
        :param placement: how the camera stands; None: level, at an unknown height.
        :param face: the same person's face in this image, if it is known.
        :param depth: a registered depth image of the same time, if there is one.
        :raises ValueError: when the image's size is not positive or does not go with the
            intrinsics.
        """
        camera = self._cameras.of(size_px, intrinsics)
        placement = placement or CameraPlacement()
        if body is None:
            self.reset()
            return PostureSample(camera_calibrated=camera.calibrated, placement=placement)
        limit = np.where(self._seen, self.settings.leave_visibility, self.settings.min_visibility)
        xy_px = body.xy_px.astype(np.float64)
        self._seen = (body.visibility >= limit) & np.isfinite(xy_px).all(axis=1)
        xy_px = np.where(self._seen[:, None], xy_px, np.nan)
        level = placement.level_from_optical()
        rays = _rays(camera, xy_px)

        eyes_px = _eyes_px(xy_px, face)
        head_optical, source = _head(rays, face)
        head = None if head_optical is None else level @ head_optical
        left, right = (xy_px[shoulder] for shoulder in _SHOULDERS)
        shoulder_width_px = float(np.hypot(*(left - right)))

        points, basis = no_points(), Basis.IMAGE
        if depth is not None:
            radius_px = self._patch_radius_px(eyes_px, shoulder_width_px)
            optical = lift(
                depth, xy_px[_LIFTED], rays[_LIFTED, :2], radius_px, size_px, self.distance
            )
            points[_LIFTED] = optical @ level.T
            basis = Basis.DEPTH
        if not np.isfinite(points[list(_SHOULDERS)]).all():
            points, basis = no_points(), Basis.IMAGE
            world = self._world(body, rays)
            if world is not None:
                points, basis = world @ level.T, Basis.WORLD
        angles = PostureAngles()
        if basis is not Basis.IMAGE:
            angles = body_angles(points, basis, head, source)
        if angles.basis is Basis.NONE:
            angles = image_angles(rays @ level.T, head, source)

        to_left = None if head_optical is None else head_optical[:, 1]
        eyes_m, distance_source = self._eyes(
            camera, eyes_px, xy_px[BodyKeypoint.NOSE], to_left, depth, size_px
        )
        head_px = xy_px[sorted(HEAD_POINTS_M)]
        head_px = head_px[np.isfinite(head_px).all(axis=1)]
        return PostureSample(
            present=True,
            angles=angles,
            eyes_m=_vector(level @ eyes_m),
            distance_source=distance_source,
            head_px=_pair(head_px.mean(axis=0)) if len(head_px) else (math.nan, math.nan),
            shoulders_px=_pair((left + right) / 2),
            shoulder_width_px=shoulder_width_px,
            camera_calibrated=camera.calibrated,
            placement=placement,
        )

    def _world(self, body: BodyKeypoints, rays: Array) -> Array | None:
        """Give the network's third dimension in axes of the optical frame; None: it has none."""
        if body.world_m is None:
            return None
        world = np.where(self._seen[:, None], body.world_m.astype(np.float64), np.nan)
        sight = rays[list(_SHOULDERS)].mean(axis=0)
        if not np.isfinite(sight).all():
            return None
        return np.asarray(world @ turn_to(sight).T)

    def _patch_radius_px(self, eyes_px: Array, shoulder_width_px: float) -> float:
        eyes_distance_px = float(np.hypot(*(eyes_px[0] - eyes_px[1])))
        if not eyes_distance_px > 0.0:
            eyes_distance_px = shoulder_width_px * _EYES_PER_SHOULDERS
        if not eyes_distance_px > 0.0:
            return 1.0
        return max(self.distance.patch_ratio * eyes_distance_px, 1.0)

    def _eyes(
        self,
        camera: Camera,
        eyes_px: Array,
        nose_px: Array,
        to_left: Array | None,
        depth: DepthImage | None,
        size_px: tuple[int, int],
    ) -> tuple[Array, DistanceSource]:
        """Place the middle of the eyes in the optical frame."""
        if not np.isfinite(eyes_px).all():
            return np.array(NOWHERE), DistanceSource.NONE
        rays = _rays(camera, np.concatenate((eyes_px, eyes_px.mean(axis=0)[None])))
        eyes_distance_px = float(np.hypot(*(eyes_px[0] - eyes_px[1])))
        if depth is not None:
            radius_px = self._patch_radius_px(eyes_px, math.nan)
            z = depth.distance_m(eyes_px.mean(axis=0), radius_px, size_px, self.distance)
            if math.isfinite(z):
                return rays[2] * z, DistanceSource.DEPTH
        if eyes_distance_px < self.distance.min_eyes_px:
            return np.array(NOWHERE), DistanceSource.NONE
        if to_left is None and not _looks_ahead(eyes_px, nose_px):
            return np.array(NOWHERE), DistanceSource.NONE
        middle = eyes_middle(rays[0], rays[1], self.distance, to_left)
        found = bool(np.isfinite(middle).all())
        return middle, DistanceSource.EYES if found else DistanceSource.NONE


def _rays(camera: Camera, xy_px: Array) -> Array:
    """Give (N, 3) directions x / z, y / z, 1 in the optical frame; NaN for NaN."""
    finite = np.isfinite(xy_px).all(axis=1)
    rays = np.full((len(xy_px), 3), math.nan)
    if finite.any():
        rays[finite, :2] = camera.rays(np.ascontiguousarray(xy_px[finite]))
        rays[finite, 2] = 1.0
    return rays


def _head(rays: Array, face: SeenFace | None) -> tuple[Array | None, HeadSource]:
    """Give the rotation from the face frame to the optical frame, and where it comes from."""
    if face is not None and face.orientation_xyzw is not None:
        return np.array(rotation.to_matrix(face.orientation_xyzw)), HeadSource.FACE
    head = head_from_keypoints(rays)
    return head, HeadSource.NONE if head is None else HeadSource.KEYPOINTS


def _eyes_px(xy_px: Array, face: SeenFace | None) -> Array:
    """Give (2, 2): left and right eye."""
    if face is not None:
        eyes_px = np.array((face.left_eye_px, face.right_eye_px), dtype=np.float64)
        if np.isfinite(eyes_px).all():
            return eyes_px
    return xy_px[[BodyKeypoint.LEFT_EYE, BodyKeypoint.RIGHT_EYE]]


def _looks_ahead(eyes_px: Array, nose_px: Array) -> bool:
    """Tell whether the nose is between the eyes: the head is hardly turned."""
    line = eyes_px[0] - eyes_px[1]
    way = float((nose_px - eyes_px.mean(axis=0)) @ line) / float(line @ line)
    return abs(way) <= _MAX_NOSE_OFFSET  # false for NaN


def _pair(values: Array) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _vector(values: Array) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
