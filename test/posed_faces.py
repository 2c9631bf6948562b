# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Expressions are made from a neutral mesh by moving its points as the muscles would.

perception/emotion/data/neutral_face.csv is the symmetric median of the attention mesh's output on
pictures of neutral faces, turned to the front: to the person's left, up, out of the face, in
thousandths of the eye span.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from aitable_ros.perception.emotion.action_units import ActionUnits, action_units
from aitable_ros.perception.emotion.face_measures import frontalise, measure_face
from aitable_ros.perception.faces.landmarks import keypoints_from_landmarks
from aitable_ros.perception.faces.pipeline import TrackedFace

NEUTRAL_SHAPE = (
    np.loadtxt(
        Path(__file__).parent / 'perception' / 'emotion' / 'data' / 'neutral_face.csv',
        delimiter=',',
    )
    / 1000.0
)
MOUTH_LINE = NEUTRAL_SHAPE[[13, 14], 1].mean()


def to_image(
    shape, *, eye_span_px=90.0, centre_px=(320.0, 200.0), roll=0.0, yaw=0.0, pitch=0.0
) -> np.ndarray:
    """Place a frontal shape in an image, as FaceMesh would report it. Angles in radians."""
    cr, sr, cy, sy, cp, sp = (f(a) for a in (roll, yaw, pitch) for f in (math.cos, math.sin))
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    turned = shape @ (about_z @ about_y @ about_x).T * eye_span_px
    return (turned * (1, -1, -1) + (*centre_px, 0.0)).astype(np.float32)


def seen_face(face_id='f1', presence=0.99, landmarks=NEUTRAL_SHAPE, tracked_s=0.0) -> TrackedFace:
    """Give what face detection says of a frontal face; of a shape of None without landmarks."""
    points = to_image(NEUTRAL_SHAPE if landmarks is None else landmarks)
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return TrackedFace(
        face_id,
        np.concatenate((low, high - low)),
        0.9,
        presence,
        keypoints_from_landmarks(points),
        None if landmarks is None else points,
        tracked_s,
    )


def shift(anchors, by, radius) -> np.ndarray:
    """How far each point moves with the neighbourhood of the anchors; mirrored on the right."""
    moved = np.zeros_like(NEUTRAL_SHAPE)
    for anchor in anchors:
        origin = NEUTRAL_SHAPE[anchor]
        side = np.sign(origin[0]) or 1.0
        weight = np.exp(-(np.linalg.norm(NEUTRAL_SHAPE - origin, axis=1) ** 2) / (2 * radius**2))
        moved += weight[:, None] * np.asarray(by) * (side, 1.0, 1.0)
    return moved


def push(shape, anchors, by, radius) -> np.ndarray:
    """Move the neighbourhood of each anchor."""
    return shape + shift(anchors, by, radius)


def drop_jaw(shape, by) -> np.ndarray:
    """Lower everything below the line between the lips, most in the middle."""
    moved = shape.copy()
    below = NEUTRAL_SHAPE[:, 1] < MOUTH_LINE
    moved[below, 1] -= by * np.exp(-((NEUTRAL_SHAPE[below, 0] / 0.3) ** 2))
    return moved


def lift_brows(shape, inner, outer, together=0.0) -> np.ndarray:
    shape = push(shape, (107, 336), (-together, inner, 0), 0.12)
    return push(shape, (70, 300), (0, outer, 0), 0.12)


def smile(a=1.0, anchors=(61, 291)):
    shape = push(NEUTRAL_SHAPE, anchors, (0.08 * a, 0.07 * a, -0.07 * a), 0.08)
    return push(shape, (118, 347), (0, 0.045 * a, 0), 0.1)


def surprise(a=1.0):
    return drop_jaw(lift_brows(NEUTRAL_SHAPE, 0.15 * a, 0.15 * a), 0.4 * a)


def sadness(a=1.0):
    shape = lift_brows(NEUTRAL_SHAPE, 0.03 * a, -0.05 * a, together=0.06 * a)
    return push(shape, (61, 291), (0, -0.07 * a, 0), 0.06)


def fear(a=1.0):
    shape = lift_brows(NEUTRAL_SHAPE, 0.10 * a, 0.06 * a, together=0.07 * a)
    shape = push(shape, (61, 291), (0.12 * a, 0, 0), 0.06)
    shape = push(shape, (159, 386), (0, 0.05 * a, 0), 0.05)
    return drop_jaw(shape, 0.1 * a)


def disgust(a=1.0):
    shape = push(NEUTRAL_SHAPE, (129, 358), (0, 0.10 * a, 0), 0.06)
    return push(shape, (0,), (0, 0.07 * a, 0), 0.05)


def anger(a=1.0):
    shape = lift_brows(NEUTRAL_SHAPE, -0.10 * a, -0.02 * a, together=0.03 * a)
    return push(shape, (145, 374), (0, 0.03 * a, 0), 0.04)


def contempt(a=1.0):
    return push(NEUTRAL_SHAPE, (291,), (0.09 * a, 0.09 * a, 0), 0.05)


def units(shape, **placement) -> ActionUnits:
    face = frontalise(to_image(shape, **placement))
    return action_units(measure_face(face), pitch_rad=face.pitch_rad)
