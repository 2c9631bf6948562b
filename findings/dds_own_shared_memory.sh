#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# Two ROS nodes that share the network but not /dev/shm find each other and hear nothing. One would guess that a
# publisher that is counted can be heard, or that DDS falls back to UDP: Fast DDS takes whoever announces the same host for
# a neighbour, and sends by shared memory alone. Containers with `--network host` and an IPC namespace of their own, which
# is Docker's default, are such neighbours; docker/compose.yaml says whose memory is shared.
#
# rclpy 7.1.6, rmw_fastrtps_cpp 8.4.3, std_msgs 5.3.6 of PyPI, CPython 3.11.7, x86-64 Linux, 2026-11-30:
#   same /dev/shm: publishers 1, messages yes
#   a /dev/shm each: publishers 1, messages no
#
# Fails when that changes. Needs python3 (3.10 to 3.13) with venv, PyPI, and unshare (user namespaces, or root).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet ros-jazzy-rclpy==7.1.6 ros-rmw-fastrtps-cpp==8.4.3 \
  ros-jazzy-std-msgs==5.3.6
cat >talk.py <<'END'
import time

import rclpy
from std_msgs.msg import String

rclpy.init()
node = rclpy.create_node('talker')
publisher = node.create_publisher(String, 'chatter', 10)
for _ in range(120):
    publisher.publish(String(data='x'))
    time.sleep(0.1)
END
cat >hear.py <<'END'
import time

import rclpy
from std_msgs.msg import String

rclpy.init()
node = rclpy.create_node('listener')
heard = []
subscription = node.create_subscription(String, 'chatter', heard.append, 10)
end = time.monotonic() + 7
while time.monotonic() < end:
    rclpy.spin_once(node, timeout_sec=0.1)
print(f'publishers {node.count_publishers("chatter")}, messages', 'yes' if heard else 'no')
END
export ROS_DOMAIN_ID=$((RANDOM % 100)) ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
heard_beside() {
  "$@" venv/bin/python talk.py &
  sleep 2
  venv/bin/python hear.py
  wait
}
# shellcheck disable=SC2016  # expanded by the inner shell
seen=$(
  echo "same /dev/shm: $(heard_beside env)"
  echo "a /dev/shm each: $(heard_beside unshare -rm bash -c 'mount -t tmpfs tmpfs /dev/shm && exec "$@"' own)"
)
printf '%s\n' "$seen"
[[ $seen == 'same /dev/shm: publishers 1, messages yes
a /dev/shm each: publishers 1, messages no' ]]
