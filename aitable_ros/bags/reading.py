# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Reading bags: what is in them, and their messages in the order of recording."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import zstandard

from aitable_ros.bags.definitions import (
    IDL,
    MSG,
    NO_HASH,
    TypeDefinition,
    find_definition,
    make_definition,
)
from aitable_ros.bags.errors import BagError, one_line
from aitable_ros.bags.folder import ZSTD, decompressed, read_folder
from aitable_ros.bags.mcap_storage import McapStorage
from aitable_ros.bags.storage import Channel, SqliteStorage, Storage

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE)
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'

FILE_SUFFIXES = {'.mcap': 'mcap', '.db3': 'sqlite3'}
"""Storage of a bag that is a single file."""

_STORAGES: dict[str, type[McapStorage] | type[SqliteStorage]] = {
    'mcap': McapStorage,
    'sqlite3': SqliteStorage,
}
_JOURNALS = ('-wal', '-journal')


@dataclass(frozen=True)
class BagTopic:
    """
    One topic of a bag.

    :param name: its name.
    :param type_name: of its messages, as in ``sensor_msgs/msg/Image``.
    :param count: how many messages the bag announces.
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
    :param along: what comes with it, to be delivered before anything is made of it.
    """

    topic: BagTopic
    log_time_ns: int
    data: bytes
    along: tuple[BagMessage, ...] = ()


class Recording(Protocol):
    """What can be read like a :class:`BagReader`."""

    path: Path
    storage: str
    others: tuple[str, ...]
    topics: tuple[BagTopic, ...]
    start_ns: int

    @property
    def losses(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def images(self) -> tuple[BagTopic, ...]: ...  # noqa: D102

    def topic(self, name: str) -> BagTopic | None: ...  # noqa: D102

    def definition(self, topic: BagTopic) -> TypeDefinition | None: ...  # noqa: D102

    def messages(  # noqa: D102
        self,
        topics: Collection[BagTopic] | None = None,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[BagMessage]: ...

    def __enter__(self) -> Recording: ...

    def __exit__(self, *error: object) -> None: ...


class BagReader:
    """
    A bag: a folder of rosbag2 with ``metadata.yaml``, or a single .mcap or .db3 file.

    Use it as a context manager. Compressed bags (by file, message or mcap chunk) and bags split
    into several files, in whatever order, read like others.

    :param path: folder or file.
    :raises BagError: on entering, when there is no such bag or it is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.storage = ''
        """``mcap`` or ``sqlite3``."""
        self.topics: tuple[BagTopic, ...] = ()
        self.others: tuple[str, ...] = ()
        """Topics whose messages are not of ROS (JSON, for one), each with what they are."""
        self.start_ns = self.end_ns = 0
        self.missing: dict[BagTopic, int] = {}
        """How many of the announced messages did not come when :meth:`messages` was read to its
        end, without limits of time."""
        self._stack = ExitStack()
        self._files: list[Storage] = []
        self._channels: dict[BagTopic, list[tuple[Storage, Channel]]] = {}

    @property
    def losses(self) -> tuple[str, ...]:
        """What :attr:`missing` says, in a line for each topic."""
        return tuple(
            f'{self.path}: {count} of the {topic.count} messages on {topic.name} that it announces'
            ' did not come'
            for topic, count in self.missing.items()
        )

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
        for _, channel in self._channels[topic]:
            encoding, text = channel.encoding, channel.definition
            if encoding not in (MSG, IDL) or not text:
                continue
            try:
                return make_definition(topic.type_name, encoding, text, channel.type_hash)
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
        owners: dict[Storage, dict[int, BagTopic]] = {}
        for topic in chosen:
            for file, channel in self._channels[topic]:
                owners.setdefault(file, {})[channel.key] = topic
        parts = [
            _part(file, owners[file], start_ns, stop_ns) for file in self._files if file in owners
        ]
        merged = heapq.merge(*parts, key=lambda part: part[0])
        came: Counter[BagTopic] = Counter()
        while True:
            with self._damage():
                item = next(merged, None)
            if item is None:
                break
            log_time_ns, found, data = item
            if found is not None:
                came[found] += 1
                yield BagMessage(found, log_time_ns, data)
        if start_ns is None and stop_ns is None:
            short = {topic: topic.count - came[topic] for topic in chosen}
            self.missing = {topic: count for topic, count in short.items() if count > 0}

    def __enter__(self) -> BagReader:
        try:
            with self._damage():
                self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._files = []
        self._stack.close()

    def _open(self) -> None:
        path, announced = self.path, Counter[tuple[str, str]]()
        if path.is_dir():
            folder = read_folder(path)
            announced = folder.counts
            for file in folder.files:
                self._open_file(self._stack.enter_context(decompressed(file)))
        elif path.exists():
            self._open_file(path)
        else:
            raise BagError(f'{path}: no such bag')
        self._read_topics(announced)

    def _open_file(self, path: Path) -> None:
        if path.suffix not in FILE_SUFFIXES:
            raise BagError(f'{path}: a bag is a folder, a .mcap or a .db3 file')
        for ending in _JOURNALS:
            journal = path.with_name(path.name + ending)
            if journal.is_file() and journal.stat().st_size:
                raise BagError(
                    f'{path}: its recording was not ended ({journal.name} is beside it)'
                )
        self.storage = FILE_SUFFIXES[path.suffix]
        file = _STORAGES[self.storage](path)
        self._stack.callback(file.close)
        self._files.append(file)

    def _read_topics(self, announced: Counter[tuple[str, str]]) -> None:
        grouped: dict[tuple[str, str], list[tuple[Storage, Channel]]] = {}
        for file in self._files:
            for channel in file.channels:
                grouped.setdefault((channel.topic, channel.type_name), []).append((file, channel))
        others = {other.partition(' ')[0] for file in self._files for other in file.others}
        for (name, type_name), count in announced.items():
            if count and name not in others:
                grouped.setdefault((name, type_name), [])
        self._channels = {
            BagTopic(
                name,
                type_name,
                max(sum(channel.count for _, channel in found), announced[name, type_name]),
                tuple(q for file, channel in found if file is found[0][0] for q in channel.qos),
            ): found
            for (name, type_name), found in grouped.items()
        }
        self.topics = tuple(self._channels)
        self.others = tuple(dict.fromkeys(other for file in self._files for other in file.others))
        self.start_ns = min((f.start_ns for f in self._files if f.start_ns is not None), default=0)
        self.end_ns = max((f.end_ns for f in self._files if f.end_ns is not None), default=0)

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


def _part(
    file: Storage, owners: dict[int, BagTopic], start_ns: int | None, stop_ns: int | None
) -> Iterator[tuple[int, BagTopic | None, bytes]]:
    """Give the messages of a file, after its beginning, until which it need not be looked at."""
    if file.start_ns is None:
        return
    yield file.start_ns, None, b''
    for key, log_time_ns, data in file.messages(owners, start_ns, stop_ns):
        yield log_time_ns, owners[key], _plain(bytes(data))


def _plain(data: bytes) -> bytes:
    """Take off the compression of a message: single files of a bag do not tell of it."""
    if not data.startswith(ZSTD):
        return data
    return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
