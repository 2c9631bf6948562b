# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The container as ROS's own tools use it: ``ros2 component`` and launch files."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from plugin_packages import install
from ros_fixtures import graph, until
from std_msgs.msg import String

__all__ = ['graph']

ROOT = Path(__file__).resolve().parents[2]
NEEDS = {
    'composition_interfaces': 'composition_interfaces',
    'launch': 'launch_ros',
    'cli': 'ros2component',
}
MISSING = [name for name in NEEDS.values() if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING) or shutil.which('ros2') is None,
    reason=f'{", ".join(MISSING) or "ros2"} not installed (not on PyPI): source a ROS 2 '
    'installation',
)

LAUNCH = """
import sys

from launch import LaunchDescription, LaunchService
from launch_ros.actions import (
    ComposableNodeContainer,
    LoadComposableNodes,
    PushROSNamespace,
    SetParameter,
    SetRemap,
)
from launch.actions import GroupAction
from launch_ros.descriptions import ComposableNode

MAIN = 'from aitable_ros.nodes import component_container as c; c.MAIN()'

service = LaunchService()
service.include_launch_description(LaunchDescription([
    SetParameter('text', 'to all'),
    ComposableNodeContainer(
        name='box',
        namespace='kitchen',
        executable=sys.executable,
        arguments=['-c', MAIN],
        output='screen',
        composable_node_descriptions=[
            ComposableNode(
                package='aitable_ros',
                plugin='aitable_ros::EmotionNode',
                name='mood',
                parameters=[{'backend': 'geometry', 'autostart': False}],
                remappings=[('faces', '/people')],
                extra_arguments=[{'use_intra_process_comms': True}],
            ),
            ComposableNode(package='strangers', plugin='strangers::Talker'),
            ComposableNode(package='strangers', plugin='strangers::Slow'),
            ComposableNode(package='strangers', plugin='strangers::Nobody'),
        ],
    ),
    GroupAction([
        PushROSNamespace('table'),
        SetRemap('chatter', '/remapped'),
        LoadComposableNodes(
            target_container='/kitchen/box',
            composable_node_descriptions=[
                ComposableNode(
                    package='strangers', plugin='Talker', parameters=[{'text': 'later'}]
                ),
            ],
        ),
    ]),
]))
sys.exit(service.run())
"""


@pytest.fixture
def environment(tmp_path):
    folder = tmp_path / 'installed'
    folder.mkdir()
    paths = [str(install(folder)), str(ROOT), os.environ.get('PYTHONPATH', '')]
    return {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(paths),
        'ROS_LOG_DIR': str(tmp_path / 'log'),
    }


@pytest.fixture
def start(environment, tmp_path):
    """Start a process that is asked to end when the test does."""
    processes = []

    def start(*command):
        log = tmp_path / f'process{len(processes)}.log'
        with log.open('wb') as out:
            process = subprocess.Popen(
                command, env=environment, stdout=out, stderr=subprocess.STDOUT
            )
        processes.append(process)
        return process, log.read_text

    yield start
    for number, process in enumerate(processes):
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        finally:
            process.kill()
            print((tmp_path / f'process{number}.log').read_text())  # shown when a test fails


@pytest.mark.parametrize('main', ['main', 'main_mt'])
def test_launch_composes(graph, start, tmp_path, main):
    from composition_interfaces.srv import ListNodes

    script = tmp_path / 'compose.py'
    script.write_text(LAUNCH.replace('c.MAIN', f'c.{main}'))
    said = graph.collect(String, '/chatter')
    heard = graph.collect(String, '/remapped')
    process, log = start(sys.executable, str(script))

    def listed():
        reply = graph.call_process(
            ListNodes, '/kitchen/box/_container/list_nodes', ListNodes.Request()
        )
        return set(reply.full_node_names)

    assert until(lambda: len(listed()) == 4, 60), log()
    # '/mood' and not '/kitchen/mood': launch leaves the namespace to the description
    assert listed() == {'/mood', '/talker', '/slow', '/table/talker'}
    assert until(lambda: heard and said)
    assert (said[0].data, heard[0].data) == ('to all', 'later')
    assert until(lambda: 'Nobody' in log())
    assert 'Failed to load node' in log()
    assert "has no plugin 'strangers::Nobody'; it has" in log()
    process.send_signal(signal.SIGINT)  # the slow one is still loading
    assert process.wait(20) == 0, log()
    assert 'process has finished cleanly' in log()
    assert 'Traceback' not in log()


def test_ros2_component(graph, start, environment):
    process, log = start(
        sys.executable, '-c', 'from aitable_ros.nodes import component_container as c; c.main()'
    )

    def ros2(*arguments):
        for _ in range(5):
            result = subprocess.run(
                # without a daemon, which would outlive the test: it has to discover the nodes anew
                ['ros2', 'component', *arguments, '--no-daemon', '--spin-time', '3'],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            if 'Unable to find container' not in result.stderr:  # discovered too late
                break
        return result.returncode, result.stdout + result.stderr

    def load(*arguments):
        return ros2('load', '/aitable_container', *arguments)

    assert until(lambda: '/aitable_container' in ros2('list')[1], 60), log()
    assert load('strangers', 'strangers::Slow') == (
        0,
        "Loaded component 1 into '/aitable_container' container node as '/slow'\n",
    )
    assert load(
        'strangers',
        'Talker',
        '--node-name',
        'speaker',
        '--node-namespace',
        '/ns',
        '--remap-rule',
        'chatter:=/said',
        '--parameter',
        'text:=hi',
        '--extra-argument',
        'use_intra_process_comms:=true',
    ) == (0, "Loaded component 2 into '/aitable_container' container node as '/ns/speaker'\n")
    heard = graph.collect(String, '/said')
    assert until(lambda: heard)
    assert heard[0].data == 'hi'
    code, text = load('strangers', 'Slow')
    assert code != 0
    assert '/slow is loaded already, with unique id 1' in text
    listed = '/aitable_container\n  1  /slow\n  2  /ns/speaker\n'
    assert until(lambda: ros2('list')[1] == listed, 60)
    code, text = ros2('unload', '/aitable_container', '2', '9')
    assert "Unloaded component 2 from '/aitable_container'" in text
    assert 'No component has unique id 9; there are 1' in text
    assert code != 0
    # its network is still loading
    assert ros2('unload', '/aitable_container', '1')[0] == 0
    assert until(lambda: ros2('list')[1] == '/aitable_container\n', 60)
    assert process.poll() is None
    assert 'Traceback' not in log()
