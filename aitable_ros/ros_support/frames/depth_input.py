# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The depth image that goes with a camera image."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from aitable_ros.perception.images.decoding import ImageConversionError
from aitable_ros.perception.posture.distance import DepthImage
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns
from aitable_ros.ros_support.messages.depth import depth_from_message
from aitable_ros.ros_support.process.seldom import SeldomLog

BUFFER = 10


class DepthInput:
    """Listens to ``depth/image_raw``; the node's log tells of faults."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._log = SeldomLog(node.get_logger)
        self._subscription: Any = None
        self._lock = threading.Lock()
        self._messages: deque[Image] = deque(maxlen=BUFFER)
        self.problem = ''
        """Why there is no depth, where it is wanted; empty: there is."""

    def follow(self, wanted: bool) -> None:
        """Subscribe or unsubscribe; in the executor's thread."""
        if wanted and self._subscription is None:
            self._subscription = self._node.create_subscription(
                Image, 'depth/image_raw', self._take, qos_profile_sensor_data
            )
        elif not wanted and self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            self._node.destroy_subscription(subscription)
            with self._lock:
                self._messages.clear()

    def at(self, stamp_ns: int, size_px: tuple[int, int], tolerance_s: float) -> DepthImage | None:
        """
        Give the depth image that is nearest in time, if there is one that fits.

        :param stamp_ns: stamp of the camera image [ns].
        :param size_px: its width and height.
        :param tolerance_s: how far the stamps may lie apart [s].
        """
        if self._subscription is None:
            self.problem = ''
            return None
        with self._lock:
            messages = tuple(self._messages)

        def apart_s(message: Image) -> float:
            return abs(stamp_to_ns(message.header.stamp) - stamp_ns) * 1e-9

        depth, problem = None, 'no depth image of that time'
        nearest = min(messages, key=apart_s, default=None)
        if nearest is not None and apart_s(nearest) <= tolerance_s:
            try:
                depth, problem = depth_from_message(nearest), ''
                if not depth.fits(size_px):
                    depth, problem = None, 'the depth image is not registered to the image'
            except ImageConversionError as error:
                problem = str(error)
        if problem and problem != self.problem:
            self._log.warn('depth', f'depth is not used: {problem}')
        self.problem = problem
        return depth

    def _take(self, message: Image) -> None:
        with self._lock:
            self._messages.append(message)
