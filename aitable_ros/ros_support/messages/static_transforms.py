# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms that never change: where the camera stands on its table."""

from __future__ import annotations

import math
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from aitable_ros.perception.maths import rotation
from aitable_ros.perception.maths.rotation import Quaternion, Vector

_MAX_LINKS = 64

Transform = tuple[Vector, Quaternion]
"""Translation [m] and rotation (x, y, z, w) of a child frame in its parent."""


class StaticTransforms:
    """Listens to ``/tf_static``; where tf2_msgs is not installed, :attr:`problem` says so."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._subscription: Any = None
        self._parents: dict[str, tuple[str, Transform]] = {}
        self.problem = ''

    def follow(self, wanted: bool) -> None:
        """Subscribe, or unsubscribe and keep what is known; in the executor's thread."""
        subscription = self._subscription
        if not wanted and subscription is not None:
            self._subscription = None
            self._node.destroy_subscription(subscription)
        elif wanted and subscription is None:
            try:
                from tf2_msgs.msg import TFMessage
            except ImportError as error:
                self.problem = f'TF is not available: {error}'
                return
            qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            self._subscription = self._node.create_subscription(
                TFMessage, '/tf_static', self.take, qos
            )

    def take(self, message: Any) -> None:
        """Take a tf2_msgs/TFMessage; transforms that are no rotation are ignored."""
        parents = dict(self._parents)
        for stamped in message.transforms:
            t, q = stamped.transform.translation, stamped.transform.rotation
            translation = (float(t.x), float(t.y), float(t.z))
            if not all(map(math.isfinite, translation)):
                continue
            try:
                turn = rotation.normalized((q.x, q.y, q.z, q.w))
            except ValueError:
                continue
            child, parent = _name(stamped.child_frame_id), _name(stamped.header.frame_id)
            parents[child] = (parent, (translation, turn))
        self._parents = parents  # replaced at once: the worker thread may be reading

    def lookup(self, target: str, source: str) -> Transform | None:
        """Give what takes vectors of ``source`` to ``target``; None: they are not connected."""
        up = self._to_root(_name(source))
        down = self._to_root(_name(target))
        common = next((frame for frame in up if frame in down), None)
        if common is None:
            return None
        (t, q), (u, p) = up[common], down[common]
        back = rotation.inverse(p)
        difference = (t[0] - u[0], t[1] - u[1], t[2] - u[2])
        return rotation.rotate(back, difference), rotation.product(back, q)

    def _to_root(self, frame: str) -> dict[str, Transform]:
        """Give the transforms to a frame and to each of its ancestors, the nearest first."""
        found: dict[str, Transform] = {frame: ((0.0, 0.0, 0.0), rotation.IDENTITY)}
        parents = self._parents
        while frame in parents and len(found) <= _MAX_LINKS:
            parent, (translation, turn) = parents[frame]
            t, q = found[frame]
            x, y, z = rotation.rotate(turn, t)
            if parent in found:  # a loop is no tree
                break
            found[parent] = (
                (x + translation[0], y + translation[1], z + translation[2]),
                rotation.product(turn, q),
            )
            frame = parent
        return found


def _name(frame: str) -> str:
    """Take off the leading slash that ROS 1 had."""
    return frame.lstrip('/')
