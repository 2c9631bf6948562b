# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of one node from a parameter file: as rcl reads them."""

from __future__ import annotations

import pytest

from aitable_ros.launching.parameter_files import parameters_for
from aitable_ros.paths import share_dir

FILE = """\
/**:
  ros__parameters:
    a: 1
    everywhere: true
/**/face_detection:
  ros__parameters:
    a: 2
    small: 1e-3
    large: 1E5
    half: .5
    words: [x, 'y']
    numbers: [1.0, 2.5]
    nothing: []
    group: {deep: {x: 'no'}, answer: no}
/table_a:
  face_detection:
    ros__parameters: {a: 3}
  emotion:
    ros__parameters: {a: 30}
face_detection:
  ros__parameters: {a: 4, index: "0"}
/*/face_detection:
  ros__parameters: {one_token: 5}
/*/*:
  ros__parameters: {two_tokens: on}
"""
NAMES = ('/face_detection', '/table_a/face_detection', '/hall/table_b/face_detection')


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'parameters.yaml'
    path.write_text(FILE)
    return path


def test_wildcards_are_understood_and_the_later_entry_counts(file):
    root, table, deep = (parameters_for(file, name) for name in NAMES)
    assert (root['a'], table['a'], deep['a']) == (4, 3, 2)
    assert root['index'] == '0'
    assert 'one_token' not in root
    assert table['one_token'] == 5
    assert 'two_tokens' not in deep
    assert deep['group.deep.x'] == 'no'
    assert deep['group.answer'] is False
    assert deep['small'] == 0.001
    assert 'nothing' not in deep
    assert parameters_for(file, '/table_a/emotion')['a'] == 30


@pytest.mark.parametrize('name', NAMES)
def test_a_process_that_is_given_the_file_reads_the_same(graph, file, name):
    from rclpy.node import Node

    namespace, _, leaf = name.rpartition('/')
    node = Node(
        leaf,
        namespace=namespace,
        context=graph.context,
        cli_args=['--ros-args', '--params-file', str(file)],
        use_global_arguments=False,
    )
    try:
        # rclpy has no public way to see what was given and not declared
        given = {key: parameter.value for key, parameter in node._parameter_overrides.items()}
    finally:
        node.destroy_node()
    assert given.pop('nothing') is None
    assert parameters_for(file, name) == given


def test_the_shipped_file_serves_every_node_in_every_namespace():
    for name in ('face_detection', 'emotion', 'fatigue', 'overlay', 'image_source'):
        file = share_dir() / 'config' / 'aitable_expert.yaml'
        assert parameters_for(file, f'/hall/{name}')['autostart'] is True


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('a: [1', 'no YAML file'),
        ('- 1', '/ has no ros__parameters'),
        ('table: 5', '/table has no ros__parameters'),
        ('n: {ros__parameters: 5}', 'ros__parameters of /n is no mapping'),
        ('n: {ros__parameters: }', 'ros__parameters of /n is no mapping'),
        ('n: {ros__parameters: {a: }}', 'a has no value'),
    ],
)
def test_what_is_no_parameter_file_is_refused_with_the_place(tmp_path, text, complaint):
    path = tmp_path / 'wrong.yaml'
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint) as caught:
        parameters_for(path, '/n')
    assert str(path) in str(caught.value)


def test_an_empty_file_says_nothing(tmp_path):
    path = tmp_path / 'empty.yaml'
    path.write_text('')
    assert parameters_for(path, '/n') == {}
