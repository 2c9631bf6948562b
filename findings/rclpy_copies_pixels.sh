#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# To receive an image, rclpy copies its pixels three times one after another: into a C message, from there into a
# bytes object, and from that into the array.array that one gets, which is larger than the image. One would guess one
# copy; an image of 6 MB (1080p) so takes three times 6 MB of memory for a moment, and a good part of a slow CPU's time.
# Of the three, tracemalloc sees the two that Python makes. What a raw subscription gives is one bytes object.
#
# rclpy 7.1.6, sensor_msgs 5.3.6, rmw_fastrtps_cpp 8.4.3 of PyPI, Python 3.11, x86-64 Linux, 2026-12-01:
#   Python's memory for an image, in images: at most 2.1, afterwards 1.1
# Fails when that changes. Needs python3 (3.10 to 3.13) with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet ros-jazzy-rclpy==7.1.6 ros-rmw-fastrtps-cpp==8.4.3 \
  ros-jazzy-sensor-msgs==5.3.6 numpy
cat >show.py <<'END'
import array
import tracemalloc

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

SIZE = 10_000_000
serialized = bytes(serialize_message(Image(data=array.array('B', bytes(SIZE)))))
tracemalloc.start()
message = deserialize_message(serialized, Image)
kept, most = (memory / SIZE for memory in tracemalloc.get_traced_memory())
print(f"Python's memory for an image, in images: at most {most:.1f}, afterwards {kept:.1f}")
END
seen=$(venv/bin/python show.py)
printf '%s\n' "$seen"
[[ $seen == *'at most 2.'*', afterwards 1.'* ]]
