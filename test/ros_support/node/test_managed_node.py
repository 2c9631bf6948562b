# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Managed nodes load, work, pause and free as their lifecycle says, and report how they are."""

from __future__ import annotations

import threading
from typing import ClassVar

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.exceptions import ParameterException
from ros_fixtures import set_parameter, until
from std_msgs.msg import Int32

from aitable_ros.inference.engine import InferenceError
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.parameters.table import ParameterSpec


class Doubler(ManagedNode):
    """Publishes twice what it hears; notes which thread does what."""

    PARAMETERS: ClassVar = (ParameterSpec('fail', False, 'fail to load'),)

    def __init__(self, name='doubler', **kwargs):
        super().__init__(name, **kwargs)
        self.threads = {}
        self.unloaded = 0
        self._publisher = self.create_publisher(Int32, 'doubled', 10)
        self._subscription = None

    def load(self, values):
        self.threads['load'] = threading.get_ident()
        if values['fail']:
            raise InferenceError('no such model')
        return 'networks'

    def unload(self, loaded):
        self.threads['unload'] = threading.get_ident()
        self.unloaded += 1

    def start(self):
        self._subscription = self.create_subscription(Int32, 'number', self._on_number, 10)

    def stop(self):
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None

    def _on_number(self, message):
        self.threads['callback'] = threading.get_ident()
        self.offer(message)

    def results(self, item):
        self.threads['process'] = threading.get_ident()
        if item.data < 0:
            raise ValueError('negative')
        yield self._publisher, Int32(data=2 * item.data)


class Extra(Doubler):
    """A node that the system can do without."""

    is_required = False


def change(graph, transition):
    return graph.call(
        ChangeState,
        'doubler/change_state',
        ChangeState.Request(transition=Transition(id=transition)),
    ).success


def send(graph, value):
    publisher = graph.peer.create_publisher(Int32, 'number', 10)
    assert until(lambda: publisher.get_subscription_count() > 0)
    publisher.publish(Int32(data=value))
    return publisher


def test_autostart_takes_it_to_active_and_it_works_in_one_thread(graph):
    node = graph.make(Doubler)
    doubled = graph.collect(Int32, 'doubled')
    assert until(lambda: node.is_active)
    send(graph, 21)
    assert until(lambda: [m.data for m in doubled] == [42])
    assert node.threads['load'] == node.threads['process'] != node.threads['callback']


def test_without_autostart_it_waits_for_the_services(graph):
    node = graph.make(Doubler, autostart=False)
    assert graph.call(GetState, 'doubler/get_state', GetState.Request()).current_state.label == (
        'unconfigured'
    )
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert node.state == 'inactive'
    assert change(graph, Transition.TRANSITION_ACTIVATE)
    assert node.is_active
    assert change(graph, Transition.TRANSITION_DEACTIVATE)
    assert graph.peer.count_subscribers('number') == 0
    assert node.unloaded == 0  # deactivating keeps the models
    assert change(graph, Transition.TRANSITION_CLEANUP)
    assert node.unloaded == 1
    assert node.threads['unload'] == node.threads['load']
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert change(graph, Transition.TRANSITION_INACTIVE_SHUTDOWN)
    assert node.state == 'finalized'
    assert node.unloaded == 2


def test_a_failed_load_leaves_it_unconfigured_with_the_reason_and_can_be_retried(graph):
    node = graph.make(Doubler, fail=True)
    status = graph.status(lambda s: s.message == 'no such model')
    assert status.level == DiagnosticStatus.ERROR
    assert until(lambda: node.state == 'unconfigured')
    set_parameter(node, 'fail', False)
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert change(graph, Transition.TRANSITION_ACTIVATE)


def test_a_missing_extra_is_a_warning(graph):
    graph.make(Extra, fail=True)
    status = graph.status(lambda s: s.message == 'no such model')
    assert status.level == DiagnosticStatus.WARN


def test_an_error_in_a_frame_is_counted_and_the_next_one_works(graph):
    node = graph.make(Doubler)
    doubled = graph.collect(Int32, 'doubled')
    assert until(lambda: node.is_active)
    publisher = send(graph, -1)
    assert until(lambda: node.meters.failures == 1)
    publisher.publish(Int32(data=4))
    assert until(lambda: [m.data for m in doubled] == [8])
    status = graph.status(lambda s: 'inputs failed' in s.message)
    assert status.level == DiagnosticStatus.ERROR
    assert 'ValueError: negative' in status.message
    values = {pair.key: pair.value for pair in status.values}
    assert values['failures'] == '1'
    assert values['inputs'] == '2'
    assert values['state'] == 'active'


def test_one_whose_constructor_raised_can_be_destroyed(graph):
    """As Kilted's context does when it ends."""
    half = []

    class Half(Doubler):
        def __new__(cls, *args, **kwargs):
            half.append(super().__new__(cls))
            return half[-1]

    with pytest.raises(ParameterException, match='autostart'):
        graph.make(Half, 'half', autostart='perhaps')
    half[0].destroy_node()


def test_destroying_an_active_node_frees_everything(graph):
    before = threading.active_count()
    node = graph.make(Doubler)
    assert until(lambda: node.is_active)
    graph.remove(node)
    assert node.unloaded == 1
    assert until(lambda: threading.active_count() == before)
    assert until(lambda: graph.peer.count_subscribers('number') == 0)
