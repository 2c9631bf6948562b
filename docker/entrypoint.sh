#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# The environment of ROS and aitable, the networks if they are missing, then the command:
#
#   run NAME [ARGUMENT...]       a node or a tool of aitable, as `ros2 run aitable_ros NAME` would
#   anything else                itself, as `ros2 launch aitable_ros aitable.launch.py source:=0`
#   nothing                      the nodes in one process, on AITABLE_SOURCE (a camera's number or
#                                file, or 'sample')
set -euo pipefail
set +u
# shellcheck source=/dev/null
source /opt/aitable/environment.bash
set -u
: "${AITABLE_ENGINES_DIR:=/var/lib/aitable/engines}" "${AITABLE_SOURCE:=sample}"
export AITABLE_ENGINES_DIR
programs=/opt/aitable/lib/aitable_ros

if [[ ${1:-} != run || ${2:-} != preflight ]]; then
  # what is there already is left alone; an engine is built by hand: `run build_engines`
  "$programs/fetch_models" >&2 || echo 'aitable: networks are missing, see above' >&2
fi
eval "$(python3 -m aitable_ros.ros_support.process.transport)"
if (($# == 0)); then
  components='[image_source, face_detection, emotion, fatigue, attention, overlay, web_monitor]'
  exec "$programs/component_container" --ros-args -p "components:=$components" \
    -p "image_source:source:='$AITABLE_SOURCE'"
fi
if [[ $1 == run ]]; then
  exec "$programs/$2" "${@:3}"
fi
exec "$@"
