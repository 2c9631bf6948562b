# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Launch files of other packages include ours (how to run: test/launch_fixtures.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from launch_fixtures import HOW_TO_RUN, has_nodes, node_names
from ros_fixtures import until

pytest.importorskip('launch_ros', reason='launch_ros ' + HOW_TO_RUN)

from sensor_msgs.msg import Image

from aitable_msgs.msg import Fatigue

pytestmark = pytest.mark.models

EXAMPLES = Path(__file__).resolve().parents[2] / 'docs' / 'examples'


@pytest.fixture(autouse=True)
def _frontends():
    for package in ('launch_xml', 'launch_yaml'):
        pytest.importorskip(package, reason=f'{package} {HOW_TO_RUN}')


def test_the_xml_example_runs_two_tables(graph, engines_dir, launched):
    process = launched(
        EXAMPLES / 'two_tables.launch.xml',
        'source_a:=sample',
        'source_b:=sample',
        'overlay:=false',
    )
    heard = {name: graph.collect(Fatigue, f'/table_{name}/fatigue') for name in 'ab'}
    assert until(lambda: heard['a'] and heard['b'], 60), process.text
    names = ('aitable_container', 'image_source', *('face_detection', 'emotion', 'fatigue'))
    names += ('attention',)
    wanted = {f'/table_{table}/{name}' for table in 'ab' for name in names}
    assert has_nodes(graph, wanted)


def test_the_yaml_example_puts_the_fragments_together(graph, engines_dir, launched):
    process = launched(EXAMPLES / 'fragments.launch.yaml', 'source:=sample')
    heard = graph.collect(Fatigue, '/table/fatigue')
    pictures = graph.collect(Image, '/table/overlay', 1)
    assert until(lambda: len(heard) > 5 and len(pictures) > 5, 60), process.text
    names = ('image_source', 'aitable_container', *('face_detection', 'fatigue', 'attention'))
    names += ('overlay',)
    assert has_nodes(graph, {f'/table/{name}' for name in names})


PYTHON_LAUNCH_FILE = """\
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node, SetParameter, SetRemap
from launch_ros.substitutions import FindPackageShare


def generate_launch_description():
    nodes = PathJoinSubstitution(
        [FindPackageShare('aitable_ros'), 'launch', 'aitable_nodes.launch.py']
    )
    camera = PathJoinSubstitution(
        [FindPackageShare('aitable_ros'), 'launch', 'aitable_camera.launch.py']
    )
    return LaunchDescription(
        [
            SetParameter('max_gap', 0.25),
            SetRemap('fatigue', 'tiredness'),
            Node(
                package='aitable_ros',
                executable='component_container',
                name='my_container',
                parameters=[{'components': ['']}],
            ),
            IncludeLaunchDescription(
                camera, launch_arguments={'source': 'sample', 'container': '/my_container'}.items()
            ),
            IncludeLaunchDescription(
                nodes,
                launch_arguments={
                    'container': '/my_container',
                    'params_file': 'none',
                    'emotion': 'false',
                    'face_detection_backend': 'onnxruntime',
                }.items(),
            ),
        ]
    )
"""


def test_a_python_file_loads_everything_into_a_container_of_its_own(
    graph, engines_dir, launched, ros2, tmp_path
):
    """Its parameters and remappings for all nodes reach ours."""
    pytest.importorskip('composition_interfaces', reason=f'composition_interfaces {HOW_TO_RUN}')
    file = tmp_path / 'mine.launch.py'
    file.write_text(PYTHON_LAUNCH_FILE)
    process = launched(file)
    heard = graph.collect(Fatigue, '/tiredness')
    assert until(lambda: len(heard) > 5, 60), process.text
    assert 'onnxruntime' in heard[-1].backend
    direct = ('--no-daemon', '--spin-time', '5')
    assert '0.25' in ros2('param', 'get', '/fatigue', 'max_gap', *direct)
    # a daemon of before may not have seen the container yet
    listed = ros2('component', 'list', *direct)
    assert '/my_container' in listed
    for name in ('/image_source', '/face_detection', '/fatigue'):
        assert f'  {name}\n' in listed
    assert 'Unloaded' in ros2('component', 'unload', *direct, '/my_container', '3')
    assert until(lambda: '/fatigue' not in node_names(graph))
    new = ('/my_container', 'aitable_ros', 'aitable_ros::FatigueNode')
    loaded = ros2('component', 'load', *direct, *new)
    assert '/fatigue' in loaded
