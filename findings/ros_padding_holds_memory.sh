#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# The gaps between the fields of a ROS message, as rmw_fastrtps_cpp serialises it for the wire and
# for bags, hold whatever was in the process's memory. One would guess that they are zero: that equal
# messages make equal bytes, and that nothing leaves a process that was not in a message. Here pieces
# of a text that was in no message are in its bytes.
#
# rclpy 7.1.6, rmw_fastrtps_cpp 8.4.3, std_msgs 5.3.6 of PyPI, Python 3.11, x86-64 Linux, 2026-11-30:
#   equal messages, equal bytes: False
#   in the gaps, of a text that was in no message: cr et se
# Fails when that changes. Needs python3 (3.10 to 3.13) with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet ros-jazzy-rclpy==7.1.6 ros-rmw-fastrtps-cpp==8.4.3 \
  ros-jazzy-std-msgs==5.3.6
cat >show.py <<'END'
from rclpy.serialization import serialize_message
from std_msgs.msg import MultiArrayDimension, UInt8MultiArray

message = UInt8MultiArray()
message.layout.dim = [MultiArrayDimension(label='a', size=1, stride=1)] * 100
contents, gaps = set(), set()
for length in range(1000, 4000, 10):
    text = bytearray(b'secret' * (length // 6))
    del text  # its memory is free for whoever comes next
    content = bytes(serialize_message(message))
    contents.add(content)
    # after each label: two bytes up to the size, which is aligned to four
    gaps |= {part[:2] for part in content.split(b'a\0')[1:]}
print('equal messages, equal bytes:', len(contents) == 1)
found = sorted(gap.decode() for gap in gaps & {b'se', b'cr', b'et'})
print('in the gaps, of a text that was in no message:', *found)
END
seen=$(venv/bin/python show.py)
printf '%s\n' "$seen"
[[ $seen == *'equal bytes: False'* && $seen == *'no message: '[ces]* ]]
