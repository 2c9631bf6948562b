# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded TF messages: frames of faces are computed anew, those of others are kept."""

from __future__ import annotations

import re

from aitable_ros.bags import find_definition
from aitable_ros.bags.definitions import Canonical

TF_TYPE = 'tf2_msgs/msg/TFMessage'

SHARED_TYPES = (TF_TYPE,)
"""Types of topics on which others publish, too: recorded messages on them are kept."""

FACE_FRAME = re.compile(r'face_f(\d+_)?\d+')
"""Names of the frames that the nodes broadcast."""


def without_faces(data: bytes) -> bytes | None:
    """
    Take the frames of faces, which are computed anew, out of a recorded TF message.

    :param data: a serialised tf2_msgs/TFMessage.
    :returns: what is left: the message itself where it has no face; None where it has nothing
        else, or cannot be read.
    """
    from rclpy.serialization import deserialize_message, serialize_message
    from tf2_msgs.msg import TFMessage

    try:
        message = deserialize_message(data, TFMessage)
    except Exception:  # rclpy raises what the middleware does
        return None
    others = [t for t in message.transforms if not FACE_FRAME.fullmatch(t.child_frame_id)]
    if len(others) == len(message.transforms):
        return data
    definition = find_definition(TF_TYPE)
    if not others or definition is None:
        return None
    return Canonical(definition)(serialize_message(TFMessage(transforms=others)))
