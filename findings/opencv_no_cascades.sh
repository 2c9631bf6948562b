#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# cv2.data.haarcascades of OpenCV 5.0's wheels is a folder without a cascade, and a CascadeClassifier of a file that is not
# there is made all the same: `pip install -U` leaves a program that finds no faces until detectMultiScale raises. One
# would guess that a path that the library itself gives leads to files, or that the constructor raises. 4.11 and 5.1 have them.
#
# opencv-contrib-python 4.11.0.86, 5.0.0.93 and 5.1.0.95, CPython 3.11.7, Linux x86-64, 2026-11-30:
#   4.11.0: 17 cascades, empty: False
#   5.0.0: 0 cascades, empty: True
#   5.1.0: 17 cascades, empty: False
#
# Fails when that changes. Needs python3 with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >show.py <<'END'
from pathlib import Path

import cv2

folder = Path(cv2.data.haarcascades)
classifier = cv2.CascadeClassifier(str(folder / 'haarcascade_frontalface_default.xml'))
number = len(list(folder.glob('*.xml')))
print(f'{cv2.__version__}: {number} cascades, empty: {classifier.empty()}')
END
seen=$(
  for version in 4.11.0.86 5.0.0.93 5.1.0.95; do
    python3 -m venv "$version"
    "$version/bin/python" -m pip install --quiet "opencv-contrib-python==$version"
    "$version/bin/python" show.py 2>/dev/null
  done
)
printf '%s\n' "$seen"
[[ $seen == '4.11.0: 17 cascades, empty: False
5.0.0: 0 cascades, empty: True
5.1.0: 17 cascades, empty: False' ]]
