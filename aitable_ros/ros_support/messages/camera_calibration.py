# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The camera's calibration as a node knows it: what camera_info last said."""

from __future__ import annotations

from typing import Any

from rclpy.qos import (
    DurabilityPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from sensor_msgs.msg import CameraInfo

from aitable_ros.perception.head.calibration import Calibration
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.ros_support.process.seldom import SeldomLog

LOOK_S = 1.0
"""How often it is looked whether somebody publishes calibrations that are kept for later."""

_LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


class CameraCalibration(Calibration):
    """
    Listens to ``camera_info``, also where it was published before and is kept (latched).

    One subscription cannot do both: one that asks for what is kept gets nothing of publishers
    that keep nothing, and makes them warn of it. So there is a second one where it is of use.

    :param node: a working node, whose log tells of faults.
    """

    def __init__(self, node: Any) -> None:
        super().__init__()
        self._node = node
        self._log = SeldomLog(node.get_logger)
        self._subscriptions: list[Any] = []
        self._timer: Any = None

    def start(self) -> None:
        """Subscribe; in the executor's thread."""
        if self._subscriptions:
            return
        self._subscribe(qos_profile_sensor_data)
        self._timer = self._node.create_timer(
            LOOK_S, self._look, clock=self._node.meters.steady_clock
        )
        self._look()

    def stop(self) -> None:
        """Unsubscribe; what is known stays."""
        self._end_look()
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
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

    def _subscribe(self, qos: QoSProfile) -> None:
        self._subscriptions.append(
            self._node.create_subscription(CameraInfo, 'camera_info', self.take, qos)
        )

    def _look(self) -> None:
        topic = self._subscriptions[0].topic_name
        for publisher in self._node.get_publishers_info_by_topic(topic):
            if publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
                self._end_look()
                self._subscribe(_LATCHED)
                return

    def _end_look(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            self._node.destroy_timer(timer)

    def _log_unlike(self, before: str) -> None:
        if self.problem and self.problem != before:
            self._log.warn(self.problem.partition(':')[0], self.problem)
