#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# The way of a newcomer, timed: README's commands for a machine without ROS, in a bare system.
#
#   sudo scripts/maintenance/newcomer.sh                    bookworm: scripts/demo.sh, scripts/test.sh
#   sudo scripts/maintenance/newcomer.sh noble scripts/demo.sh
#   sudo scripts/maintenance/newcomer.sh --keep DIR trixie scripts/demo.sh
#
# Needs mmdebstrap; takes what is committed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/maintenance/bare_root.sh

if [[ ${1:-} == --keep ]]; then
  folder=$2
  shift 2
else
  folder=$(mktemp -d)
  trap 'rm -rf --one-file-system "$folder"' EXIT
fi
suite=${1:-bookworm}
shift || true
(($#)) || set -- scripts/demo.sh scripts/test.sh

timed() {
  local start=$SECONDS status=0
  "$@" || status=$?
  printf '== %s: exit status %d, %d s\n' "${*: -1}" "$status" $((SECONDS - start))
  return "$status"
}

make_root "$suite" "$folder"
clone_into "$folder"
printf '== %s, %s, %s MB\n' "$suite" "$(uname -m)" "$(du -smx "$folder" | cut -f1)"
for command in "$@"; do
  timed in_root "$folder" bash -c "$command"
done
printf '== afterwards %s MB\n' "$(du -smx "$folder" | cut -f1)"
