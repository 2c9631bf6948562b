# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Faces in 3-D as ``visualization_msgs/MarkerArray``.

Each part of a face has a namespace, which RViz lets one switch off by itself: ``head`` (an
ellipsoid in the colour of the fatigue level), ``axes`` (the face frame of REP-155), ``direction``
(an arrow where the head points; red while the eyes are closed) and ``label``. A face has the same
number as id in all of them, for as long as it is there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from aitable_msgs.msg import Emotion, Fatigue
from aitable_ros.perception.maths.rotation import Quaternion, Vector, normalized, rotate
from aitable_ros.visualization.overlay.drawing import Rgb
from aitable_ros.visualization.overlay.face_marks import AXIS_COLOURS
from aitable_ros.visualization.overlay.face_overlay import CLOSED, LEVEL_COLOURS, OPEN, UNMEASURED
from aitable_ros.visualization.overlay.scene import LEVEL_NAMES

HEAD = 'head'
AXES = 'axes'
DIRECTION = 'direction'
LABEL = 'label'
NAMESPACES = (HEAD, AXES, DIRECTION, LABEL)

HEAD_SIZE_M: Vector = (0.195, 0.152, 0.225)
"""Length, breadth and height of the ellipsoid [m] (choice: about an average adult's head)."""

HEAD_CENTRE_M: Vector = (-0.090, 0.0, -0.005)
"""Of the ellipsoid in the face frame, whose origin is the sellion [m] (choice: fits by eye)."""

AXIS_LENGTH_M = 0.12
DIRECTION_LENGTH_M = 0.30
LABEL_ABOVE_M = 0.17
"""How far the label's middle is above the sellion, along the head's z axis [m]."""

TEXT_HEIGHT_M = 0.032
_AXIS_WIDTH_M = 0.006
_SHAFT_WIDTH_M, _ARROW_WIDTH_M, _ARROW_LENGTH_M = 0.010, 0.028, 0.06
_HEAD_OPACITY = 0.35


class FaceMarkers:
    """
    Turns fatigue messages into markers and remembers which faces are drawn.

    :param lifetime_s: after this long without a newer marker viewers drop one by themselves [s];
        0: never.
    """

    def __init__(self, lifetime_s: float = 1.0) -> None:
        self.lifetime_s = lifetime_s
        self._numbers: dict[str, int] = {}
        self._next = 0

    @property
    def face_ids(self) -> tuple[str, ...]:
        """The faces that are drawn."""
        return tuple(self._numbers)

    def update(
        self, header: Header, fatigues: Mapping[str, Fatigue], emotions: Mapping[str, Emotion]
    ) -> MarkerArray:
        """
        Give the markers of one image.

        :param header: of the image; DELETE markers carry it.
        :param fatigues: by face id, of the faces to be drawn. Without a valid head pose a face
            has no place and is not drawn. Markers carry the header of their pose.
        :param emotions: by face id; may have more or fewer faces.
        :returns: ADD for every face that has a place, DELETE for those that had one before;
            without markers when there is neither.
        """
        placed = {k: f for k, f in fatigues.items() if f.head_pose_valid and _pose_of(f)}
        array = MarkerArray()
        for face_id in [k for k in self._numbers if k not in placed]:
            array.markers.extend(_deleted(header, self._numbers.pop(face_id)))
        for face_id, fatigue in placed.items():
            if face_id not in self._numbers:
                self._numbers[face_id] = self._next
                self._next = (self._next + 1) % 2**31  # Marker.id is an int32
            array.markers.extend(
                self._markers(self._numbers[face_id], fatigue, emotions.get(face_id))
            )
        return array

    def _markers(self, number: int, fatigue: Fatigue, emotion: Emotion | None) -> Iterator[Marker]:
        pose = _pose_of(fatigue)
        assert pose is not None
        sellion, rotation = pose
        level = LEVEL_NAMES.get(fatigue.level, '')
        level_colour = LEVEL_COLOURS.get(level, UNMEASURED)

        head = self._marker(HEAD, number, fatigue.header, Marker.SPHERE)
        head.pose = _pose(_moved(sellion, rotation, HEAD_CENTRE_M), rotation)
        head.scale.x, head.scale.y, head.scale.z = HEAD_SIZE_M
        head.color = _colour(level_colour, _HEAD_OPACITY)
        yield head

        axes = self._marker(AXES, number, fatigue.header, Marker.LINE_LIST)
        axes.pose = _pose(sellion, rotation)
        axes.scale.x = _AXIS_WIDTH_M
        for i, colour in enumerate(AXIS_COLOURS):
            tip = [0.0, 0.0, 0.0]
            tip[i] = AXIS_LENGTH_M
            axes.points += [Point(), Point(x=tip[0], y=tip[1], z=tip[2])]
            axes.colors += [_colour(colour), _colour(colour)]
        yield axes

        arrow = self._marker(DIRECTION, number, fatigue.header, Marker.ARROW)
        arrow.pose = _pose(sellion, rotation)
        arrow.points = [Point(), Point(x=DIRECTION_LENGTH_M)]
        arrow.scale.x, arrow.scale.y, arrow.scale.z = (
            _SHAFT_WIDTH_M,
            _ARROW_WIDTH_M,
            _ARROW_LENGTH_M,
        )
        arrow.color = _colour(_eye_colour(fatigue))
        yield arrow

        label = self._marker(LABEL, number, fatigue.header, Marker.TEXT_VIEW_FACING)
        label.pose = _pose(_moved(sellion, rotation, (0.0, 0.0, LABEL_ABOVE_M)), rotation)
        label.scale.z = TEXT_HEIGHT_M
        label.color = _colour(level_colour)
        label.text = label_text(fatigue, emotion)
        yield label

    def _marker(self, namespace: str, number: int, header: Header, kind: int) -> Marker:
        marker = Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD)
        nanoseconds = round(self.lifetime_s * 1e9)
        marker.lifetime = Duration(
            sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000
        )
        return marker


def label_text(fatigue: Fatigue, emotion: Emotion | None) -> str:
    """
    Give the lines above a head: id and expression, PERCLOS, level; what is not known is left out.

    :param fatigue: of the face.
    :param emotion: of the same face, or None.
    """
    first = fatigue.face_id
    if emotion is not None and emotion.expression != Emotion.UNKNOWN:
        first += f'  {emotion.label}'
        if not math.isnan(emotion.confidence):
            first += f' {100 * emotion.confidence:.0f}%'
    lines = [first]
    if not math.isnan(fatigue.perclos):
        lines.append(f'PERCLOS {100 * fatigue.perclos:.0f}%')
    level = LEVEL_NAMES.get(fatigue.level, '')
    if level:
        lines.append(level)
    return '\n'.join(lines)


def _deleted(header: Header, number: int) -> Iterator[Marker]:
    for namespace in NAMESPACES:
        yield Marker(header=header, ns=namespace, id=number, action=Marker.DELETE)


def _eye_colour(fatigue: Fatigue) -> Rgb:
    if fatigue.eye_state == Fatigue.EYES_UNKNOWN:
        return UNMEASURED
    return CLOSED if fatigue.eyes_closed else OPEN


def _pose_of(fatigue: Fatigue) -> tuple[Vector, Quaternion] | None:
    """Give position and rotation of a face, or None when they are no pose."""
    point, q = fatigue.head_position, fatigue.head_orientation
    position = (point.x, point.y, point.z)
    try:
        rotation = normalized((q.x, q.y, q.z, q.w))
    except ValueError:
        return None
    return (position, rotation) if all(map(math.isfinite, position)) else None


def _moved(origin: Vector, rotation: Quaternion, by_m: Vector) -> Vector:
    step = rotate(rotation, by_m)
    return (origin[0] + step[0], origin[1] + step[1], origin[2] + step[2])


def _pose(position: Vector, rotation: Quaternion) -> Pose:
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = position
    orientation = pose.orientation
    orientation.x, orientation.y, orientation.z, orientation.w = rotation
    return pose


def _colour(colour: Rgb, opacity: float = 1.0) -> ColorRGBA:
    r, g, b = (value / 255.0 for value in colour)
    return ColorRGBA(r=r, g=g, b=b, a=opacity)
