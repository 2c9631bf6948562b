#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# What bloom is given: both packages side by side, as its tools see no package inside another one.
#
#   scripts/maintenance/release_tree.sh DIR     DIR/aitable_ros and DIR/aitable_msgs, of what is committed
#
# docs/releasing.md says what comes before and after.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=${1:?which folder? see the head of this script}
mkdir "$folder"
git archive HEAD | tar -x -C "$folder"
mv "$folder/aitable_msgs" "$folder/.msgs"
mkdir "$folder/.ros"
find "$folder" -mindepth 1 -maxdepth 1 ! -name .msgs ! -name .ros -exec mv -t "$folder/.ros" {} +
mv "$folder/.msgs" "$folder/aitable_msgs"
mv "$folder/.ros" "$folder/aitable_ros"
# alone, it needs a licence of its own; and beside each other plain colcon finds both
cp "$folder/aitable_ros/LICENSE" "$folder/aitable_msgs/"
rm "$folder/aitable_ros/colcon_defaults.yaml"
