#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare the boxes from which EmoNet's crop can be made.

EmoNet's published figures were measured on crops around the tight box of 68 landmarks. We have
FaceMesh's 468 landmarks, or only BlazeFace's box. For frames of the built-in sequence, as they
are and mirrored, and for pictures given, this prints how large each box is and where its centre
lies, in units of the reference's mean side: median, and 10th and 90th percentile.

The reference is the box of 68 landmarks that dlib finds, where ``--predictor`` names its
shape_predictor_68_face_landmarks.dat (trained, like EmoNet's, on the 300-W scheme; needs
``pip install dlib``); else that of the FaceMesh landmarks that reach as far.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.inference.litert_engine import LitertEngine
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.store import ensure_models
from aitable_ros.perception.emonet import CropSettings, FaceSquare, detection_box, landmarks_box
from aitable_ros.perception.face_detector import FaceDetector
from aitable_ros.perception.face_mesh import (
    FaceMesh,
    landmark_box,
    roi_from_detection,
    roi_from_landmarks,
)
from aitable_ros.sample.astronaut_sequence import AstronautSequence

EVERY = 15
MIN_FACE_PX = 48
RAW = CropSettings(detection_scale=1.0, detection_shift=0.0)

Image = npt.NDArray[np.uint8]


def images(paths: list[Path]) -> Iterator[tuple[str, Image]]:
    sequence = AstronautSequence()
    for index in range(0, len(sequence), EVERY):
        frame = sequence.frame(index)
        yield 'sequence', frame
        yield 'sequence, mirrored', np.ascontiguousarray(frame[:, ::-1])
    for path in paths:
        picture = cv2.imread(str(path))
        if picture is None:
            raise SystemExit(f'{path}: cannot be read')
        yield 'pictures', np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


class Reference:
    """Finds 68 landmarks with dlib, or nothing without it."""

    def __init__(self, predictor: Path | None) -> None:
        self._found = None
        if predictor is not None:
            import dlib

            self._detect = dlib.get_frontal_face_detector()
            self._found = dlib.shape_predictor(str(predictor))

    def box(self, image: Image, inside: FaceSquare) -> FaceSquare | None:
        """Return the box of the face around this place; None where none is found."""
        if self._found is None:
            return inside
        for rect in self._detect(image, 1 if max(image.shape) < 900 else 0):
            if rect.contains(int(inside.cx), int(inside.cy)):
                points = np.array([(p.x, p.y) for p in self._found(image, rect).parts()], float)
                x, y, width, height = landmark_box(points).tolist()
                return FaceSquare(x + width / 2, y + height / 2, (width + height) / 2)
        return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('pictures', nargs='*', type=Path, metavar='PICTURE')
    parser.add_argument('--predictor', type=Path, help="dlib's 68 landmarks as the reference")
    parser.add_argument('--engines-dir', type=Path, help='folder of the model files')
    arguments = parser.parse_args()
    files = ensure_models(['face_detection', 'face_mesh'], arguments.engines_dir)
    engines = {name: LitertEngine(CONTRACTS[name], path) for name, path in files.items()}
    detector, mesh = FaceDetector(engines['face_detection']), FaceMesh(engines['face_mesh'])
    reference = Reference(arguments.predictor)
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for group, image in images(arguments.pictures):
        for detection in detector.detect(image):
            first = mesh.run(image, [roi_from_detection(detection)])[0]
            if first is None or first.presence < 0.5 or max(detection.xywh_px[2:]) < MIN_FACE_PX:
                continue
            # once more around the landmarks, as when the face is followed
            result = mesh.run(image, [roi_from_landmarks(first.landmarks_px)])[0] or first
            ours = landmarks_box(result.landmarks_px)
            true = reference.box(image, ours)
            if true is None:
                continue
            boxes = {
                'BlazeFace': detection_box(detection.xywh_px, RAW),
                'all 468 landmarks': detection_box(landmark_box(result.landmarks_px), RAW),
                'jaw to brows': ours,
            }
            for name, box in boxes.items():
                rows.setdefault((group, name), []).append(
                    (
                        box.side / true.side,
                        (box.cx - true.cx) / true.side,
                        (box.cy - true.cy) / true.side,
                    )
                )
    for engine in engines.values():
        engine.close()
    print('| faces | box | number | side | centre, to the right | centre, down |')
    print('|---|---|---:|---|---|---|')
    for (group, name), values in rows.items():
        cells = [
            f'{np.median(column):.3f} ({low:.3f} to {high:.3f})'
            for column in np.array(values).T
            for low, high in [np.percentile(column, (10, 90))]
        ]
        print(f'| {group} | {name} | {len(values)} | {" | ".join(cells)} |')


if __name__ == '__main__':
    main()
