# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Every message of an mcap file comes, in order, whatever its writer left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from mcap.writer import CompressionType, IndexType, Writer
from string_bags import STRING, string_cdr

from aitable_ros.bags import BagError, BagReader
from aitable_ros.bags.definitions import MSG


def write(path: Path, messages: Iterable[tuple[str, int]], **options: Any) -> Path:
    """Write strings as another program would: (topic, log time)."""
    with path.open('wb') as file:
        writer = Writer(file, **{'chunk_size': 200, **options})
        writer.start('ros2', 'test')
        schema = writer.register_schema(STRING.type_name, MSG, STRING.text.encode())
        hint = {'topic_type_hash': 'RIHS01_recorded', 'offered_qos_profiles': ''}
        keys: dict[str, int] = {}
        for topic, time_ns in messages:
            if topic not in keys:
                keys[topic] = writer.register_channel(topic, 'cdr', schema, hint)
            data = string_cdr(f'{topic} {time_ns}')
            writer.add_message(keys[topic], time_ns, data, time_ns)
        writer.finish()
    return path


def read(path: Path) -> list[tuple[str, int]]:
    with BagReader(path) as bag:
        found = [(m.topic.name, m.log_time_ns) for m in bag.messages()]
        assert [m.data for m in bag.messages()] == [string_cdr(f'{t} {ns}') for t, ns in found]
        assert bag.missing == {}
        assert sum(topic.count for topic in bag.topics) == len(found)
    return found


MESSAGES = [(topic, 10 * i + 5) for i in range(30) for topic in ('/a', '/b')]
SHUFFLED = [*MESSAGES[6:20], *MESSAGES[:6], *MESSAGES[40:], *MESSAGES[20:40]]


@pytest.mark.parametrize('messages', [MESSAGES, SHUFFLED], ids=['in order', 'not in order'])
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'index_types': IndexType.CHUNK},
        {'index_types': IndexType.NONE},
        {'use_chunking': False},
        {'repeat_channels': False},
        {'repeat_schemas': False},
        {'use_statistics': False},
        {'use_statistics': False, 'index_types': IndexType.CHUNK},
        {
            'use_statistics': False,
            'index_types': IndexType.NONE,
            'repeat_channels': False,
            'repeat_schemas': False,
            'use_summary_offsets': False,
        },
        {'compression': CompressionType.LZ4},
    ],
    ids=lambda options: ', '.join(options) or 'all',
)
def test_all_messages_come_in_order(tmp_path: Path, messages, options) -> None:
    path = write(tmp_path / 'x.mcap', messages, **options)
    assert read(path) == MESSAGES
    with BagReader(path) as bag:
        assert bag.start_ns == 5
        part = [m.log_time_ns for m in bag.messages([bag.topic('/b')], 105, 135)]
        assert part == [105, 115, 125]


def test_passes_over_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    with BagReader(write(tmp_path / 'x.mcap', MESSAGES, use_chunking=False)) as bag:
        pairs = itertools.zip_longest(bag.messages(), bag.messages())
        assert all(one == other for one, other in pairs)


def test_channel_that_is_not_of_ros_is_named_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / 'x.mcap'
    with path.open('wb') as file:
        writer = Writer(file)
        writer.start('ros2', 'test')
        schema = writer.register_schema(STRING.type_name, MSG, STRING.text.encode())
        ours = writer.register_channel('/a', 'cdr', schema)
        plan = writer.register_schema('Plan', 'jsonschema', b'{"type": "object"}')
        other = writer.register_channel('/plan', 'json', plan)
        bare = writer.register_channel('/bare', 'json', 0)
        for key, data in ((ours, string_cdr('/a 1')), (other, b'{}'), (bare, b'{}')):
            writer.add_message(key, 1, data, 1)
        writer.finish()
    assert read(path) == [('/a', 1)]
    with BagReader(path) as bag:
        assert bag.others == ('/plan (json)', '/bare (json)')


def test_recorded_hash_of_a_type_is_kept(tmp_path: Path) -> None:
    with BagReader(write(tmp_path / 'x.mcap', MESSAGES)) as bag:
        assert bag.definition(bag.topics[0]).type_hash == 'RIHS01_recorded'


def test_chunk_that_was_changed_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / 'x.mcap', MESSAGES, compression=CompressionType.NONE)
    data = path.read_bytes()
    path.write_bytes(data.replace(string_cdr('/a 205'), string_cdr('/a 206')))
    with BagReader(path) as bag, pytest.raises(BagError, match='damaged or no bag: crc'):
        list(bag.messages())


def test_recording_that_was_not_ended_is_told_from_other_damage(tmp_path: Path) -> None:
    path = write(tmp_path / 'x.mcap', MESSAGES)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(BagError, match=r'not ended: mcap recover'), BagReader(path):
        pass
