# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The launch file starts the whole system, composed or in separate processes.

Needs launch, launch_ros and ros2cli, which PyPI does not have. With a ROS installation:
``colcon build && source install/setup.bash && pytest test/launch``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from importlib.util import module_from_spec, spec_from_file_location

import pytest

pytest.importorskip('launch_ros', reason='needs launch_ros: see the docstring of this file')

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument

from aitable_ros.paths import share_dir

LAUNCH_FILE = share_dir() / 'launch' / 'aitable.launch.py'
NODES = {'face_detection', 'emotion', 'fatigue', 'overlay'}


@pytest.fixture(scope='module')
def launch_module():
    spec = spec_from_file_location('aitable_launch', LAUNCH_FILE)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(launch_module, **arguments):
    """Return the launch_ros actions for these arguments."""
    context = LaunchContext()
    for declared in launch_module.declare_arguments():
        declared.execute(context)
    context.launch_configurations.update(arguments)
    return launch_module.start_nodes(context)


def test_every_argument_is_described_and_has_a_default(launch_module):
    arguments = [
        entity
        for entity in launch_module.generate_launch_description().entities
        if isinstance(entity, DeclareLaunchArgument)
    ]
    assert {a.name for a in arguments} >= {
        'backend',
        'image_topic',
        'source',
        'params_file',
        'composed',
    }
    for argument in arguments:
        assert len(argument.description) > 10, argument.name
        assert argument.default_value is not None, argument.name


def test_composed_is_one_process_and_separate_one_per_node(launch_module):
    (container,) = started(launch_module)
    assert container.node_executable == 'component_container'
    separate = started(launch_module, composed='false')
    assert {action.node_executable for action in separate} == NODES
    with_source = started(launch_module, composed='false', source='0')
    assert {action.node_executable for action in with_source} == NODES | {'image_source'}


@pytest.mark.parametrize(
    ('image_topic', 'info_topic'),
    [('image_raw', 'camera_info'), ('/camera/color/image_raw', '/camera/color/camera_info')],
)
def test_the_calibration_is_looked_for_beside_the_images(launch_module, image_topic, info_topic):
    assert launch_module._beside(image_topic) == info_topic


@pytest.mark.models
@pytest.mark.skipif(
    shutil.which('ros2') is None, reason='needs ros2cli: see the docstring of this file'
)
@pytest.mark.parametrize('composed', ['true', 'false'])
def test_launched_on_the_sample_fatigue_comes_out_and_ctrl_c_ends_it(
    graph, engines_dir, composed, tmp_path
):
    from ros_fixtures import until

    from aitable_msgs.msg import Fatigue

    log = (tmp_path / 'log').open('w+')
    process = subprocess.Popen(
        ['ros2', 'launch', str(LAUNCH_FILE), 'source:=sample', f'composed:={composed}'],
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        heard = graph.collect(Fatigue, 'fatigue')
        assert until(lambda: len(heard) > 30, 60), (tmp_path / 'log').read_text()
        assert heard[-1].face_id == 'f1'
        names = {name for name, _ in graph.peer.get_node_names_and_namespaces()}
        assert names >= NODES | {'image_source'}
        assert ('aitable_container' in names) == (composed == 'true')
    finally:
        os.killpg(process.pid, signal.SIGINT)
        status = process.wait(30)
        log.close()
    text = (tmp_path / 'log').read_text()
    assert 'Traceback' not in text
    assert 'has died' not in text
    assert status in (0, 1, -signal.SIGINT)
