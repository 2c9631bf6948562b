# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins are found by entry points, whoever's package has them; what is not there is named."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from plugin_packages import strangers

from aitable_ros.nodes.face_detection_node import FaceDetectionNode
from aitable_ros.nodes.registry import PLUGINS
from aitable_ros.ros_support.container.plugins import PluginRegistry
from aitable_ros.ros_support.container.request import ComponentError

__all__ = ['strangers']


@pytest.fixture
def registry(strangers):
    return PluginRegistry(PLUGINS)


def test_our_nodes_are_there_from_the_source_tree(registry):
    assert registry.find('aitable_ros', 'aitable_ros::FaceDetectionNode') is FaceDetectionNode
    assert len(registry.names('aitable_ros')) == len(PLUGINS)
    for name in registry.names('aitable_ros'):
        assert registry.find('aitable_ros', name).__name__ == name.partition('::')[2]


@pytest.mark.parametrize(
    ('package', 'plugin'),
    [('strangers', 'strangers::Talker'), ('strangers', 'Talker'), ('', 'strangers::Talker')],
)
def test_the_package_may_stand_in_either_field(registry, strangers, package, plugin):
    assert registry.find(package, plugin) is strangers.Talker


def test_a_package_without_colons_in_its_plugin_names_is_known_by_its_distribution(registry):
    assert registry.names('my_broken_package') == ['Import', 'my_broken_package::Exit']


@pytest.mark.parametrize(
    ('package', 'plugin', 'reason'),
    [
        ('aitable_ros', 'Talker', 'package aitable_ros has no plugin .Talker.; it has .*Emotion'),
        ('aitable_ros', 'strangers::Talker', 'package aitable_ros has no plugin'),
        ('nowhere', 'X', 'package nowhere has no Python plugins .*known plugins: .*Talker'),
        ('', 'X', 'there is no plugin .X.; known plugins: .*strangers::Talker'),
        ('strangers', '', 'strangers has no plugin'),
        ('my_broken_package', 'Import', 'importing broken_import:Node failed: ModuleNotFound'),
        ('my_broken_package', 'Exit', 'importing broken_exit:Node failed: SystemExit: on import'),
        ('strangers', 'Missing', 'importing strangers:Missing failed: AttributeError'),
        ('strangers', 'Number', 'strangers:NUMBER is not a class'),
    ],
)
def test_what_cannot_be_loaded_is_said(registry, package, plugin, reason):
    with pytest.raises(ComponentError, match=reason):
        registry.find(package, plugin)


def test_cpp_components_are_told_from_missing_ones(registry, tmp_path, monkeypatch):
    resources = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'rclcpp_components'
    resources.mkdir(parents=True)
    (resources / 'image_proc').write_text('image_proc::RectifyNode;lib/librectify.so\n')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    with pytest.raises(ComponentError, match='package image_proc are C\\+\\+'):
        registry.find('image_proc', 'image_proc::RectifyNode')
