# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Transitions and services of a node that take their time, without holding up its executor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, TypeVar

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from aitable_ros.ros_support.node.worker import Worker, run_into

R = TypeVar('R')

POLL_S = 0.1
"""How often a job that waits for the executor looks whether that one is still there."""


class NodeOperations:
    """
    A node's operations, one after the other in a thread of their own.

    They may block: on a network that loads, on the frame that is being worked on. The executor
    goes on spinning meanwhile. The thread is made by the first operation.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._thread: Worker[Any] | None = None
        self._closing = threading.Event()

    def submit(self, function: Callable[[], R]) -> Future[R]:
        """Queue an operation; its result is RuntimeError when the node is being destroyed."""
        with self._lock:
            if not self._closing.is_set():
                if self._thread is None:
                    name = f'{self._node.get_name()}_operations'
                    self._thread = Worker(name, lambda item: None, lambda error: None)
                return self._thread.call(lambda: self._run(function))
        future: Future[R] = Future()
        future.set_exception(RuntimeError('the node is being destroyed'))
        return future

    def in_executor(self, function: Callable[[], R]) -> R:
        """
        Call a function, which must not wait for an operation, in the executor's thread and wait.

        Executors go through a node's entities without a lock, so that is where an operation
        makes and destroys them. Outside of operations, and where no executor spins the node,
        the function is called right here.
        """
        executor = self._node.executor
        thread = self._thread
        if executor is None or self._closing.is_set() or thread is None or not thread.is_current:
            return function()
        future: Future[R] = Future()
        claim = threading.Lock()

        def run() -> None:
            if claim.acquire(blocking=False):  # whichever thread comes first
                run_into(future, function)

        executor.create_task(run)
        while wait([future], POLL_S).not_done:
            gone = self._node.executor is not executor or not self._node.context.ok()
            if gone or self._closing.is_set():
                run()
        return future.result()

    def close(self) -> None:
        """End the operation that is under way, drop those that wait, and end the thread."""
        with self._lock:
            self._closing.set()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def _run(self, function: Callable[[], R]) -> R:
        if self._closing.is_set():
            raise RuntimeError('the node is being destroyed')
        return function()


def reply_later(service: Any, handle: Callable[[Any, Any], Future[Any]]) -> None:
    """
    Let a service answer when a future is done; until then it takes further requests.

    rclpy's executors take what the callback returns to ``send_response``, which waits here. A
    coroutine as callback would do the same on the wait-set executors only: the events executor
    of Jazzy does not await those of services.

    :param service: the :class:`rclpy.service.Service`, whatever its callback was.
    :param handle: gets request and response, gives the future of the response.
    """
    send = service.send_response

    def send_when_done(future: Future[Any], header: Any) -> None:
        def reply(done: Future[Any]) -> None:
            # the service may be gone by now, as the node or the process is ending
            with suppress(rclpy_implementation.RCLError, rclpy_implementation.InvalidHandle):
                send(done.result(), header)

        future.add_done_callback(reply)

    service.callback = handle
    service.send_response = send_when_done


def unused(request: Any, response: Any) -> Any:
    """Stand in as a service's callback until :func:`reply_later` puts the handler in."""
    return response
