# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""config/aitable.yaml is what the nodes declare, at its defaults."""

from __future__ import annotations

import pytest
import yaml

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from importlib import import_module

from aitable_ros.nodes.component_container import COMPONENTS
from aitable_ros.paths import share_dir
from aitable_ros.ros_support.parameters import COMMON_PARAMETERS


def flatten(tree, prefix=''):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f'{prefix}{key}.')
        else:
            yield prefix + key, value


@pytest.mark.parametrize('name', COMPONENTS)
def test_every_parameter_with_its_default(name):
    file = yaml.safe_load((share_dir() / 'config' / 'aitable.yaml').read_text())
    module, class_name = COMPONENTS[name].split(':')
    node_class = getattr(import_module(module), class_name)
    declared = {p.name: p.default for p in (*COMMON_PARAMETERS, *node_class.PARAMETERS)}
    assert dict(flatten(file[f'/**/{name}']['ros__parameters'])) == declared
