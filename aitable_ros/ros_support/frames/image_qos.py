# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""QoS of image subscriptions, as parameters overrule it."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from aitable_ros.ros_support.parameters.table import ParameterSpec


def image_qos(node: Node, topic: str) -> QoSProfile:
    """
    Give the QoS for subscribing to images: best effort, keep last 1, overridable.

    A best-effort subscriber accepts reliable and best-effort publishers alike. The overrides are
    the ROS ones: ``qos_overrides.<topic>.subscription.{reliability,depth}``.

    :param node: node whose parameters override.
    :param topic: fully resolved topic name.
    :returns: a new profile.
    :raises rclpy.exceptions.InvalidParameterValueException: for an override that is no QoS.
    """
    prefix = f'qos_overrides.{topic}.subscription'
    reliability = _declare_once(
        node,
        ParameterSpec(
            f'{prefix}.reliability',
            'best_effort',
            f'reliability of the subscription to {topic}',
            choices=('best_effort', 'reliable'),
            read_only=True,
        ),
    )
    depth = _declare_once(
        node,
        ParameterSpec(
            f'{prefix}.depth',
            1,
            f'history depth of the subscription to {topic}',
            (1, 100),
            read_only=True,
        ),
    )
    policies = {
        'best_effort': ReliabilityPolicy.BEST_EFFORT,
        'reliable': ReliabilityPolicy.RELIABLE,
    }
    if reliability not in policies:
        raise ValueError(f'{prefix}.reliability: {reliability!r} is not one of {set(policies)}')
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=policies[reliability]
    )


def _declare_once(node: Node, spec: ParameterSpec) -> Any:
    if not node.has_parameter(spec.name):
        node.declare_parameter(spec.name, spec.default, spec.descriptor())
    return node.get_parameter(spec.name).value
