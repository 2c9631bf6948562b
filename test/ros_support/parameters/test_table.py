# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters are declared from a table and refuse bad values with a reason."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

import rclpy
from rclpy.exceptions import InvalidParameterValueException, ParameterException
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy

from aitable_ros.ros_support.frames.image_qos import image_qos
from aitable_ros.ros_support.parameters.table import ParameterSpec, ParameterTable

SPECS = (
    ParameterSpec('rate', 30.0, 'images per second [Hz]', (0.0, 60.0)),
    ParameterSpec('count', 4, 'how many', (1, 9)),
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
    assert node.describe_parameter('mode').additional_constraints == (
        'one of: fast, slow; takes effect on ~/reload'
    )
    assert node.describe_parameter('count').integer_range[0].from_value == 1


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('rate', 61.0, 'rate'),
        ('rate', float('nan'), 'nan'),
        ('count', 0, 'count'),
        ('mode', 'warp', 'one of fast, slow'),
        ('fixed', False, 'read-only'),
        ('count', 'four', 'Wrong parameter type'),
    ],
)
def test_bad_values_are_refused_with_a_reason(make_table, name, value, reason):
    node, table = make_table()
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert reason in result.reason
    assert table.values() == {'rate': 30.0, 'count': 4, 'mode': 'fast', 'fixed': True}


def test_a_wrong_type_from_outside_is_told_in_words(make_table):
    _, table = make_table()
    with pytest.raises(ValueError, match="count: 'four' is of type string, it has to be an int"):
        table.from_outside([Parameter('count', value='four')])
    assert table.from_outside([Parameter('rate', value=15)])[0].value == 15.0


def test_an_integer_is_a_float_where_one_is_wanted(make_table):
    _, table = make_table(rate=15)
    assert table['rate'] == 15.0
    assert isinstance(table['rate'], float)


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('rate', 'fast', "rate: 'fast' is of type string, it has to be a number"),
        ('rate', True, 'rate: True is of type bool, it has to be a number'),
        ('count', 2.0, 'count: 2.0 is of type double, it has to be an integer'),
        ('fixed', 1, 'fixed: 1 is of type integer, it has to be true or false'),
    ],
)
def test_another_type_fails_at_startup_saying_what_it_has_to_be(make_table, name, value, reason):
    with pytest.raises(ParameterException) as caught:
        make_table(**{name: value})
    assert str(caught.value) == reason


def test_misspelt_parameters_are_warned_of_with_the_nearest_name(make_table, capfd):
    make_table(ratte=15.0, use_sim_time=False, something_of_another_node=1)
    logged = capfd.readouterr().err
    assert 'there is no parameter ratte: did you mean rate?' in logged
    assert logged.count('WARN') == 1


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


@pytest.mark.parametrize('value', [float('inf'), float('-inf')])
def test_infinity_is_refused_where_there_is_no_range(graph, value):
    node = graph.add(rclpy.create_node('table', context=graph.context))
    ParameterTable(node, (ParameterSpec('share', 1.0, 'of anything'),))
    (result,) = node.set_parameters([Parameter('share', value=value)])
    assert not result.successful
    assert 'share' in result.reason


def test_a_parameter_cannot_be_deleted(make_table):
    node, table = make_table()
    (result,) = node.set_parameters([Parameter('count')])
    assert not result.successful
    assert table['count'] == 4


def test_values_that_do_not_go_together_are_refused_but_not_at_the_start(graph):
    node = graph.add(
        rclpy.create_node(
            'limits',
            context=graph.context,
            parameter_overrides=[Parameter('low', value=9), Parameter('high', value=1)],
        )
    )
    asked = []

    def check(values, changed):
        asked.append(set(changed))
        if values['low'] > values['high']:
            raise ValueError(f'low {values["low"]} is above high {values["high"]}')

    table = ParameterTable(
        node, (ParameterSpec('low', 1, 'low'), ParameterSpec('high', 5, 'high')), check
    )
    assert table.values() == {'low': 9, 'high': 1}  # for configuring to complain about
    assert asked == []
    (result,) = node.set_parameters([Parameter('low', value=2)])
    assert result.reason == 'low 2 is above high 1'
    (result,) = node.set_parameters([Parameter('high', value=10)])
    assert result.successful
    assert asked == [{'low'}, {'high'}]


def test_changes_are_told_once(make_table):
    node, table = make_table()
    assert not table.take_change()
    node.set_parameters([Parameter('count', value=5)])
    node.set_parameters([Parameter('count', value=0)])  # refused
    assert table.take_change()
    assert not table.take_change()
    table.touch()
    assert table.take_change()


def test_changes_are_noticed_where_rclpy_does_not_tell(graph, monkeypatch):
    monkeypatch.delattr('rclpy.node.Node.add_post_set_parameters_callback', raising=False)
    node = graph.add(rclpy.create_node('humble', context=graph.context))
    table = ParameterTable(node, SPECS)
    table.touch()
    assert table.take_change()
    assert not table.take_change()
    node.set_parameters([Parameter('count', value=5)])
    assert table.take_change()
    assert not table.take_change()


def test_only_dynamic_values_hold_at_once(graph):
    node = graph.add(rclpy.create_node('mixed', context=graph.context))
    table = ParameterTable(
        node,
        (
            ParameterSpec('quick', 1, 'changes at once', dynamic=True),
            ParameterSpec('slow', 1, 'waits'),
            ParameterSpec('fixed', 1, 'stays', read_only=True),
        ),
    )
    loaded = table.values()
    node.set_parameters([Parameter('quick', value=2), Parameter('slow', value=2)])
    assert table.effective(loaded) == {'quick': 2, 'slow': 1, 'fixed': 1}
    assert [spec.effect for spec in table.specs.values()] == ['dynamic', 'on reload', 'read-only']
    assert 'reload' in node.describe_parameter('slow').additional_constraints
    assert 'reload' not in node.describe_parameter('quick').additional_constraints
