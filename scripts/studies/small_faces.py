#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Print how far what is read of a small face is from what is read of the same face in full.

    source scripts/ros_env.sh
    python3 scripts/studies/small_faces.py PEOPLE

PEOPLE is as far_faces.py has it. Each face of 110 pixels and more is drawn into the middle of a
picture, tilted by -10, 0 and 10 degrees, 200 pixels wide and shrunk; what was read of the shrunk
one is compared with what was read of it at 200 pixels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from far_faces import HEIGHT, WIDTH, Head, backgrounds, heads, load

from aitable_ros.perception.emotion.observer import (
    EmotionObserver,
    EmotionReading,
    EmotionSettings,
)
from aitable_ros.perception.faces.face_views import View
from aitable_ros.perception.faces.observer import FaceObserver
from aitable_ros.perception.fatigue.eye_openness import eye_aspect_ratios, mouth_aspect_ratio
from aitable_ros.perception.fatigue.observer import FatigueObserver

SIZES_PX = (24, 30, 40, 50, 60, 70, 80, 100, 120, 150)
FULL_PX = 200.0
TILTS_DEG = (-10.0, 0.0, 10.0)
LEAST_PX = 110.0
MIDDLE = (WIDTH / 2, HEIGHT / 2)


@dataclass(frozen=True, eq=False)
class Read:
    """What was read of one face, with no limit of its size."""

    box: tuple[float, float, float, float]
    angles_deg: tuple[float, float, float]
    eyes_px: float
    ears: tuple[float, float]
    mar: float
    views: tuple[View, View, View]
    emotion: EmotionReading

    @classmethod
    def of(
        cls, head: Head, width_px: float, tilt_deg: float, onto: np.ndarray, faces: FaceObserver
    ) -> Read | None:
        """Draw a face and read it; None: it was not found."""
        image = head.paste(onto, width_px, tilt_deg, *MIDDLE)
        seen = faces.observe_still(image)
        if len(seen.faces) != 1 or seen.faces[0].landmarks_px is None:
            return None
        (face,), points = seen.faces, seen.faces[0].landmarks_px
        pose = FatigueObserver().observe_still(seen)[0].pose
        if pose is None:
            return None
        ears = eye_aspect_ratios(points)
        with_all = EmotionObserver((), EmotionSettings(min_face_px=0.0))
        angles = np.degrees((pose.yaw_rad, pose.pitch_rad, pose.roll_rad)).tolist()
        left, upper, width, height = face.xywh_px.tolist()
        return cls(
            (left, upper, width, height),
            (angles[0], angles[1], angles[2]),
            float(np.linalg.norm(face.keypoints_px[0] - face.keypoints_px[1])),
            (ears.left, ears.right),
            mouth_aspect_ratio(points),
            (face.views.right_eye, face.views.left_eye, face.views.mouth),
            with_all.observe_still(seen, image)[0],
        )


def row(pairs: Sequence[tuple[Read, Read]], width_px: float, tried: int) -> list[str]:
    """Compare small faces with full ones."""

    def errors(values: Sequence[float]) -> str:
        return '{:.2g} / {:.2g}'.format(*np.percentile(np.abs(values), (50, 90)))

    angles = np.array([np.subtract(a.angles_deg, b.angles_deg) for a, b in pairs])
    ears = np.concatenate([np.subtract(a.ears, b.ears) for a, b in pairs])
    mars = [a.mar - b.mar for a, b in pairs]
    box = [abs(a.box[2] / width_px - b.box[2] / FULL_PX) for a, b in pairs]
    eyes = np.median([a.eyes_px for a, _ in pairs])
    seen = np.mean([view is View.SEEN for a, _ in pairs for view in a.views[:2]])
    closed = [(x < 0.2) == (y < 0.2) for a, b in pairs for x, y in zip(a.ears, b.ears)]
    same = np.mean([a.emotion.estimate.label == b.emotion.estimate.label for a, b in pairs])
    valence = [a.emotion.estimate.valence - b.emotion.estimate.valence for a, b in pairs]
    return [
        f'{width_px:.0f} ({eyes:.0f})',
        f'{len(pairs) / tried:.2f}',
        errors(box),
        *(errors(angles[:, i].tolist()) for i in range(3)),
        errors(ears.tolist()),
        f'{np.mean(closed):.2f}',
        f'{seen:.2f}',
        errors(mars),
        f'{same:.2f}',
        errors(valence),
    ]


def main() -> int:
    """Run the study; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('people', type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    faces = load('auto', min_face_px=10.0)
    people = [head for head in heads(options.people, faces) if head.width_px >= LEAST_PX]
    onto = backgrounds(options.people)[1]
    full = {
        (i, tilt): Read.of(head, FULL_PX, tilt, onto, faces)
        for i, head in enumerate(people)
        for tilt in TILTS_DEG
    }
    print(f'{len(people)} faces, {len(full)} drawn; errors: median / 90th percentile')
    titles = ['face px (eyes)', 'found', 'width', 'yaw deg', 'pitch deg', 'roll deg', 'EAR']
    titles += ['EAR same side of 0.2', 'eyes SEEN', 'MAR', 'expression same', 'valence']
    print('| ' + ' | '.join(titles) + ' |')
    print('|---' * len(titles) + '|')
    for width_px in SIZES_PX:
        pairs = []
        for (i, tilt), whole in full.items():
            small = Read.of(people[i], width_px, tilt, onto, faces)
            if small is not None and whole is not None:
                pairs.append((small, whole))
        print('| ' + ' | '.join(row(pairs, width_px, len(full))) + ' |', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
