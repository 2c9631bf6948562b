#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# The steps of docker/Dockerfile.cpu without Docker: in a bare Debian made by mmdebstrap, with ROS 2 from
# PyPI in the place of the base image's. Then the entry point as compose.yaml runs it: user 10001, read-only
# root, a volume for engines, its own /dev/shm; the health check; and Fatigue of the sample, received.
#
#   sudo docker/rehearse.sh [--keep DIR]
#   sudo docker/rehearse.sh --again DIR     in what --keep left, from the build on, with what is committed now
#
# Needs mmdebstrap; takes what is committed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/maintenance/bare_root.sh

again=
if [[ ${1:-} == --keep || ${1:-} == --again ]]; then
  [[ $1 == --keep ]] || again=1
  folder=$2
else
  folder=$(mktemp -d)
  trap 'rm -rf --one-file-system "$folder"' EXIT
fi

step() {
  local start=$SECONDS
  "$@" >>"$folder.log" 2>&1 || { tail -n 30 "$folder.log"; echo "== failed: ${*: -1}"; exit 1; }
  printf '== %-40s %4d s, %5s MB\n' "${*: -1}" $((SECONDS - start)) "$(du -smx "$folder" | cut -f1)"
}

# as_container COMMAND...: what `docker run` would do with it.
as_container() {
  mkdir -p "$folder/var/lib/aitable/engines"
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --mount --pid --ipc --fork --kill-child bash -e -c '
    mount --bind "$1" "$1"
    mount -t proc proc "$1/proc"
    mkdir -p "$1/dev/shm"
    mount -t tmpfs -o size=256m tmpfs "$1/dev/shm"
    mount -t tmpfs tmpfs "$1/tmp"
    mkdir -p "$1.engines" && chown 10001:10001 "$1.engines"
    mount --bind "$1.engines" "$1/var/lib/aitable/engines"
    mount -o remount,bind,ro "$1"
    exec chroot --userspec=10001:10001 "$1" /usr/bin/env --chdir=/var/lib/aitable -i "${@:2}"
  ' as_container "$folder" HOME=/tmp LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin \
    AITABLE_CACHE_DIR=/tmp/aitable ROS_LOG_DIR=/tmp/ros ROS_DOMAIN_ID=96 \
    ${SSL_CERT_FILE:+PIP_CERT=/certificates.crt} ${SSL_CERT_FILE:+SSL_CERT_FILE=/certificates.crt} "$@"
}

# The nodes on the sample, until Fatigue was heard; then the health check beside them.
# shellcheck disable=SC2016  # expanded by the inner shell
nodes_and_health() {
  as_container bash -c '
    ! touch /written 2>/dev/null || { echo "the root can be written"; exit 1; }
    /entrypoint.sh & nodes=$!
    /entrypoint.sh python3 - <<END
import rclpy
from aitable_msgs.msg import Fatigue

rclpy.init()
heard, node = [], rclpy.create_node("listener")
node.create_subscription(Fatigue, "fatigue", heard.append, 10)
for _ in range(900):
    rclpy.spin_once(node, timeout_sec=0.1)
    if heard and heard[-1].mean_ear > 0:
        print("heard:", heard[-1].face_id, heard[-1].backend)
        break
else:
    raise SystemExit("no Fatigue came")
END
    /healthcheck.sh && echo "healthy"
    kill -INT $nodes && wait $nodes
  '
}

: >"$folder.log"
if [[ -n $again ]]; then
  git archive HEAD | tar -x -C "$folder/srv/aitable"
  rm -rf "$folder/opt/aitable"
else
  step make_root bookworm "$folder"
  step clone_into "$folder"
  step in_root "$folder" docker/install.sh packages
fi
step in_root "$folder" docker/install.sh build
cp docker/entrypoint.sh docker/healthcheck.sh "$folder/"
[[ -n $again ]] || step in_root "$folder" docker/install.sh user
step nodes_and_health
grep -E '^(heard|healthy)' "$folder.log"
