# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Where an eye looks, from its iris, its corners and the orientation of the head.

The eyeball is a sphere that lies behind the middle of its corners and turns about its centre; the
iris lies on a smaller sphere about the same centre. The picture shows how far the iris is from the
middle of the corners; the line of sight through it meets that sphere where the iris is, and the
way from the centre to there is the gaze. Such models are usual: Ishikawa, Baker, Matthews and
Kanade, "Passive Driver Gaze Tracking with Active Appearance Models", ITS World Congress 2004; Wood
and Bulling, "EyeTab", ETRA 2014; the eyeball of OpenFace, Wood et al., ICCV 2015.

Measured against the eye's own corners, the iris does not suffer from the pose's position error,
which is as large as an iris; only the head's orientation and the scale are taken from the pose.

Frames and signs are those of :mod:`aitable_ros.perception.head.head_pose`: yaw to the person's
left and pitch down are positive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.landmarks import (
    LEFT_EYE_EAR,
    LEFT_IRIS,
    RIGHT_EYE_EAR,
    RIGHT_IRIS,
)
from aitable_ros.perception.head.canonical_face import RIGID_POINTS_M
from aitable_ros.perception.head.head_pose import HeadPose
from aitable_ros.perception.maths.rotation import Vector, inverse, rotate, to_matrix
from aitable_ros.perception.maths.settings import Settings, setting


@dataclass(frozen=True)
class EyeSettings(Settings):
    """
    The eyeball of an average adult, from the middle of the eye's corners as the attention mesh has
    them; the three places were fitted to photographs of people who look into the camera.

    :param iris_radius_m: from the eyeball's centre to the middle of the iris [m] (0.0105: the
        centre lies 13.5 mm behind the cornea, the pupil appears 3 mm behind it; Gullstrand's
        schematic eye).
    :param centre_back_m: how far the eyeball's centre lies behind the corners' middle [m]
        (0.0045: fitted to heads that
        are turned).
    :param centre_up_m: and above it [m] (0.002: fitted).
    :param centre_out_m: and away from the nose [m] (0.001: fitted).
    """

    iris_radius_m: float = setting(0.0105, 0.005, 0.02, dynamic=False)
    centre_back_m: float = setting(0.0045, -0.01, 0.02, dynamic=False)
    centre_up_m: float = setting(0.002, -0.01, 0.01, dynamic=False)
    centre_out_m: float = setting(0.001, -0.01, 0.01, dynamic=False)


@dataclass(frozen=True)
class AnchorSettings(Settings):
    """
    How the place of the eyes in the face is learned.

    :param share: how much it counts against where the corners are seen (0.7: choice;
        more suits pictures that are not sharp, less faces that are far from average).
    :param memory_s: the mean is one over about this time [s] (60: choice).
    :raises ValueError: for a value out of range.
    """

    share: float = setting(0.7, 0.0, 1.0)
    memory_s: float = setting(60.0, 1.0, 3600.0)


class EyeLook(NamedTuple):
    """
    What one eye shows.

    :ivar direction: unit vector of the gaze in the camera's optical frame; NaN: not measured.
    :ivar yaw_rad: of the eye in the head, to the person's left is positive [rad].
    :ivar pitch_rad: of the eye in the head, down is positive [rad].
    :ivar width_px: between the corners, were the eye turned to the camera [pixels].
    :ivar aperture: how far the lids are apart at the iris, in diameters of the iris.
    """

    direction: Vector
    yaw_rad: float
    pitch_rad: float
    width_px: float
    aperture: float


_NOWHERE: Vector = (math.nan, math.nan, math.nan)
_UNSEEN = EyeLook(_NOWHERE, math.nan, math.nan, math.nan, math.nan)

# of each eye, right and left: outer corner, inner corner, upper lid, lower lid, iris
_ROWS = np.array(
    [
        (lids[i], lids[j], lids[1], lids[2], lids[5], lids[4], *iris)
        for lids, iris, (i, j) in (
            (RIGHT_EYE_EAR, RIGHT_IRIS, (0, 3)),
            (LEFT_EYE_EAR, LEFT_IRIS, (3, 0)),
        )
    ]
)
_CORNERS = ((33, 133), (263, 362))
_MIDDLES_M = tuple(
    tuple(0.5 * (a + b) for a, b in zip(RIGID_POINTS_M[outer], RIGID_POINTS_M[inner]))
    for outer, inner in _CORNERS
)
_REST = np.array([i for i in RIGID_POINTS_M if i not in (33, 133, 263, 362)], dtype=np.intp)
_REST_AND_MIDDLES_M = np.array([*(RIGID_POINTS_M[i] for i in _REST.tolist()), *_MIDDLES_M])
_SPAN_M = tuple(a - b for a, b in zip(RIGID_POINTS_M[263], RIGID_POINTS_M[33]))
_EYE_WIDTH_M = math.dist(RIGID_POINTS_M[33], RIGID_POINTS_M[133])
_MIN_PX = 1e-3


def look(
    landmarks_px: npt.NDArray,
    pose: HeadPose,
    settings: EyeSettings,
    anchor: EyeAnchor | None = None,
    stamp_s: float = 0.0,
) -> tuple[EyeLook, EyeLook]:
    """
    Measure where both eyes look.

    :param landmarks_px: (478, 2 or 3) landmarks with irises [pixels].
    :param pose: of the head.
    :param settings: of the eyeball.
    :param anchor: where the corners of this person's eyes are in the face; None: not known.
    :param stamp_s: header time [s], for the anchor.
    :returns: the person's right eye and left eye.
    """
    right, left = landmarks_px.take(_ROWS, axis=0).tolist()
    turn = pose.orientation_xyzw
    span = rotate(turn, _SPAN_M)
    across_px = _apart(right[0], left[0])
    if not _MIN_PX < across_px < math.inf:
        return _UNSEEN, _UNSEEN
    scale = math.hypot(span[0], span[1]) / across_px  # metres a pixel, between the eyes
    distance = math.hypot(*pose.position_m)
    x, y, z = pose.position_m
    ray = (x / distance, y / distance, z / distance)
    middles = [rotate(turn, middle) for middle in _MIDDLES_M]
    depth = pose.position_m[2] + 0.5 * (middles[0][2] + middles[1][2])
    if not (depth > 0.0 and scale > 0.0):
        return _UNSEEN, _UNSEEN
    centres = [
        rotate(turn, (-settings.centre_back_m, side, settings.centre_up_m))
        for side in (-settings.centre_out_m, settings.centre_out_m)
    ]
    scales = [scale * (pose.position_m[2] + middle[2]) / depth for middle in middles]
    corners = [
        (0.5 * (eye[0][0] + eye[1][0]), 0.5 * (eye[0][1] + eye[1][1])) for eye in (right, left)
    ]
    if anchor is not None:
        placed = _placed(landmarks_px, pose, depth / scale)
        corners = anchor.update(stamp_s, corners, placed, scales, pose)
    looks = [
        _look(
            points,
            corner,
            at_scale,
            ray,
            centre,
            pose,
            settings.iris_radius_m,
        )
        for points, corner, at_scale, centre in zip((right, left), corners, scales, centres)
    ]
    return looks[0], looks[1]


def _look(
    points: Sequence[Sequence[float]],
    corner: tuple[float, float],
    scale: float,
    ray: Vector,
    centre: Vector,
    pose: HeadPose,
    radius: float,
) -> EyeLook:
    _, _, upper1, upper2, lower1, lower2, iris, *edge = points
    diameter = 0.5 * sum([_apart(iris, point) for point in edge])
    opening = 0.5 * (_apart(upper1, lower1) + _apart(upper2, lower2))
    aperture = opening / diameter if diameter > _MIN_PX else math.nan
    # from the eyeball's centre to the iris, all but how deep it lies
    x = (iris[0] - corner[0]) * scale - centre[0]
    y = (iris[1] - corner[1]) * scale - centre[1]
    z = -centre[2]
    along = x * ray[0] + y * ray[1] + z * ray[2]
    x, y, z = x - along * ray[0], y - along * ray[1], z - along * ray[2]
    beside = math.sqrt(x * x + y * y + z * z)
    width_px = _EYE_WIDTH_M / scale
    if not beside < math.inf:
        return EyeLook(_NOWHERE, math.nan, math.nan, width_px, aperture)
    if beside >= radius:  # beyond the eyeball's edge: as far to the side as it goes
        x, y, z, near = x * radius / beside, y * radius / beside, z * radius / beside, 0.0
    else:
        near = math.sqrt(radius * radius - beside * beside)
    direction = (
        (x - near * ray[0]) / radius,
        (y - near * ray[1]) / radius,
        (z - near * ray[2]) / radius,
    )
    yaw, pitch = angles(rotate(inverse(pose.orientation_xyzw), direction))
    return EyeLook(direction, yaw, pitch, width_px, aperture)


def _placed(
    landmarks_px: npt.NDArray, pose: HeadPose, focal_px: float
) -> list[tuple[float, float]]:
    """Give where the rest of the face says that the middles of the eyes' corners are [pixels]."""
    turn = np.array(to_matrix(pose.orientation_xyzw))
    points = _REST_AND_MIDDLES_M @ turn.T + pose.position_m
    flat = points[:, :2] / points[:, 2:]
    # sums are faster than NumPy's means
    x, y = (np.add.reduce(landmarks_px.take(_REST, axis=0))[:2] / len(_REST)).tolist()
    fx, fy = (np.add.reduce(flat[:-2]) / len(_REST)).tolist()
    return [(x + focal_px * (a - fx), y + focal_px * (b - fy)) for a, b in flat[-2:].tolist()]


class EyeAnchor:
    """
    Where the middles of the eyes' corners are in one face.

    The landmark network lets the corners follow the iris where a picture is not sharp, by up to
    two fifths of its way: measured against them alone, eyes seem to turn less than they do. The
    rest of the face does not follow. So the corners are taken partly from where they are seen and
    mostly from where the rest of the face has them; the person's mean difference is learned.

    :param settings: how long it is learned, and how much it counts.
    """

    def __init__(self, settings: AnchorSettings | None = None) -> None:
        self.settings = settings or AnchorSettings()
        self.reset()

    def reset(self) -> None:
        """Forget the face."""
        self._offsets_m: list[tuple[float, float]] = []
        self._learned_s = 0.0
        self._last_s = math.nan

    def update(
        self,
        stamp_s: float,
        seen_px: Sequence[tuple[float, float]],
        placed_px: Sequence[tuple[float, float]],
        scales: Sequence[float],
        pose: HeadPose,
    ) -> list[tuple[float, float]]:
        """
        Take the next image.

        :param stamp_s: header time [s].
        :param seen_px: middles of the corners, right and left [pixels].
        :param placed_px: where the rest of the face has them.
        :param scales: metres a pixel at each eye.
        :param pose: of the head.
        :returns: which to measure from [pixels].
        """
        passed_s = stamp_s - self._last_s
        self._last_s = stamp_s
        settings = self.settings
        across = rotate(pose.orientation_xyzw, (0.0, 1.0, 0.0))
        length = math.hypot(across[0], across[1])
        if not length > 0.1:
            return list(seen_px)
        cosine, sine = across[0] / length, across[1] / length
        offsets = []
        for (x, y), (px, py), scale in zip(seen_px, placed_px, scales):
            dx, dy = scale * (x - px), scale * (y - py)
            offsets.append((cosine * dx + sine * dy, cosine * dy - sine * dx))
        if not self._offsets_m or math.isnan(passed_s):
            self._offsets_m = offsets
        elif passed_s > 0.0:
            # the first image counts as a tenth of a second
            self._learned_s = min(max(self._learned_s, 0.1) + passed_s, settings.memory_s)
            share = min(passed_s / self._learned_s, 1.0)
            self._offsets_m = [
                (a + share * (b - a), c + share * (d - c))
                for (a, c), (b, d) in zip(self._offsets_m, offsets)
            ]
        keep = settings.share
        return [
            (
                x + keep * (px + (cosine * u - sine * v) / scale - x),
                y + keep * (py + (cosine * v + sine * u) / scale - y),
            )
            for (x, y), (px, py), scale, (u, v) in zip(seen_px, placed_px, scales, self._offsets_m)
        ]


def angles(direction: Sequence[float]) -> tuple[float, float]:
    """
    Give yaw and pitch of a direction in the face frame [rad].

    :param direction: x out of the face, y to the person's left, z up.
    :returns: yaw to the left and pitch down are positive.
    """
    x, y, z = direction
    return math.atan2(y, x), math.atan2(-z, math.hypot(x, y))


def view_angles(direction: Sequence[float], position_m: Vector) -> tuple[float, float]:
    """
    Give how far a direction is off the line to the camera [rad]; a look into it is (0, 0).

    :param direction: in the camera's optical frame.
    :param position_m: of the head in it.
    :returns: yaw, to the left of the person is positive, about the camera's y axis; pitch, down
        is positive, from its horizontal plane.
    """
    x, y, z = direction
    px, py, pz = position_m
    yaw = math.atan2(x, -z) - math.atan2(-px, pz)
    pitch = math.atan2(y, math.hypot(x, z)) - math.atan2(-py, math.hypot(px, pz))
    return math.remainder(yaw, math.tau), pitch


def _apart(a: Sequence[float], b: Sequence[float]) -> float:
    return math.hypot(a[0] - b[0], a[1] - b[1])
