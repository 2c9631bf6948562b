# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Spinning nodes in a process of their own."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import cv2
import rclpy
from rclpy.context import Context
from rclpy.exceptions import NotInitializedException, ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.task import Future

from aitable_ros.inference.engine import one_line
from aitable_ros.ros_support.process.seldom import SeldomLog
from aitable_ros.ros_support.process.transport import configure_transport

SPIN_TIMEOUT_S = 1.0
SETTLE_S = 10.0
"""After so long everything is loaded that will be."""

STUCK_S = 3.0
"""After Ctrl-C spinning ends at once, unless a callback is stuck: by then another one raises."""

END_S = 7.0
"""
A process that was asked to end does so within this time, whatever hangs [s].

Freeing networks takes less, and ``ros2 launch`` kills after ten seconds.
"""

_LOOK_S = 0.5


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
            spin_executor(executor, nodes[0].get_logger())
        finally:
            ignore_interrupts()
            for node in nodes:
                node.destroy_node()
            executor.shutdown()


@contextmanager
def ros_process(args: Sequence[str] | None = None) -> Iterator[None]:
    """
    Set up a process that runs nodes; being asked to end (Ctrl-C, SIGTERM) ends the block quietly.

    :param args: command line, ``sys.argv`` by default.
    """
    configure_transport()
    # what the ROS-free parts log (a camera that was lost, a damaged picture)
    logging.basicConfig(format='[%(levelname)s] [%(name)s]: %(message)s', level=logging.INFO)
    # crops are small: handing them to other cores costs more than it saves
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, _interrupts.take)  # rclpy's handler, from now on, calls it too
    init(args)
    threading.Thread(target=_see_to_the_end, name='end', daemon=True).start()
    try:
        with quiet_shutdown():
            yield
    except KeyboardInterrupt:
        pass
    except ParameterException as error:  # of the command line or a parameter file
        sys.exit(f'error: {one_line(error)}')
    finally:
        ignore_interrupts()
        rclpy.try_shutdown()


def init(args: Sequence[str] | None = None, context: Context | None = None) -> None:
    """
    Call ``rclpy.init``; what is wrong with the arguments or the home folder is one line.

    :param args: command line, ``sys.argv`` by default.
    :raises SystemExit: with this line.
    """
    advice = 'ROS_LOG_DIR can name another folder for the log'
    if not any(os.environ.get(name) for name in ('HOME', 'ROS_HOME', 'ROS_LOG_DIR')):
        sys.exit(f'error: HOME is not set: {advice}')  # rcl says so on nine lines
    try:
        rclpy.init(args=None if args is None else list(args), context=context)
    except rclpy_implementation.RCLError as error:
        text = one_line(error)
        sys.exit(f'error: {text}; {advice}' if 'logging' in text else f'error: {text}')


def _see_to_the_end() -> None:
    """End the process when it was asked to end and does not."""
    while rclpy.ok():
        time.sleep(_LOOK_S)
    time.sleep(END_S)
    # A thread that waits for a file or is inside a runtime cannot be interrupted
    print(f'still busy after {END_S:g} s: ended as it is', file=sys.stderr, flush=True)
    os._exit(0)


@contextmanager
def quiet_shutdown(context: Context | None = None) -> Iterator[None]:
    """Let what rclpy raises because its (or the default) context was shut down end the block."""
    try:
        yield
    except ExternalShutdownException:
        pass
    # of a call that was just about to be made, or a node that was being constructed
    except (
        rclpy_implementation.RCLError,
        rclpy_implementation.InvalidHandle,
        NotInitializedException,
    ):
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


def spin_executor(executor: Executor, logger: Any) -> None:
    """
    Spin until the context is shut down; what callbacks raise is logged and ends nothing.

    In a loop of our own: the events executor's ``spin()`` waits for the end of time, which
    overflows in the C++ library and turns into a busy loop (seen with rclpy 7.1.6).

    :param logger: of rclpy.
    """
    context, log = executor.context, SeldomLog(lambda: logger)
    settled_s = time.monotonic() + SETTLE_S
    with interrupts_only_shut_down():
        while context.ok():
            if time.monotonic() > settled_s:
                settled_s += SETTLE_S
                spare_what_stays()
            try:
                # not spin_once: to come back here after each callback costs as well
                executor.spin_until_future_complete(Future(), timeout_sec=SPIN_TIMEOUT_S)
            except ExternalShutdownException:
                return
            except rclpy_implementation.InvalidHandle as error:
                # a callback that was running while its node was destroyed
                logger.debug(f'a callback came too late: {error}')
            except Exception:
                if context.ok():
                    details = utf8(traceback.format_exc())
                    log.error('callback', 'a callback raised; everything else goes on', details)


_spares = False


def spare_what_stays() -> None:
    """
    Let the garbage collector pass over what has been made until now, once.

    To look through all modules, nodes and networks takes 40 ms (of an EPYC), every ten seconds,
    in which no thread gets on. :func:`collect` looks at everything again.
    """
    global _spares
    if not _spares:
        gc.collect()
        gc.freeze()
        _spares = True


def collect() -> None:
    """Free what only cycles hold, what was made long ago, too."""
    global _spares
    if _spares:
        gc.unfreeze()
        _spares = False
    gc.collect()


def collect_what_was_spared() -> None:
    """Free what has become garbage since, if anything was passed over."""
    if _spares:
        collect()


def utf8(text: str) -> str:
    """Replace what cannot be sent or logged: a file name in an error may be no UTF-8."""
    return text.encode(errors='replace').decode()


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
