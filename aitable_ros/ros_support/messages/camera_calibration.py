# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The camera's calibration as a node knows it: what camera_info last said."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo

from aitable_ros.perception.head.camera import Camera, CameraIntrinsics


class CameraCalibration:
    """
    Listens to ``camera_info`` and checks it.

    :param node: the node that listens; it is told off in the log once for each fault.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._subscription: Any = None
        self._last: tuple[CameraInfo, bool] | None = None
        self.rectified = False
        """The images are rectified: P counts, not K and D."""
        self.intrinsics: CameraIntrinsics | None = None
        """None: not calibrated."""
        self.problem = ''
        """Why what was received is not used; empty: it is, or there was nothing."""

    @property
    def description(self) -> str:
        """What is used, in words."""
        return self.problem or ('camera_info' if self.intrinsics else 'assumed field of view')

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
        """Take a message; one that says nothing new costs nothing."""
        if self._last is not None and self._last == (message, self.rectified):
            return
        self._last = (message, self.rectified)
        self.intrinsics, self.problem = None, ''
        try:
            intrinsics = CameraIntrinsics.from_camera_info(message, rectified=self.rectified)
            if intrinsics is not None:
                Camera.from_intrinsics(intrinsics, intrinsics.image_size_px)
                self.intrinsics = intrinsics
            else:
                self.problem = 'camera_info is not calibrated: assumed field of view'
        except ValueError as error:
            self.problem = f'camera_info is not used: {error}'
        if self.problem:
            self._node.get_logger().warning(self.problem)

    def refuse(self, error: ValueError) -> None:
        """Use it no more: it turned out not to go with the images."""
        self.intrinsics = None
        self.problem = f'camera_info is not used: {error}'
        self._node.get_logger().warning(self.problem)
