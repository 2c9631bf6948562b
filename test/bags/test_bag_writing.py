# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The same messages make the same bytes, other readers read them, nothing is overwritten."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rosbags.highlevel import AnyReader
from string_bags import STRING, string_cdr

from aitable_ros.bags import (
    BagError,
    BagReader,
    BagTarget,
    BagWriter,
    SampleBag,
    make_sample_bag,
)
from aitable_ros.bags.writing import offered_qos

ROOT = Path(__file__).resolve().parents[2]
PLACES = ('bag.mcap', 'bag.db3', 'mcap', 'sqlite3')


def target_for(folder, place, **options):
    storage = place if place in ('mcap', 'sqlite3') else None
    return BagTarget.choose(folder / place, storage, 'mcap', **options)


def write(target, texts=('one', 'two'), **options):
    with BagWriter(target, **options) as bag:
        topic = bag.add_topic('/a', STRING, offered_qos())
        for i, text in enumerate(texts):
            bag.write(topic, 1000 + i, string_cdr(text))


def texts_of(path):
    with BagReader(path) as bag:
        return [m.data[8:-1].decode() for m in bag.messages()]


class TestTarget:
    def test_suffix_or_option_or_default(self, tmp_path: Path) -> None:
        def choose(name, storage=None, default='sqlite3'):
            target = BagTarget.choose(tmp_path / name, storage, default)
            return target.storage, target.is_file

        assert choose('x.mcap') == ('mcap', True)
        assert choose('x.db3', default='mcap') == ('sqlite3', True)
        assert choose('x') == ('sqlite3', False)
        assert choose('x', 'mcap') == ('mcap', False)
        assert choose('x.mcap', 'mcap') == ('mcap', True)
        with pytest.raises(BagError, match=r'a \.db3 file holds sqlite3, not mcap'):
            choose('x.db3', 'mcap')

    def test_only_mcap_is_compressed(self, tmp_path: Path) -> None:
        with pytest.raises(BagError, match='choose mcap'):
            BagTarget(tmp_path / 'x.db3', 'sqlite3', compress=True)

    def test_unknown_storage(self, tmp_path: Path) -> None:
        with pytest.raises(BagError, match='mcap or sqlite3'):
            BagTarget(tmp_path / 'x', 'tape')


class TestBytes:
    @pytest.mark.parametrize('place', PLACES)
    def test_same_messages_same_bytes_under_any_name(self, tmp_path: Path, place: str) -> None:
        content = SampleBag(seconds=0.3, fps=10, size_px=(160, 120), raw=True)
        made = []
        for name in ('first', 'second'):
            folder = tmp_path / name
            folder.mkdir()
            target = target_for(folder, place)
            other = BagTarget(target.path.with_stem(f'{name}_{target.path.stem}'), target.storage)
            for each in (target, other):
                make_sample_bag(each, content)
                files = [each.path] if each.is_file else sorted(each.path.glob('*_0.*'))
                assert len(files) == 1
                made.append(files[0].read_bytes())
        assert len(set(made)) == 1

    def test_metadata_names_the_files_and_is_the_same_twice(self, tmp_path: Path) -> None:
        made = []
        for name in ('first', 'second'):
            (tmp_path / name).mkdir()
            write(target_for(tmp_path / name, 'mcap'))
            made.append((tmp_path / name / 'mcap' / 'metadata.yaml').read_bytes())
        assert made[0] == made[1]
        information = yaml.safe_load(made[0])['rosbag2_bagfile_information']
        assert information['relative_file_paths'] == ['mcap_0.mcap']
        assert information['files'][0]['path'] == 'mcap_0.mcap'
        assert information['message_count'] == 2
        assert information['starting_time'] == {'nanoseconds_since_epoch': 1000}
        # Humble reads no later version, and wants the QoS as text
        assert information['version'] == 8
        topic = information['topics_with_message_count'][0]['topic_metadata']
        assert yaml.safe_load(topic['offered_qos_profiles'])[0]['reliability'] == 1
        assert topic['type_description_hash'] == STRING.type_hash

    def test_compressed_mcap_is_smaller_and_the_same_twice(self, tmp_path: Path) -> None:
        text = ['lorem ipsum ' * 1000] * 20
        for name in ('a.mcap', 'b.mcap'):
            write(BagTarget(tmp_path / name, 'mcap', compress=True), text)
        write(BagTarget(tmp_path / 'plain.mcap', 'mcap'), text)
        compressed = (tmp_path / 'a.mcap').read_bytes()
        assert compressed == (tmp_path / 'b.mcap').read_bytes()
        assert len(compressed) < (tmp_path / 'plain.mcap').stat().st_size / 10
        assert texts_of(tmp_path / 'a.mcap') == text

    def test_custom_data(self, tmp_path: Path) -> None:
        write(target_for(tmp_path, 'mcap'), custom_data={'made by': 'a test'})
        text = (tmp_path / 'mcap' / 'metadata.yaml').read_text()
        information = yaml.safe_load(text)['rosbag2_bagfile_information']
        assert information['custom_data'] == {'made by': 'a test'}


class TestOtherReaders:
    @pytest.mark.parametrize('place', PLACES)
    def test_rosbags_reads_types_and_hashes(self, sample_folder: Path, place: str) -> None:
        """Its high-level reader checks the hashes against the definitions in the bag."""
        with AnyReader([sample_folder / place]) as reader:
            found = {}
            for connection, time_ns, data in reader.messages():
                message = reader.deserialize(data, connection.msgtype)
                assert message.header.frame_id == 'camera_optical_frame'
                found.setdefault(connection.topic, []).append(time_ns)
        assert {topic: len(times) for topic, times in found.items()} == {
            '/camera_info': 4,
            '/image_raw': 4,
            '/image_raw/compressed': 4,
        }


class TestOverwriting:
    @pytest.mark.parametrize('place', PLACES)
    def test_refused_without_force(self, tmp_path: Path, place: str) -> None:
        target = target_for(tmp_path, place)
        write(target, ['old'])
        with pytest.raises(BagError, match='give --force'):
            write(target, ['new'])
        assert texts_of(target.path) == ['old']
        write(target, ['new'], force=True)
        assert texts_of(target.path) == ['new']
        assert [path.name for path in tmp_path.iterdir()] == [place]

    def test_what_is_no_bag_is_never_replaced(self, tmp_path: Path) -> None:
        folder = tmp_path / 'folder'
        folder.mkdir()
        (folder / 'thesis.tex').write_text('years of work')
        write(target_for(tmp_path, 'mcap'))
        (tmp_path / 'mcap' / 'notes.txt').write_text('more of it')
        (tmp_path / 'link').symlink_to(tmp_path / 'mcap')
        for path in (folder, tmp_path / 'mcap', tmp_path / 'link'):
            with pytest.raises(BagError, match='not overwriting'):
                write(BagTarget(path, 'mcap'), force=True)
        assert (folder / 'thesis.tex').is_file()
        assert (tmp_path / 'mcap' / 'notes.txt').is_file()

    def test_folder_where_a_file_is_asked_for(self, tmp_path: Path) -> None:
        (tmp_path / 'x.mcap').mkdir()
        with pytest.raises(BagError, match='not overwriting'):
            write(BagTarget(tmp_path / 'x.mcap', 'mcap'), force=True)

    def test_no_folder_to_write_into(self, tmp_path: Path) -> None:
        with pytest.raises(BagError, match='there is no folder'):
            write(BagTarget(tmp_path / 'nowhere' / 'x.mcap', 'mcap'))

    @pytest.mark.parametrize('place', PLACES)
    def test_failure_leaves_what_was_there(self, tmp_path: Path, place: str) -> None:
        target = target_for(tmp_path, place)
        write(target, ['old'])

        def texts():
            yield 'half'
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            write(target, texts(), force=True)
        assert texts_of(target.path) == ['old']
        assert [path.name for path in tmp_path.iterdir()] == [place]

    def test_what_a_killed_process_left_is_removed_but_not_what_one_works_in(
        self, tmp_path: Path
    ) -> None:
        left = tmp_path / '.x.0123abcd'
        (left / 'bag').mkdir(parents=True)
        others = [tmp_path / name for name in ('.x.not-ours', '.y.0123abcd')]
        for other in others:
            other.mkdir()
        with BagWriter(BagTarget(tmp_path / 'x.mcap', 'mcap')) as bag:
            bag.add_topic('/a', STRING)
            write(BagTarget(tmp_path / 'x.db3', 'sqlite3'))  # works beside it, in .x.…, too
        assert sorted(tmp_path.iterdir()) == sorted(
            [*others, tmp_path / 'x.mcap', tmp_path / 'x.db3']
        )

    @pytest.mark.parametrize('place', PLACES)
    def test_a_full_disk_is_one_line_and_leaves_nothing(self, tmp_path: Path, place: str) -> None:
        code = f"""
import resource, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_bag_writing import target_for, write
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))  # no file grows beyond
from aitable_ros.bags.errors import BagError
try:
    write(target_for(Path({str(tmp_path)!r}), {place!r}), ['x' * 10_000] * 20)
except BagError as error:
    print(error)
"""
        done = subprocess.run(
            [sys.executable, '-c', code],
            env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT / 'test'), *sys.path])},
            capture_output=True,
            text=True,
            check=True,
        )
        (line,) = done.stdout.splitlines()
        assert line.startswith(f'{tmp_path / place}')
        assert list(tmp_path.iterdir()) == []

    def test_topic_announced_twice(self, tmp_path: Path) -> None:
        with BagWriter(BagTarget(tmp_path / 'x.mcap', 'mcap')) as bag:
            bag.add_topic('/a', STRING)
            with pytest.raises(BagError, match='topic /a'):
                bag.add_topic('/a', STRING)
