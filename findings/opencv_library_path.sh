#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# `import cv2` of PyPI's OpenCV puts a folder that does not exist in front of LD_LIBRARY_PATH of the
# process, which all that it starts inherits. One would guess that importing a library changes
# nothing outside of Python. So the modules that launch files import do without OpenCV.
#
# opencv-python-headless 4.14.0.94, Python 3.11, x86-64, 2026-11-30:
#   before: /where/ours/are
#   after: <site-packages>/cv2/../../lib64:/where/ours/are
#   it exists: False
#
# Fails when that changes. Needs python3 with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet opencv-python-headless==4.14.0.94

cat >look.py <<'END'
import os

print('before:', os.environ['LD_LIBRARY_PATH'])
import cv2

after = os.environ['LD_LIBRARY_PATH']
added = after.partition(':')[0]
packages = os.path.dirname(os.path.dirname(cv2.__file__))
print('after:', after.replace(packages, '<site-packages>'))
print('it exists:', os.path.isdir(added))
END
seen=$(LD_LIBRARY_PATH=/where/ours/are venv/bin/python look.py)
printf '%s\n' "$seen"
[[ $seen == 'before: /where/ours/are
after: <site-packages>/cv2/../../lib64:/where/ours/are
it exists: False' ]]
