# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The container composes the nodes named in its parameters, with the arguments it was given."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from ros_fixtures import until

from aitable_ros.nodes.component_container import ComponentContainer, shared_ros_args


@pytest.fixture
def container(graph):
    def make(components, *ros_args):
        from rclpy.parameter import Parameter

        node = ComponentContainer(
            context=graph.context,
            ros_args=ros_args,
            parameter_overrides=[Parameter('components', value=components)],
        )
        graph.add(node)
        return node

    return make


def test_composes_nodes_under_their_own_names(graph, container):
    node = container(['emotion', 'fatigue'], '-p', 'fatigue:refine_eyes:=false')
    node.compose(graph.executor)
    assert until(lambda: all(n.is_active for n in node.components.values()))
    assert {n for n, _ in graph.peer.get_node_names_and_namespaces()} >= {
        'aitable_container',
        'emotion',
        'fatigue',
    }


def test_arguments_reach_the_node_they_name(graph, container):
    node = container(
        ['emotion', 'image_source'],
        '-p',
        'image_source:rate:=12.5',
        '-p',
        "image_source:source:='0'",
        '-p',
        'image_source:autostart:=false',
        '-r',
        'image_raw:=/camera/image',
    )
    node.compose(graph.executor)
    source = node.components['image_source']
    assert source.params['rate'] == 12.5
    assert source.params['source'] == '0'  # quoted: a string
    assert source.resolve_topic_name('image_raw') == '/camera/image'
    assert source._compressed.topic_name == '/camera/image/compressed'


@pytest.mark.parametrize(
    ('components', 'reason'),
    [(['emotion', 'nonsense'], 'nonsense unknown'), (['emotion', 'emotion'], 'twice')],
)
def test_wrong_names_are_refused(graph, container, components, reason):
    node = container(components)
    with pytest.raises(ValueError, match=reason):
        node.compose(graph.executor)


def test_rules_that_rename_the_process_are_not_passed_on():
    argv = ['container', '--ros-args', '-r', '__node:=box', '-r', 'a:=b', '-p', 'x:=1', '--', 'y']
    assert shared_ros_args(argv) == ['-r', 'a:=b', '-p', 'x:=1']
