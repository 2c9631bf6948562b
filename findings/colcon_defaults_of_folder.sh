#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# colcon takes the colcon_defaults.yaml of the folder that it is called in over the file that COLCON_DEFAULTS_FILE names. One would
# guess that the variable, as the one set for this very call, has the last word: /dev/null does not even switch the file off.
# An image that was to be built without --symlink-install had links to a build folder that was gone; docker/install.sh calls
# colcon elsewhere.
#
# colcon-core 0.21.3, colcon-defaults 0.2.9, colcon-ros 0.5.0, CPython 3.11.7, Linux x86-64, 2026-11-30:
#   no variable: one
#   the variable says two: one
#   /dev/null: one
#   the variable says two, called elsewhere: two
#
# Fails when that changes. Needs python3 with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet colcon-core==0.21.3 colcon-defaults==0.2.9 colcon-ros==0.5.0 \
  colcon-package-information==0.4.1 colcon-recursive-crawl==0.2.3
for package in a/one b/two; do
  mkdir -p $package
  cat >$package/package.xml <<END
<package format="3">
  <name>$(basename $package)</name>
  <version>1.0.0</version>
  <description>One of two.</description>
  <maintainer email="a@b.invalid">A</maintainer>
  <license>Apache-2.0</license>
</package>
END
done
mkdir elsewhere
printf 'list:\n  base-paths: [%s]\n' "$PWD/a" >colcon_defaults.yaml
printf 'list:\n  base-paths: [%s]\n' "$PWD/b" >other.yaml
listed() { "$folder/venv/bin/colcon" --log-base /dev/null list --names-only 2>/dev/null; }
seen=$(
  export COLCON_HOME=$folder/home
  echo "no variable: $(listed)"
  echo "the variable says two: $(COLCON_DEFAULTS_FILE=$folder/other.yaml listed)"
  echo "/dev/null: $(COLCON_DEFAULTS_FILE=/dev/null listed)"
  echo "the variable says two, called elsewhere: $(cd elsewhere && COLCON_DEFAULTS_FILE=$folder/other.yaml listed)"
)
printf '%s\n' "$seen"
[[ $seen == 'no variable: one
the variable says two: one
/dev/null: one
the variable says two, called elsewhere: two' ]]
