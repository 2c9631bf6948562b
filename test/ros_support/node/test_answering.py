# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Every request is answered, whatever it holds and whatever its callback raises."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from managed_nodes import Summer
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from ros_fixtures import until
from std_srvs.srv import Trigger

from aitable_ros.ros_support.parameters.table import FOLDERS, ParameterSpec

FLOAT, INTEGER, TEXT = 3, 2, 4


def asked(name, **value):
    return Parameter(name=name, value=ParameterValue(**value))


@pytest.fixture
def node(graph):
    return graph.make(Summer)


@pytest.mark.parametrize('kind', [0, 1, 5, 9, 10, 99, 255])
def test_a_value_of_any_type_number_is_answered(graph, node, kind):
    request = SetParameters.Request(
        parameters=[asked('load_time', type=kind), asked('low', type=INTEGER, integer_value=2)]
    )
    refused, taken = graph.call(SetParameters, 'summer/set_parameters', request).results
    assert not refused.successful
    assert refused.reason
    assert taken.successful
    assert node.params['low'] == 2
    together = SetParametersAtomically.Request(parameters=request.parameters)
    answer = graph.call(SetParametersAtomically, 'summer/set_parameters_atomically', together)
    assert not answer.result.successful


def test_names_of_parameters_that_there_are_not_are_answered(graph, node):
    request = SetParameters.Request(parameters=[asked('nothing', type=FLOAT), asked('', type=99)])
    assert [
        r.successful for r in graph.call(SetParameters, 'summer/set_parameters', request).results
    ] == [False, False]
    for kind, name, fields in (
        (GetParameters, 'get_parameters', {'names': ['nothing']}),
        (DescribeParameters, 'describe_parameters', {'names': ['']}),
        (ListParameters, 'list_parameters', {'prefixes': [''], 'depth': 2**64 - 1}),
    ):
        graph.call(kind, f'summer/{name}', kind.Request(**fields))


def test_an_integer_is_set_where_a_float_is_wanted(graph, node):
    request = SetParameters.Request(parameters=[asked('load_time', type=INTEGER, integer_value=3)])
    (result,) = graph.call(SetParameters, 'summer/set_parameters', request).results
    assert result.successful, result.reason
    assert node.params['load_time'] == 3.0


def test_a_callback_that_raises_is_an_answer(graph, node):
    assert until(lambda: node.is_active)

    def fail(request, response):
        response.success = True
        raise KeyError('no such thing')

    graph.run(lambda: node.create_service(Trigger, '~/broken', fail))
    for _ in range(2):
        answer = graph.trigger('summer/broken')
        assert not answer.success
        assert answer.message == "KeyError: 'no such thing'"
    assert graph.trigger('summer/reset').success


class Reader(Summer):
    """A node with a parameter that names a file."""

    PARAMETERS = (
        *Summer.PARAMETERS,
        ParameterSpec('file', '', 'what it reads', no_file='|[0-9]'),
        ParameterSpec(FOLDERS, [''], 'allowed', read_only=True),
    )


class TestFiles:
    """Files that other processes name lie in folders that the operator allowed."""

    def put(self, graph, value):
        request = SetParameters.Request(parameters=[asked('file', type=TEXT, string_value=value)])
        (result,) = graph.call(SetParameters, 'summer/set_parameters', request).results
        return result

    @pytest.fixture
    def folders(self, tmp_path):
        for name in ('started', 'allowed', 'other'):
            (tmp_path / name).mkdir()
        (tmp_path / 'started' / 'file').write_text('')
        (tmp_path / 'allowed' / 'link').symlink_to(tmp_path / 'other')
        return tmp_path

    def test_none_where_none_was_named(self, graph, folders):
        node = graph.make(Reader)
        refused = self.put(graph, str(folders / 'started' / 'file'))
        assert not refused.successful
        assert FOLDERS in refused.reason
        for plain in ('7', ''):
            assert self.put(graph, plain).successful
        assert node.params['file'] == ''

    @pytest.mark.parametrize('value', ['started/file', 'started/new', 'allowed', 'allowed/a/b'])
    def test_beside_what_it_was_started_with_and_in_the_folders_allowed(
        self, graph, folders, value
    ):
        allowed = str(folders / 'allowed')
        node = graph.make(
            Reader, file=str(folders / 'started' / 'file'), allowed_folders=[allowed]
        )
        assert self.put(graph, str(folders / value)).successful
        assert node.params['file'] == str(folders / value)

    @pytest.mark.parametrize(
        'value', ['other/file', 'allowed/link/x', 'allowed/../other', '~nobody-at-all/x', 'a\0b']
    )
    def test_nowhere_else(self, graph, folders, value):
        allowed = str(folders / 'allowed')
        node = graph.make(
            Reader, file=str(folders / 'started' / 'file'), allowed_folders=[allowed]
        )
        before = node.params['file']
        target = value if value.startswith(('~', 'a\0')) else str(folders / value)
        assert not self.put(graph, target).successful
        assert node.params['file'] == before


def test_a_node_in_a_process_of_its_own_outlives_such_a_request(graph):
    name = f'outlives_{graph.peer.get_clock().now().nanoseconds}'
    process = subprocess.Popen(
        [
            sys.executable,
            '-m',
            'aitable_ros.nodes.overlay_node',
            '--ros-args',
            '-r',
            f'__node:={name}',
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        request = SetParameters.Request(parameters=[asked('max_age', type=99)])
        for _ in range(2):
            answer = graph.call_process(SetParameters, f'{name}/set_parameters', request)
            assert not answer.results[0].successful
        assert process.poll() is None
        process.terminate()
        _, log = process.communicate(timeout=20)
        assert process.returncode == 0, log
        assert 'Traceback' not in log
    finally:
        process.kill()
        process.communicate()
