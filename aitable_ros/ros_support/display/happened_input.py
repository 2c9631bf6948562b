# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Events and alerts for nodes that show them: the last events, and the alerts that are on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile

from aitable_msgs.msg import Alert, Event
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns
from aitable_ros.ros_support.messages.scalars import scalars_of, to_json

KEPT_EVENTS = 20
KEPT_ALERTS = 32

ABOUT = ('header',)

Tell = Callable[[str, str], None]


class HappenedInput:
    """
    Keeps what has happened last.

    :param node: subscribes, in its executor's thread.
    :param tell: gets a kind and JSON whenever something has changed.
    """

    def __init__(self, node: Any, tell: Tell) -> None:
        self._node, self._tell = node, tell
        self._subscriptions: list[Any] = []
        self._lock = threading.Lock()
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self._alerts: dict[tuple[str, int], dict[str, Any]] = {}

    def follow(self, wanted: bool) -> None:
        """Subscribe, or unsubscribe; in the executor's thread."""
        node = self._node
        if wanted and not self._subscriptions:
            latched = QoSProfile(depth=KEPT_ALERTS, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            self._subscriptions = [
                node.create_subscription(Event, 'events', self.take_event, 100),
                node.create_subscription(Alert, 'alerts', self.take_alert, latched),
            ]
        elif not wanted:
            subscriptions, self._subscriptions = self._subscriptions, []
            for subscription in subscriptions:
                node.destroy_subscription(subscription)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._events.clear()
            self._alerts.clear()

    def take_event(self, message: Event) -> None:
        """Keep an event; blinks, which are many, are counted elsewhere."""
        if message.kind == Event.BLINK:
            return
        event = {**scalars_of(message, ABOUT), 'start': stamp_to_ns(message.start) * 1e-9}
        with self._lock:
            self._events.append(event)
        self._tell('events', self._events_text())

    def take_alert(self, message: Alert) -> None:
        """Keep an alert until it is over."""
        key = (message.person_id, message.cause)
        with self._lock:
            self._alerts.pop(key, None)
            if message.level != Alert.NONE:
                self._alerts[key] = scalars_of(message, ABOUT)
            while len(self._alerts) > KEPT_ALERTS:
                del self._alerts[next(iter(self._alerts))]
        self._tell('alerts', self._alerts_text())

    def greeting(self) -> dict[str, str]:
        """Give what is known, by kind; from any thread."""
        return {'events': self._events_text(), 'alerts': self._alerts_text()}

    def _events_text(self) -> str:
        with self._lock:
            return to_json({'events': list(self._events)})

    def _alerts_text(self) -> str:
        with self._lock:
            alerts = sorted(self._alerts.values(), key=lambda alert: -alert['level'])
        return to_json({'alerts': alerts})
