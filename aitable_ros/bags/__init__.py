# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Reading and writing rosbag2 recordings (mcap, sqlite3) without rosbag2 and without ROS.

The files themselves are the business of the PyPI package ``rosbags``.
"""

from aitable_ros.bags.definitions import TypeDefinition, find_definition
from aitable_ros.bags.errors import BagError
from aitable_ros.bags.reading import BagMessage, BagReader, BagTopic
from aitable_ros.bags.sample import SampleBag, make_sample_bag
from aitable_ros.bags.writing import BagTarget, BagWriter

__all__ = [
    'BagError',
    'BagMessage',
    'BagReader',
    'BagTarget',
    'BagTopic',
    'BagWriter',
    'SampleBag',
    'TypeDefinition',
    'find_definition',
    'make_sample_bag',
]
