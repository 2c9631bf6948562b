# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Reset, reload and set_enabled work while the node does, and never hold up the executor."""

from __future__ import annotations

import re
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from managed_nodes import Networks, Summer
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.parameter import Parameter
from ros_fixtures import RosGraph, set_parameter, until
from std_msgs.msg import Int32
from std_srvs.srv import SetBool

from aitable_ros.inference.selection import Selection, Skipped

RATE_HZ = 30.0


@pytest.fixture(params=['executor of the executables', 'single-threaded', 'multi-threaded'])
def any_graph(request, monkeypatch):
    """A graph on each of the executors that people use."""
    from aitable_ros.ros_support.process import executor

    kinds = {'single-threaded': SingleThreadedExecutor, 'multi-threaded': MultiThreadedExecutor}
    if request.param in kinds:
        kind = kinds[request.param]
        monkeypatch.setattr(executor, 'make_executor', lambda context: kind(context=context))
    graph = RosGraph()
    yield graph
    graph.close()


class Stream:
    """Numbers at 30 Hz, and what is made of them."""

    def __init__(self, graph, node):
        self.sums = graph.collect(Int32, 'sum', 1000)
        self._publisher = graph.peer.create_publisher(Int32, 'number', 200)
        assert until(lambda: node.is_active)
        assert until(lambda: self._publisher.get_subscription_count() > 0)
        assert until(lambda: node.publisher.get_subscription_count() > 0)
        self.sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(1.0 / RATE_HZ):
            self.sent += 1
            self._publisher.publish(Int32(data=1000 * self.sent))

    def finish(self):
        """Return the factor that each number was multiplied by; all numbers must be there."""
        heard = len(self.sums)
        assert until(lambda: len(self.sums) > heard + 3)
        self._stop.set()
        self._thread.join()
        assert until(lambda: len(self.sums) >= self.sent), (self.sent, len(self.sums))
        sums = [message.data for message in self.sums]
        assert len(sums) == self.sent
        factors = [value // (1000 * number) for number, value in enumerate(sums, 1)]
        assert all(v == 1000 * n * f for n, (v, f) in enumerate(zip(sums, factors), 1))
        return factors


def enable(graph, enabled):
    return graph.call(SetBool, 'summer/set_enabled', SetBool.Request(data=enabled))


def test_reload_under_a_stream_loses_nothing_and_keeps_the_state(any_graph):
    graph = any_graph
    node = graph.make(Summer, load_time=0.2)
    stream = Stream(graph, node)
    threads = threading.active_count()
    for factor in (3, 4, 5):
        assert until(lambda: stream.sums)
        assert set_parameter(node, 'factor', factor).successful
        reply = graph.trigger('summer/reload')
        assert reply.success, reply.message
        assert Networks.open_now == 1  # the old ones are closed
    seen_before = node.seen
    factors = stream.finish()
    assert factors == sorted(factors)  # each takes over once, between two numbers
    assert set(factors) == {2, 3, 4, 5}
    assert node.overtaken == 0
    assert 0 < seen_before <= node.seen == stream.sent
    assert threading.active_count() <= threads


def test_a_parameter_of_the_networks_waits_for_the_reload(graph):
    node = graph.make(Summer)
    stream = Stream(graph, node)
    assert set_parameter(node, 'factor', 7).successful
    time.sleep(0.2)
    assert set(stream.finish()) == {2}


@pytest.mark.parametrize('stage', ['load', 'carry_over'])
def test_a_failed_reload_keeps_the_old_and_says_why(graph, stage):
    node = graph.make(Summer)
    stream = Stream(graph, node)
    node.fault = stage
    set_parameter(node, 'factor', 9)
    reply = graph.trigger('summer/reload')
    assert not reply.success
    assert reply.message == f'{stage} failed'
    assert set(stream.finish()) == {2}
    assert Networks.open_now == 1
    status = graph.status(lambda s: 'reload failed' in s.message)
    assert status.level == DiagnosticStatus.WARN
    assert f'{stage} failed' in status.message
    assert graph.trigger('summer/reload').success
    assert 'reload failed' not in node.health()[1]


def test_where_the_old_networks_cannot_be_freed_the_new_ones_run(graph):
    node = graph.make(Summer)
    assert until(lambda: node.is_active)
    node.fault = 'unload'
    assert graph.trigger('summer/reload').success
    assert Networks.open_now == 1


def network(name, backend, *skipped):
    engine = SimpleNamespace(name=name)
    return Selection(engine, backend, Path(name), tuple(Skipped(b, 'it is gone') for b in skipped))


EYES, FACE = network('eyes', 'litert'), network('face', 'tensorrt')


@pytest.mark.parametrize(
    ('anew', 'why_missing', 'reason'),
    [
        ((FACE,), 'its file is missing', 'eyes runs on litert .* its file is missing'),
        ((EYES, network('face', 'litert', 'tensorrt')), '', 'face runs on tensorrt .* it is gone'),
        ((FACE,), '', ''),  # nobody asked for the eyes any more
        ((EYES, network('face', 'litert')), '', ''),  # nor for TensorRT
        ((EYES, FACE, network('more', 'litert', 'tensorrt')), '', ''),
    ],
)
def test_a_reload_never_gives_up_what_works(graph, anew, why_missing, reason):
    node = graph.make(Summer)
    node.networks = (EYES, FACE)
    assert until(lambda: node.is_active)
    before = node.loaded
    node.networks, node.why_missing = anew, why_missing
    reply = graph.trigger('summer/reload')
    assert reply.success is not bool(reason)
    assert re.search(reason, reply.message)
    assert (node.loaded is before) is bool(reason)
    assert Networks.open_now == 1
    if reason:
        status = graph.status(lambda s: 'reload failed' in s.message)
        assert status.level == DiagnosticStatus.WARN


def test_reload_while_inactive_and_before_it_is_configured(graph):
    node = graph.make(Summer, autostart=False)
    reply = graph.trigger('summer/reload')
    assert not reply.success
    assert 'unconfigured' in reply.message
    assert node.request_transition('configure').result(10)
    set_parameter(node, 'factor', 3)
    assert graph.trigger('summer/reload').success
    assert node.loaded.factor == 3
    assert node.state == 'inactive'
    assert not list(node.subscriptions)


def test_neither_configuring_nor_reloading_holds_up_the_executor(any_graph):
    graph = any_graph
    ticks = []
    graph.run(lambda: graph.peer.create_timer(0.02, lambda: ticks.append(time.monotonic())))
    graph.make(Summer, autostart=False, load_time=0.5)
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    begin = time.monotonic()
    assert graph.call(ChangeState, 'summer/change_state', request).success
    assert graph.trigger('summer/reload').success
    assert time.monotonic() - begin > 1.0  # both are answered when they are done
    during = [t for t in ticks if t > begin]
    assert len(during) > 25
    assert max(b - a for a, b in pairwise(during)) < 0.3


def test_reset_forgets_what_was_seen(graph):
    node = graph.make(Summer, autostart=False)
    reply = graph.trigger('summer/reset')
    assert not reply.success
    assert 'unconfigured' in reply.message
    assert node.request_transition('configure').result(10)
    assert node.request_transition('activate').result(10)
    stream = Stream(graph, node)
    assert until(lambda: node.seen > 5)
    stream.finish()
    assert graph.trigger('summer/reset').success
    assert node.seen == 0


def test_disabled_it_unsubscribes_and_stays_active_with_its_models(graph):
    node = graph.make(Summer)
    stream = Stream(graph, node)
    stream.finish()
    assert enable(graph, False).success
    assert graph.peer.count_subscribers('number') == 0
    assert node.state == 'active'
    assert Networks.open_now == 1
    status = graph.status(lambda s: s.message == 'disabled')
    assert status.level == DiagnosticStatus.OK
    assert enable(graph, False).message == 'already disabled'
    assert graph.trigger('summer/reload').success  # while disabled, too
    assert graph.peer.count_subscribers('number') == 0
    seen = node.seen
    assert enable(graph, True).success
    again = Stream(graph, node)
    assert until(lambda: node.seen > seen)
    again.finish()


def test_disabled_before_it_is_active_it_waits(graph):
    node = graph.make(Summer, autostart=False)
    reply = enable(graph, False)
    assert reply.success
    assert 'unconfigured' in reply.message
    assert node.request_transition('configure').result(10)
    assert node.request_transition('activate').result(10)
    assert not list(node.subscriptions)
    assert enable(graph, True).success
    assert len(list(node.subscriptions)) == 1


def test_enabling_that_fails_leaves_it_disabled_and_says_why(graph):
    node = graph.make(Summer)
    assert until(lambda: node.is_active)
    assert enable(graph, False).success
    node.fault = 'start'
    reply = enable(graph, True)
    assert not reply.success
    assert reply.message == 'start failed'
    assert not node.is_enabled
    assert enable(graph, True).success


def test_dynamic_parameters_take_effect_between_two_inputs(graph):
    node = graph.make(Summer)
    stream = Stream(graph, node)
    assert until(lambda: len(stream.sums) > 2)
    assert set_parameter(node, 'offset', 7).successful
    assert until(lambda: stream.sums[-1].data % 1000 == 7)
    assert node.applied[0] == 0  # before the first input
    assert node.applied[-1] == 7
    assert set_parameter(node, 'offset', 0).successful
    assert until(lambda: stream.sums[-1].data % 1000 == 0)
    stream._stop.set()
    stream._thread.join()


def test_values_that_do_not_go_together_are_refused_with_the_reason(graph):
    node = graph.make(Summer)
    result = set_parameter(node, 'low', 6)
    assert not result.successful
    assert result.reason == 'low must not be above high'
    both = node.set_parameters_atomically([Parameter('low', value=6), Parameter('high', value=8)])
    assert both.successful
    assert node.params['low'] == 6
    result = set_parameter(node, 'diagnostics.warn_latency', 100.0)
    assert not result.successful
    assert 'error_latency' in result.reason


def test_diagnostics_thresholds_are_parameters(graph):
    node = graph.make(Summer, diagnostics__stale_after=0.5)
    assert until(lambda: node.is_active)
    status = graph.status(lambda s: 'no input' in s.message)
    assert status.level == DiagnosticStatus.WARN
    assert set_parameter(node, 'diagnostics.stale_after', 3600.0).successful
    assert graph.status(lambda s: s.message == 'waiting for input')
