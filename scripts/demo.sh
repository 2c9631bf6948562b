#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# Shows aitable working: camera-like images go over ROS 2 topics into the nodes, and what they find
# is printed once a second. Makes ready what is missing on the first run.
#
#   scripts/demo.sh                      the built-in sample, 20 s
#   scripts/demo.sh --source 0           the first webcam
#   scripts/demo.sh --help               all options
#
# Runs in a ROS domain of its own on this machine only, unless ROS_DOMAIN_ID is set.
set -euo pipefail
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

# Help needs no ROS: answer before setting anything up where Python can.
for argument in "$@"; do
  if [[ $argument == -h || $argument == --help ]]; then
    if help=$(PYTHONPATH=$scripts/.. python3 -m aitable_ros.tools.demo --help 2>/dev/null); then
      printf '%s\n' "$help"
      exit
    fi
  fi
done

source "$scripts/ros_env.sh"
source "$scripts/session_env.sh"
if [[ -z ${ROS_DOMAIN_ID:-} ]]; then
  take_domain
  stay_local
fi
use_shipped_transport
exec python3 -m aitable_ros.tools.demo "$@"
