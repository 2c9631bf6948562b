# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Bags are read in the order of recording, and damage is said in one line."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
import yaml
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from string_bags import START_NS, STRING, string_cdr

from aitable_ros.bags import BagError, BagReader, BagTarget, BagWriter, find_definition
from aitable_ros.bags.definitions import NO_HASH
from aitable_ros.bags.reading import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE
from aitable_ros.bags.sample import LOG_DELAY_NS

PLACES = ('bag.mcap', 'bag.db3', 'mcap', 'sqlite3')


def write(path, messages, *, compression=None, plugin=StoragePlugin.MCAP):
    """Write strings as another program would: (topic, time, text)."""
    writer = Writer(path, version=9, storage_plugin=plugin)
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        topics = {}
        for topic, time_ns, text in messages:
            if topic not in topics:
                topics[topic] = writer.add_connection(
                    topic, STRING.type_name, msgdef=STRING.text, rihs01=STRING.type_hash
                )
            writer.write(topics[topic], time_ns, string_cdr(text))


def read_all(path):
    """Read everything; return what was complained of, or nothing."""
    try:
        with BagReader(path) as bag:
            for topic in bag.topics:
                bag.definition(topic)
            for _ in bag.messages():
                pass
    except BagError as error:
        return str(error)
    return ''


class TestContents:
    @pytest.mark.parametrize('place', PLACES)
    def test_topics_times_and_counts(self, sample_folder: Path, place: str) -> None:
        with BagReader(sample_folder / place) as bag:
            assert {(t.name, t.type_name, t.count) for t in bag.topics} == {
                ('/camera_info', CAMERA_INFO, 4),
                ('/image_raw', IMAGE, 4),
                ('/image_raw/compressed', COMPRESSED_IMAGE, 4),
            }
            assert [t.name for t in bag.images] == ['/image_raw', '/image_raw/compressed']
            assert bag.start_ns == START_NS + LOG_DELAY_NS
            assert bag.storage == ('sqlite3' if place in ('bag.db3', 'sqlite3') else 'mcap')
            assert bag.topic('/nothing') is None

    @pytest.mark.parametrize('place', PLACES)
    def test_messages_come_in_order_and_ties_as_written(
        self, sample_folder: Path, place: str
    ) -> None:
        with BagReader(sample_folder / place) as bag:
            messages = [(m.topic.name, m.log_time_ns) for m in bag.messages()]
        topics = ('/camera_info', '/image_raw', '/image_raw/compressed')
        assert messages == [
            (topic, START_NS + LOG_DELAY_NS + i * 100_000_000)
            for i in range(4)
            for topic in topics
        ]

    def test_part_of_the_topics_and_of_the_time(self, sample_folder: Path) -> None:
        with BagReader(sample_folder / 'bag.mcap') as bag:
            second_ns = bag.start_ns + 100_000_000
            chosen = [bag.topic('/image_raw')]
            times = [m.log_time_ns for m in bag.messages(chosen, second_ns, second_ns + 1)]
            assert times == [second_ns]
            assert list(bag.messages([])) == []

    def test_offered_qos_is_known(self, sample_folder: Path) -> None:
        for place in PLACES:
            with BagReader(sample_folder / place) as bag:
                (qos,) = bag.topic('/image_raw').qos
                assert (qos.reliability.name, qos.depth) == ('BEST_EFFORT', 5)

    def test_definitions_are_the_bags_own(self, sample_folder: Path) -> None:
        for place in PLACES:
            with BagReader(sample_folder / place) as bag:
                for topic in bag.topics:
                    assert bag.definition(topic) == find_definition(topic.type_name)

    def test_empty_bag(self, tmp_path: Path) -> None:
        write(tmp_path / 'empty', [])
        with BagReader(tmp_path / 'empty') as bag:
            assert (bag.topics, bag.start_ns) == ((), 0)
            assert list(bag.messages()) == []


class TestKindsOfBags:
    @pytest.mark.parametrize(
        ('compression', 'plugin'),
        [
            (CompressionMode.FILE, StoragePlugin.SQLITE3),
            (CompressionMode.MESSAGE, StoragePlugin.SQLITE3),
            (CompressionMode.MESSAGE, StoragePlugin.MCAP),
            (CompressionMode.STORAGE, StoragePlugin.MCAP),
        ],
    )
    def test_compressed(self, tmp_path: Path, compression, plugin) -> None:
        write(tmp_path / 'bag', [('/a', 5, 'text')], compression=compression, plugin=plugin)
        with BagReader(tmp_path / 'bag') as bag:
            assert [m.data for m in bag.messages()] == [string_cdr('text')]

    @pytest.mark.parametrize('plugin', StoragePlugin)
    def test_message_compressed_file_without_its_folder(self, tmp_path: Path, plugin) -> None:
        """What says that its messages are compressed stayed in the folder."""
        write(
            tmp_path / 'bag', [('/a', 5, 'x')], compression=CompressionMode.MESSAGE, plugin=plugin
        )
        (file,) = (f for f in (tmp_path / 'bag').iterdir() if f.suffix in ('.mcap', '.db3'))
        with BagReader(file) as bag:
            assert [m.data for m in bag.messages()] == [string_cdr('x')]

    @pytest.mark.parametrize('plugin', StoragePlugin)
    @pytest.mark.parametrize('name', ['a#b', 'a%20b', 'a?b=c', 'a b', 'ä'])
    def test_odd_paths(self, tmp_path: Path, plugin, name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        for path in (
            folder / name,
            folder / f'{name}.{"mcap" if plugin.name == "MCAP" else "db3"}',
        ):
            with BagWriter(BagTarget.choose(path, plugin.name.lower(), '')) as bag:
                bag.write(bag.add_topic('/a', STRING), 5, string_cdr('x'))
            with BagReader(path) as reader:
                assert [m.log_time_ns for m in reader.messages()] == [5]
        assert list(tmp_path.iterdir()) == [folder]

    def test_definition_of_a_type_that_is_not_installed(self, tmp_path: Path) -> None:
        with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            text = 'std_msgs/Header header\nmy_msgs/Leaf[] leaves\n'
            text += '=' * 80 + '\nMSG: my_msgs/Leaf\nfloat32 area\n'
            text += '=' * 80 + '\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\n'
            text += 'string frame_id\n'
            text += '=' * 80 + '\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n'
            topic = writer.add_connection('/t', 'my_msgs/msg/Tree', msgdef=text, rihs01='RIHS01_x')
            writer.write(topic, 1, b'\0\1\0\0')
        with BagReader(tmp_path / 'bag') as bag:
            definition = bag.definition(bag.topics[0])
        assert definition.text == text
        assert definition.type_hash.startswith('RIHS01_')

    def test_bag_of_humble_without_definitions(self, tmp_path: Path) -> None:
        """Up to Humble, sqlite3 bags hold no definitions: this machine's are taken."""
        path = tmp_path / 'humble.db3'
        database = sqlite3.connect(path)
        database.executescript(
            'CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,'
            ' serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);'
            'CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,'
            ' timestamp INTEGER NOT NULL, data BLOB NOT NULL);'
            "INSERT INTO topics VALUES(1, '/a', 'std_msgs/msg/String', 'cdr', '');"
            "INSERT INTO topics VALUES(2, '/b', 'nobodys_msgs/msg/Own', 'cdr', '');"
        )
        database.execute('INSERT INTO messages VALUES(1, 1, 7, ?)', (string_cdr('x'),))
        database.commit()
        database.close()
        with BagReader(path) as bag:
            assert bag.definition(bag.topic('/a')) == STRING
            assert bag.definition(bag.topic('/b')) is None
            assert [m.log_time_ns for m in bag.messages()] == [7]


def folder_of(path: Path, *parts: list[tuple[str, int, str]], **options: object) -> Path:
    """Make a split bag; its files are listed in the order of the parts."""
    path.mkdir()
    listed, counts = [], Counter()
    for i, part in enumerate(parts):
        write(path.with_name(f'{path.name}_{i}'), part, **options)
        (file,) = path.with_name(f'{path.name}_{i}').glob('*_?.*')
        listed.append(shutil.copy(file, path))
        counts.update(topic for topic, _, _ in part)
    metadata = path.with_name(f'{path.name}_0') / 'metadata.yaml'
    shutil.copy(metadata, path)
    edit(path, relative_file_paths=[Path(file).name for file in listed])
    announce(path, **counts)
    return path


def edit(folder: Path, **changes: object) -> None:
    """Change what the metadata of a folder says."""
    content = yaml.safe_load((folder / 'metadata.yaml').read_text())
    content['rosbag2_bagfile_information'].update(changes)
    (folder / 'metadata.yaml').write_text(yaml.safe_dump(content))


def announce(folder: Path, **counts: int) -> None:
    rows = [
        {
            'topic_metadata': {
                'name': topic,
                'type': STRING.type_name,
                'serialization_format': 'cdr',
                'offered_qos_profiles': '',
            },
            'message_count': count,
        }
        for topic, count in counts.items()
    ]
    edit(folder, topics_with_message_count=rows)


class TestFolders:
    """The files of a folder are one recording; of it they themselves know better."""

    @pytest.mark.parametrize('plugin', StoragePlugin)
    @pytest.mark.parametrize('compression', [None, CompressionMode.FILE])
    def test_files_in_another_order_or_that_overlap(
        self, tmp_path: Path, plugin, compression
    ) -> None:
        parts = (
            [('/a', 30, 'x'), ('/a', 50, 'x')],
            [('/a', 10, 'x'), ('/b', 40, 'x')],
            [('/b', 20, 'x'), ('/a', 60, 'x')],
        )
        path = folder_of(tmp_path / 'bag', *parts, plugin=plugin, compression=compression)
        with BagReader(path) as bag:
            assert bag.start_ns == 10
            assert [m.log_time_ns for m in bag.messages()] == [10, 20, 30, 40, 50, 60]
            assert [m.log_time_ns for m in bag.messages([bag.topic('/b')], 20, 60)] == [20, 40]
            assert bag.missing == {}
            assert {topic.name: topic.count for topic in bag.topics} == {'/a': 4, '/b': 2}

    def test_file_that_is_listed_twice_is_read_once(self, tmp_path: Path) -> None:
        path = folder_of(tmp_path / 'bag', [('/a', 1, 'x')])
        edit(path, relative_file_paths=['bag_0.mcap', 'bag/bag_0.mcap'])
        with BagReader(path) as bag:
            assert len(list(bag.messages())) == 1

    @pytest.mark.parametrize('place', ['mcap', 'sqlite3'])
    def test_metadata_of_a_tool_that_knows_no_qos(
        self, sample_folder: Path, tmp_path: Path, place: str
    ) -> None:
        bag = Path(shutil.copytree(sample_folder / place, tmp_path / 'bag'))
        content = yaml.safe_load((bag / 'metadata.yaml').read_text())
        topics = content['rosbag2_bagfile_information']['topics_with_message_count']
        for topic in topics:
            topic['topic_metadata']['offered_qos_profiles'] = ''
        edit(bag, topics_with_message_count=topics)
        with BagReader(bag) as reader:
            assert len(list(reader.messages([reader.topic('/image_raw')]))) == 4
            (qos,) = reader.topic('/image_raw').qos
            assert qos.reliability.name == 'BEST_EFFORT'

    def test_fewer_messages_than_announced_are_noticed(self, tmp_path: Path) -> None:
        path = folder_of(tmp_path / 'bag', [('/a', 1, 'x'), ('/a', 2, 'x')])
        announce(path, **{'/a': 5, '/gone': 3})
        with BagReader(path) as bag:
            assert {topic.name: topic.count for topic in bag.topics} == {'/a': 5, '/gone': 3}
            list(bag.messages(stop_ns=9))
            assert bag.losses == ()  # of a part nobody knows
            list(bag.messages([bag.topic('/a')]))
            text = '3 of the 5 messages on /a that it announces did not come'
            assert bag.losses == (f'{path}: {text}',)
            list(bag.messages())
            assert {topic.name: n for topic, n in bag.missing.items()} == {'/a': 3, '/gone': 3}

    def test_file_that_is_missing(self, tmp_path: Path) -> None:
        path = folder_of(tmp_path / 'bag', [('/a', 1, 'x')], [('/a', 2, 'x')])
        (path / 'bag_1.mcap').unlink()
        with pytest.raises(BagError, match=r'missing in this folder: bag_1\.mcap'):
            BagReader(path).__enter__()

    @pytest.mark.parametrize('ending', ['-wal', '-journal'])
    def test_database_that_is_still_being_written(self, tmp_path: Path, ending: str) -> None:
        path = folder_of(tmp_path / 'bag', [('/a', 1, 'x')], plugin=StoragePlugin.SQLITE3)
        (path / f'bag_0.db3{ending}').write_bytes(b'x')
        with pytest.raises(BagError, match=f'not ended .bag_0.db3{ending} is beside it'):
            BagReader(path).__enter__()

    @pytest.mark.parametrize(
        'changes',
        [
            {'relative_file_paths': None},
            {'relative_file_paths': ['bag_0.bag']},
            {'topics_with_message_count': [{}]},
            {'compression_mode': 'FILE', 'compression_format': 'lz4'},
        ],
    )
    def test_metadata_that_makes_no_sense(self, tmp_path: Path, changes) -> None:
        path = folder_of(tmp_path / 'bag', [('/a', 1, 'x')])
        (path / 'bag_0.bag').touch()
        edit(path, **changes)
        with pytest.raises(BagError, match=str(path)):
            BagReader(path).__enter__()


class TestTrouble:
    def test_no_such_bag(self, tmp_path: Path) -> None:
        with pytest.raises(BagError, match='no such bag'), BagReader(tmp_path / 'x.mcap'):
            pass

    def test_file_of_another_kind(self, tmp_path: Path) -> None:
        path = tmp_path / 'x.bag'
        path.write_bytes(b'#ROSBAG V2.0')
        with pytest.raises(BagError, match='a folder, a .mcap or a .db3'), BagReader(path):
            pass

    def test_folder_without_metadata(self, tmp_path: Path) -> None:
        with pytest.raises(BagError, match=r'no metadata\.yaml.*reindex'), BagReader(tmp_path):
            pass

    def test_database_that_is_still_being_written(self, sample_folder: Path, tmp_path) -> None:
        path = Path(shutil.copy(sample_folder / 'bag.db3', tmp_path))
        (tmp_path / 'bag.db3-wal').write_bytes(b'x')
        with pytest.raises(BagError, match='not ended'), BagReader(path):
            pass

    @pytest.mark.parametrize('place', ['bag.mcap', 'bag.db3'])
    def test_any_damage_is_a_bag_error_in_one_line(
        self, sample_folder: Path, tmp_path: Path, place: str
    ) -> None:
        """Cut off anywhere, or with bytes changed anywhere: read, or refused, never a crash."""
        whole = (sample_folder / place).read_bytes()
        rng = random.Random(3)
        refused = 0
        for round_ in range(120):
            damaged = bytearray(whole)
            if round_ % 2:
                del damaged[rng.randrange(len(whole)) :]
            else:
                # the ends hold the structure; in between lie mostly pixels
                place_ = rng.choice((rng.randrange(3000), len(whole) - 1 - rng.randrange(3000)))
                for i in range(place_, min(place_ + rng.randrange(1, 9), len(whole))):
                    damaged[i] = rng.randrange(256)
            path = tmp_path / f'{round_}{Path(place).suffix}'
            path.write_bytes(damaged)
            complaint = read_all(path)
            refused += complaint != ''
            assert '\n' not in complaint
            assert complaint == '' or str(path) in complaint
            path.unlink()
        assert refused > 50

    def test_definition_that_cannot_be_parsed_is_passed_on_without_a_hash(
        self, tmp_path: Path
    ) -> None:
        with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            text = 'wstring name\n'
            writer.add_connection('/t', 'my_msgs/msg/Tree', msgdef=text, rihs01='RIHS01_x')
        with BagReader(tmp_path / 'bag' / 'bag.mcap') as bag:
            definition = bag.definition(bag.topics[0])
        assert (definition.text, definition.type_hash) == (text, NO_HASH)
