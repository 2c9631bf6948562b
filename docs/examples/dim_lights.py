#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Lower the lights while somebody at the table is tired or asleep: docs/tutorial.md."""

from __future__ import annotations

import contextlib
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Float32

from aitable_msgs.msg import Alert

KEPT = QoSProfile(depth=32, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Who comes late still hears the last ones."""


class DimLights(Node):
    """Turns alerts into the brightness of a lamp, 0 to 1."""

    def __init__(self, name: str = 'dim_lights', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.declare_parameter('dimmed', 0.3)
        self._reasons: dict[tuple[str, int], str] = {}
        self._lamp = self.create_publisher(Float32, 'light/brightness', KEPT)
        self.create_subscription(Alert, 'alerts', self._on_alert, KEPT)

    def _on_alert(self, alert: Alert) -> None:
        if alert.cause not in (Alert.ASLEEP, Alert.TIRED):
            return
        before = bool(self._reasons)
        # One person can have several alerts, and several people can be tired.
        key = (alert.person_id, alert.cause)
        if alert.level == Alert.NONE:
            self._reasons.pop(key, None)
        else:
            self._reasons[key] = alert.reason
        if bool(self._reasons) == before:
            return
        brightness = self.get_parameter('dimmed').value if self._reasons else 1.0
        self._lamp.publish(Float32(data=brightness))
        reason = '; '.join(self._reasons.values()) or 'nobody is tired'
        self.get_logger().info(f'brightness {brightness:.1f}: {reason}')


def main() -> None:
    """Run the node until it is interrupted."""
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(DimLights())


if __name__ == '__main__':
    main()
