# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters are declared from a table and refuse bad values with a reason."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

import rclpy
from rclpy.exceptions import InvalidParameterValueException
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy

from aitable_ros.ros_support.parameters import ParameterSpec, ParameterTable, image_qos

SPECS = (
    ParameterSpec('rate', 30.0, 'images per second [Hz]', minimum=0.0, maximum=60.0),
    ParameterSpec('count', 4, 'how many', minimum=1),
    ParameterSpec('mode', 'fast', 'how', choices=('fast', 'slow')),
    ParameterSpec('fixed', True, 'never changes', read_only=True),
)


@pytest.fixture
def make_table(graph):
    def make(**overrides):
        node = rclpy.create_node(
            'table',
            context=graph.context,
            parameter_overrides=[Parameter(k, value=v) for k, v in overrides.items()],
        )
        graph.add(node)
        return node, ParameterTable(node, SPECS)

    return make


def test_defaults_overrides_and_descriptions(make_table):
    node, table = make_table(rate=15.0)
    assert table.values() == {'rate': 15.0, 'count': 4, 'mode': 'fast', 'fixed': True}
    descriptor = node.describe_parameter('rate')
    assert descriptor.description == 'images per second [Hz]'
    assert descriptor.floating_point_range[0].to_value == 60.0
    assert node.describe_parameter('mode').additional_constraints == 'one of: fast, slow'
    assert node.describe_parameter('count').integer_range[0].from_value == 1


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('rate', 61.0, 'rate'),
        ('rate', float('nan'), 'nan'),
        ('count', 0, 'count'),
        ('mode', 'warp', 'one of fast, slow'),
        ('fixed', False, 'read-only'),
        ('count', 'four', 'INTEGER'),
    ],
)
def test_bad_values_are_refused_with_a_reason(make_table, name, value, reason):
    node, table = make_table()
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert reason in result.reason
    assert table.values() == {'rate': 30.0, 'count': 4, 'mode': 'fast', 'fixed': True}


@pytest.mark.parametrize(('name', 'value'), [('rate', 100.0), ('mode', 'warp')])
def test_bad_overrides_fail_at_startup_naming_the_parameter(make_table, name, value):
    with pytest.raises(InvalidParameterValueException, match=name):
        make_table(**{name: value})


def test_image_qos_is_best_effort_keep_last_1_and_can_be_overridden(graph):
    node = graph.add(rclpy.create_node('images', context=graph.context))
    qos = image_qos(node, '/image_raw')
    assert (qos.reliability, qos.depth) == (ReliabilityPolicy.BEST_EFFORT, 1)
    other = graph.add(
        rclpy.create_node(
            'reliable_images',
            context=graph.context,
            parameter_overrides=[
                Parameter('qos_overrides./image_raw.subscription.reliability', value='reliable'),
                Parameter('qos_overrides./image_raw.subscription.depth', value=5),
            ],
        )
    )
    for _ in range(2):  # activating again must not declare again
        qos = image_qos(other, '/image_raw')
        assert (qos.reliability, qos.depth) == (ReliabilityPolicy.RELIABLE, 5)
