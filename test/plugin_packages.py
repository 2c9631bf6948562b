# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Packages of other people's composable nodes, installed for one test."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path

import pytest

STRANGERS = '''
import sys
import threading

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_msgs.msg import String

from aitable_ros.ros_support.node.managed_node import ManagedNode

LOADED = threading.Event()
SECONDS = 60.0


class Talker(Node):
    """A plain rclpy node, as the tutorials write it."""

    def __init__(self, **kwargs):
        super().__init__('talker', **kwargs)
        self.declare_parameter('text', 'hello')
        self.publisher = self.create_publisher(String, 'chatter', 10)
        self.timer = self.create_timer(0.05, self.talk)

    def talk(self):
        self.publisher.publish(String(data=self.get_parameter('text').value))


class Slow(ManagedNode):
    """Its network takes as long as the test wants it to."""

    def __init__(self, name='slow', **kwargs):
        super().__init__(name, **kwargs)

    def load(self, values):
        self.get_logger().info('loading')
        LOADED.wait(SECONDS)
        return 'a network'


class SlowConstructor(Node):
    """What a component must not do."""

    def __init__(self, **kwargs):
        super().__init__('slow_constructor', **kwargs)
        self.get_logger().info('constructing')
        LOADED.wait(SECONDS)


class Busy(Node):
    """Its callback takes a while, and then publishes."""

    def __init__(self, **kwargs):
        super().__init__('busy', **kwargs)
        self.entered = threading.Event()
        self.may_leave = threading.Event()
        self.left_with = None
        self.publisher = self.create_publisher(String, 'chatter', 10)
        self.timer = self.create_timer(0.01, self.work)

    def work(self):
        self.entered.set()
        self.may_leave.wait(10.0)
        try:
            self.publisher.publish(String(data='still here'))
            self.left_with = 'published'
        except Exception as error:
            self.left_with = repr(error)


class Faulty(Node):
    """Its timer raises, again and again."""

    def __init__(self, **kwargs):
        super().__init__('faulty', **kwargs)
        self.count = 0
        self.timer = self.create_timer(0.05, self.fail)

    def fail(self):
        self.count += 1
        raise ValueError('a bug in somebody else\\'s node')


class Raises(Node):
    def __init__(self, **kwargs):
        super().__init__('half_made', **kwargs)
        self.timer = self.create_timer(0.05, lambda: None)
        raise RuntimeError('no such camera: \\udcff')


class Exits(Node):
    def __init__(self, **kwargs):
        super().__init__('half_made', **kwargs)
        sys.exit('what a plugin should not do')


class TakesNothing(Node):
    def __init__(self):
        super().__init__('takes_nothing')


class OwnContext(Node):
    def __init__(self, *, context, **kwargs):
        from rclpy.context import Context

        self.own = Context()
        self.own.init(args=[])
        super().__init__('own_context', context=self.own, **kwargs)


class NoNode:
    def __init__(self, **kwargs):
        pass


NUMBER = 3
'''

CLASSES = (
    'Talker',
    'Slow',
    'SlowConstructor',
    'Busy',
    'Faulty',
    'Raises',
    'Exits',
    'TakesNothing',
    'OwnContext',
    'NoNode',
)


def install(folder: Path) -> Path:
    """
    Write packages ``strangers`` and ``broken``, as pip would install them.

    :returns: the folder that has to be on ``sys.path``.
    """
    (folder / 'strangers.py').write_text(textwrap.dedent(STRANGERS))
    (folder / 'broken_import.py').write_text('import sys\nimport there_is_no_such_module\n')
    (folder / 'broken_exit.py').write_text("import sys\nsys.exit('on import')\n")
    points = [f'strangers::{name} = strangers:{name}' for name in CLASSES]
    points.append('strangers::Number = strangers:NUMBER')
    points.append('strangers::Missing = strangers:Missing')
    _metadata(folder, 'strangers', points)
    _metadata(
        folder,
        'my-broken.package',
        ['Import = broken_import:Node', 'my_broken_package::Exit = broken_exit:Node'],
    )
    return folder


def _metadata(folder: Path, distribution: str, points: list[str]) -> None:
    info = folder / f'{distribution.replace("-", "_")}-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n')
    lines = ['[rclpy_components]', *points, '']
    (info / 'entry_points.txt').write_text('\n'.join(lines))


@pytest.fixture
def strangers(tmp_path, monkeypatch):
    """Packages of other people's nodes, importable in this process; returns their module."""
    folder = tmp_path / 'site-packages'
    folder.mkdir()
    monkeypatch.syspath_prepend(str(install(folder)))
    names = ('strangers', 'broken_import', 'broken_exit')
    for name in names:
        sys.modules.pop(name, None)
    yield importlib.import_module('strangers')
    for name in names:
        sys.modules.pop(name, None)
