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

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt

LANDMARKS = 468
"""Number of landmarks of FaceMesh."""

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

REFINED_LANDMARKS = 478
"""FaceMesh's 468 and the irises'; which output of the network ``face_attention`` has which of them
is in MediaPipe's ``tensors_to_face_landmarks_with_attention.pbtxt`` (0.10.21, Apache-2.0)."""

RIGHT_IRIS = (468, 469, 470, 471, 472)
LEFT_IRIS = (473, 474, 475, 476, 477)
"""Centre, then the edge to the right in the picture, at the top, to the left, at the bottom."""

REFINED_LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408),
    *(62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407),
)
"""Four outlines of 20: outer edge, inner edge, and two between, each the lower lip first."""

REFINED_RIGHT_EYE = (
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    *(130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190),
    *(226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189, 35, 124, 46),
    *(53, 52, 65, 143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193),
)
REFINED_LEFT_EYE = (
    *(263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
    *(359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414),
    *(446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413, 265, 353),
    *(276, 283, 282, 295, 372, 340, 346, 347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296),
    *(336, 285, 417),
)
"""The lid edge's 16, two rings of 16, the brow's lower edge or a part ring of 6, the last ring."""


def are_refined(landmarks_px: npt.NDArray) -> bool:
    """Tell whether irises come after the first 468, and lids and lips were measured close up."""
    return len(landmarks_px) == REFINED_LANDMARKS


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

    :param landmarks_px: (468 or 478, 2 or 3) float32, x and y first.
    :returns: (6, 2) float32: middle of the right eye, of the left eye, nose tip, middle of the
        mouth, right and left ear tragion (nearest landmark).
    """
    pairs = landmarks_px.take(_KEYPOINT_PAIRS, axis=0)[..., :2]
    return (pairs[:, 0] + pairs[:, 1]) / np.float32(2)


_REPLACING = ('lips', 'right_eye', 'left_eye', 'right_iris', 'left_iris')
_REPLACED = np.array(
    (*REFINED_LIPS, *REFINED_RIGHT_EYE, *REFINED_LEFT_EYE, *RIGHT_IRIS, *LEFT_IRIS), np.intp
)
_REPLACED_XY = (3 * _REPLACED[:, None] + np.arange(2)).ravel()
"""Where their x and y are among all coordinates of a face."""

_IRISES_AND_LIDS = tuple(
    (slice(3 * iris[0] + 2, 3 * iris[-1] + 3, 3), 3 * np.array(lids) + 2)
    for iris, lids in ((RIGHT_IRIS, RIGHT_EYE_RING), (LEFT_IRIS, LEFT_EYE_RING))
)
"""Where the depths of an iris are, and those of its eye's lid edge."""


def refined_landmarks(outputs: Mapping[str, npt.NDArray]) -> npt.NDArray[np.float32]:
    """
    Put the network's outputs together, as MediaPipe does.

    Lips and eyes replace x, y of the mesh's landmarks, whose z stays; an iris gets the mean z of
    its eye's lid edge.

    :param outputs: of the network ``face_attention``, for N faces.
    :returns: (N, 478, 3) float32 in pixels of the input, z as of FaceMesh.
    """
    mesh = outputs['mesh']
    faces = np.empty((len(mesh), REFINED_LANDMARKS * 3), np.float32)
    # face by face: placing numbers in a row takes a third of what indexing in three axes does
    for i, face in enumerate(faces):
        face[: LANDMARKS * 3] = mesh[i].ravel()
        face.put(_REPLACED_XY, np.concatenate([outputs[name][i].ravel() for name in _REPLACING]))
        for iris, lids in _IRISES_AND_LIDS:
            face[iris] = np.add.reduce(face.take(lids)) / np.float32(len(lids))
    return faces.reshape(-1, REFINED_LANDMARKS, 3)
