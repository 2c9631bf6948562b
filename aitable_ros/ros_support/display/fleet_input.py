# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""All tables of a graph, for the page of many: levels, alerts and diagnostics, no pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile

from aitable_msgs.msg import Alert, Fatigue
from aitable_ros.ros_support.messages.scalars import to_json

PERIOD_S = 1.0
GONE_S = 3.0
"""Who was not told of for so long has left; that is as long as a face is remembered."""

SILENT_S = 5.0
"""A node that has not reported for so long is silent: it reports every second."""

FORGOTTEN_S = 24 * 3600.0
"""A table that was not heard for so long is not shown any more."""

MAX_TABLES = 512
KEPT_ALERTS = 32

Tell = Callable[[str, str], None]
Clock = Callable[[], float]

_FIELDS = ('level', 'level_reason', 'perclos', 'perclos_valid', 'blink_rate', 'blinks_valid')
_SUFFIXES = {'fatigue': Fatigue, 'alerts': Alert}
_LATCHED = QoSProfile(depth=KEPT_ALERTS, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass
class _Table:
    """What is known of a table; times are this machine's."""

    people: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    alerts: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    nodes: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    heard_s: float = 0.0


class FleetInput:
    """
    Finds tables by their topics ``NAMESPACE/fatigue`` and ``/alerts``, and by ``/diagnostics``.

    :param node: subscribes, in its executor's thread.
    :param tell: gets a kind and JSON, once a second.
    :param clock: of this machine [s]: whether a table is silent now has nothing to do with the
        time of its images.
    """

    def __init__(self, node: Any, tell: Tell, clock: Clock = time.monotonic) -> None:
        self._node, self._tell, self._clock = node, tell, clock
        self._subscriptions: dict[str, Any] = {}
        self._timer: Any = None
        self._lock = threading.Lock()
        self._tables: dict[str, _Table] = {}

    def follow(self, wanted: bool) -> None:
        """Look for tables, or stop; in the executor's thread."""
        node = self._node
        if wanted and self._timer is None:
            self._subscriptions['/diagnostics'] = node.create_subscription(
                DiagnosticArray, '/diagnostics', self.take_diagnostics, 500
            )
            self._timer = node.create_timer(PERIOD_S, self._look)
            self._look()
        elif not wanted and self._timer is not None:
            node.destroy_timer(self._timer)
            self._timer = None
            subscriptions, self._subscriptions = self._subscriptions, {}
            for subscription in subscriptions.values():
                node.destroy_subscription(subscription)

    def clear(self) -> None:
        """Forget all tables."""
        with self._lock:
            self._tables.clear()

    def take_fatigue(self, table: str, message: Fatigue) -> None:
        """Take the reading of a person."""
        reading = {name: getattr(message, name) for name in _FIELDS}
        with self._lock:
            found, now_s = self._table(table)
            found.people[message.face_id] = now_s, reading

    def take_alert(self, table: str, message: Alert) -> None:
        """Take an alert; it is kept until it is over."""
        key = (message.person_id, message.cause)
        alert = {'level': message.level, 'person_id': message.person_id, 'reason': message.reason}
        with self._lock:
            found, _ = self._table(table)
            found.alerts.pop(key, None)
            if message.level != Alert.NONE and len(found.alerts) < KEPT_ALERTS:
                found.alerts[key] = alert

    def take_diagnostics(self, message: DiagnosticArray) -> None:
        """Take how the nodes are."""
        own = self._node.get_fully_qualified_name().lstrip('/')  # which is of no table
        for status in message.status:
            if status.hardware_id != 'aitable' or status.name == own:
                continue
            table, _, name = status.name.rpartition('/')
            level = int.from_bytes(status.level, 'big')
            backends = {
                pair.key.removesuffix(' backend'): pair.value
                for pair in status.values
                if pair.key.endswith(' backend')
            }
            said = {'name': name, 'level': level, 'message': status.message, 'backends': backends}
            with self._lock:
                found, now_s = self._table(table)
                found.nodes[name] = now_s, said

    def greeting(self) -> dict[str, str]:
        """Give what is known, by kind; from any thread."""
        return {'fleet': self._text()}

    def _table(self, name: str) -> tuple[_Table, float]:
        """Give a table that has just been heard, and when that was."""
        now_s = self._clock()
        name = name.strip('/') or '/'
        if name not in self._tables and len(self._tables) >= MAX_TABLES:
            return _Table(), now_s  # nobody looks at more
        found = self._tables.setdefault(name, _Table())
        found.heard_s = now_s
        return found, now_s

    def _look(self) -> None:
        """Subscribe to tables that have come, and tell of all."""
        node = self._node
        kinds = {f'aitable_msgs/msg/{one.__name__}': one for one in _SUFFIXES.values()}
        for topic, types in node.get_topic_names_and_types():
            table, _, suffix = topic.rpartition('/')
            kind = _SUFFIXES.get(suffix)
            if kind is None or topic in self._subscriptions or kinds.get(types[0]) is not kind:
                continue
            if len(self._subscriptions) > 2 * MAX_TABLES:
                continue
            take = self.take_fatigue if kind is Fatigue else self.take_alert
            self._subscriptions[topic] = node.create_subscription(
                kind,
                topic,
                lambda message, take=take, table=table: take(table, message),
                10 if kind is Fatigue else _LATCHED,
            )
        self._tell('fleet', self._text())

    def _text(self) -> str:
        with self._lock:
            now_s = self._clock()
            for name, table in list(self._tables.items()):
                if now_s - table.heard_s > FORGOTTEN_S:
                    del self._tables[name]
                table.people = {k: v for k, v in table.people.items() if now_s - v[0] <= GONE_S}
            tables = [
                {
                    'name': name,
                    'silent': round(now_s - table.heard_s, 1),
                    'people': [{'id': k, **v} for k, (_, v) in sorted(table.people.items())],
                    'alerts': sorted(table.alerts.values(), key=lambda one: -one['level']),
                    'nodes': [
                        said if now_s - at_s <= SILENT_S else {**said, 'level': 3}
                        for _, (at_s, said) in sorted(table.nodes.items())
                    ],
                }
                for name, table in sorted(self._tables.items())
            ]
        return to_json({'fleet': tables})
