# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Spinning nodes in a process of their own."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import cv2
import rclpy
from rclpy.context import Context
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from aitable_ros.ros_support.process.transport import configure_transport

SPIN_TIMEOUT_S = 1.0

STUCK_S = 3.0
"""After Ctrl-C spinning ends at once, unless a callback is stuck: by then another one raises."""


def spin(
    make_nodes: Callable[[Executor], Sequence[Node]], args: Sequence[str] | None = None
) -> None:
    """
    Run nodes until the process is asked to end; what the executables' ``main`` calls.

    :param make_nodes: makes them, after ``rclpy.init``, for the executor that will spin them.
    :param args: command line, ``sys.argv`` by default.
    """
    with ros_process(args):
        nodes: Sequence[Node] = ()
        executor = make_executor()
        try:
            nodes = make_nodes(executor)
            for node in nodes:
                executor.add_node(node)
            spin_executor(executor)
        finally:
            ignore_interrupts()
            for node in nodes:
                node.destroy_node()
            executor.shutdown()


@contextmanager
def ros_process(args: Sequence[str] | None = None) -> Iterator[None]:
    """
    Set up a process that runs nodes; being asked to end (Ctrl-C) ends the block quietly.

    :param args: command line, ``sys.argv`` by default.
    """
    configure_transport()
    # what the ROS-free parts log (a camera that was lost, a damaged picture)
    logging.basicConfig(format='[%(levelname)s] [%(name)s]: %(message)s', level=logging.INFO)
    # crops are small: handing them to other cores costs more than it saves
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, _interrupts.take)  # rclpy's handler, from now on, calls it too
    rclpy.init(args=None if args is None else list(args))
    try:
        with quiet_shutdown():
            yield
    except KeyboardInterrupt:
        pass
    except ParameterException as error:  # of the command line or a parameter file
        sys.exit(f'error: {" ".join(str(error).split())}')
    finally:
        ignore_interrupts()
        rclpy.try_shutdown()


@contextmanager
def quiet_shutdown(context: Context | None = None) -> Iterator[None]:
    """Let what rclpy raises because its (or the default) context was shut down end the block."""
    try:
        yield
    except ExternalShutdownException:
        pass
    except rclpy_implementation.RCLError:  # of a call that was just about to be made
        if rclpy.ok(context=context):
            raise


class _Interrupts:
    """What SIGINT does beside shutting rclpy's context down."""

    def __init__(self) -> None:
        self.raises = True
        self._first_s: float | None = None

    def take(self, _number: int, _frame: FrameType | None) -> None:
        """Handle the signal."""
        now_s = time.monotonic()
        if self._first_s is None:
            self._first_s = now_s
        if self.raises or now_s - self._first_s > STUCK_S:
            raise KeyboardInterrupt


_interrupts = _Interrupts()


@contextmanager
def interrupts_only_shut_down() -> Iterator[None]:
    """
    In :func:`ros_process`, let Ctrl-C shut the context down and raise nothing, as SIGTERM does.

    KeyboardInterrupt strikes anywhere, and what it strikes may stay half done: a thread pool did
    not note down the thread that it was starting, and the process then waited for it for ever.
    For a callback that is stuck, a second Ctrl-C after :data:`STUCK_S` raises all the same.
    """
    _interrupts.raises = False
    try:
        yield
    finally:
        _interrupts.raises = True


def ignore_interrupts() -> None:
    """Let nothing interrupt the freeing of the networks: `ros2 launch` sends a second SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def spin_executor(executor: Executor) -> None:
    """
    Spin until the context is shut down.

    In a loop of our own: the events executor's ``spin()`` waits for the end of time, which
    overflows in the C++ library and turns into a busy loop (seen with rclpy 7.1.6).
    """
    with quiet_shutdown(executor.context), interrupts_only_shut_down():
        while executor.context.ok():
            executor.spin_once(timeout_sec=SPIN_TIMEOUT_S)


def make_executor(context: Context | None = None) -> Executor:
    """
    Make the executor that the executables use.

    The events executor takes a fraction of the CPU of the wait-set one; it came with Jazzy.
    """
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor(context=context)
    executor: Executor = EventsExecutor(context=context)
    return executor
