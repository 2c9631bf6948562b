#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# `pytest -n 2 --dist loadgroup` spreads the tests of one xdist_group over both processes, without a word, since the newest
# pytest takes no notice of how the newest pytest-xdist renames them. One would guess that tests of a group, which share a
# ROS domain or a port, stay in one process, or that the mark is refused. With pytest 9.0 they stay.
#
# pytest-xdist 3.8.0, CPython 3.11.7, Linux x86-64, 2026-11-30; processes in which the 20 tests of a group ran:
#   pytest 9.0.2: 1
#   pytest 9.2.0: 2
#
# Fails when that changes. Needs python3 with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >test_group.py <<'END'
import os
import time

import pytest

pytestmark = pytest.mark.xdist_group('one')


@pytest.mark.parametrize('i', range(20))
def test_it(i):
    time.sleep(0.05)
    with open('workers', 'a') as file:
        print(os.environ['PYTEST_XDIST_WORKER'], file=file)
END
for version in 9.0.2 9.2.0; do
  python3 -m venv "$version"
  "$version/bin/python" -m pip install --quiet "pytest==$version" pytest-xdist==3.8.0
  "$version/bin/python" -m pytest -q -n 2 --dist loadgroup >/dev/null
  printf 'pytest %s: %s\n' "$version" "$(sort -u workers | wc -l)"
  rm workers
done | tee seen
[[ $(<seen) == *'9.0.2: 1'*'9.2.0: 2' ]]
