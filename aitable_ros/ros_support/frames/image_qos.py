# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""QoS of image subscriptions, as parameters overrule it."""

from __future__ import annotations

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
    specs = (
        ParameterSpec(
            f'{prefix}.reliability',
            'best_effort',
            f'reliability of the subscription to {topic}',
            choices=('best_effort', 'reliable'),
            read_only=True,
        ),
        ParameterSpec(
            f'{prefix}.depth',
            1,
            f'history depth of the subscription to {topic}',
            (1, 100),
            read_only=True,
        ),
    )
    for spec in specs:
        if not node.has_parameter(spec.name):
            node.declare_parameter(spec.name, spec.default, spec.descriptor())
    reliability, depth = (node.get_parameter(spec.name).value for spec in specs)
    problem = specs[0].problem_with(reliability)
    if problem:
        raise ValueError(problem)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy[reliability.upper()],
    )
