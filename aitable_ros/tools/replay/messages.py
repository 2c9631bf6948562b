# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How recorded messages go out again: their class, their QoS, and their stamps."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aitable_ros.bags import BagTopic

DEFAULT_DEPTH = 10
"""Depth of a publisher whose own was not recorded; that of ros2 bag play, too."""

STATIC_DEPTH = 1000
"""A late subscriber of a transient-local topic (/tf_static) gets up to so many messages."""

Restamper = Callable[[bytes, Callable[[int], int]], bytes]
"""Makes, of a serialised message and of how a stamp moves (ns to ns), the moved message."""

_NS = 1_000_000_000


def message_class_of(type_name: str) -> Any:
    """
    Find the class of a message type.

    :param type_name: as in ``std_msgs/msg/String``.
    :returns: None where it is not installed.
    """
    package, _, name = type_name.partition('/msg/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError):
        return None


def publisher_qos(topic: BagTopic) -> Any:
    """
    Choose the QoS for publishing a topic: what was offered when it was recorded.

    Where several publishers offered different things, the most generous offer is taken, which
    every subscriber of theirs accepts. Deadlines, lifespans and liveliness are left out: they
    mean nothing at another rate. Where nothing was recorded: reliable, volatile, keep last 10.

    :param topic: a topic of a bag.
    :returns: a :class:`rclpy.qos.QoSProfile`.
    """
    from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

    reliable = not topic.qos or any(q.reliability.name != 'BEST_EFFORT' for q in topic.qos)
    latched = any(q.durability.name == 'TRANSIENT_LOCAL' for q in topic.qos)
    # DDS does not tell a publisher's depth: it is recorded as 0
    depth = max([q.depth for q in topic.qos], default=0) or DEFAULT_DEPTH
    if latched:
        depth = max(depth, min(topic.count, STATIC_DEPTH))
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def make_restamper(message_class: Any) -> Restamper:
    """
    Make a function that moves the stamps of all headers in a message.

    :param message_class: class of the messages.
    :returns: the function; stamps that are 0 stay 0.
    """
    places = _headers(message_class)
    if not places:
        return lambda data, move: data
    if places == [('header',)] and next(iter(message_class.get_fields_and_field_types())) == (
        'header'
    ):
        return _move_first_stamp  # without unpacking an image
    return lambda data, move: _move_all_stamps(data, message_class, places, move)


def _headers(message_class: Any, depth: int = 0) -> list[tuple[str, ...]]:
    """Give the paths to the headers in a message; sequences on the way count as one step."""
    if depth > 8:
        return []
    places: list[tuple[str, ...]] = []
    for name, kind in message_class.get_fields_and_field_types().items():
        kind = kind.removeprefix('sequence<').split('[')[0].rstrip('>').split(',')[0]
        if kind == 'std_msgs/Header':
            places.append((name,))
        elif '/' in kind:
            nested = message_class_of(kind.replace('/', '/msg/'))
            if nested is not None:
                places += [(name, *rest) for rest in _headers(nested, depth + 1)]
    return places


def _move_first_stamp(data: bytes, move: Callable[[int], int]) -> bytes:
    # CDR: 4 bytes of encapsulation, of which the second tells the byte order; then the message,
    # which begins with its header, which begins with its stamp
    layout = '<iI' if data[1] & 1 else '>iI'
    seconds, nanoseconds = struct.unpack_from(layout, data, 4)
    stamp_ns = seconds * _NS + nanoseconds
    if stamp_ns == 0:
        return data
    moved = bytearray(data)
    struct.pack_into(layout, moved, 4, *divmod(move(stamp_ns), _NS))
    return bytes(moved)


def _move_all_stamps(
    data: bytes, message_class: Any, places: list[tuple[str, ...]], move: Callable[[int], int]
) -> bytes:
    from rclpy.serialization import deserialize_message, serialize_message

    message = deserialize_message(data, message_class)
    for path in places:
        for header in _at(message, path):
            stamp_ns = header.stamp.sec * _NS + header.stamp.nanosec
            if stamp_ns:
                header.stamp.sec, header.stamp.nanosec = divmod(move(stamp_ns), _NS)
    return bytes(serialize_message(message))


def _at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _at(item, path)
    elif path:
        yield from _at(getattr(value, path[0]), path[1:])
    else:
        yield value
