#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# What OpenCV says and shows of sound files is not what is in them: a video that is to be shown mirrored comes out
# upside down, one to be flipped upside down as it is stored; one that an edit list trims announces all its frames;
# a PGM's white, as its header names it, is not looked at. One would guess that CAP_PROP_ORIENTATION_AUTO follows
# the display matrix, that CAP_PROP_FRAME_COUNT is how many come, and that white is white.
#
# opencv-python-headless 4.14.0.94, CPython 3.11.7, Linux x86-64, 2026-11-30 (where the red of the upper left is seen):
#   as stored: upper left
#   mirrored left to right: lower right
#   mirrored top to bottom: upper left
#   trimmed to 1 of 2 s: 60 announced, 30 came
#   white of a PGM with maxval 1023: 3
# Fails when that changes. Needs python3 with venv (or PYTHON=...) and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv env
env/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==4.14.0.94
cat >show.py <<'END'
import struct

import cv2
import numpy as np

frame = np.full((120, 160, 3), 40, np.uint8)
frame[10:40, 10:40] = (0, 0, 255)
writer = cv2.VideoWriter('x.mp4', cv2.VideoWriter.fourcc(*'mp4v'), 30.0, (160, 120))
for _ in range(60):
    writer.write(frame)
writer.release()
data = open('x.mp4', 'rb').read()


def changed(box, offset, layout, *values):
    new = bytearray(data)
    struct.pack_into(layout, new, data.index(box) + 4 + offset, *values)
    open('y.mp4', 'wb').write(new)
    return cv2.VideoCapture('y.mp4')


def shown(a, d):
    # tkhd: the display matrix of the track
    matrix = (a << 16, 0, 0, 0, d << 16, 0, 0, 0, 1 << 30)
    image = changed(b'tkhd', 40, '>9i', *matrix).read()[1]
    y, x = (places.mean() for places in np.nonzero((image[..., 2] > 180) & (image[..., 0] < 90)))
    return f'{"lower" if y > 60 else "upper"} {"right" if x > 80 else "left"}'


print('as stored:', shown(1, 1))
print('mirrored left to right:', shown(-1, 1))
print('mirrored top to bottom:', shown(1, -1))
# elst: duration in ms, first media time
video = changed(b'elst', 8, '>II', 1000, 0)
announced, came = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), 0
while video.grab():
    came += 1
print(f'trimmed to 1 of 2 s: {announced} announced, {came} came')
pgm = b'P5 1 1 1023\n' + struct.pack('>H', 1023)
print('white of a PGM with maxval 1023:', cv2.imdecode(np.frombuffer(pgm, np.uint8), 0)[0, 0])
END
seen=$(env/bin/python show.py)
printf '%s\n' "$seen"
[[ $seen == "as stored: upper left
mirrored left to right: lower right
mirrored top to bottom: upper left
trimmed to 1 of 2 s: 60 announced, 30 came
white of a PGM with maxval 1023: 3" ]]
