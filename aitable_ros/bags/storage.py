# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a file of a bag is to its reader, and files of sqlite3."""

from __future__ import annotations

import os
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2.metadata import parse_qos
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader

from aitable_ros.bags.definitions import IDL, MSG

CDR = 'cdr'
"""How ROS serialises messages."""

_FORMATS = {MessageDefinitionFormat.MSG: MSG, MessageDefinitionFormat.IDL: IDL}


@dataclass(frozen=True)
class Channel:
    """
    The messages of one type on one topic, as a file announces them; there may be several alike.

    :param key: names it in its file.
    :param topic: name of the topic.
    :param type_name: as in ``sensor_msgs/msg/Image``.
    :param count: how many messages the file announces.
    :param qos: the profiles that its publishers offered, as ``rosbags`` has them.
    :param encoding: of its definition: ``ros2msg``, ``ros2idl``, or another, of no use here.
    :param definition: of its type, and of all that it contains; empty: unknown.
    :param type_hash: ``RIHS01_...``; empty: unknown.
    """

    key: int
    topic: str
    type_name: str
    count: int
    qos: tuple[Any, ...]
    encoding: str
    definition: str
    type_hash: str


class Storage(ABC):
    """
    An open file of a bag.

    What a damaged file makes its methods raise can be any exception.
    """

    channels: tuple[Channel, ...] = ()
    """Those with messages of ROS."""

    others: tuple[str, ...] = ()
    """Topics whose messages are not of ROS (JSON, for one), each with what they are."""

    start_ns: int | None = None
    """Log time of the first message [ns]; None: there is none."""

    end_ns: int | None = None
    """Log time of the last message [ns], as far as the file tells."""

    @abstractmethod
    def messages(
        self, keys: Collection[int], start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[tuple[int, int, bytes]]:
        """
        Give messages in the order of their log time, and of the file where that is the same.

        :param keys: of the channels.
        :param start_ns: only from this log time on [ns].
        :param stop_ns: only before this log time [ns].
        :returns: key of the channel, log time [ns] and data of each.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


class SqliteStorage(Storage):
    """
    A .db3 file, read by ``rosbags``.

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        # it makes a URI of the path without quoting it
        self._reader = Sqlite3Reader(Path(urllib.parse.quote(os.fsencode(path))))
        self._reader.open()
        found: list[Any] = self._reader.connections
        self._connections = {c.id: c for c in found if c.ext.serialization_format == CDR}
        self.channels = tuple(
            Channel(
                c.id,
                c.topic,
                c.msgtype,
                c.msgcount,
                tuple(c.ext.offered_qos_profiles),
                _FORMATS.get(c.msgdef.format, ''),
                c.msgdef.data,
                c.digest,
            )
            for c in self._connections.values()
        )
        self.others = tuple(
            f'{c.topic} ({c.ext.serialization_format})'
            for c in found
            if c.id not in self._connections
        )
        if self._reader.metadata.message_count:
            self.start_ns = self._reader.metadata.start_time
            self.end_ns = self._reader.metadata.end_time

    def messages(
        self, keys: Collection[int], start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[tuple[int, int, bytes]]:
        """Give messages; see the base class."""
        connections = [self._connections[key] for key in keys]
        for connection, log_time_ns, data in self._reader.messages(connections, start_ns, stop_ns):
            yield connection.id, log_time_ns, data

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def qos_of(text: str) -> tuple[Any, ...]:
    """Read the profiles that publishers offered; none where that cannot be read."""
    try:
        return tuple(parse_qos(text))
    except Exception:  # it raises whatever it trips over
        return ()
