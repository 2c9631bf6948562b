# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Components come and go in a running process, whole or not at all."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from plugin_packages import strangers
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.parameter import Parameter
from resident_memory import rss_mb, steady_growth_mb
from ros_fixtures import RosGraph, image_message, until
from sensor_msgs.msg import Image
from std_msgs.msg import String

from aitable_ros.nodes.registry import PLUGINS
from aitable_ros.ros_support.container.component_manager import ComponentManager
from aitable_ros.ros_support.container.plugins import PluginRegistry
from aitable_ros.ros_support.container.request import ComponentError, ComponentRequest
from aitable_ros.ros_support.process import executor as executor_module

__all__ = ['strangers']

CYCLES = 24


@pytest.fixture(scope='module', autouse=True)
def what_a_thread_still_held_when_it_was_frozen_is_collected(
    what_earlier_tests_left_is_not_searched_for_garbage,
):
    """These tests list the whole graph: a node that is never collected would stay on it."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class Host:
    """A container's inside: a manager on an executor that spins."""

    def __init__(self, *ros_args):
        gc.collect()  # nodes of earlier tests are on the graph until they are collected
        self.graph = RosGraph()
        self.node = self.graph.add(Node('host', context=self.graph.context))
        self.manager = ComponentManager(
            self.node, self.graph.executor, PluginRegistry(PLUGINS), ros_args
        )

    def load(self, plugin, name='', **fields):
        package = plugin.partition('::')[0]
        request = ComponentRequest(package, plugin, node_name=name, **fields)
        return self.graph.run(lambda: self.manager.load(request))

    def unload(self, component):
        unique_id = getattr(component, 'unique_id', component)
        return self.graph.run(lambda: self.manager.unload(unique_id)).result(10.0)

    def names(self):
        return {
            f'{namespace.rstrip("/")}/{name}'
            for name, namespace in self.graph.peer.get_node_names_and_namespaces()
            if not name.startswith('_')  # a daemon of ros2cli
        } - {'/host', '/test_peer'}

    def names_until(self, expected):
        """Wait for the names to be these; return what they are."""
        until(lambda: self.names() == expected)
        return self.names()

    def names_left(self):
        """Return the names when the executor, which does not spin any more, has let go, too."""
        self.graph.executor.spin_once(timeout_sec=0.05)
        gc.collect()
        return self.names()

    def empty(self):
        """Unload everything; what the events executor has not begun when it stops, it keeps."""
        for component in self.manager.components:
            self.unload(component)
        assert until(lambda: self.manager.departing == ())

    def close(self):
        self.graph.stop_spinning()
        self.manager.close()
        self.graph.close()


@pytest.fixture(params=['single', 'threaded'])
def host(request, monkeypatch, strangers):
    if request.param == 'threaded':
        use_threads(monkeypatch)
    host = Host('-r', 'chatter:=/forwarded', '-p', 'talker:text:=shared')
    yield host
    strangers.LOADED.set()
    if not host.graph._stopping:
        host.empty()
    host.close()


def use_threads(monkeypatch):
    from rclpy.executors import MultiThreadedExecutor

    monkeypatch.setattr(
        executor_module,
        'make_executor',
        lambda context: MultiThreadedExecutor(num_threads=3, context=context),
    )


@pytest.mark.parametrize('host', ['single'], indirect=True)
class TestLoading:
    def test_a_plain_node_under_its_own_name(self, host):
        heard = host.graph.collect(String, 'chatter')
        component = host.load('strangers::Talker')
        assert (component.unique_id, component.full_name) == (1, '/talker')
        assert until(lambda: heard)
        assert heard[0].data == 'hello'

    def test_name_namespace_remapping_and_parameters(self, host):
        heard = host.graph.collect(String, '/out/talk')
        component = host.load(
            'strangers::Talker',
            'speaker',
            node_namespace='/table/left',
            remap_rules=('chatter:=/out/talk',),
            parameters=(Parameter('text', value='good morning'),),
        )
        assert component.full_name == '/table/left/speaker'
        assert until(lambda: heard)
        assert heard[0].data == 'good morning'

    def test_a_relative_namespace_is_one_below_the_root(self, host):
        component = host.load('strangers::Talker', node_namespace='table')
        assert component.full_name == '/table/talker'

    def test_the_containers_arguments_only_for_those_that_ask(self, host):
        alone = host.load('strangers::Talker', 'a')
        asking = host.load(
            'strangers::Talker',
            extra_arguments=(Parameter('forward_global_arguments', value=True),),
        )
        also = host.load(
            'strangers::Talker',
            'b',
            remap_rules=('chatter:=/mine',),
            extra_arguments=(
                Parameter('use_global_arguments', value=True),
                Parameter('use_intra_process_comms', value=True),
                Parameter('unknown_to_us', value=3),
            ),
        )
        assert alone.node.publisher.topic_name == '/chatter'
        assert asking.node.publisher.topic_name == '/forwarded'
        assert asking.node.get_parameter('text').value == 'shared'
        assert also.node.publisher.topic_name == '/mine'  # the request's own rules come first

    def test_log_level_is_the_nodes_and_goes_with_it(self, host):
        component = host.load('strangers::Talker', log_level=LoggingSeverity.DEBUG)
        assert component.node.get_logger().get_effective_level() == LoggingSeverity.DEBUG
        assert host.node.get_logger().get_effective_level() == LoggingSeverity.INFO
        host.unload(component)
        again = host.load('strangers::Talker')
        assert again.node.get_logger().get_effective_level() == LoggingSeverity.INFO

    def test_numbers_are_never_given_twice(self, host):
        first = host.load('strangers::Talker', 'a')
        second = host.load('strangers::Talker', 'b')
        host.unload(second)
        third = host.load('strangers::Talker', 'c')
        host.unload(first)
        assert [first.unique_id, second.unique_id, third.unique_id] == [1, 2, 3]
        assert host.manager.components == (third,)

    def test_a_name_is_taken_once(self, host, strangers):
        strangers.LOADED.set()
        host.load('strangers::Talker', 'taken')
        host.load('strangers::Slow', node_namespace='/n')
        host.load('strangers::Talker')
        rename = {'remap_rules': ('__node:=taken',)}
        for plugin, name, fields, reason in (
            ('strangers::Talker', 'taken', {}, '/taken is loaded already, with unique id 1'),
            ('strangers::Slow', '', {'node_namespace': '/n'}, '/n/slow is loaded already'),
            ('strangers::Talker', '', {}, '/talker is loaded already'),
            ('strangers::Talker', '', rename, '/taken is loaded already'),
            ('strangers::Talker', 'host', {}, '/host is the name of the container'),
        ):
            with pytest.raises(ComponentError, match=reason):
                host.load(plugin, name, **fields)
        there = {'/taken', '/n/slow', '/talker'}
        assert host.names_until(there) == there
        assert len(host.manager.components) == 3

    FAILURES = (
        ('strangers::Nobody', {}, 'package strangers has no plugin'),
        ('nowhere::X', {}, 'package nowhere has no Python plugins'),
        ('my_broken_package::Exit', {}, 'importing broken_exit:Node failed'),
        ('strangers::Raises', {}, 'strangers::Raises: RuntimeError: no such camera'),
        ('strangers::Exits', {}, 'strangers::Exits: SystemExit: what a plugin should not'),
        ('strangers::NoNode', {}, 'made a NoNode, not a node'),
        ('strangers::TakesNothing', {}, 'has to take the keyword arguments context, cli_args'),
        ('strangers::OwnContext', {}, 'did not hand `context`'),
        ('strangers::Talker', {'name': 'not a name'}, 'must not contain characters'),
        ('strangers::Talker', {'node_namespace': '/a//b'}, 'nvalid namespace'),
        ('strangers::Talker', {'remap_rules': ('nonsense',)}, 'strangers::Talker: .*nonsense'),
        ('strangers::Talker', {'log_level': 7}, 'log_level 7 is none of 10 .DEBUG., 20'),
        (
            'strangers::Talker',
            {'parameters': (Parameter('text', value=3.5),)},
            'strangers::Talker: .*text',
        ),
        (
            'strangers::Talker',
            {'extra_arguments': (Parameter('use_intra_process_comms', value='yes'),)},
            "use_intra_process_comms: 'yes' is neither true nor false",
        ),
        (
            'aitable_ros::OverlayNode',
            {'parameters': (Parameter('max_age', value=-1.0),)},
            'aitable_ros::OverlayNode: .*max_age out of range',
        ),
    )

    def test_a_failure_has_its_reason_and_leaves_nothing(self, host):
        for plugin, fields, reason in self.FAILURES:
            with pytest.raises(ComponentError, match=reason):
                host.load(plugin, **fields)
            assert host.manager.components == (), plugin
            assert host.names_until(set()) == set(), plugin
        assert host.load('strangers::Talker').unique_id == 1

    def test_what_a_plain_function_made_before_it_raised_goes_too(self, host, strangers):
        def make(**arguments):
            Node('half_made', **arguments)
            raise RuntimeError('no luck')

        strangers.Talker = make
        with pytest.raises(ComponentError, match='no luck'):
            host.load('strangers::Talker')
        assert host.names_until(set()) == set()

    def test_a_failure_in_a_plugin_has_its_traceback_for_the_log(self, host):
        with pytest.raises(ComponentError) as caught:
            host.load('strangers::Raises')
        assert 'strangers.py' in caught.value.details
        with pytest.raises(ComponentError) as caught:
            host.load('my_broken_package::Import')
        assert 'broken_import.py' in caught.value.details


class TestUnloading:
    def test_the_node_is_gone_with_all_it_had(self, host):
        threads = set(threading.enumerate())
        component = host.load('aitable_ros::ImageSourceNode', 'source')
        heard = host.graph.collect(Image, 'image_raw', 1)
        assert until(lambda: len(heard) > 2)
        node = weakref.ref(component.node)
        number = component.unique_id
        component = None
        assert host.unload(number) == '/source'
        assert host.manager.components == ()
        assert host.manager.departing == ()
        assert until(lambda: node() is None)
        assert host.names_until(set()) == set()
        assert host.graph.peer.count_publishers('image_raw') == 0
        # the pool of a multi-threaded executor may have grown meanwhile
        more = {t.name for t in set(threading.enumerate()) - threads}
        assert not [name for name in more if 'ThreadPool' not in name]

    def test_an_unknown_number_is_refused(self, host):
        component = host.load('strangers::Talker')
        for number in (0, component.unique_id + 1, 2**64 - 1):
            with pytest.raises(ComponentError, match=f'no component has unique id {number}'):
                host.unload(number)
        host.unload(component)
        with pytest.raises(ComponentError, match='no component has unique id 1; there are none'):
            host.unload(component)

    def test_frames_are_shared_and_go_on_for_those_that_stay(self, host, engines_dir):
        sources = {'parameters': (Parameter('engines_dir', value=str(engines_dir)),)}
        first = host.load('aitable_ros::FaceDetectionNode', **sources)
        second = host.load('aitable_ros::FaceDetectionNode', 'second', **sources)
        assert until(lambda: first.node.is_active and second.node.is_active, 30)
        camera = host.graph.run(lambda: host.graph.peer.create_publisher(Image, 'image_raw', 5))
        assert until(lambda: camera.get_subscription_count() == 1)
        host.unload(first)
        assert until(lambda: camera.get_subscription_count() == 1)
        image = image_message(np.zeros((48, 64, 3), np.uint8), 1.0)

        def show():
            camera.publish(image)
            return second.node.input_rate.count > 0

        assert until(show)
        host.unload(second)
        assert until(lambda: camera.get_subscription_count() == 0)

    def test_closing_frees_everything(self, host):
        for name in ('a', 'b'):
            host.load('aitable_ros::ImageSourceNode', name)
        host.graph.stop_spinning()
        assert host.manager.close() == ()
        assert until(lambda: host.names_left() == set())
        assert not [t for t in threading.enumerate() if t.name[:1] in 'ab']


class TestSlowNetworks:
    def test_loading_one_holds_up_nothing(self, host, strangers):
        started_s = time.monotonic()
        slow = host.load('strangers::Slow')
        assert until(lambda: slow.node.state == 'configuring')
        heard = host.graph.collect(String, 'chatter')
        talker = host.load('strangers::Talker')
        assert until(lambda: heard)
        assert host.graph.run(lambda: host.manager.components) == (slow, talker)
        host.unload(talker)
        assert time.monotonic() - started_s < 8.0
        assert slow.node.state == 'configuring'
        strangers.LOADED.set()
        assert until(lambda: slow.node.is_active)

    def test_unloading_one_meanwhile_waits_for_nothing_and_still_destroys_it(
        self, host, strangers
    ):
        slow = host.load('strangers::Slow')
        assert until(lambda: slow.node.state == 'configuring')
        node, number = weakref.ref(slow.node), slow.unique_id
        slow = None
        host.unload(number)
        assert host.manager.components == ()
        assert host.manager.departing == ('/slow',)
        with pytest.raises(ComponentError, match='/slow was unloaded, but is still busy'):
            host.load('strangers::Slow')
        host.load('strangers::Slow', 'other')
        strangers.LOADED.set()
        assert until(lambda: host.manager.departing == ())
        assert host.names_until({'/other'}) == {'/other'}
        assert until(lambda: node() is None)
        assert host.load('strangers::Slow').full_name == '/slow'

    def test_one_that_a_thread_still_holds_for_a_moment_leaves_the_graph_all_the_same(
        self, host, monkeypatch
    ):
        component = host.load('aitable_ros::ImageSourceNode')
        number, held = component.unique_id, [component.node]
        component = None
        collect = gc.collect

        def collect_and_let_go():
            collected = collect()
            if host.manager.departing:  # what was destroyed is looked at for the first time
                held.clear()
            return collected

        monkeypatch.setattr(gc, 'collect', collect_and_let_go)
        host.unload(number)
        assert not held
        assert host.names_until(set()) == set()

    def test_one_that_is_held_for_good_is_not_waited_for(self, host):
        component = host.load('aitable_ros::ImageSourceNode')
        assert host.unload(component) == component.full_name
        assert host.manager.departing == ()
        assert host.load('aitable_ros::ImageSourceNode').full_name == component.full_name

    def test_closing_waits_only_as_long_as_it_may(self, host, strangers):
        host.load('strangers::Talker')
        slow = host.load('strangers::Slow')
        assert until(lambda: slow.node.state == 'configuring')
        host.graph.stop_spinning()
        assert host.manager.close(patience_s=0.2) == ('/slow',)
        assert until(lambda: host.names_left() == {'/slow'})
        strangers.LOADED.set()
        slow.node.destroy_node()


def test_a_callback_that_runs_in_another_thread_ends_before_its_node(strangers, monkeypatch):
    use_threads(monkeypatch)
    host = Host()
    try:
        component = host.load('strangers::Busy')
        node = component.node
        assert node.entered.wait(5.0)
        threading.Timer(0.5, node.may_leave.set).start()
        host.unload(component)
        assert node.left_with == 'published'
        assert host.names_until(set()) == set()
    finally:
        host.close()


@pytest.mark.models
@pytest.mark.parametrize('kind', ['single', 'threaded'])
@pytest.mark.timeout(300)
def test_no_leak_and_no_deadlock_in_many_cycles(kind, strangers, monkeypatch, engines_dir):
    """Real nodes with networks, with images coming in all the while."""
    if kind == 'threaded':
        use_threads(monkeypatch)
    host = Host()
    camera = host.graph.run(lambda: host.graph.peer.create_publisher(Image, 'image_raw', 1))
    image = image_message(np.zeros((120, 160, 3), np.uint8), 1.0)
    host.graph.run(lambda: host.graph.peer.create_timer(0.02, lambda: camera.publish(image)))
    folder = Parameter('engines_dir', value=str(engines_dir))
    plugins = {
        'face_detection': ('aitable_ros::FaceDetectionNode', (folder,)),
        'fatigue': ('aitable_ros::FatigueNode', (folder,)),
        'emotion': ('aitable_ros::EmotionNode', (folder, Parameter('reading', value='geometry'))),
        'overlay': ('aitable_ros::OverlayNode', ()),
        'image_source': ('aitable_ros::ImageSourceNode', (Parameter('autostart', value=False),)),
    }
    random = np.random.default_rng(7)
    refs = []

    def at_work():
        nodes = {c.full_name: c.node for c in host.manager.components}
        source = nodes.pop('/image_source', None)
        detection = nodes.get('/face_detection')
        return (
            (source is None or source.state == 'unconfigured')
            and all(node.is_active for node in nodes.values())
            and (detection is None or detection.input_rate.count > 0)
        )

    def cycle(count):
        for name in random.choice(list(plugins), count, replace=False):
            plugin, parameters = plugins[name]
            host.load(plugin, str(name), parameters=parameters)
        if random.random() < 0.7:  # else they are unloaded while they are loading
            assert until(at_work, 30)
        # hold on to none of them: when they are unloaded they have to go
        numbers = [c.unique_id for c in host.manager.components]
        refs[:] = [weakref.ref(c.node) for c in host.manager.components]
        for number in random.permutation(numbers):
            host.unload(int(number))
        assert until(lambda: host.manager.departing == (), 30)
        assert not any(ref() for ref in refs)

    try:
        for _ in range(5):
            cycle(len(plugins))
        before = census(host)
        measured_mb = []
        for i in range(CYCLES):
            cycle(2)
            if i >= CYCLES // 2:  # by then malloc has found its arenas
                measured_mb.append(rss_mb())
        assert host.names_until(set()) == set()
        assert until(lambda: camera.get_subscription_count() == 0)
        assert census(host) == before
        grown_mb = steady_growth_mb(measured_mb)
        print(f'{kind}: {grown_mb:.1f} MB in {CYCLES // 4} cycles')
        # The middleware keeps up to 0.15 MB for every node there ever was in the process; a leaked
        # interpreter or frame buffer is megabytes a cycle.
        assert grown_mb < 7, measured_mb
    finally:
        host.close()


def census(host):
    """Count what can leak."""
    gc.collect()
    graph = host.graph
    topics = dict(graph.peer.get_topic_names_and_types())
    return {
        'threads': len([t for t in threading.enumerate() if 'ThreadPool' not in t.name]),
        'nodes': sum(isinstance(o, Node) for o in gc.get_objects()),
        'topics': sorted(topics),
        'subscriptions': {t: graph.peer.count_subscribers(t) for t in topics},
        'publishers': {t: graph.peer.count_publishers(t) for t in topics},
    }
