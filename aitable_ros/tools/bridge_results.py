# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Carries the results of a table from its own ROS domain into that of the building."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

RESULTS = ('emotion', 'fatigue', 'attention', 'posture', 'events', 'alerts')
"""Topics of a table; images and faces stay where they are."""

LATCHED = ('alerts',)
DIAGNOSTICS = '/diagnostics'
DEPTH, LATCHED_DEPTH = 20, 32


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool, until it is interrupted.

    :param argv: arguments; None for those of the process.
    :returns: 0; 1 when ROS is not there or the domains are one.
    """
    options = _parser().parse_args(argv)
    if options.table_domain == options.building_domain:
        return _fail('the two domains are the same: nothing to bridge')
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        return _fail(f'{error}: source a ROS 2 installation first')
    ended = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
    building = {
        'ROS_DISCOVERY_SERVER': options.discovery_server,
        'ROS_AUTOMATIC_DISCOVERY_RANGE': options.range,
    }
    domains = options.table_domain, options.building_domain
    with Bridge(*domains, options.namespace, building) as bridge:
        print(f'bridge_results: {", ".join(bridge.topics)}', file=sys.stderr)
        ended.wait()
    return 0


class Bridge:
    """
    Subscribes in one domain, publishes the same bytes in the other. Use it as a context manager.

    :param table_domain: where the table's nodes are.
    :param building_domain: where the others listen.
    :param namespace: of the table, in both.
    :param building: environment variables that count for the building's domain alone; empty
        ones: as for the table's.
    """

    def __init__(
        self,
        table_domain: int,
        building_domain: int,
        namespace: str,
        building: Mapping[str, str] | None = None,
    ) -> None:
        base = f'/{namespace.strip("/")}'.rstrip('/')
        self.topics = (*(f'{base}/{name}' for name in RESULTS), DIAGNOSTICS)
        set_there = {name: value for name, value in (building or {}).items() if value}
        self._sides: tuple[tuple[int, Mapping[str, str]], ...] = (
            (table_domain, {}),
            (building_domain, set_there),
        )
        self._prefix = base.lstrip('/')
        self._ended = threading.Event()

    def __enter__(self) -> Bridge:
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        self._contexts: list[Any] = []
        nodes: list[Any] = []
        for domain, environment in self._sides:
            with _environment(environment):
                context = Context()
                context.init([], domain_id=domain, initialize_logging=not nodes)
                self._contexts.append(context)
                nodes.append(
                    Node(
                        'bridge_results',
                        context=context,
                        namespace=self._prefix or None,
                        use_global_arguments=False,
                        enable_rosout=False,
                        start_parameter_services=False,
                    )
                )
        self._here, self._there = nodes
        for topic in self.topics:
            self._carry(topic)
        self._executor = SingleThreadedExecutor(context=self._contexts[0])
        self._executor.add_node(self._here)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        for node, context in zip((self._here, self._there), self._contexts):
            node.destroy_node()
            context.try_shutdown()

    def _carry(self, topic: str) -> None:
        import importlib

        from rclpy.qos import DurabilityPolicy, QoSProfile

        name = topic.rpartition('/')[2]
        package, kind = 'aitable_msgs', {'events': 'Event', 'alerts': 'Alert'}.get(name, '')
        if topic == DIAGNOSTICS:
            package, kind = 'diagnostic_msgs', 'DiagnosticArray'
        message = getattr(importlib.import_module(f'{package}.msg'), kind or name.capitalize())
        qos = QoSProfile(depth=DEPTH)
        if name in LATCHED:
            qos = QoSProfile(depth=LATCHED_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        publisher = self._there.create_publisher(message, topic, qos)
        self._here.create_subscription(message, topic, publisher.publish, qos, raw=True)

    def _spin(self) -> None:
        while not self._ended.is_set():
            self._executor.spin_once(timeout_sec=0.1)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while: the middleware reads them when it begins."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _fail(text: str) -> int:
    print(f'bridge_results: error: {text}', file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='bridge_results',
        description=(
            'Carry what the nodes of a table say (emotion, fatigue, attention, posture, events,'
            " alerts, diagnostics) into the building's ROS domain, as the same bytes. Images and"
            ' faces stay on the table.'
        ),
        epilog='It runs until Ctrl-C. Exit status: 0; 1 when it cannot begin.',
    )
    parser.add_argument('--namespace', metavar='NS', required=True, help='of the table')
    parser.add_argument(
        '--table-domain', metavar='ID', type=_domain, required=True, help='where its nodes are'
    )
    parser.add_argument(
        '--building-domain', metavar='ID', type=_domain, default=0, help='default: 0'
    )
    parser.add_argument(
        '--discovery-server',
        metavar='HOST:PORT',
        default='',
        help="server by which the building's domain is discovered (Fast DDS)",
    )
    parser.add_argument(
        '--range',
        choices=('LOCALHOST', 'SUBNET', 'SYSTEM_DEFAULT'),
        default='',
        help="ROS_AUTOMATIC_DISCOVERY_RANGE of the building's domain (default: as the table's)",
    )
    return parser


def _domain(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 101:
        raise argparse.ArgumentTypeError(f'{text} is no domain: 0 to 101')
    return value
