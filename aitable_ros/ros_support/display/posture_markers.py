# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
A sitting person in 3-D as ``visualization_msgs/MarkerArray``: namespaces ``body`` and ``posture``.

The networks give the body's shape in metres, but not where it is. It is put where the head pose
has the middle of the eyes; without a head pose it has no place and is not drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from aitable_msgs.msg import Fatigue, Posture
from aitable_ros.perception.posture.body_keypoints import BodyKeypoint
from aitable_ros.ros_support.display.face_markers import new_marker
from aitable_ros.ros_support.messages.posture import keypoints_of
from aitable_ros.visualization.overlay.posture_overlay import BONES, PostureOverlay
from aitable_ros.visualization.overlay.scene import posture_overlay

BODY = 'body'
LABEL = 'posture'
NAMESPACES = (BODY, LABEL)

MIN_VISIBILITY = 0.5
"""Keypoints that are less probably seen are not drawn (choice)."""

_BONE_WIDTH_M = 0.012
_TEXT_HEIGHT_M = 0.032
_LABEL_BELOW_M = 0.12


class PostureMarkers:
    """
    Turns posture messages into markers and remembers whether somebody is drawn.

    :param lifetime_s: after this long without a newer marker viewers drop one by themselves [s];
        0: never.
    """

    def __init__(self, lifetime_s: float = 1.0) -> None:
        self.lifetime_s = lifetime_s
        self._drawn = False

    def update(
        self, header: Header, posture: Posture | None, fatigue: Fatigue | None
    ) -> list[Marker]:
        """
        Give the markers of one image, with its header.

        :param fatigue: of the same person's face, whose head pose says where they are; or None.
        :returns: ADD where the body has a place, DELETE when it had one before, or nothing.
        """
        points_m = None if posture is None else body_points_m(posture, fatigue)
        if posture is None or points_m is None:
            drawn, self._drawn = self._drawn, False
            return [
                Marker(header=header, ns=namespace, action=Marker.DELETE)
                for namespace in NAMESPACES
                if drawn
            ]
        self._drawn = True
        return list(self._markers(header, posture_overlay(posture, None), points_m))

    def _markers(
        self, header: Header, shown: PostureOverlay, points_m: npt.NDArray[np.float64]
    ) -> Iterator[Marker]:
        red, green, blue = (value / 255.0 for value in shown.colour)
        bones = new_marker(header, BODY, Marker.LINE_LIST, self.lifetime_s)
        bones.scale.x = _BONE_WIDTH_M
        bones.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
        for start, end in BONES:
            if np.isfinite(points_m[[start, end]]).all():
                bones.points += [_point(points_m[start]), _point(points_m[end])]
        yield bones
        label = new_marker(header, LABEL, Marker.TEXT_VIEW_FACING, self.lifetime_s)
        label.scale.z = _TEXT_HEIGHT_M
        label.color = bones.color
        label.text = '\n'.join(shown.lines)
        shoulders = points_m[[BodyKeypoint.LEFT_SHOULDER, BodyKeypoint.RIGHT_SHOULDER]]
        middle = shoulders.mean(axis=0) if np.isfinite(shoulders).all() else points_m[0]
        # y is down in the camera's frame
        below = np.array((0.0, _LABEL_BELOW_M, 0.0))
        label.pose.position = _point(middle + below)
        yield label


def body_points_m(posture: Posture, fatigue: Fatigue | None) -> npt.NDArray[np.float64] | None:
    """
    Give where the keypoints are.

    :returns: (33, 3) float64 in the camera's optical frame [m], NaN for what is not seen; None
        when the body has no third dimension or no place.
    """
    body = keypoints_of(posture)
    if body is None or body.world_m is None or fatigue is None or not fatigue.head_pose_valid:
        return None
    head = fatigue.head_position
    eyes = body.world_m[[BodyKeypoint.LEFT_EYE, BodyKeypoint.RIGHT_EYE]].mean(axis=0)
    points = body.world_m.astype(np.float64) - eyes + (head.x, head.y, head.z)
    points[body.visibility < MIN_VISIBILITY] = np.nan
    return points if np.isfinite(points[BodyKeypoint.NOSE]).all() else None


def _point(values: npt.NDArray[np.float64]) -> Point:
    x, y, z = map(float, values)
    return Point(x=x, y=y, z=z)
