#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# rosbags gives no message of bags that are sound, and says nothing. One would guess that a topic and its type say
# what belongs together, that an index makes reading faster and no more, and that a path is a path.
#
# rosbags 0.11.9, mcap 1.6.0, CPython 3.11.7, Linux x86-64, 2026-11-30:
#   folder as written: 3 of 3
#   metadata.yaml without QoS: 0 of 3
#   its file alone: 3 of 3
#   mcap, all indexes: 3 of 3
#   mcap, chunk index without message index: 0 of 3
#   sqlite3 into the folder 'a#b': bag.db3 is not in it; beside it there is now a file 'a'
# Fails when that changes. Needs python3 with venv (or PYTHON=...) and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv env
env/bin/pip install --quiet --disable-pip-version-check rosbags==0.11.9 mcap==1.6.0
cat >show.py <<'END'
from pathlib import Path

from mcap.writer import IndexType, Writer as McapWriter
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

CDR = b'\0\1\0\0\2\0\0\0x\0'
HASH = 'RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18'
NEVER = QosTime(9223372036, 854775807)
QOS = Qos(
    QosHistory.KEEP_LAST, 5, QosReliability.BEST_EFFORT, QosDurability.VOLATILE,
    NEVER, NEVER, QosLiveliness.AUTOMATIC, NEVER, False,
)  # fmt: skip


def record(path, plugin):
    with Writer(path, version=9, storage_plugin=plugin) as bag:
        topic = bag.add_connection(
            '/a', 'std_msgs/msg/String', msgdef='string data\n', rihs01=HASH, offered_qos_profiles=[QOS]
        )
        for i in range(3):
            bag.write(topic, i + 1, CDR)


def count(path):
    with Reader(path) as bag:
        return f'{sum(1 for _ in bag.messages())} of {bag.message_count}'


def mcap(indexes):
    path = Path('x.mcap')
    with path.open('wb') as file:
        writer = McapWriter(file, index_types=indexes)
        writer.start('ros2', '')
        schema = writer.register_schema('std_msgs/msg/String', 'ros2msg', b'string data\n')
        channel = writer.register_channel('/a', 'cdr', schema)
        for i in range(3):
            writer.add_message(channel, i + 1, CDR, i + 1)
        writer.finish()
    return count(path)


bag = Path('bag')
record(bag, StoragePlugin.MCAP)
print('folder as written:', count(bag))
metadata = bag / 'metadata.yaml'
lines = metadata.read_text().splitlines()
at = next(i for i, line in enumerate(lines) if 'offered_qos_profiles' in line)
indent = len(lines[at]) - len(lines[at].lstrip())
end = at + 1
while end < len(lines) and (lines[end].startswith(' ' * (indent + 1)) or lines[end].lstrip().startswith('- ')):
    end += 1
metadata.write_text('\n'.join([*lines[:at], ' ' * indent + 'offered_qos_profiles: []', *lines[end:]]) + '\n')
print('metadata.yaml without QoS:', count(bag))
print('its file alone:', count(bag / 'bag.mcap'))
print('mcap, all indexes:', mcap(IndexType.ALL))
print('mcap, chunk index without message index:', mcap(IndexType.CHUNK))
odd = Path('a#b')
record(odd / 'bag', StoragePlugin.SQLITE3)
print(
    f'sqlite3 into the folder {odd.name!r}:',
    'bag.db3 is in it' if (odd / 'bag' / 'bag.db3').exists() else 'bag.db3 is not in it;',
    "beside it there is now a file 'a'" if Path('a').is_file() else '',
)
END
seen=$(env/bin/python show.py)
printf '%s\n' "$seen"
[[ $seen == "folder as written: 3 of 3
metadata.yaml without QoS: 0 of 3
its file alone: 3 of 3
mcap, all indexes: 3 of 3
mcap, chunk index without message index: 0 of 3
sqlite3 into the folder 'a#b': bag.db3 is not in it; beside it there is now a file 'a'" ]]
