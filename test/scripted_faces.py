# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A world of people that stands for both networks of the face pipeline."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from aitable_ros.perception.faces.landmarks import keypoints_from_landmarks
from aitable_ros.perception.faces.mesh import FaceMeshResult
from aitable_ros.perception.images.ssd import Detection

IMAGE = np.zeros((480, 640, 3), dtype=np.uint8)
FRAME_S = 1.0 / 30.0

SHAPE = np.random.default_rng(5).uniform(-0.5, 0.5, (468, 3)).astype(np.float32)
SHAPE[33, :2], SHAPE[263, :2] = (-0.3, -0.2), (0.3, -0.2)
SHAPE[0, :2], SHAPE[1, :2] = (-0.5, -0.5), (0.5, 0.5)
"""A face of unit size around the origin."""


@dataclass
class Person:
    x: float
    y: float
    size: float = 100.0
    presence: float = 0.95
    score: float = 0.8

    def landmarks_px(self):
        landmarks = SHAPE * np.float32(self.size)
        landmarks[:, :2] += (self.x, self.y)
        return landmarks

    def detected_keypoints_px(self):
        """As the landmarks have them, one pixel to the right: tells where keypoints are from."""
        return keypoints_from_landmarks(self.landmarks_px()) + np.array((1, 0), np.float32)


@dataclass
class World:
    """Stands for both networks: knows who is where, counts how often it was asked."""

    people: list[Person] = field(default_factory=list)
    ghosts: list[Person] = field(default_factory=list)
    """What the landmark network takes for a face, and the detector does not."""
    detectable: bool = True
    drift_px: float = 0.0
    """The landmark network sees every face that far to the right of where it looks."""
    detections: int = 0
    mesh_runs: list[int] = field(default_factory=list)

    def detect(self, image):
        self.detections += 1
        faces = sorted(self.people, key=lambda person: -person.score)
        return [
            Detection(
                np.array((p.x - p.size / 2, p.y - p.size / 2, p.size, p.size), np.float32),
                p.score,
                p.detected_keypoints_px(),
            )
            for p in faces
            if self.detectable
        ]

    def run(self, image, rois):
        """Find the nearest person within half the region, as FaceMesh roughly does."""
        self.mesh_runs.append(len(rois))
        results = []
        for roi in rois:
            near = [
                (math.dist((person.x, person.y), (roi.cx, roi.cy)), person)
                for person in self.people + self.ghosts
            ]
            distance, person = min(near, key=lambda pair: pair[0], default=(math.inf, None))
            if distance >= 0.5 * roi.size:
                results.append(FaceMeshResult(SHAPE * np.float32(roi.size), 0.01, roi))
                continue
            landmarks = person.landmarks_px()
            if self.drift_px:
                landmarks[:, 0] += np.float32(roi.cx + self.drift_px - person.x)
            results.append(FaceMeshResult(landmarks, person.presence, roi))
        return results


def ids(faces):
    return [face.face_id for face in faces]
