# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A process of nodes ends quietly, wherever rclpy notices that it is to end."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import weakref

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from std_msgs.msg import String

from aitable_ros.ros_support.process.executor import (
    collect_what_was_spared,
    make_executor,
    quiet_shutdown,
    spare_what_stays,
    spin_executor,
)


@pytest.fixture
def context():
    context = Context()
    rclpy.init(args=[], context=context)
    yield context
    context.try_shutdown()


@pytest.fixture(params=['wait set', 'default'])
def executor(request, context):
    make = make_executor if request.param == 'default' else SingleThreadedExecutor
    executor = make(context=context)
    yield executor
    executor.shutdown()


def node_in(executor):
    node = rclpy.create_node('ends', context=executor.context)
    executor.add_node(node)
    return node


def test_shut_down_by_a_callback(executor):
    node = node_in(executor)
    node.create_timer(0.01, executor.context.shutdown)
    spin_executor(executor, node.get_logger())
    assert not executor.context.ok()
    node.destroy_node()


class Late:
    """An executor whose context is shut down between the look at it and the waiting."""

    def __init__(self, executor):
        self.context = executor.context
        self._executor = executor

    def spin_until_future_complete(self, future, timeout_sec):
        self.context.shutdown()
        self._executor.spin_until_future_complete(future, timeout_sec=timeout_sec)


def test_shut_down_just_before_it_would_wait(executor):
    node = node_in(executor)
    spin_executor(Late(executor), node.get_logger())
    node.destroy_node()


def test_a_message_that_came_too_late(context):
    node = rclpy.create_node('late', context=context)
    publisher = node.create_publisher(String, 'late', 1)
    context.shutdown()
    # Kilted's context destroys its nodes
    with pytest.raises((rclpy_implementation.RCLError, rclpy_implementation.InvalidHandle)):
        publisher.publish(String())
    with quiet_shutdown(context):
        publisher.publish(String())
    node.destroy_node()


@pytest.mark.parametrize('error', [rclpy_implementation.RCLError, ValueError, KeyboardInterrupt])
def test_other_errors_are_not_hidden(context, error):
    with pytest.raises(error), quiet_shutdown(context):
        raise error('no')


def test_an_error_of_the_nodes_is_not_hidden_at_the_end(context):
    context.shutdown()
    with pytest.raises(ValueError, match='no'), quiet_shutdown(context):
        raise ValueError('no')
    with quiet_shutdown(context):
        raise ExternalShutdownException


def test_what_a_callback_raises_is_logged_and_ends_nothing(executor, capfd):
    node = node_in(executor)
    calls = []

    def fail():
        calls.append(None)
        if len(calls) == 20:
            executor.context.shutdown()
        raise ValueError('not mine')

    node.create_timer(0.01, fail)
    spin_executor(executor, node.get_logger())
    assert len(calls) == 20
    logged = capfd.readouterr().err
    assert logged.count('a callback raised') == 1  # in five seconds
    assert 'ValueError: not mine' in logged
    node.destroy_node()


SLEEPER = """
import sys, time
from rclpy.node import Node
from aitable_ros.ros_support.process import executor

class Sleeper(Node):
    def __init__(self):
        super().__init__('sleeper')
        self.create_timer(0.01, self.sleep)

    def sleep(self):
        print('in', flush=True)
        time.sleep(float(sys.argv[1]))
        print('out', flush=True)

# not to wait for them as long as people do
executor.STUCK_S = 1.0
executor.END_S = 2.0
executor.spin(lambda _: [Sleeper()], [])
"""


@pytest.fixture
def sleeper():
    """Start a process whose callback sleeps; return when it does."""
    processes = []

    def start(seconds):
        processes.append(
            subprocess.Popen(
                [sys.executable, '-c', SLEEPER, str(seconds)],
                env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        assert processes[-1].stdout.readline() == 'in\n'
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_callback_end_that_is_running(sleeper, number):
    process = sleeper(0.5)
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, 'out\n')


def test_a_second_ctrl_c_ends_a_callback_that_is_stuck(sleeper):
    process = sleeper(60.0)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)  # at once, as launch does: not yet
    time.sleep(1.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0, out
    assert 'out' not in out.splitlines()


def test_sigterm_ends_a_process_in_bounded_time_whatever_hangs(sleeper):
    process = sleeper(60.0)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0, out
    assert out.splitlines()[-1] == 'still busy after 2 s: ended as it is'


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        ({}, 'HOME is not set'),
        ({'HOME': '/proc/none'}, "Failed to create log directory '/proc/none/.ros/log'"),
    ],
)
def test_a_home_folder_that_cannot_be_used_is_one_line(change, line):
    kept = {k: v for k, v in os.environ.items() if k not in ('HOME', 'ROS_HOME', 'ROS_LOG_DIR')}
    done = subprocess.run(
        [sys.executable, '-m', 'aitable_ros.nodes.overlay_node'],
        env={**kept, **change, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (told,) = done.stderr.splitlines()
    assert told.startswith('error: ')
    assert line in told
    assert 'ROS_LOG_DIR' in told


def test_collections_pass_over_what_stays_until_everything_is_looked_at():
    class Cycle:
        def __init__(self):
            self.me = self

    frozen = gc.get_freeze_count()
    cycle = Cycle()
    gone = weakref.ref(cycle)
    spare_what_stays()
    spare_what_stays()
    assert gc.get_freeze_count() > frozen
    del cycle
    gc.collect()
    assert gone() is not None
    collect_what_was_spared()
    assert gone() is None
    assert gc.get_freeze_count() == 0
