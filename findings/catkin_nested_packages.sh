#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# The tools of ROS see no package inside another one, and say nothing: neither catkin_pkg's find_packages, which bloom asks
# what to release, nor `rosdep --from-paths`, whose answer is that all is installed. One would guess that "recursively" means
# all package.xml below a folder. A link beside the outer package brings the inner one back; aitable_msgs lies in
# aitable_ros, hence `--from-paths . aitable_msgs` and scripts/maintenance/release_tree.sh.
#
# catkin_pkg 1.1.1, rosdep 0.27.0, CPython 3.11.7, Linux x86-64, 2026-11-30:
#   nested: catkin_pkg outer; rosdep outer
#   with a link: catkin_pkg inner outer; rosdep inner outer
#
# Fails when that changes. Needs python3 with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet catkin_pkg==1.1.1 rosdep==0.27.0 setuptools
for package in src/outer src/outer/inner; do
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
cat >show.py <<'END'
from catkin_pkg.packages import find_packages
from rosdep2.catkin_packages import find_catkin_packages_in

names = sorted(package.name for package in find_packages('src').values())
print('catkin_pkg', *names, end='; ')
print('rosdep', *sorted(find_catkin_packages_in('src')))
END
seen=$(
  echo "nested: $(venv/bin/python show.py)"
  ln -s outer/inner src/inner
  echo "with a link: $(venv/bin/python show.py)"
)
printf '%s\n' "$seen"
[[ $seen == 'nested: catkin_pkg outer; rosdep outer
with a link: catkin_pkg inner outer; rosdep inner outer' ]]
