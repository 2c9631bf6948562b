# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Which of FaceMesh's 468 landmarks is what.

Left and right are the subject's own. Rings and lines are in drawing order and come from
MediaPipe's ``face_mesh_connections.py`` (0.10.21, Apache-2.0), whose topology is the canonical
face model; the order of the eye points for the EAR is that of Soukupova & Cech 2016 ("Real-Time
Eye Blink Detection using Facial Landmarks"): outer or inner corner, two points of the upper
lid, the other corner, two points of the lower lid.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

LANDMARKS = 468
"""Number of landmarks of FaceMesh without iris refinement."""

RIGHT_EYE_OUTER_CORNER = 33
RIGHT_EYE_INNER_CORNER = 133
LEFT_EYE_INNER_CORNER = 362
LEFT_EYE_OUTER_CORNER = 263

NOSE_TIP = 1
"""The tip as MediaPipe's FaceMesh documentation counts it."""

SELLION = 168
"""The deepest point of the nose's root, between the eyes."""


RIGHT_EYE_EAR = (33, 160, 158, 133, 153, 144)
"""p1 ... p6 of the right eye's EAR: outer corner, upper lid, inner corner, lower lid."""

LEFT_EYE_EAR = (362, 385, 387, 263, 373, 380)
"""p1 ... p6 of the left eye's EAR: inner corner, upper lid, outer corner, lower lid."""

RIGHT_EYE_RING = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
"""Lid edge of the right eye: outer corner, along the lower lid, inner corner, upper lid."""

LEFT_EYE_RING = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
"""Lid edge of the left eye, each the mirror of the same place in :data:`RIGHT_EYE_RING`."""


RIGHT_BROW_UPPER = (70, 63, 105, 66, 107)
"""Upper edge of the right brow, from the temple inwards."""

RIGHT_BROW_LOWER = (46, 53, 52, 65, 55)
LEFT_BROW_UPPER = (300, 293, 334, 296, 336)
LEFT_BROW_LOWER = (276, 283, 282, 295, 285)

LIPS_OUTER_RING = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375),
    *(291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
)
"""Outer edge of the lips: right corner, along the lower lip, left corner, upper lip."""

LIPS_INNER_RING = (
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324),
    *(308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
"""Inner edge of the lips: right corner, along the lower lip, left corner, upper lip."""

UPPER_LIP_INNER_MIDDLE = 13
LOWER_LIP_INNER_MIDDLE = 14

NOSE_BRIDGE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2)
"""From between the eyes down over the tip to the base of the nose."""

NOSE_WINGS_RING = (98, 97, 2, 326, 327, 294, 278, 344, 440, 275, 4, 45, 220, 115, 48, 64)
"""Around the nostrils, from the right wing along the base to the left, back over the tip."""

FACE_OVAL_RING = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288),
    *(397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136),
    *(172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Silhouette, from the middle of the forehead over the left cheek to the chin and back."""

RIGHT_TRAGION = 234
LEFT_TRAGION = 454
"""The landmarks of the silhouette nearest to the tragi, which FaceMesh does not have itself."""


def check_landmarks(landmarks_px: npt.NDArray) -> None:
    """
    Refuse what are no landmarks.

    :param landmarks_px: expected: (468 or more, 2 or 3); irises come after the first 468.
    :raises ValueError: for another shape.
    """
    shape = landmarks_px.shape
    if len(shape) != 2 or shape[0] < LANDMARKS or shape[1] not in (2, 3):
        raise ValueError(
            f'expected landmarks of shape ({LANDMARKS}, 2) or ({LANDMARKS}, 3), got {shape}'
        )


def line_edges(points: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Return the edges of an open line through these landmarks."""
    return tuple(pairwise(points))


def ring_edges(points: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Return the edges of the closed ring through these landmarks."""
    return line_edges((*points, points[0]))


BROW_EDGES = (
    line_edges(RIGHT_BROW_UPPER)
    + line_edges(RIGHT_BROW_LOWER)
    + line_edges(LEFT_BROW_UPPER)
    + line_edges(LEFT_BROW_LOWER)
)
LIPS_EDGES = ring_edges(LIPS_OUTER_RING) + ring_edges(LIPS_INNER_RING)
FACE_OVAL_EDGES = ring_edges(FACE_OVAL_RING)
"""Pairs of landmarks to join by lines for a drawing of the face."""

_KEYPOINT_PAIRS = np.array(
    (
        (RIGHT_EYE_OUTER_CORNER, RIGHT_EYE_INNER_CORNER),
        (LEFT_EYE_OUTER_CORNER, LEFT_EYE_INNER_CORNER),
        (NOSE_TIP, NOSE_TIP),
        (UPPER_LIP_INNER_MIDDLE, LOWER_LIP_INNER_MIDDLE),
        (RIGHT_TRAGION, RIGHT_TRAGION),
        (LEFT_TRAGION, LEFT_TRAGION),
    )
)


def keypoints_from_landmarks(landmarks_px: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """
    Return the detector's six keypoints as the landmarks show them.

    :param landmarks_px: (468, 2 or 3) float32, x and y first.
    :returns: (6, 2) float32: middle of the right eye, of the left eye, nose tip, middle of the
        mouth, right and left ear tragion (nearest landmark).
    """
    return landmarks_px[_KEYPOINT_PAIRS, :2].mean(axis=1)
