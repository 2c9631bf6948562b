# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The container composes what its parameter names, and loads and unloads what it is asked to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from plugin_packages import install, strangers
from rclpy.executors import MultiThreadedExecutor
from rclpy.parameter import Parameter
from ros_fixtures import RosGraph, until
from std_msgs.msg import String

from aitable_ros.nodes.component_container import (
    ComponentContainer,
    make_threaded_executor,
    shared_ros_args,
)
from aitable_ros.ros_support.container.request import ComponentError
from aitable_ros.ros_support.process import executor as executor_module

__all__ = ['strangers']

ROOT = Path(__file__).resolve().parents[2]
NO_INTERFACES = (
    'composition_interfaces is not installed (it is not on PyPI): source a ROS 2 installation'
)


@pytest.fixture(params=['single', 'threaded'])
def graph(request, monkeypatch):
    if request.param == 'threaded':
        monkeypatch.setattr(
            executor_module,
            'make_executor',
            lambda context: MultiThreadedExecutor(num_threads=3, context=context),
        )
    graph = RosGraph()
    yield graph
    graph.close()


@pytest.fixture
def make(graph):
    containers = []

    def make(*components, ros_args=()):
        node = ComponentContainer(
            context=graph.context,
            ros_args=ros_args,
            parameter_overrides=[Parameter('components', value=list(components) or [''])],
        )
        containers.append(node)
        graph.run(lambda: node.compose(graph.executor))
        return node

    yield make
    graph.stop_spinning()
    for container in containers:
        container.destroy_node()


def components_of(container):
    """The loaded nodes by full name."""
    return {c.full_name: c.node for c in container.manager.components}


INTERRUPTED_START = """
import os, signal, threading
start = threading.Thread.start
def interrupted(thread):
    start(thread)
    if thread.name.startswith('ThreadPoolExecutor'):
        threading.Thread.start = start
        print('a thread was started', flush=True)
        os.kill(os.getpid(), signal.SIGINT)
threading.Thread.start = interrupted
"""


class TestParameter:
    """Nodes that are there from the beginning, with or without composition_interfaces."""

    def test_composes_nodes_under_their_own_names(self, graph, make):
        node = make('emotion', 'fatigue', ros_args=('-p', 'fatigue:publish_tf:=false'))
        assert set(components_of(node)) == {'/emotion', '/fatigue'}
        assert until(lambda: all(n.is_active for n in components_of(node).values()))
        assert {n for n, _ in graph.peer.get_node_names_and_namespaces()} >= {
            'aitable_container',
            'emotion',
            'fatigue',
        }

    def test_arguments_reach_the_node_they_name(self, make):
        node = make(
            'emotion',
            'image_source',
            ros_args=(
                '-p',
                'image_source:rate:=12.5',
                '-p',
                "image_source:source:='0'",
                '-p',
                'image_source:autostart:=false',
                '-r',
                'image_raw:=/camera/image',
            ),
        )
        source = components_of(node)['/image_source']
        assert source.params['rate'] == 12.5
        assert source.params['source'] == '0'  # quoted: a string
        assert source.resolve_topic_name('image_raw') == '/camera/image'
        assert source._compressed.topic_name == '/camera/image/compressed'

    def test_plugins_of_other_packages(self, graph, make, strangers):
        heard = graph.collect(String, '/talk')
        node = make('emotion', 'strangers::Talker', ros_args=('-r', 'chatter:=/talk'))
        assert set(components_of(node)) == {'/emotion', '/talker'}
        assert until(lambda: heard)

    def test_without_composition_interfaces_it_says_what_is_not_offered(
        self, graph, make, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, 'composition_interfaces', None)
        monkeypatch.setitem(sys.modules, 'composition_interfaces.srv', None)
        log = _log_of(graph)
        node = make('emotion')
        assert until(lambda: components_of(node)['/emotion'].is_active)
        assert until(lambda: any('composition_interfaces is not installed' in t for t in log))
        assert not [n for n, _ in node.get_service_names_and_types() if '/_container/' in n]

    def test_without_composition_interfaces_and_components_there_is_nothing_to_do(
        self, make, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, 'composition_interfaces', None)
        monkeypatch.setitem(sys.modules, 'composition_interfaces.srv', None)
        with pytest.raises(ComponentError, match='nothing to compose'):
            make()


class TestServices:
    @pytest.fixture(autouse=True)
    def interfaces(self):
        return pytest.importorskip('composition_interfaces.srv', reason=NO_INTERFACES)

    @pytest.fixture
    def call(self, graph, make, interfaces, strangers):
        self.container = make()

        def call(kind, timeout_s=10.0, **fields):
            service = getattr(interfaces, kind)
            name = {'LoadNode': 'load_node', 'UnloadNode': 'unload_node'}.get(kind, 'list_nodes')
            request = service.Request(**fields)
            return graph.call(service, f'/aitable_container/_container/{name}', request, timeout_s)

        yield call
        strangers.LOADED.set()

    def listed(self, call):
        reply = call('ListNodes')
        assert len(reply.full_node_names) == len(reply.unique_ids)
        return dict(zip(reply.unique_ids, reply.full_node_names))

    def test_load_list_unload(self, graph, call):
        assert self.listed(call) == {}
        first = call('LoadNode', package_name='aitable_ros', plugin_name='EmotionNode')
        assert (first.success, first.error_message) == (True, '')
        assert (first.full_node_name, first.unique_id) == ('/emotion', 1)
        second = call(
            'LoadNode',
            package_name='aitable_ros',
            plugin_name='aitable_ros::EmotionNode',
            node_name='mood',
            node_namespace='/table',
            remap_rules=['faces:=/people'],
            parameters=[
                Parameter('reading', value='geometry').to_parameter_msg(),
                Parameter('use_sim_time', value=True).to_parameter_msg(),
            ],
            extra_arguments=[Parameter('use_intra_process_comms', value=True).to_parameter_msg()],
            log_level=40,
        )
        assert (second.full_node_name, second.unique_id) == ('/table/mood', 2)
        assert self.listed(call) == {1: '/emotion', 2: '/table/mood'}
        mood = components_of(self.container)['/table/mood']
        assert until(lambda: mood.is_active)
        assert mood.params['reading'] == 'geometry'
        assert mood.get_parameter('use_sim_time').value is True
        assert graph.peer.count_subscribers('/people') == 1
        reply = call('UnloadNode', unique_id=2)
        assert (reply.success, reply.error_message) == (True, '')
        assert graph.peer.count_subscribers('/people') == 0
        assert self.listed(call) == {1: '/emotion'}
        again = call('LoadNode', package_name='aitable_ros', plugin_name='OverlayNode')
        assert again.unique_id == 3

    @pytest.mark.parametrize(
        ('fields', 'reason'),
        [
            ({'package_name': 'strangers', 'plugin_name': 'Talker'}, '/talker is loaded already'),
            # what it raised is no UTF-8 and could not be sent as it is
            ({'package_name': 'strangers', 'plugin_name': 'Raises'}, 'no such camera: [?]'),
        ],
    )
    def test_failures_are_replies(self, call, fields, reason):
        call('LoadNode', package_name='strangers', plugin_name='Talker')
        reply = call('LoadNode', **fields)
        assert (reply.success, reply.full_node_name, reply.unique_id) == (False, '', 0)
        assert re.search(reason, reply.error_message)
        assert self.listed(call) == {1: '/talker'}

    def test_an_unknown_type_of_parameter_is_a_reply(self, call):
        parameter = Parameter('text', value='x').to_parameter_msg()
        parameter.value.type = 99
        reply = call(
            'LoadNode', package_name='strangers', plugin_name='Talker', parameters=[parameter]
        )
        assert not reply.success
        assert '99' in reply.error_message

    def test_a_slow_import_keeps_none_of_the_services_waiting(self, call, tmp_path):
        (tmp_path / 'site-packages' / 'broken_import.py').write_text(
            'import time\ntime.sleep(3.0)\nfrom strangers import Talker as Node\n'
        )
        from concurrent.futures import ThreadPoolExecutor

        started_s = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(
                call, 'LoadNode', package_name='my_broken_package', plugin_name='Import'
            )
            time.sleep(0.5)
            assert self.listed(call) == {}
            assert not loading.done()
            assert time.monotonic() - started_s < 2.9
            assert loading.result().full_node_name == '/talker'


def test_a_fault_in_one_component_does_not_end_the_others(strangers):
    """``spin_executor`` goes on, where rclpy's ``spin`` would end the process."""
    import threading

    import rclpy
    from rclpy.context import Context

    for threaded in (False, True):
        context = Context()
        rclpy.init(args=[], context=context)
        container = ComponentContainer(
            context=context,
            parameter_overrides=[
                Parameter('components', value=['strangers::Faulty', 'strangers::Talker']),
                Parameter('threads', value=2),
            ],
        )
        if threaded:
            executor = make_threaded_executor(container)
            assert isinstance(executor, MultiThreadedExecutor)
        else:
            executor = executor_module.make_executor(context)
        container.compose(executor)
        heard = []
        container.create_subscription(String, 'chatter', heard.append, 10)
        thread = threading.Thread(
            target=executor_module.spin_executor, args=(executor, container.get_logger())
        )
        thread.start()
        try:
            faulty = components_of(container)['/faulty']
            assert until(lambda faulty=faulty: faulty.count > 3)
            assert until(lambda heard=heard: len(heard) > 3)
        finally:
            context.shutdown()
            thread.join(10.0)
            container.destroy_node()
            executor.shutdown()
        assert not thread.is_alive()


class TestProcess:
    """The executables, as processes."""

    @pytest.fixture
    def start(self, tmp_path):
        folder = tmp_path / 'installed'
        folder.mkdir()
        install(folder)
        processes = []

        def start(*arguments, main='main', before=''):
            log = tmp_path / f'{len(processes)}.log'
            paths = [str(folder), str(ROOT), os.environ.get('PYTHONPATH', '')]
            with log.open('wb') as out:
                process = subprocess.Popen(
                    [
                        sys.executable,
                        '-c',
                        'from aitable_ros.nodes import component_container as c\n'
                        f'{before}c.{main}()',
                        '--ros-args',
                        *arguments,
                    ],
                    env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
            processes.append(process)
            return process, log.read_text

        yield start
        for process in processes:
            process.kill()
            process.wait()

    @pytest.mark.parametrize(
        ('main', 'signum'), [('main', signal.SIGINT), ('main_mt', signal.SIGTERM)]
    )
    def test_ends_cleanly(self, start, main, signum):
        process, log = start('-p', 'components:=[emotion, "strangers::Talker"]', main=main)
        assert until(lambda: 'composed /talker' in log(), 30)
        time.sleep(0.5)
        process.send_signal(signum)
        assert process.wait(10) == 0, log()
        assert 'Traceback' not in log()

    @pytest.mark.parametrize(
        ('plugin', 'sign', 'main'),
        [('Slow', ': loading', 'main_mt'), ('SlowConstructor', 'constructing', 'main')],
    )
    def test_ctrl_c_while_loading_ends_cleanly_and_soon(self, start, plugin, sign, main):
        process, log = start(
            '-p', f'components:=["strangers::Talker", "strangers::{plugin}"]', main=main
        )
        assert until(lambda: sign in log(), 30)
        time.sleep(0.2)
        started_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)  # launch sends another one
        assert process.wait(20) == 0, log()
        assert time.monotonic() - started_s < 10.0  # launch kills then; the network takes 60 s
        assert 'Traceback' not in log()

    def test_ctrl_c_while_a_thread_is_being_started_ends_it_all_the_same(self, start):
        process, log = start(
            '-p', 'components:=["strangers::Talker"]', main='main_mt', before=INTERRUPTED_START
        )
        assert until(lambda: process.poll() is not None, 30), log()
        assert process.returncode == 0, log()
        assert 'a thread was started' in log()
        assert 'Traceback' not in log()

    def test_sigterm_while_a_node_is_being_constructed_is_no_failure(self, start):
        before = (
            'from aitable_ros.nodes.face_detection_node import FaceDetectionNode as N\n'
            'import os, signal, time\n'
            'def stop(self, name="n", **kwargs):\n'
            '    os.kill(os.getpid(), signal.SIGTERM)\n'
            '    time.sleep(0.5)\n'
            '    original(self, name, **kwargs)\n'
            'original, N.__init__ = N.__init__, stop\n'
        )
        process, log = start('-p', 'components:=[face_detection]', before=before)
        assert process.wait(30) == 0, log()
        assert 'FATAL' not in log()

    def test_a_wrong_argument_ends_the_process_with_the_reason(self, start):
        process, log = start('-p', 'components:=[strangers::Talker]')  # YAML wants quotes there
        assert process.wait(30) == 1
        assert "Couldn't parse parameter override rule" in log()
        assert 'Traceback' not in log()

    def test_a_wrong_name_ends_the_process_with_the_reason(self, start):
        process, log = start('-p', 'components:=[nonsense]')
        assert process.wait(30) == 1
        assert "components: 'nonsense' unknown; there are" in log()
        assert 'Traceback' not in log()


def test_rules_that_rename_the_process_are_not_passed_on():
    argv = ['container', '--ros-args', '-r', '__node:=box', '-r', 'a:=b', '-p', 'x:=1', '--', 'y']
    assert shared_ros_args(argv) == ['-r', 'a:=b', '-p', 'x:=1']


def _log_of(graph):
    from rcl_interfaces.msg import Log

    texts = []
    graph.run(
        lambda: graph.peer.create_subscription(Log, '/rosout', lambda m: texts.append(m.msg), 50)
    )
    return texts
