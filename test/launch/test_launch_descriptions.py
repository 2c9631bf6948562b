# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What each launch file would start, without starting it (how to run: test/launch_fixtures.py)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path

import pytest
from launch_fixtures import HOW_TO_RUN

pytest.importorskip('launch_ros', reason='launch_ros ' + HOW_TO_RUN)

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, RegisterEventHandler
from launch.event_handlers import OnShutdown
from launch.events import Shutdown
from launch.utilities import perform_substitutions
from launch_ros.actions import LoadComposableNodes, Node
from rclpy.parameter import Parameter

from aitable_ros.launching import actions
from aitable_ros.launching.arguments import LAUNCH_FILES
from aitable_ros.launching.parameter_files import parameters_for
from aitable_ros.nodes.registry import WITH_NETWORKS
from aitable_ros.paths import share_dir

DEFAULT_NODES = ['face_detection', 'emotion', 'fatigue', 'attention', 'overlay']


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Nothing that these tests do not clean up is left in the temporary folder."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))


def description_of(file):
    spec = spec_from_file_location(file.partition('.')[0], share_dir() / 'launch' / file)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def actions_of(file, **arguments):
    """Give what the launch file starts with these arguments, and the context."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    made = []
    for entity in description_of(file).entities:
        made += entity.execute(context) or []
    return made, context


@pytest.mark.parametrize('file', ['aitable.launch.py', 'aitable_camera.launch.py'])
def test_on_request_nothing_leaves_this_machine(file, monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    for network, expected in (('', set()), ('local', {'LOCALHOST'})):
        made, context = actions_of(file, source='sample', network=network)
        found = {
            perform_substitutions(context, list(value))
            for node in made
            if isinstance(node, Node)
            for name, value in node.additional_env or ()
            if perform_substitutions(context, list(name)) == 'ROS_AUTOMATIC_DISCOVERY_RANGE'
        }
        assert found == expected


def nodes_of(file, **arguments):
    made, _ = actions_of(file, **arguments)
    return [action for action in made if isinstance(action, Node)]


def command_of(node, context):
    """Give a node's command line as it would be run, less the executable."""
    node._perform_substitutions(context)
    return [
        ''.join(part.perform(context) for part in words)
        for words in node.cmd[1:]
        if not any('LocalSubstitution' in type(part).__name__ for part in words)
    ]


def parameters_of(process, context, node):
    """Read what a process is told about a node, by rcl's rules: the later file counts."""
    command = command_of(process, context)
    values = {}
    for flag, file in pairwise(command):
        if flag == '--params-file':
            values.update(parameters_for(Path(file), node))
    return values


@pytest.mark.parametrize('file', LAUNCH_FILES)
def test_the_declared_arguments_are_those_of_the_table(file):
    declared = [
        entity
        for entity in description_of(file).entities
        if isinstance(entity, DeclareLaunchArgument)
    ]
    assert [argument.name for argument in declared] == [
        argument.name for argument in LAUNCH_FILES[file]
    ]
    for argument, row in zip(declared, LAUNCH_FILES[file]):
        assert argument.description.startswith(row.description)
        assert (argument.choices or []) == list(row.choices)
        assert (argument.default_value is None) == (row.default is None)


@pytest.mark.parametrize('file', LAUNCH_FILES)
def test_importing_and_describing_starts_nothing(file):
    code = f"""
import os, runpy, socket, subprocess
before = dict(os.environ)
def refuse(*args, **kwargs):
    raise AssertionError('a side effect')
subprocess.Popen.__init__ = os.system = refuse
module = runpy.run_path({str(share_dir() / 'launch' / file)!r})
module['generate_launch_description']()
import rclpy
assert not rclpy.ok()
assert dict(os.environ) == before
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_composed_is_one_process_and_separate_one_per_node():
    (container,) = nodes_of('aitable.launch.py')
    assert container.node_executable == 'component_container'
    separate = nodes_of('aitable.launch.py', composed='false')
    assert [node.node_executable for node in separate] == DEFAULT_NODES
    with_source = nodes_of('aitable.launch.py', composed='false', source='0')
    assert [node.node_executable for node in with_source] == ['image_source', *DEFAULT_NODES]


def test_the_container_can_have_several_threads():
    (container,) = nodes_of('aitable.launch.py', container_threads='multi')
    assert container.node_executable == 'component_container_mt'


@pytest.mark.parametrize('name', [*DEFAULT_NODES])
def test_every_node_can_be_left_out(name):
    nodes = nodes_of('aitable.launch.py', composed='false', **{name: 'false'})
    assert [node.node_executable for node in nodes] == [n for n in DEFAULT_NODES if n != name]


@pytest.mark.parametrize('name', ['posture', 'hri'])
def test_further_nodes_can_be_switched_on(name):
    nodes = nodes_of('aitable.launch.py', composed='false', **{name: 'true'})
    assert {node.node_executable for node in nodes} == {*DEFAULT_NODES, name}


@pytest.mark.parametrize('composed', ['true', 'false'])
def test_the_page_has_a_process_of_its_own(composed):
    nodes = nodes_of('aitable.launch.py', composed=composed, web='true')
    others = {'component_container'} if composed == 'true' else {*DEFAULT_NODES}
    assert {node.node_executable for node in nodes} == {'web_monitor', *others}
    made, _ = actions_of('aitable.launch.py', container='/c', web='true')
    assert [n.node_executable for n in made if isinstance(n, Node)] == ['web_monitor']


def test_the_page_is_told_where_and_what_to_show():
    given = overrides_of(web='true', web_host='0.0.0.0', web_privacy='blur')
    assert given['web_monitor'] == {'host': '0.0.0.0', 'privacy': 'blur'}
    assert overrides_of(web='true')['web_monitor'] == {}


def test_topics_of_images_are_switched_off_wherever_there_are_some():
    made, context = actions_of(
        'aitable.launch.py', params_file='none', source='0', hri='true', publish_images='false'
    )
    (container,) = (action for action in made if isinstance(action, Node))
    for name in ('image_source', 'overlay', 'hri'):
        assert parameters_of(container, context, f'/{name}')['publish_images'] is False
    assert 'publish_images' not in parameters_of(container, context, '/fatigue')


def overrides_of(**arguments):
    """Give the parameters that these arguments set, by node."""
    made, context = actions_of(
        'aitable.launch.py', composed='false', params_file='none', **arguments
    )
    return {
        node.node_executable: parameters_of(node, context, f'/{node.node_executable}')
        for node in made
        if isinstance(node, Node)
    }


def test_arguments_left_alone_leave_the_word_to_the_parameter_file():
    given = overrides_of(source='sample')
    assert given.pop('image_source') == {'source': 'sample'}
    assert given == {name: {} for name in DEFAULT_NODES}


def test_a_backend_goes_to_every_network_unless_it_has_its_own():
    given = overrides_of(
        backend='onnxruntime', emotion_reading='geometry', posture_backend='auto', posture='true'
    )
    assert given == {
        'face_detection': {'backend': 'onnxruntime'},
        'posture': {'backend': 'auto'},
        'emotion': {'backend': 'onnxruntime', 'reading': 'geometry'},
        'fatigue': {},
        'attention': {},
        'overlay': {},
    }


def test_transport_and_time_go_to_every_node():
    given = overrides_of(image_transport='compressed', use_sim_time='true', source='0')
    common = {'image_transport': 'compressed', 'use_sim_time': True}
    assert given.pop('image_source') == {**common, 'source': '0'}
    for name in ('fatigue', 'attention'):  # they handle no images
        assert given.pop(name) == {'use_sim_time': True}
    assert given == dict.fromkeys(set(DEFAULT_NODES) - {'fatigue', 'attention'}, common)


@pytest.mark.parametrize('source', ["a 'b'.mp4", 'x: y', '0', '1e3', 'true'])
def test_a_source_stays_the_string_that_it_is(source):
    assert overrides_of(source=source)['image_source'] == {'source': source}


@pytest.mark.parametrize('name', WITH_NETWORKS)
@pytest.mark.parametrize('namespace', ['', 'hall/table_a', '/table_b'])
def test_composed_nodes_get_their_own_backend_in_any_namespace(name, namespace):
    made, context = actions_of(
        'aitable.launch.py',
        namespace=namespace,
        posture='true',
        **{f'{name}_backend': 'tensorrt'},
    )
    (container,) = (action for action in made if isinstance(action, Node))
    base = f'/{namespace.strip("/")}'.rstrip('/')
    for node in WITH_NETWORKS:
        backend = parameters_of(container, context, f'{base}/{node}').get('backend')
        assert (backend == 'tensorrt') == (node == name), node


def test_a_namespace_that_an_including_file_pushed_counts():
    made, context = actions_of(
        'aitable.launch.py', ros_namespace='/hall', namespace='a', emotion_backend='ncnn'
    )
    (container,) = (action for action in made if isinstance(action, Node))
    assert parameters_of(container, context, '/hall/a/emotion').get('backend') == 'ncnn'


def test_arguments_win_over_the_parameter_files_and_the_later_file_over_the_earlier(tmp_path):
    first, second = tmp_path / 'first.yaml', tmp_path / 'second.yaml'
    first.write_text('/table/face_detection: {ros__parameters: {backend: litert, memory: 3.0}}')
    second.write_text('/table/face_detection: {ros__parameters: {memory: 4.0}}')
    made, context = actions_of(
        'aitable.launch.py',
        namespace='table',
        params_file=f'{first}, {second}',
        backend='tensorrt',
    )
    (container,) = (action for action in made if isinstance(action, Node))
    assert parameters_of(container, context, '/table/face_detection').get('backend') == 'tensorrt'
    assert parameters_of(container, context, '/table/face_detection').get('memory') == 4.0


def test_the_file_of_a_container_is_removed_when_launch_ends():
    made, context = actions_of('aitable.launch.py', backend='auto')
    (container,) = (action for action in made if isinstance(action, Node))
    files = [word for word in command_of(container, context) if 'aitable_launch_' in word]
    assert len(files) == 1
    assert Path(files[0]).is_file()
    (handler,) = (action for action in made if isinstance(action, RegisterEventHandler))
    assert isinstance(handler.event_handler, OnShutdown)
    handler.event_handler.handle(Shutdown(), context)
    assert not Path(files[0]).parent.exists()


@pytest.mark.parametrize(
    ('image_topic', 'info_topic'),
    [('image_raw', 'camera_info'), ('/camera/color/image_raw', '/camera/color/camera_info')],
)
def test_the_calibration_is_looked_for_beside_the_images(image_topic, info_topic):
    made, context = actions_of('aitable.launch.py', image_topic=image_topic)
    (container,) = (action for action in made if isinstance(action, Node))
    words = command_of(container, context)
    assert f'image_raw:={image_topic}' in words
    assert f'camera_info:={info_topic}' in words


def test_a_running_container_is_joined_not_started():
    made, _ = actions_of('aitable.launch.py', container='/table_container', source='sample')
    assert not [action for action in made if isinstance(action, Node)]
    assert len([action for action in made if isinstance(action, LoadComposableNodes)]) == 1


def test_what_is_asked_of_a_container(tmp_path):
    from launch_ros.actions.load_composable_nodes import get_composable_node_load_request

    file, expert = tmp_path / 'mine.yaml', tmp_path / 'expert.yaml'
    file.write_text('/**/image_source: {ros__parameters: {rate: 4.0, encoding: "mono8"}}')
    expert.write_text(
        '/**/image_source: {ros__parameters: {rate: 5.0}}\n'
        '/**/fatigue: {ros__parameters: {max_gap: 0.25, words: [a, b], level: {mild_nods: 7}}}'
    )
    made, context = actions_of(
        'aitable.launch.py',
        container='/c',
        namespace='table',
        source='0',
        params_file=f'{file},{expert}',
        use_sim_time='true',
        image_topic='/camera/image',
    )
    (load,) = (action for action in made if isinstance(action, LoadComposableNodes))
    requests = [
        get_composable_node_load_request(description, context)
        for description in load._LoadComposableNodes__composable_node_descriptions
    ]
    by_name = {request.node_name: request for request in requests}
    assert list(by_name) == ['image_source', *DEFAULT_NODES]
    camera = by_name['image_source']
    assert (camera.package_name, camera.plugin_name) == (
        'aitable_ros',
        'aitable_ros::ImageSourceNode',
    )
    assert camera.node_namespace == '/table'
    assert 'image_raw:=/camera/image' in camera.remap_rules

    def values(request):
        return {p.name: Parameter.from_parameter_msg(p).value for p in request.parameters}

    assert values(camera) == {
        'rate': 5.0,
        'encoding': 'mono8',
        'source': '0',
        'use_sim_time': True,
    }
    assert values(by_name['fatigue']) == {
        'max_gap': 0.25,
        'words': ['a', 'b'],
        'level.mild_nods': 7,
        'use_sim_time': True,
    }


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        ({'params_file': 'there/is/none.yaml'}, 'params_file: there is no file'),
        ({'rviz': 'true', 'rviz_config': 'none.rviz'}, 'rviz_config: there is no file'),
        ({'namespace': 'a b'}, "namespace: 'a b' is no ROS name"),
        ({'container': '/c', 'composed': 'false'}, 'container: '),
        (
            {'source': '0', 'composed': 'false', 'publish_images': 'false'},
            'publish_images: without it',
        ),
        (dict.fromkeys(DEFAULT_NODES, 'false'), 'there is nothing to start'),
    ],
)
def test_wrong_values_are_a_clear_error(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        actions_of('aitable.launch.py', **arguments)


def test_rviz_is_started_with_its_configuration(tmp_path, monkeypatch):
    config = tmp_path / 'my.rviz'
    config.write_text('')
    monkeypatch.setattr(actions, 'is_installed', lambda package: package == 'rviz2')
    nodes = nodes_of('aitable.launch.py', rviz='true', rviz_config=str(config))
    rviz = nodes[-1]
    assert (rviz.node_package, rviz.node_executable) == ('rviz2', 'rviz2')


def test_a_missing_rviz_is_said_and_the_rest_goes_on(tmp_path, monkeypatch, caplog):
    config = tmp_path / 'my.rviz'
    config.write_text('')
    monkeypatch.setattr(actions, 'is_installed', lambda package: False)
    nodes = nodes_of('aitable.launch.py', rviz='true', rviz_config=str(config))
    assert [node.node_executable for node in nodes] == ['component_container']
