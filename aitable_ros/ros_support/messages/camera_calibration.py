# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The camera's calibration as a node knows it: what camera_info last said."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo

from aitable_ros.perception.head.calibration import Calibration
from aitable_ros.perception.head.camera import CameraIntrinsics


class CameraCalibration(Calibration):
    """Listens to ``camera_info``; the node's log tells of each fault once."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node
        self._subscription: Any = None

    def start(self) -> None:
        """Subscribe; in the executor's thread."""
        if self._subscription is None:
            self._subscription = self._node.create_subscription(
                CameraInfo, 'camera_info', self.take, qos_profile_sensor_data
            )

    def stop(self) -> None:
        """Unsubscribe; what is known stays."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._node.destroy_subscription(subscription)

    def take(self, message: CameraInfo) -> None:
        """Take a message, and log what is wrong with it."""
        before = self.problem
        super().take(message)
        self._log_unlike(before)

    def for_size(self, size_px: tuple[int, int]) -> CameraIntrinsics | None:
        """Give the intrinsics for images of a size, and log why there are none any more."""
        before = self.problem
        intrinsics = super().for_size(size_px)
        self._log_unlike(before)
        return intrinsics

    def _log_unlike(self, before: str) -> None:
        if self.problem and self.problem != before:
            self._node.get_logger().warning(self.problem)
