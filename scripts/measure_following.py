# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure what the thresholds of FacePipeline rest on, with variants of scikit-image's astronaut.

1. How far beside the face FaceMesh may look and still measure it, and whether its presence tells.
2. How far the detector's and the landmarks' keypoints differ on the same face.
3. How well landmarks are followed in a lively sequence at several speeds and frame rates.

The reference for a picture is FaceMesh repeated on its own region until it settles (4 times).

    python scripts/measure_following.py
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from compare_mediapipe import eye_distance_px, variants

from aitable_ros.inference.engine import Engine
from aitable_ros.inference.selection import load_engine
from aitable_ros.model_zoo.catalog import load_catalog
from aitable_ros.paths import engines_dir
from aitable_ros.perception.face_detector import FaceDetection, FaceDetector
from aitable_ros.perception.face_landmarks import keypoints_from_landmarks
from aitable_ros.perception.face_mesh import (
    ROI_SCALE,
    FaceMesh,
    FaceMeshResult,
    roi_from_detection,
    roi_from_landmarks,
)
from aitable_ros.perception.face_pipeline import FacePipeline, PipelineSettings
from aitable_ros.perception.roi import RotatedRoi

SECONDS = 8.0


class CountingDetector(FaceDetector):
    """Counts its runs."""

    runs = 0

    def detect(self, image: npt.NDArray[np.uint8]) -> list[FaceDetection]:
        """Detect, and count."""
        self.runs += 1
        return super().detect(image)


def settled(mesh: FaceMesh, image: npt.NDArray[np.uint8], roi: RotatedRoi) -> FaceMeshResult:
    """Return the landmarks after four looks, each at the region that the one before gave."""
    for _ in range(3):
        (result,) = mesh.run(image, [roi])
        assert result is not None
        roi = roi_from_landmarks(result.landmarks_px)
    (result,) = mesh.run(image, [roi])
    assert result is not None
    return result


def error_percent(landmarks: npt.NDArray, reference: npt.NDArray) -> float:
    """Return the median distance in % of the distance between the eyes."""
    distances = np.linalg.norm(landmarks[:, :2] - reference[:, :2], axis=1)
    return float(np.median(distances)) / eye_distance_px(reference) * 100.0


def print_capture_range(
    mesh: FaceMesh, faces: list[tuple[npt.NDArray[np.uint8], FaceMeshResult]]
) -> None:
    """Print landmark errors against how far beside the face the region lies."""
    print('1. region beside the face by ... face sizes: error in % of the eye distance')
    print(f'{"beside":>8}{"median":>9}{"p95":>9}{"presence, least":>17}')
    for offset in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5):
        errors, presences = [], []
        for image, reference in faces:
            roi = roi_from_landmarks(reference.landmarks_px)
            for angle in np.arange(8) * math.pi / 4:
                step = offset * roi.size / ROI_SCALE
                moved = RotatedRoi(
                    roi.cx + step * math.cos(angle),
                    roi.cy + step * math.sin(angle),
                    roi.size,
                    roi.angle_rad,
                )
                (result,) = mesh.run(image, [moved])
                assert result is not None
                errors.append(error_percent(result.landmarks_px, reference.landmarks_px))
                presences.append(result.presence)
        print(
            f'{offset:>8.2f}{np.median(errors):>9.1f}{np.percentile(errors, 95):>9.1f}'
            f'{min(presences):>17.2f}'
        )


def print_agreement(
    detections: list[FaceDetection], faces: list[tuple[npt.NDArray[np.uint8], FaceMeshResult]]
) -> None:
    """Print how far the two networks' eyes, nose and mouth differ on average."""
    slips = []
    for detection, (_, reference) in zip(detections, faces):
        keypoints = keypoints_from_landmarks(reference.landmarks_px)
        mean = (keypoints[:4] - detection.keypoints_px[:4]).mean(axis=0)
        slips.append(float(np.linalg.norm(mean) / detection.xywh_px[2:].max()))
    print('\n2. detector against landmarks: mean offset of eyes, nose and mouth in face sizes')
    print(
        f'median {np.median(slips):.3f}, p95 {np.percentile(slips, 95):.3f}, max {max(slips):.3f}'
    )


def print_following(detection_engine: Engine, mesh: FaceMesh) -> None:
    """Print errors of followed landmarks in a moving sequence."""
    import cv2
    from skimage import data

    astronaut = np.ascontiguousarray(data.astronaut())
    print('\n3. following: error in % of the eye distance; speed in face sizes per second')
    print(
        f'{"speed":>7}{"Hz":>5}{"median":>9}{"p95":>9}{"max":>9}{"missed":>8}{"ids":>5}'
        f'{"detector runs":>15}'
    )
    for tempo in (0.3, 1.0, 2.0):
        for rate_hz in (30.0, 10.0, 5.0):
            detector = CountingDetector(detection_engine)
            pipeline = FacePipeline(detector, mesh, settings=PipelineSettings(max_faces=1))
            errors, ids, speeds, last = [], set(), [], None
            frames = int(SECONDS * rate_hz)
            for i in range(frames):
                t = tempo * i / rate_hz
                scale = 1.3 + 0.35 * math.sin(1.3 * t)
                place = (320 + 130 * math.sin(2.1 * t), 230 + 50 * math.sin(3.7 * t))
                matrix = cv2.getRotationMatrix2D((225.0, 120.0), 25 * math.sin(1.7 * t), scale)
                matrix[:, 2] += np.subtract(place, (225.0, 120.0))
                image = np.empty((480, 640, 3), dtype=np.uint8)
                cv2.warpAffine(
                    astronaut, matrix, (640, 480), dst=image, borderMode=cv2.BORDER_REPLICATE
                )
                if last is not None:
                    speeds.append(math.dist(place, last) * rate_hz / (100.0 * scale))
                last = place
                faces = pipeline.process(image, i / rate_hz)
                if not faces or faces[0].landmarks_px is None:
                    continue
                ids.add(faces[0].face_id)
                around = RotatedRoi(*place, 165.0 * scale, math.radians(-25 * math.sin(1.7 * t)))
                reference = settled(mesh, image, around)
                errors.append(error_percent(faces[0].landmarks_px, reference.landmarks_px))
            print(
                f'{max(speeds):>7.1f}{rate_hz:>5.0f}{np.median(errors):>9.1f}'
                f'{np.percentile(errors, 95):>9.1f}{max(errors):>9.1f}'
                f'{frames - len(errors):>8}{len(ids):>5}{detector.runs:>8} of {frames:<4}'
            )


def main() -> None:
    """Measure and print."""
    catalog = load_catalog()
    detection_engine, mesh_engine = (
        load_engine(catalog[name], engines_dir=engines_dir()).engine
        for name in ('face_detection', 'face_mesh')
    )
    with detection_engine, mesh_engine:
        detector, mesh = FaceDetector(detection_engine), FaceMesh(mesh_engine)
        detections, faces = [], []
        for _, image in variants():
            for detection in detector.detect(image):
                detections.append(detection)
                faces.append((image, settled(mesh, image, roi_from_detection(detection))))
        print_capture_range(mesh, faces)
        print_agreement(detections, faces)
        print_following(detection_engine, mesh)


if __name__ == '__main__':
    main()
