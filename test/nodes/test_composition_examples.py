# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/composition.md work as they stand there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from ros_fixtures import graph, until
from std_msgs.msg import String

from aitable_ros.nodes.registry import PLUGINS
from aitable_ros.ros_support.container.component_manager import ComponentManager
from aitable_ros.ros_support.container.plugins import PluginRegistry
from aitable_ros.ros_support.container.request import ComponentRequest

__all__ = ['graph']

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs' / 'composition.md').read_text()


def example(containing):
    """Return the one example with a text in it."""
    blocks = re.findall(r'```\w+\n(.*?)```', PAGE, re.S)
    (found,) = (block for block in blocks if containing in block)
    return found


def test_a_node_of_ones_own(graph, tmp_path, monkeypatch):
    package = tmp_path / 'my_package'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / 'talker.py').write_text(example('class Talker').replace('1.0', '0.1'))
    points = eval(f'dict({example("entry_points=").strip().rstrip(",")})')['entry_points']
    info = tmp_path / 'my_package-1.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: my_package\nVersion: 1\n')
    (info / 'entry_points.txt').write_text(
        '[rclpy_components]\n' + '\n'.join(points['rclpy_components'])
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    heard = graph.collect(String, 'chatter')
    manager = graph.run(
        lambda: ComponentManager(graph.peer, graph.executor, PluginRegistry(PLUGINS))
    )
    request = ComponentRequest('my_package', 'my_package::Talker')
    assert graph.run(lambda: manager.load(request)).full_name == '/talker'
    assert until(lambda: heard)
    graph.run(lambda: manager.unload(1)).result(10.0)


@pytest.mark.models
def test_a_process_of_ones_own(graph, tmp_path, engines_dir):
    script = tmp_path / 'own.py'
    script.write_text(example('def main'))
    log = tmp_path / 'log'
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
        'AITABLE_ENGINES_DIR': str(engines_dir),
    }
    with log.open('wb') as out:
        process = subprocess.Popen(
            [sys.executable, str(script)], env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        # the face detection's, which is active
        assert until(lambda: graph.peer.count_subscribers('image_raw') == 1, 60), log.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert 'Traceback' not in log.read_text()


def test_the_launch_file_is_one():
    pytest.importorskip(
        'launch_ros', reason='launch_ros is not installed: source a ROS 2 installation'
    )
    names = {}
    exec(example('def generate_launch_description'), names)
    assert len(names['generate_launch_description']().entities) == 1


def test_the_nodes_are_all_listed():
    for plugin in PLUGINS:
        assert f'`{plugin.partition("::")[2]}`' in PAGE
