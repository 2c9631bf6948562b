# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter files are what the nodes declare, at its defaults, and the texts go with it."""

from __future__ import annotations

import math
import re

import pytest
import yaml

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from importlib import import_module

from aitable_ros.nodes.registry import NODES
from aitable_ros.paths import share_dir
from aitable_ros.ros_support.node.common_parameters import COMMON_PARAMETERS


def flatten(tree, prefix=''):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f'{prefix}{key}.')
        else:
            yield prefix + key, value


def declared(name):
    node = NODES[name]
    return (*COMMON_PARAMETERS, *getattr(import_module(node.module), node.class_name).PARAMETERS)


@pytest.mark.parametrize(('file', 'basic'), [('aitable', True), ('aitable_expert', False)])
@pytest.mark.parametrize('name', NODES)
def test_every_parameter_with_its_default_in_one_of_the_files(name, file, basic):
    document = yaml.safe_load((share_dir() / 'config' / f'{file}.yaml').read_text())
    wanted = {spec.name: spec.default for spec in declared(name) if spec.basic == basic}
    assert dict(flatten(document[f'/**/{name}']['ros__parameters'])) == wanted


@pytest.mark.parametrize('name', NODES)
def test_numbers_have_ranges_and_the_descriptions_do_not_contradict_them(name):
    for spec in declared(name):
        if isinstance(spec.default, bool) or not isinstance(spec.default, (int, float)):
            continue
        low, high = spec.limits
        assert low <= spec.default <= high, spec
        # the range says it; two places would differ some day
        assert not re.search(r'\d\.\.\d|infinite', spec.description), spec
        if re.search(r'\b0: (?!\d)|\b0 turns', spec.description.split(' (')[0]):
            assert low <= 0, spec
        source = re.search(r'\((\d[\d.]*)( degrees)?[:,]', spec.description)
        if source:
            told = float(source[1]) * (math.pi / 180 if source[2] else 1)
            assert told == pytest.approx(spec.default, rel=0.002), spec
