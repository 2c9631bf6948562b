# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Readings <-> messages of attention and events."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from std_msgs.msg import Header

from aitable_msgs.msg import Attention, Event, Fatigue
from aitable_ros.perception.head.head_pose import HeadPose
from aitable_ros.perception.maths.rotation import Quaternion, Vector, from_matrix
from aitable_ros.ros_support.messages.results import head_pose_of, transform

if TYPE_CHECKING:
    from aitable_ros.perception.attention.observer import AttentionReading
    from aitable_ros.perception.events import PersonEvent


def attention_to_message(reading: AttentionReading, header: Header) -> Attention:
    """Make the message for the attention of one face; ``header`` is the image's."""
    message = Attention(
        header=header,
        face_id=reading.face.face_id,
        backend=reading.backend,
        **reading.fields(),
    )
    towards = message.gaze_direction
    towards.x, towards.y, towards.z = reading.gaze.direction
    return message


def event_to_message(event: PersonEvent, header: Header) -> Event:
    """Make the message for an event; ``header`` is that of the image that made it certain."""
    return Event(
        header=header,
        person_id=event.person,
        start=time_of(event.start_s),
        kind=event.kind,
        duration=float(event.duration_s),
        value=float(event.value),
        truncated=bool(event.truncated),
    )


def time_of(stamp_s: float) -> Time:
    """Give header time in seconds as a message, to microseconds; what is no such time: 0."""
    if not abs(stamp_s) < 2**31 - 1:
        return Time()
    seconds, microseconds = divmod(round(stamp_s * 1e6), 1_000_000)
    return Time(sec=seconds, nanosec=1000 * microseconds)


def head_pose_from(fatigue: Fatigue) -> HeadPose | None:
    """Give the head pose of a message; None where there is none, or it is no pose."""
    found = head_pose_of(fatigue)
    if found is None:
        return None
    position, orientation = found
    try:
        return HeadPose(orientation, position, 0.0, 0.0, bool(fatigue.head_pose_calibrated))
    except ValueError:
        return None


def gaze_of(attention: Attention | None, header: Header | None = None) -> Vector | None:
    """
    Give the gaze of a message: a unit vector in the camera's optical frame.

    :param attention: of the face; None: there is none.
    :param header: only of the very image with this header.
    :returns: None where there is none, or it is no direction.
    """
    if attention is None or not attention.gaze_valid:
        return None
    if header is not None and attention.header.stamp != header.stamp:
        return None
    vector = attention.gaze_direction
    direction = (vector.x, vector.y, vector.z)
    return direction if abs(math.hypot(*direction) - 1.0) < 1e-3 else None


def gaze_frame(
    header: Header, face_id: str, position_m: Vector, direction: Vector
) -> TransformStamped:
    """
    Give frame ``gaze_<id>`` of REP-155: z along the gaze, x to the right, y down.

    :param position_m: where it begins, in the camera's optical frame.
    :param direction: unit vector of the gaze in it.
    """
    return transform(header, f'gaze_{face_id}', position_m, gaze_orientation(direction))


def gaze_orientation(direction: Vector) -> Quaternion:
    """
    Give the orientation of an optical frame that looks along a direction, its x level.

    :param direction: unit vector in the camera's optical frame.
    """
    x, y, z = direction
    level = math.hypot(x, z)
    # right of who looks along it: down x forward, down being the camera's y
    right = (z / level, 0.0, -x / level) if level > 1e-6 else (-1.0, 0.0, 0.0)
    down = (y * right[2], z * right[0] - x * right[2], -y * right[0])
    return from_matrix(tuple(zip(right, down, direction)))
