# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""aitable.launch.py and its fragments, started for real (how to run: test/launch_fixtures.py)."""

from __future__ import annotations

import os
import re
import signal

import pytest
from launch_fixtures import HOW_TO_RUN, has_nodes
from ros_fixtures import until
from web_clients import Page

pytest.importorskip('launch_ros', reason='launch_ros ' + HOW_TO_RUN)

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from sensor_msgs.msg import CompressedImage, Image

from aitable_msgs.msg import FaceArray, Fatigue
from aitable_ros.launching.parameter_files import parameters_for
from aitable_ros.paths import share_dir

pytestmark = pytest.mark.models

LAUNCH = share_dir() / 'launch'
NODES = {'/face_detection', '/emotion', '/fatigue', '/attention', '/overlay'}


def parameter(graph, node, name):
    request = GetParameters.Request(names=[name])
    (value,) = graph.call_process(GetParameters, f'{node}/get_parameters', request).values
    return parameter_value_to_python(value)


@pytest.mark.parametrize('composed', ['true', 'false'])
def test_on_the_sample_fatigue_comes_out_and_ctrl_c_ends_it(
    graph, engines_dir, launched, composed
):
    process = launched(LAUNCH / 'aitable.launch.py', 'source:=sample', f'composed:={composed}')
    heard = graph.collect(Fatigue, 'fatigue')
    assert until(lambda: len(heard) > 30, 60), process.text
    assert re.fullmatch(r'f\d+_1', heard[-1].face_id)
    container = {'/aitable_container'} if composed == 'true' else set()
    assert has_nodes(graph, NODES | {'/image_source'} | container)
    process.stop()
    assert process.status in (0, 1, -2)
    assert 'has died' not in process.text
    assert has_nodes(graph, set())


def test_the_page_is_served_while_no_topic_carries_images(
    graph, engines_dir, launched, tmp_path, monkeypatch
):
    pytest.importorskip('aiohttp', reason='aiohttp is not installed')
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    params = tmp_path / 'port.yaml'
    params.write_text('/**/web_monitor: {ros__parameters: {port: 0}}')
    process = launched(
        LAUNCH / 'aitable.launch.py',
        'source:=sample',
        'web:=true',
        'publish_images:=false',
        f'params_file:={params}',
    )
    assert until(lambda: 'the page is at' in process.text, 60), process.text
    port = int(re.search(r'the page is at http://127.0.0.1:(\d+)/', process.text)[1])
    with Page(port) as page:
        people = []
        while not people:
            people = page.until('readings', 30)['people']
    assert re.fullmatch(r'f\d+_1', people[0]['id'])
    with_images = {
        name
        for name, types in graph.peer.get_topic_names_and_types()
        if {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'} & set(types)
    }
    assert [name for name in with_images if graph.peer.count_publishers(name)] == []


@pytest.mark.parametrize('composed', ['true', 'false'])
def test_what_is_switched_off_is_not_there_and_arguments_reach_the_parameters(
    graph, engines_dir, launched, composed
):
    process = launched(
        LAUNCH / 'aitable.launch.py',
        f'composed:={composed}',
        'namespace:=hall/table_a',
        'overlay:=false',
        'backend:=onnxruntime',
        'emotion_reading:=geometry',
        'use_sim_time:=true',
    )
    assert parameter(graph, '/hall/table_a/emotion', 'reading') == 'geometry', process.text
    for name in ('face_detection', 'emotion'):
        node = f'/hall/table_a/{name}'
        assert parameter(graph, node, 'backend') == 'onnxruntime', process.text
        assert parameter(graph, node, 'use_sim_time') is True
        assert parameter(graph, node, 'image_transport') == 'raw'
    container = {'/hall/table_a/aitable_container'} if composed == 'true' else set()
    started = ('face_detection', 'emotion', 'fatigue', 'attention')
    wanted = {f'/hall/table_a/{name}' for name in started}
    assert has_nodes(graph, wanted | container)


def test_two_tables_at_once_one_of_them_compressed(graph, engines_dir, launched):
    for name, transport in (('a', 'raw'), ('b', 'compressed')):
        launched(
            LAUNCH / 'aitable.launch.py',
            'source:=sample',
            f'namespace:=table_{name}',
            f'image_transport:={transport}',
            'emotion:=false',
            'overlay:=false',
        )
    faces = {name: graph.collect(FaceArray, f'/table_{name}/faces') for name in 'ab'}
    raw = {name: graph.collect(Image, f'/table_{name}/image_raw', 1) for name in 'ab'}
    compressed = {
        name: graph.collect(CompressedImage, f'/table_{name}/image_raw/compressed', 1)
        for name in 'ab'
    }
    diagnostics = graph.collect(DiagnosticArray, '/diagnostics')
    for name in 'ab':
        assert until(lambda name=name: any(array.faces for array in faces[name]), 60), name
    assert until(lambda: raw['a'] and compressed['b'])
    assert not raw['b']
    assert not compressed['a']
    wanted = {f'table_{name}/face_detection' for name in 'ab'}
    assert until(
        lambda: wanted <= {status.name for array in diagnostics for status in array.status}
    )


def test_ros2_tools_find_what_they_expect(graph, engines_dir, launched, ros2, tmp_path):
    process = launched(LAUNCH / 'aitable.launch.py', 'source:=sample')
    heard = graph.collect(Fatigue, 'fatigue')
    assert until(lambda: heard, 60), process.text

    described = ros2('param', 'describe', '/emotion', 'max_rate')
    assert 'Images per second'.lower() in described.lower()
    assert 'Max value: 1000.0' in described
    assert '5.0' in ros2('param', 'get', '/emotion', 'max_rate')
    assert 'successful' in ros2('param', 'set', '/emotion', 'max_rate', '2.5')
    assert parameter(graph, '/emotion', 'max_rate') == 2.5
    refused = ros2('param', 'set', '/face_detection', 'backend', 'abacus')
    assert "'abacus' is not one of" in refused
    dumped = ros2('param', 'dump', '/fatigue')
    assert '/fatigue:' in dumped
    # what was dumped is a parameter file that launch takes
    file = tmp_path / 'dumped.yaml'
    file.write_text(dumped)
    assert parameters_for(file, '/fatigue')['rectified'] is False

    def state():
        return graph.call_process(
            GetState, '/fatigue/get_state', GetState.Request()
        ).current_state.label

    assert 'active' in ros2('lifecycle', 'get', '/fatigue')
    assert 'successful' in ros2('lifecycle', 'set', '/fatigue', 'deactivate')
    assert state() == 'inactive'
    assert 'successful' in ros2('lifecycle', 'set', '/fatigue', 'activate')
    assert state() == 'active'


def test_a_process_that_was_killed_comes_back_if_wanted(graph, engines_dir, launched):
    process = launched(LAUNCH / 'aitable_camera.launch.py', 'source:=sample', 'respawn:=true')
    heard = graph.collect(Image, '/image_raw', 1)
    assert until(lambda: heard, 30), process.text
    (pid,) = re.findall(r'process started with pid \[(\d+)\]', process.text)
    os.kill(int(pid), signal.SIGKILL)
    assert process.says('process has died')
    heard.clear()
    assert until(lambda: heard, 30), process.text
    assert process.text.count('process started') == 2
