# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Files of mcap, whatever index they have.

Their records are read by the package ``mcap``. Its reader loads a file without chunks into memory
to sort it, and knows no channels but those that the summary repeats. That of ``rosbags`` gives
nothing of chunks without an index of messages, and refuses files with a channel that is not of
ROS.
"""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel as McapChannel
from mcap.records import Chunk, Message, Schema
from mcap.stream_reader import MAGIC_SIZE, breakup_chunk
from mcap.summary import Summary

from aitable_ros.bags.storage import CDR, Channel, Storage, qos_of

_MAGIC = b'\x89MCAP0\r\n'
_HEAD = struct.Struct('<BQ')  # of a record: what it is, and its length
_MESSAGE = struct.Struct('<HIQQ')  # channel, sequence, log time, publish time
_ENDS = (Opcode.DATA_END, Opcode.FOOTER)


class _Piece(NamedTuple):
    """
    A chunk, or a message outside of one.

    :param start_ns: log time of its first message [ns].
    :param end_ns: log time of its last message [ns].
    :param offset: where its record begins in the file.
    :param keys: of the channels that are in it; empty: unknown.
    """

    start_ns: int
    end_ns: int
    offset: int
    keys: frozenset[int]


@dataclass
class _Contents:
    """What is in a file, of its summary or found by looking through all of it."""

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, McapChannel] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    pieces: list[_Piece] = field(default_factory=list)
    start_ns: int | None = None


class McapStorage(Storage):
    """
    A .mcap file. CRCs of chunks are checked where there are any.

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open('rb')
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def messages(
        self, keys: Collection[int], start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[tuple[int, int, bytes]]:
        """Give messages; see the base class. Of chunks, those that overlap are in memory."""
        first_ns = 0 if start_ns is None else start_ns
        last_ns = 1 << 64 if stop_ns is None else stop_ns - 1
        # what is next: time, place in the file, place in its chunk, and the message
        queue: list[tuple[int, int, int, Message | None]] = [
            (piece.start_ns, piece.offset, -1, None)
            for piece in self._contents.pieces
            if (not piece.keys or not piece.keys.isdisjoint(keys))
            and piece.end_ns >= first_ns
            and piece.start_ns <= last_ns
        ]
        heapq.heapify(queue)
        while queue:
            _, offset, _, message = heapq.heappop(queue)
            if message is not None:
                yield message.channel_id, message.log_time, message.data
                continue
            for index, found in enumerate(self._messages_at(offset)):
                if found.channel_id in keys and first_ns <= found.log_time <= last_ns:
                    heapq.heappush(queue, (found.log_time, offset, index, found))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> None:
        summary_reader = SeekingReader(self._file)  # refuses what is no mcap file
        self._file.seek(-MAGIC_SIZE, 2)
        if self._file.read() != _MAGIC:
            raise ValueError('its recording was not ended: mcap recover saves what is whole')
        summary = summary_reader.get_summary()
        self._contents = _of_summary(summary) or _of_records(self._file, summary)
        contents = self._contents
        self.start_ns = contents.start_ns
        self.end_ns = max((piece.end_ns for piece in contents.pieces), default=None)
        rows = sorted(contents.channels.items())
        self.channels = tuple(
            _channel(channel, contents.schemas.get(channel.schema_id), contents.counts[key])
            for key, channel in rows
            if channel.message_encoding == CDR
        )
        self.others = tuple(
            f'{channel.topic} ({channel.message_encoding})'
            for _, channel in rows
            if channel.message_encoding != CDR
        )

    def _messages_at(self, offset: int) -> list[Message]:
        """Read the messages of a piece."""
        self._file.seek(offset)
        opcode, length = _HEAD.unpack(self._file.read(_HEAD.size))
        stream = ReadDataStream(self._file)
        if opcode == Opcode.MESSAGE:
            return [Message.read(stream, length)]
        records = breakup_chunk(Chunk.read(stream), validate_crc=True)
        return [record for record in records if isinstance(record, Message)]


def _channel(channel: McapChannel, schema: Schema | None, count: int) -> Channel:
    return Channel(
        channel.id,
        channel.topic,
        schema.name if schema else '',
        count,
        qos_of(channel.metadata.get('offered_qos_profiles', '')),
        schema.encoding if schema else '',
        schema.data.decode() if schema else '',
        channel.metadata.get('topic_type_hash', ''),
    )


def _of_summary(summary: Summary | None) -> _Contents | None:
    """Take what the summary says; None where it does not say all that reading needs."""
    if summary is None or summary.statistics is None:
        return None
    statistics, channels = summary.statistics, summary.channels
    counts = Counter(statistics.channel_message_counts)
    if (
        len(summary.chunk_indexes) < statistics.chunk_count
        or (statistics.message_count and not summary.chunk_indexes)
        or counts.total() < statistics.message_count
        or not channels.keys() >= counts.keys()
        or not summary.schemas.keys() >= {c.schema_id for c in channels.values()} - {0}
    ):
        return None
    pieces = [
        _Piece(
            index.message_start_time,
            index.message_end_time,
            index.chunk_start_offset,
            frozenset(index.message_index_offsets),
        )
        for index in summary.chunk_indexes
    ]
    start_ns = statistics.message_start_time if statistics.message_count else None
    return _Contents(summary.schemas, channels, counts, pieces, start_ns)


def _of_records(file: IO[bytes], summary: Summary | None) -> _Contents:
    """Look through the whole file; of messages outside of chunks only the times are read."""
    contents = _Contents()
    size, at = file.seek(0, 2), MAGIC_SIZE
    while at < size:
        file.seek(at)
        opcode, length = _HEAD.unpack(file.read(_HEAD.size))
        if opcode in _ENDS:
            break
        if at + _HEAD.size + length > size:
            raise ValueError('it ends within a record')
        stream = ReadDataStream(file)
        if opcode == Opcode.SCHEMA:
            _take(contents, Schema.read(stream))
        elif opcode == Opcode.CHANNEL:
            _take(contents, McapChannel.read(stream))
        elif opcode == Opcode.MESSAGE:
            key, _, log_ns, _ = _MESSAGE.unpack(file.read(_MESSAGE.size))
            _take_messages(contents, at, Counter({key: 1}), log_ns, log_ns)
        elif opcode == Opcode.CHUNK:
            records = breakup_chunk(Chunk.read(stream), validate_crc=True)
            for record in records:
                _take(contents, record)
            found = [record for record in records if isinstance(record, Message)]
            if found:
                times_ns = [message.log_time for message in found]
                keys = Counter(message.channel_id for message in found)
                _take_messages(contents, at, keys, min(times_ns), max(times_ns))
        at += _HEAD.size + length
    contents.start_ns = min((piece.start_ns for piece in contents.pieces), default=None)
    if summary is not None and summary.statistics is not None:
        contents.counts |= Counter(summary.statistics.channel_message_counts)
    return contents


def _take(contents: _Contents, record: object) -> None:
    if isinstance(record, Schema):
        contents.schemas[record.id] = record
    elif isinstance(record, McapChannel):
        contents.channels[record.id] = record


def _take_messages(
    contents: _Contents, offset: int, counts: Counter[int], start_ns: int, end_ns: int
) -> None:
    contents.counts.update(counts)
    contents.pieces.append(_Piece(start_ns, end_ns, offset, frozenset(counts)))
