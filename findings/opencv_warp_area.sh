#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# cv2.warpAffine takes INTER_AREA, says nothing, and interpolates linearly. One would guess that what makes pictures smaller
# without aliasing in cv2.resize does so here, or is refused: of a picture shrunk ten times nine of ten pixels are never
# looked at. A face made smaller in that way for a test is not the face that a camera sees from afar.
#
# opencv-python-headless 4.14.0.94 and 5.0.0.93, CPython 3.11.7, Linux x86-64, 2026-11-30, both alike (noise, ten times
# smaller; its spread would be a tenth of 74 if all pixels counted):
#   warpAffine, area: 75.2, the same as linear: True
#   resize, area: 7.5
#
# Fails when that changes. Needs python3 with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >show.py <<'END'
import cv2
import numpy as np

noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
matrix = np.float32([[0.1, 0, 0], [0, 0.1, 0]])
area, linear = (
    cv2.warpAffine(noise, matrix, (32, 24), flags=flags)
    for flags in (cv2.INTER_AREA, cv2.INTER_LINEAR)
)
print(f'warpAffine, area: {area.std():.1f}, the same as linear:', (area == linear).all())
print(f'resize, area: {cv2.resize(noise, (32, 24), interpolation=cv2.INTER_AREA).std():.1f}')
END
for version in 4.14.0.94 5.0.0.93; do
  python3 -m venv "$version"
  "$version/bin/python" -m pip install --quiet "opencv-python-headless==$version"
  seen=$("$version/bin/python" show.py)
  printf '%s\n' "$version" "$seen"
  [[ $seen == 'warpAffine, area: 75.2, the same as linear: True
resize, area: 7.5' ]]
done
