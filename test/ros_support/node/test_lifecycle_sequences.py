# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Random transitions, in sequence and at once, end in the right state and leave nothing behind."""

from __future__ import annotations

import random
import threading
import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from managed_nodes import Networks, Summer
from rclpy.impl.implementation_singleton import rclpy_implementation
from resident_memory import rss_mb, steady_growth_mb
from ros_fixtures import until
from std_srvs.srv import SetBool, Trigger

SEQUENCES = 60
PER_NODE = 12
MAX_GROWTH_MB = 2.6
"""From one node to the next."""

IDS = {
    'configure': Transition.TRANSITION_CONFIGURE,
    'activate': Transition.TRANSITION_ACTIVATE,
    'deactivate': Transition.TRANSITION_DEACTIVATE,
    'cleanup': Transition.TRANSITION_CLEANUP,
}
FAULTS = ('load', 'start', 'stop', 'unload')


class Model:
    """What the design says of transitions, faults included."""

    def __init__(self):
        self.state = 'unconfigured'

    def step(self, transition, fault=''):
        """Return whether the transition succeeds, and whether the fault was used up."""
        begin = {'configure': 'unconfigured', 'deactivate': 'active'}.get(transition, 'inactive')
        if self.state != begin:
            return False, False
        hit = (
            fault
            == {
                'configure': 'load',
                'activate': 'start',
                'deactivate': 'stop',
                'cleanup': 'unload',
            }[transition]
        )
        good, bad = {
            'configure': ('inactive', 'unconfigured'),
            'activate': ('active', 'inactive'),
            'deactivate': ('inactive', 'unconfigured'),  # error processing frees everything
            'cleanup': ('unconfigured', 'unconfigured'),
        }[transition]
        self.state = bad if hit else good
        return not hit, hit


class Client:
    """Calls a node's services; several calls can be under way."""

    def __init__(self, graph):
        self.clients = {
            name: graph.run(lambda t=t, n=name: graph.peer.create_client(t, f'summer/{n}'))
            for name, t in (
                ('change_state', ChangeState),
                ('reload', Trigger),
                ('reset', Trigger),
                ('set_enabled', SetBool),
            )
        }

    def wait(self):
        for client in self.clients.values():
            assert client.wait_for_service(10.0)

    def change(self, transition):
        request = ChangeState.Request(transition=Transition(id=IDS[transition]))
        return self.clients['change_state'].call_async(request)

    def call(self, name, data=None):
        request = Trigger.Request() if data is None else SetBool.Request(data=data)
        return self.clients[name].call_async(request)


def done(future):
    assert until(future.done, 20.0), 'no reply: a deadlock'
    return future.result()


def entities(node):
    return [
        len(list(kind))
        for kind in (node.subscriptions, node.publishers, node.timers, node.services, node.clients)
    ]


def run_sequence(rng, node, client, model):
    """One random sequence of up to 10 transitions, some of which fail."""
    for _ in range(rng.randint(3, 10)):
        transition = rng.choice(list(IDS))
        fault = rng.choice(FAULTS) if rng.random() < 0.2 else ''
        node.fault = fault
        success, _ = model.step(transition, fault)
        assert done(client.change(transition)).success == success
        assert node.state == model.state
    node.fault = ''


def run_concurrent(rng, node, client, model):
    """Requests of all kinds at once: transitions come in the order of the requests."""
    futures, expected = [], []
    for _ in range(rng.randint(3, 10)):
        if rng.random() < 0.5:
            transition = rng.choice(list(IDS))
            expected.append((len(futures), model.step(transition)[0]))
            futures.append(client.change(transition))
        else:
            name = rng.choice(['reload', 'reset', 'set_enabled'])
            data = rng.random() < 0.5 if name == 'set_enabled' else None
            futures.append(client.call(name, data))
        if rng.random() < 0.3:
            # somebody in the process, too, who may come when nothing is possible
            try:
                rng.choice([node.trigger_cleanup, node.reset_now])()
            except (rclpy_implementation.RCLError, RuntimeError):
                pass
            else:
                time.sleep(0.001)
    replies = [done(future) for future in futures]
    return [(replies[i].success, success) for i, success in expected]


def bring_home(client, model):
    for transition in ('deactivate', 'cleanup'):
        model.step(transition)
        done(client.change(transition))
    model.state = 'unconfigured'


@pytest.mark.parametrize('how', ['one after the other', 'at once'])
def test_random_sequences(graph, how):
    """Seeded ones: right states, no deadlock, no leak."""
    rng = random.Random(f'lifecycle {how}')
    client = Client(graph)
    measured = []
    threads_before = threading.active_count()
    for number in range(SEQUENCES):
        if number % PER_NODE == 0:
            node = graph.make(Summer, autostart=False)
            model = Model()
            client.wait()
            assert until(lambda node=node: node.executor is not None)
            counted = entities(node)
        if how == 'at once':
            # what others trigger directly makes the model's state a guess: only that every
            # request is answered, and that the node comes home, is certain
            run_concurrent(rng, node, client, model)
        else:
            run_sequence(rng, node, client, model)
        bring_home(client, model)
        assert node.state == 'unconfigured'
        assert entities(node) == counted
        assert Networks.open_now == 0
        assert node.loaded is None
        if number % PER_NODE == PER_NODE - 1:
            graph.remove(node)
            assert until(lambda: threading.active_count() <= threads_before)
            measured.append(rss_mb())
    # the first nodes warm everything up
    assert steady_growth_mb(measured[1:]) < MAX_GROWTH_MB, measured


def test_requests_at_once_without_others_follow_the_model(graph):
    rng = random.Random(7)
    node = graph.make(Summer, autostart=False)
    client, model = Client(graph), Model()
    client.wait()
    for _ in range(20):
        expected, futures = [], []
        for _ in range(8):
            transition = rng.choice(list(IDS))
            expected.append(model.step(transition)[0])
            futures.append(client.change(transition))
            futures.append(client.call(rng.choice(['reload', 'reset'])))
        replies = [done(future) for future in futures]
        assert [reply.success for reply in replies[::2]] == expected
        assert node.state == model.state


@pytest.mark.parametrize('state', ['unconfigured', 'inactive', 'active'])
@pytest.mark.parametrize('fault', ['', 'stop', 'unload'])
def test_shutdown_frees_everything_whatever_goes_wrong(graph, state, fault):
    node = graph.make(Summer, autostart=False)
    if state != 'unconfigured':
        assert node.request_transition('configure').result(10)
    if state == 'active':
        assert node.request_transition('activate').result(10)
    node.fault = fault
    assert node.request_transition('shutdown').result(10)
    assert node.state == 'finalized'
    assert Networks.open_now == 0
    assert not list(node.subscriptions)
    assert not node.request_transition('configure').result(10)


def test_where_even_error_processing_fails_the_node_is_finalized(graph, monkeypatch):
    node = graph.make(Summer, autostart=False)
    assert node.request_transition('configure').result(10)
    assert node.request_transition('activate').result(10)

    def always():
        raise RuntimeError('cannot stop')

    monkeypatch.setattr(node, 'stop', always)
    assert not node.request_transition('deactivate').result(10)
    assert node.state == 'finalized'
    assert node.health()[1] == 'cannot stop'
    assert Networks.open_now == 0


def test_it_can_be_destroyed_while_it_loads(graph):
    before = threading.active_count()
    node = graph.make(Summer, load_time=0.5)
    assert until(lambda: node.state == 'configuring')
    waiting = node.request_transition('activate')
    graph.remove(node)
    assert Networks.open_now == 0
    assert isinstance(waiting.exception(10), RuntimeError)
    assert until(lambda: threading.active_count() == before)


def test_it_can_be_destroyed_when_its_executor_has_stopped(graph):
    node = graph.make(Summer, autostart=False)
    assert node.request_transition('configure').result(10)
    graph.stop_spinning()
    activated = node.request_transition('activate')  # waits for an executor that does not spin
    time.sleep(0.2)
    node.destroy_node()
    assert activated.done()
    assert Networks.open_now == 0
