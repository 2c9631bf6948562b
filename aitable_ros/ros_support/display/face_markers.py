# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Faces in 3-D as ``visualization_msgs/MarkerArray``.

Each part of a face has a namespace, which RViz lets one switch off by itself: ``head`` (an
ellipsoid in the colour of the fatigue level), ``axes`` (the face frame of REP-155), ``direction``
(an arrow where the head points; red while the eyes are closed), ``label``, and ``gaze`` (an arrow
where the eyes look, in the colour of the zone). A face has the same
number as id in all of them, for as long as it is there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from aitable_msgs.msg import Attention, Emotion, Fatigue
from aitable_ros.perception.emotion.expression import shown_name
from aitable_ros.perception.maths.rotation import Quaternion, Vector, rotate
from aitable_ros.ros_support.messages.attention import gaze_of
from aitable_ros.ros_support.messages.results import head_pose_of
from aitable_ros.visualization.overlay.drawing import Rgb
from aitable_ros.visualization.overlay.face_marks import AXIS_COLOURS
from aitable_ros.visualization.overlay.face_overlay import (
    CLOSED,
    LEVEL_COLOURS,
    OPEN,
    UNMEASURED,
    ZONE_COLOURS,
)
from aitable_ros.visualization.overlay.scene import LEVEL_NAMES, ZONE_NAMES

HEAD = 'head'
AXES = 'axes'
DIRECTION = 'direction'
LABEL = 'label'
GAZE = 'gaze'
NAMESPACES = (HEAD, AXES, DIRECTION, LABEL)
"""What every face has; its gaze comes and goes."""

HEAD_SIZE_M: Vector = (0.195, 0.152, 0.225)
"""Length, breadth and height of the ellipsoid [m] (choice: about an average adult's head)."""

HEAD_CENTRE_M: Vector = (-0.090, 0.0, -0.005)
"""Of the ellipsoid in the face frame, whose origin is the sellion [m] (choice: fits by eye)."""

AXIS_LENGTH_M = 0.12
DIRECTION_LENGTH_M = 0.30
GAZE_LENGTH_M = 0.45
LABEL_ABOVE_M = 0.17
"""How far the label's middle is above the sellion, along the head's z axis [m]."""

TEXT_HEIGHT_M = 0.032
_AXIS_WIDTH_M = 0.006
_ARROW_SIZE_M = (0.010, 0.028, 0.06)  # width of the shaft, width and length of the tip
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
        self._with_gaze: set[str] = set()

    def update(
        self,
        header: Header,
        fatigues: Mapping[str, Fatigue],
        emotions: Mapping[str, Emotion],
        attentions: Mapping[str, Attention] | None = None,
    ) -> MarkerArray:
        """
        Give the markers of one image.

        :param header: of the image; DELETE markers carry it.
        :param fatigues: by face id, of the faces to be drawn. Markers carry the header of their
            pose; without a valid one a face has no place and is not drawn.
        :param emotions: by face id; may have more or fewer faces.
        :param attentions: the same; a gaze that is not known is deleted.
        :returns: ADD for every face that has a place, DELETE for those that had one before.
        """
        poses = {k: head_pose_of(f) for k, f in fatigues.items()}
        placed = {k: pose for k, pose in poses.items() if pose is not None}
        array = MarkerArray()
        for face_id in [k for k in self._numbers if k not in placed]:
            number = self._numbers.pop(face_id)
            array.markers += [
                Marker(header=header, ns=namespace, id=number, action=Marker.DELETE)
                for namespace in (*NAMESPACES, *([GAZE] if face_id in self._with_gaze else []))
            ]
            self._with_gaze.discard(face_id)
        for face_id, pose in placed.items():
            if face_id not in self._numbers:
                self._numbers[face_id] = self._next
                self._next = (self._next + 1) % 2**31  # Marker.id is an int32
            number = self._numbers[face_id]
            array.markers += self._markers(number, pose, fatigues[face_id], emotions.get(face_id))
            attention = (attentions or {}).get(face_id)
            array.markers += self._gaze(face_id, number, pose[0], fatigues[face_id], attention)
        return array

    def _markers(
        self,
        number: int,
        pose: tuple[Vector, Quaternion],
        fatigue: Fatigue,
        emotion: Emotion | None,
    ) -> Iterator[Marker]:
        sellion, rotation = pose
        level = LEVEL_NAMES.get(fatigue.level, '')
        level_colour = LEVEL_COLOURS.get(level, UNMEASURED)

        def new(namespace: str, kind: int) -> Marker:
            return new_marker(fatigue.header, namespace, kind, self.lifetime_s, number)

        head = new(HEAD, Marker.SPHERE)
        head.pose = _pose(_moved(sellion, rotation, HEAD_CENTRE_M), rotation)
        head.scale.x, head.scale.y, head.scale.z = HEAD_SIZE_M
        head.color = _colour(level_colour, _HEAD_OPACITY)
        yield head

        axes = new(AXES, Marker.LINE_LIST)
        axes.pose = _pose(sellion, rotation)
        axes.scale.x = _AXIS_WIDTH_M
        for i, colour in enumerate(AXIS_COLOURS):
            axes.points += [Point(), Point(**{'xyz'[i]: AXIS_LENGTH_M})]
            axes.colors += [_colour(colour)] * 2
        yield axes

        arrow = new(DIRECTION, Marker.ARROW)
        arrow.pose = _pose(sellion, rotation)
        arrow.points = [Point(), Point(x=DIRECTION_LENGTH_M)]
        arrow.scale.x, arrow.scale.y, arrow.scale.z = _ARROW_SIZE_M
        arrow.color = _colour(_eye_colour(fatigue))
        yield arrow

        label = new(LABEL, Marker.TEXT_VIEW_FACING)
        label.pose = _pose(_moved(sellion, rotation, (0.0, 0.0, LABEL_ABOVE_M)), rotation)
        label.scale.z = TEXT_HEIGHT_M
        label.color = _colour(level_colour)
        label.text = label_text(fatigue, emotion)
        yield label

    def _gaze(
        self,
        face_id: str,
        number: int,
        sellion: Vector,
        fatigue: Fatigue,
        attention: Attention | None,
    ) -> Iterator[Marker]:
        """Give the arrow of the gaze, or what deletes the last one."""
        arrow = new_marker(fatigue.header, GAZE, Marker.ARROW, self.lifetime_s, number)
        gaze = gaze_of(attention, fatigue.header)
        if attention is None or gaze is None:
            arrow.action = Marker.DELETE
            if face_id in self._with_gaze:
                self._with_gaze.discard(face_id)
                yield arrow
            return
        self._with_gaze.add(face_id)
        x, y, z = sellion
        end = (v + GAZE_LENGTH_M * d for v, d in zip(sellion, gaze))
        arrow.points = [Point(x=x, y=y, z=z), Point(**dict(zip('xyz', end)))]
        arrow.scale.x, arrow.scale.y, arrow.scale.z = _ARROW_SIZE_M
        arrow.color = _colour(_gaze_colour(attention))
        yield arrow


def _gaze_colour(attention: Attention) -> Rgb:
    return ZONE_COLOURS.get(ZONE_NAMES.get(attention.zone, ''), UNMEASURED)


def new_marker(
    header: Header, namespace: str, kind: int, lifetime_s: float, number: int = 0
) -> Marker:
    """
    Give a marker without form or place.

    :param lifetime_s: as :class:`FaceMarkers` has it [s].
    """
    marker = Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD)
    seconds, nanoseconds = divmod(round(lifetime_s * 1e9), 1_000_000_000)
    marker.lifetime = Duration(sec=seconds, nanosec=nanoseconds)
    marker.pose.orientation.w = 1.0
    return marker


def label_text(fatigue: Fatigue, emotion: Emotion | None) -> str:
    """Give the lines above a head: id and expression, PERCLOS, level, as far as known."""
    first = fatigue.face_id
    if emotion is not None and emotion.expression != Emotion.UNKNOWN:
        first += f'  {shown_name(emotion.expression)}'
        if emotion.expression != Emotion.UNCERTAIN and not math.isnan(emotion.confidence):
            first += f' {100 * emotion.confidence:.0f}%'
    lines = [first]
    if not math.isnan(fatigue.perclos):
        lines.append(f'PERCLOS {100 * fatigue.perclos:.0f}%')
    level = LEVEL_NAMES.get(fatigue.level, '')
    if level:
        lines.append(level)
    return '\n'.join(lines)


def _eye_colour(fatigue: Fatigue) -> Rgb:
    if fatigue.eye_state == Fatigue.EYES_UNKNOWN:
        return UNMEASURED
    return CLOSED if fatigue.eyes_closed else OPEN


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
