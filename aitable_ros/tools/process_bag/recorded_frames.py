# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is recorded on topics on which others publish, too: only what is computed anew goes."""

from __future__ import annotations

import re
from collections.abc import Collection

from aitable_ros.bags import find_definition
from aitable_ros.bags.definitions import Canonical
from aitable_ros.perception.events import EventKind

TF_TYPE = 'tf2_msgs/msg/TFMessage'

EVENT_TYPE = 'aitable_msgs/msg/Event'

SHARED_TYPES = (TF_TYPE, EVENT_TYPE)
"""Types of topics on which others publish, too: recorded messages on them are kept."""

FRAMES = {
    'fatigue': re.compile(r'face_f(\d+_)?\d+'),
    'attention': re.compile(r'gaze_f(\d+_)?\d+'),
}
"""Names of the frames that the nodes broadcast."""

EVENTS = {'fatigue': range(EventKind.BLINK, EventKind.NOD + 1)}
"""Kinds of events that a node tells of; attention tells of all others."""


def without_computed(data: bytes, type_name: str, nodes: Collection[str]) -> bytes | None:
    """
    Take what is computed anew out of a recorded message.

    :param data: serialised, of one of :data:`SHARED_TYPES`.
    :param type_name: which.
    :param nodes: that run.
    :returns: what is left; None: nothing.
    """
    if type_name == TF_TYPE:
        return _without_frames(data, nodes)
    return None if _teller(data) in nodes else data


def _teller(data: bytes) -> str:
    """Tell which node a recorded event is from; what cannot be read is replaced, too."""
    from rclpy.serialization import deserialize_message

    from aitable_msgs.msg import Event

    try:
        kind = deserialize_message(data, Event).kind
    except Exception:  # rclpy raises what the middleware does
        return 'attention'
    return next((node for node, kinds in EVENTS.items() if kind in kinds), 'attention')


def _without_frames(data: bytes, nodes: Collection[str]) -> bytes | None:
    """
    Take the frames that are computed anew out of a recorded TF message.

    :param data: a serialised tf2_msgs/TFMessage.
    :param nodes: that run.
    :returns: what is left: the message itself where it has no face; None where it has nothing
        else, or cannot be read.
    """
    from rclpy.serialization import deserialize_message, serialize_message
    from tf2_msgs.msg import TFMessage

    try:
        message = deserialize_message(data, TFMessage)
    except Exception:  # rclpy raises what the middleware does
        return None
    ours = [frame for node, frame in FRAMES.items() if node in nodes]
    others = [
        t for t in message.transforms if not any(f.fullmatch(t.child_frame_id) for f in ours)
    ]
    if len(others) == len(message.transforms):
        return data
    definition = find_definition(TF_TYPE)
    if not others or definition is None:
        return None
    return Canonical(definition)(serialize_message(TFMessage(transforms=others)))
