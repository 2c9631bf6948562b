# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Reading bags: what is in them, and their messages in the order of recording."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader

from aitable_ros.bags.definitions import (
    IDL,
    MSG,
    NO_HASH,
    TypeDefinition,
    find_definition,
    make_definition,
)
from aitable_ros.bags.errors import BagError, one_line

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE)
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'

FILE_SUFFIXES = {'.mcap': 'mcap', '.db3': 'sqlite3'}
"""Storage of a bag that is a single file."""

_FORMATS = {MessageDefinitionFormat.MSG: MSG, MessageDefinitionFormat.IDL: IDL}


@dataclass(frozen=True)
class BagTopic:
    """
    One topic of a bag.

    :param name: its name.
    :param type_name: of its messages, as in ``sensor_msgs/msg/Image``.
    :param count: how many messages there are.
    :param qos: the profiles that its publishers offered when it was recorded, as ``rosbags`` has
        them; empty where that was not recorded.
    """

    name: str
    type_name: str
    count: int
    qos: tuple[Any, ...] = ()

    @property
    def is_image(self) -> bool:
        """Whether these are images, raw or compressed."""
        return self.type_name in IMAGE_TYPES


@dataclass(frozen=True)
class BagMessage:
    """
    One message of a bag.

    :param topic: where it was published.
    :param log_time_ns: when it was recorded [ns].
    :param data: serialised (CDR, with its header of 4 bytes).
    """

    topic: BagTopic
    log_time_ns: int
    data: bytes


class BagReader:
    """
    A bag: a folder of rosbag2 with ``metadata.yaml``, or a single .mcap or .db3 file.

    Use it as a context manager. Compressed bags (by file, message or mcap chunk) and bags split
    into several files read like others.

    :param path: folder or file.
    :raises BagError: on entering, when there is no such bag or it is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.topics: tuple[BagTopic, ...] = ()
        self.start_ns = 0
        self._reader: Any = None
        self._connections: dict[BagTopic, list[Any]] = {}

    @property
    def storage(self) -> str:
        """``mcap`` or ``sqlite3``."""
        if self.path.is_dir():
            return 'mcap' if any(self.path.glob('*.mcap*')) else 'sqlite3'
        return FILE_SUFFIXES[self.path.suffix]

    @property
    def images(self) -> tuple[BagTopic, ...]:
        """The topics with images."""
        return tuple(topic for topic in self.topics if topic.is_image)

    def topic(self, name: str) -> BagTopic | None:
        """Return the topic of this name, or None."""
        return next((topic for topic in self.topics if topic.name == name), None)

    def definition(self, topic: BagTopic) -> TypeDefinition | None:
        """
        Give the definition of a topic's type: the bag's own, else what this machine knows.

        :param topic: one of :attr:`topics`.
        :returns: the definition, or None where neither has it. The bag's is given as it is,
            without a hash where none can be computed.
        :raises BagError: when the one of this machine cannot be read.
        """
        for connection in self._connections[topic]:
            encoding, text = _FORMATS.get(connection.msgdef.format), connection.msgdef.data
            if encoding is None or not text:
                continue
            try:
                return make_definition(topic.type_name, encoding, text, connection.digest)
            except BagError:  # wide strings, for one, are beyond the parser
                return TypeDefinition(topic.type_name, encoding, text, NO_HASH)
        return find_definition(topic.type_name)

    def messages(
        self,
        topics: Collection[BagTopic] | None = None,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[BagMessage]:
        """
        Give the messages in the order of their log time.

        :param topics: some of :attr:`topics`; None: all of them.
        :param start_ns: only from this log time on [ns].
        :param stop_ns: only before this log time [ns].
        :raises BagError: when the bag is damaged.
        """
        chosen = self.topics if topics is None else topics
        owners = {
            connection.id: topic for topic in chosen for connection in self._connections[topic]
        }
        connections = [c for topic in chosen for c in self._connections[topic]]
        if not connections:
            return
        with self._damage():
            messages = iter(self._reader.messages(connections, start_ns, stop_ns))
        while True:
            with self._damage():
                item = next(messages, None)
            if item is None:
                return
            connection, log_time_ns, data = item
            yield BagMessage(owners[connection.id], log_time_ns, bytes(data))

    def __enter__(self) -> BagReader:
        self._check_path()
        with self._damage():
            self._reader = Reader(self.path)
            self._reader.open()
        try:
            with self._damage():
                self._read_topics()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _check_path(self) -> None:
        path = self.path
        if not path.exists():
            raise BagError(f'{path}: no such bag')
        if path.is_dir():
            if not (path / 'metadata.yaml').is_file():
                raise BagError(
                    f'{path}: no metadata.yaml in this folder: it is no bag, or its recording '
                    'was not ended (ros2 bag reindex repairs that)'
                )
            return
        if path.suffix not in FILE_SUFFIXES:
            raise BagError(f'{path}: a bag is a folder, a .mcap or a .db3 file')
        journal = path.with_name(path.name + '-wal')
        if journal.is_file() and journal.stat().st_size:
            raise BagError(f'{path}: its recording was not ended ({journal.name} is beside it)')

    def _read_topics(self) -> None:
        reader = self._reader
        grouped: dict[tuple[str, str], list[Any]] = {}
        for connection in reader.connections:
            grouped.setdefault((connection.topic, connection.msgtype), []).append(connection)
        self._connections = {
            BagTopic(
                name,
                type_name,
                sum(connection.msgcount for connection in connections),
                tuple(qos for c in connections for qos in c.ext.offered_qos_profiles),
            ): connections
            for (name, type_name), connections in grouped.items()
        }
        self.topics = tuple(self._connections)
        if reader.message_count:
            self.start_ns = int(reader.start_time)

    @contextmanager
    def _damage(self) -> Iterator[None]:
        """Turn what a damaged file makes the reader raise into a :class:`BagError`."""
        try:
            yield
        except BagError:
            raise
        except PermissionError as error:
            raise BagError(f'{self.path}: {error.strerror}') from error
        except Exception as error:  # struct, index, assertion, decompression errors and more
            raise BagError(f'{self.path}: damaged or no bag: {one_line(error)}') from error
