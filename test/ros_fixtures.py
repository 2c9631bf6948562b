# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the ROS tests share: a context of their own, spun in the background."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest


class RosGraph:
    """
    Nodes of one test, in a context of their own, spun by one executor.

    Everything goes through real DDS, in the domain of the environment.
    """

    def __init__(self) -> None:
        import rclpy
        from rclpy.context import Context

        from aitable_ros.ros_support.process.executor import make_executor

        self.context = Context()
        rclpy.init(args=[], context=self.context)
        self.executor = make_executor(self.context)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._stopping = False
        self._nodes: list[Any] = []
        self.peer = self.add(rclpy.create_node('test_peer', context=self.context))
        self._thread.start()

    def add(self, node: Any) -> Any:
        self._nodes.append(node)
        self.executor.add_node(node)
        return node

    def make(self, node_class: Any, name: str | None = None, **parameters: Any) -> Any:
        """Make and spin a node with these parameters ('__' in a name stands for '.')."""
        from rclpy.parameter import Parameter

        overrides = [Parameter(key.replace('__', '.'), value=v) for key, v in parameters.items()]
        kwargs: dict[str, Any] = {'context': self.context, 'parameter_overrides': overrides}
        return self.add(node_class(name, **kwargs) if name else node_class(**kwargs))

    def run(self, function: Callable[[], Any]) -> Any:
        """Call a function in the executor's thread, where entities may be made and destroyed."""
        results: list[Any] = []

        def call() -> None:
            try:
                results.append((function(), None))
            except BaseException as error:
                results.append((None, error))

        self.executor.create_task(call)
        assert until(lambda: results), 'the executor did not answer'
        result, error = results[0]
        if error is not None:
            raise error
        return result

    def remove(self, node: Any) -> None:
        self._nodes.remove(node)

        def remove() -> None:
            self.executor.remove_node(node)
            node.destroy_node()

        self.run(remove)

    def collect(self, message_type: Any, topic: str, depth: int = 100) -> list[Any]:
        """Return a list that fills with what is published on a topic."""
        heard: list[Any] = []
        self.run(lambda: self.peer.create_subscription(message_type, topic, heard.append, depth))
        return heard

    def call(self, service_type: Any, name: str, request: Any, timeout_s: float = 10.0) -> Any:
        """Call a service of this context's nodes."""
        return self._call(service_type, name, request, timeout_s, timeout_s)

    def trigger(self, name: str) -> Any:
        """Call a service without arguments."""
        from std_srvs.srv import Trigger

        return self.call(Trigger, name, Trigger.Request())

    def status(self, condition: Callable[[Any], Any]) -> Any:
        """Wait for a status among the diagnostics; return the newest one."""
        from diagnostic_msgs.msg import DiagnosticArray

        heard = self.collect(DiagnosticArray, '/diagnostics')

        def latest() -> Any:
            return next((s for m in reversed(heard) for s in m.status if condition(s)), None)

        assert until(latest), [s.message for m in heard for s in m.status]
        return latest()

    def call_process(
        self, service_type: Any, name: str, request: Any, timeout_s: float = 60.0
    ) -> Any:
        """
        Call a service of another process, and again if there is no reply.

        Fast DDS drops what goes to a client that the server has not discovered in full ("client
        will not receive response"), also where the client has discovered the server.
        """
        return self._call(service_type, name, request, timeout_s, 5.0)

    def _call(
        self, service_type: Any, name: str, request: Any, timeout_s: float, patience_s: float
    ) -> Any:
        client = self.run(lambda: self.peer.create_client(service_type, name))
        deadline = time.monotonic() + timeout_s
        try:
            assert client.wait_for_service(timeout_s), f'no service {name}'
            while True:
                future = client.call_async(request)
                if until(future.done, patience_s):
                    return future.result()
                assert time.monotonic() < deadline, f'no reply from {name}'
        finally:
            self.run(lambda: self.peer.destroy_client(client))

    def stop_spinning(self) -> None:
        self._stopping = True
        self.executor.create_task(lambda: None)  # the events executor's wake() lets it wait on
        self._thread.join(10.0)

    def close(self) -> None:
        self.stop_spinning()
        self._let_go()
        for node in reversed(self._nodes):
            node.destroy_node()
        self._let_go()
        self.executor.shutdown(timeout_sec=5.0)
        self.context.try_shutdown()
        assert not self._thread.is_alive(), 'the executor did not stop'

    def _let_go(self) -> None:
        """Begin all that the events executor keeps, and with it nodes, for good otherwise."""
        from rclpy._rclpy_pybind11 import InvalidHandle

        last = self.executor.create_task(lambda: None)
        for _ in range(100):
            if last.done() or not self.context.ok():
                return
            with suppress(InvalidHandle):  # of what was destroyed meanwhile
                self.executor.spin_until_future_complete(last, timeout_sec=1.0)

    def _spin(self) -> None:
        while not self._stopping:
            self.executor.spin_once(timeout_sec=0.1)


def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> bool:
    """Wait until a condition holds; tell whether it did."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def set_parameter(node: Any, name: str, value: Any) -> Any:
    """Set one parameter; tell whether it was taken, and if not why."""
    from rclpy.parameter import Parameter

    (result,) = node.set_parameters([Parameter(name, value=value)])
    return result


def image_message(rgb: np.ndarray, stamp_s: float, frame_id: str = 'camera') -> Any:
    """Make an rgb8 Image with a stamp."""
    from std_msgs.msg import Header

    from aitable_ros.ros_support.frames.image_conversion import rgb_to_image

    header = Header(frame_id=frame_id)
    nanoseconds = round(stamp_s * 1e9)
    header.stamp.sec, header.stamp.nanosec = divmod(nanoseconds, 1_000_000_000)
    return rgb_to_image(rgb, header, 'rgb8')


@pytest.fixture
def graph():
    pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
    graph = RosGraph()
    yield graph
    graph.close()


@pytest.fixture(autouse=True)
def quick_diagnostics(monkeypatch):
    """Let nodes report ten times a second, for tests that wait for it."""
    if importlib.util.find_spec('rclpy') is not None:
        monkeypatch.setattr('aitable_ros.ros_support.node.diagnostics.PERIOD_S', 0.1)
