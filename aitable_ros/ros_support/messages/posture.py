# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Posture readings <-> messages of aitable_msgs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from std_msgs.msg import Header

from aitable_msgs.msg import Posture
from aitable_ros.perception.posture.body_keypoints import KEYPOINT_COUNT, BodyKeypoints
from aitable_ros.ros_support.messages.results import floats

if TYPE_CHECKING:  # who draws postures does not observe them
    from aitable_ros.perception.posture.observer import PostureReading


def posture_to_message(reading: PostureReading, header: Header) -> Posture:
    """Make the message for the posture of the person; ``header`` is the image's."""
    width, height = reading.size_px
    message = Posture(
        header=header,
        backend=reading.backend,
        image_width=width,
        image_height=height,
        **reading.fields(),
    )
    body = reading.body
    if body is not None:
        message.keypoints = floats(body.xy_px)
        message.visibility = floats(body.visibility)
        if body.world_m is not None:
            message.world = floats(body.world_m)
    return message


def keypoints_of(message: Posture) -> BodyKeypoints | None:
    """Give the keypoints of a message; None when it has none, or not 33."""
    xy = np.frombuffer(message.keypoints, np.float32)
    visibility = np.frombuffer(message.visibility, np.float32)
    world = np.frombuffer(message.world, np.float32)
    if xy.size != 2 * KEYPOINT_COUNT or visibility.size != KEYPOINT_COUNT:
        return None
    return BodyKeypoints(
        xy.reshape(-1, 2),
        visibility,
        math.nan,
        world.reshape(-1, 3) if world.size == 3 * KEYPOINT_COUNT else None,
    )
