# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The one list of this package's nodes.

Strings only: setup.py, the launch files and the tools read it without ROS.
"""

from __future__ import annotations

from dataclasses import dataclass

PACKAGE = 'aitable_ros'


@dataclass(frozen=True)
class NodeEntry:
    """
    A node, which runs by itself or is composed.

    :param name: of the node, its executable, and the launch argument that starts it, unless
        ``switch`` is another.
    :param topics: of its results.
    :param perceives: process_bag runs it.
    :param networks: it runs networks (parameter ``backend``).
    :param images: it handles images (parameter ``image_transport``).
    :param by_default: launch files and demo start it unless told otherwise.
    :param remark: what its launch argument says after its name.
    :param switch: its launch argument; empty: its name.
    :param alone: launch files give it a process of its own.
    """

    name: str
    class_name: str
    topics: tuple[str, ...] = ()
    perceives: bool = False
    networks: bool = False
    images: bool = True
    by_default: bool = False
    remark: str = ''
    switch: str = ''
    alone: bool = False

    @property
    def argument(self) -> str:
        """Name of the launch argument that starts it."""
        return self.switch or self.name

    @property
    def module(self) -> str:
        """Name of its module, in which ``main`` runs it by itself."""
        return f'{PACKAGE}.nodes.{self.name}_node'

    @property
    def path(self) -> str:
        """Where its class is: ``module:Class``."""
        return f'{self.module}:{self.class_name}'

    @property
    def plugin(self) -> str:
        """Name under which containers find it: ``package::Class``."""
        return f'{PACKAGE}::{self.class_name}'


NODES = {
    node.name: node
    for node in (
        NodeEntry(
            'face_detection',
            'FaceDetectionNode',
            ('faces',),
            perceives=True,
            networks=True,
            by_default=True,
            remark=', which emotion and fatigue need',
        ),
        NodeEntry(
            'emotion',
            'EmotionNode',
            ('emotion',),
            perceives=True,
            networks=True,
            by_default=True,
        ),
        NodeEntry(
            'fatigue',
            'FatigueNode',
            ('fatigue', 'events', '/tf'),
            perceives=True,
            images=False,
            by_default=True,
        ),
        NodeEntry('posture', 'PostureNode', ('posture',), perceives=True, networks=True),
        NodeEntry(
            'attention',
            'AttentionNode',
            ('attention', 'events', 'alerts', '/tf'),
            perceives=True,
            images=False,
            by_default=True,
            remark=': where people look, events and alerts (needs fatigue)',
        ),
        NodeEntry(
            'overlay',
            'OverlayNode',
            ('overlay', 'markers'),
            by_default=True,
            remark=': annotated images, drawn only while somebody looks',
        ),
        NodeEntry('hri', 'HriNode', remark=': ROS4HRI topics (needs hri_msgs)'),
        NodeEntry(
            'web_monitor',
            'WebMonitorNode',
            remark=': a page with all of it for browsers, in a process of its own (needs aiohttp)',
            switch='web',
            alone=True,
        ),
        NodeEntry('image_source', 'ImageSourceNode'),
    )
}
"""The nodes by name, each after those whose results it reads."""

PLUGINS = {node.plugin: node.path for node in NODES.values()}
"""Where the classes are, by plugin name."""

PERCEIVING = tuple(name for name, node in NODES.items() if node.perceives)
WITH_NETWORKS = tuple(name for name, node in NODES.items() if node.networks)
BY_DEFAULT = tuple(name for name, node in NODES.items() if node.by_default)

CAMERA = 'image_source'
"""The node that publishes images; launch argument ``source`` starts it."""

CONTAINERS = {'single': 'component_container', 'multi': 'component_container_mt'}
"""The executables that can hold nodes, by launch argument ``container_threads``."""
