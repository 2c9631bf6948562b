# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Definitions are those that are installed, their hashes are ROS's, padding is zero."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from rosbags.typesys import Stores, get_typestore

from aitable_ros.bags import BagError, find_definition
from aitable_ros.bags.definitions import IDL, MSG, Canonical, make_definition, share_folders

SEPARATOR = '=' * 80
COMMON = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo', 'std_msgs/msg/String')


def installed_hashes():
    """The hashes that rosidl computed, by type, of a few installed packages."""
    hashes = {}
    for package in ('aitable_msgs', 'sensor_msgs', 'geometry_msgs', 'std_msgs'):
        for folder in share_folders():
            for path in sorted((folder / package / 'msg').glob('*.json')):
                for entry in json.loads(path.read_text())['type_hashes']:
                    if entry['type_name'] == f'{package}/msg/{path.stem}':
                        hashes[entry['type_name']] = entry['hash_string']
    return hashes


class TestFinding:
    @pytest.mark.parametrize('type_name', COMMON)
    def test_common_types_are_known_everywhere(
        self, type_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv('AMENT_PREFIX_PATH', '')
        monkeypatch.setattr('sys.prefix', str(tmp_path))
        bundled = find_definition(type_name)
        store = get_typestore(Stores.LATEST)
        assert bundled.text == store.generate_msgdef(type_name, ros_version=2)[0]
        assert bundled.type_hash == store.hash_rihs01(type_name)

    def test_installed_definition_with_what_it_contains(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name, text in {
            'a_msgs/msg/Tree': '# a tree\nb_msgs/Leaf[<=9] leaves\nBark bark\n',
            'a_msgs/msg/Bark': 'string<=8 colour\n',
            'b_msgs/msg/Leaf': 'a_msgs/Bark bark  # again\nuint8 GREEN=3\n',
        }.items():
            path = tmp_path / 'share' / f'{name}.msg'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
        definition = find_definition('a_msgs/msg/Tree')
        root, *nested = definition.text.split(SEPARATOR + '\n')
        assert root == '# a tree\nb_msgs/Leaf[<=9] leaves\nBark bark\n\n'
        assert [part.split('\n')[0] for part in nested] == [
            'MSG: b_msgs/Leaf',
            'MSG: a_msgs/Bark',
        ]
        assert make_definition('a_msgs/msg/Tree', MSG, definition.text) == definition

    def test_unknown_and_odd_names(self) -> None:
        for name in ('nobodys_msgs/msg/Own', 'std_msgs/String', '../../etc/msg/passwd', ''):
            assert find_definition(name) is None

    def test_hashes_are_those_of_rosidl(self) -> None:
        hashes = installed_hashes()
        if not hashes:
            pytest.skip('no installed messages with hashes: run scripts/test.sh (Iron or later)')
        definitions = {name: find_definition(name) for name in hashes}
        assert {name: d.type_hash for name, d in definitions.items()} == hashes


class TestMaking:
    @pytest.mark.parametrize('form', ['', '[]', '[3]', '[<=3]'])
    def test_char_is_uint8(self, form: str) -> None:
        char, uint8 = (
            make_definition('a_msgs/msg/A', MSG, f'{kind}{form} x\n') for kind in ('char', 'uint8')
        )
        assert char.type_hash == uint8.type_hash

    def test_idl(self) -> None:
        text = (
            f'{SEPARATOR}\nIDL: a_msgs/msg/Tree\n'
            'module a_msgs { module msg { struct Tree { float height; }; }; };\n'
        )
        definition = make_definition('a_msgs/msg/Tree', IDL, text)
        as_msg = make_definition('a_msgs/msg/Tree', MSG, 'float32 height\n')
        assert definition.type_hash == as_msg.type_hash

    @pytest.mark.parametrize(
        ('text', 'complaint'),
        [('float99 ?', 'is damaged'), ('b_msgs/Leaf leaf\n', 'is not whole')],
    )
    def test_damaged(self, text: str, complaint: str) -> None:
        with pytest.raises(BagError, match=complaint):
            make_definition('a_msgs/msg/Tree', MSG, text)


class TestCanonical:
    DEFINITION = make_definition(
        'a_msgs/msg/Mixed', MSG, 'uint8 a\nfloat64 b\nbool c\nfloat32 d\n'
    )

    @staticmethod
    def cdr(padding: bytes) -> bytes:
        nan = b'\0\0\xc0\x7f'
        return b'\0\1\0\0\7' + padding * 7 + b'\0' * 6 + b'\xf0\x3f\1' + padding * 3 + nan

    def test_equal_messages_become_equal_bytes(self) -> None:
        canonical = Canonical(self.DEFINITION)
        assert canonical(self.cdr(b'x')) == self.cdr(b'\0') == canonical(self.cdr(b'\0'))

    def test_padding_at_the_end_is_left_out(self) -> None:
        assert Canonical(self.DEFINITION)(self.cdr(b'x') + b'yyy') == self.cdr(b'\0')

    def test_damaged_message(self) -> None:
        with pytest.raises(BagError, match='damaged a_msgs/msg/Mixed'):
            Canonical(self.DEFINITION)(self.cdr(b'x')[:-2])

    def test_what_the_middleware_writes(self) -> None:
        """Two equal messages of rclpy, whose own bytes may differ in the padding."""
        serialization = pytest.importorskip(
            'rclpy.serialization', reason='ROS 2 is not installed: run scripts/test.sh'
        )
        from aitable_msgs.msg import Fatigue

        canonical = Canonical(find_definition('aitable_msgs/msg/Fatigue'))
        made = set()
        for _ in range(20):
            message = Fatigue(face_id='f1', backend='b', left_ear=math.nan, blink_count=3)
            message.header.frame_id = 'camera'
            data = canonical(serialization.serialize_message(message))
            made.add(data)
            back = serialization.deserialize_message(data, Fatigue)
            assert (back.face_id, back.blink_count) == ('f1', 3)
            assert math.isnan(back.left_ear)
        assert len(made) == 1
