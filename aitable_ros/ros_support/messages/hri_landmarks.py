# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The 70 facial landmarks of ROS4HRI (REP-155) out of FaceMesh's.

``hri_msgs/FacialLandmarks`` numbers them as OpenPose does: the 68 points of iBUG's annotation
(Sagonas et al. 2013, '300 Faces in-the-Wild Challenge', which dlib's predictor made popular), then
the two pupils. iBUG's points are places (a corner, a middle) or lie evenly between such places
along a contour (jaw from the temple at the height of the eyes, lips, nose): of those FaceMesh's
contour is divided evenly, as it appears on a neutral face seen from the front, and the nearest
landmark is taken. ``test/ros_support/messages/test_hri_landmarks.py`` computes that again. The
lids are the six points of the eye aspect ratio, the brows FaceMesh's upper edge.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.landmarks import (
    LEFT_BROW_UPPER,
    LEFT_EYE_EAR,
    LEFT_EYE_INNER_CORNER,
    LEFT_EYE_OUTER_CORNER,
    LEFT_IRIS,
    RIGHT_BROW_UPPER,
    RIGHT_EYE_EAR,
    RIGHT_EYE_INNER_CORNER,
    RIGHT_EYE_OUTER_CORNER,
    RIGHT_IRIS,
    are_refined,
)

COUNT = 70
RIGHT_PUPIL = 68
LEFT_PUPIL = 69

# By the names of FacialLandmarks' constants; the person's own right and left.
_JAW = (
    *(127, 234, 93, 58, 172, 136, 149, 148),  # RIGHT_EAR, RIGHT_PROFILE_1..7
    152,  # MENTON
    *(377, 378, 365, 397, 288, 323, 454, 356),  # LEFT_PROFILE_7..1, LEFT_EAR
)
_NOSE = (168, 197, 195, 4)  # SELLION, NOSE_1, NOSE_2, NOSE
_NOSTRILS = (98, 97, 2, 326, 327)  # NOSTRIL_1..5
_OUTER_LIPS = (
    *(61, 40, 37, 0, 267, 270, 291),  # MOUTH_OUTER_RIGHT, _TOP_1..5, _LEFT
    *(321, 314, 17, 84, 91),  # MOUTH_OUTER_BOTTOM_5..1
)
_INNER_LIPS = (
    *(78, 81, 13, 311, 308),  # MOUTH_INNER_RIGHT, _TOP_1..3, _LEFT
    *(402, 14, 178),  # MOUTH_INNER_BOTTOM_3..1
)

FACEMESH_OF_IBUG: tuple[int, ...] = (
    *_JAW,
    *RIGHT_BROW_UPPER,  # RIGHT_EYEBROW_OUTSIDE, _1..3, _INSIDE
    *LEFT_BROW_UPPER[::-1],  # LEFT_EYEBROW_INSIDE, _3..1, _OUTSIDE
    *_NOSE,
    *_NOSTRILS,
    *RIGHT_EYE_EAR,  # RIGHT_EYE_OUTSIDE, _TOP_1, _TOP_2, _INSIDE, _BOTTOM_2, _BOTTOM_1
    *LEFT_EYE_EAR,  # LEFT_EYE_INSIDE, _TOP_2, _TOP_1, _OUTSIDE, _BOTTOM_1, _BOTTOM_2
    *_OUTER_LIPS,
    *_INNER_LIPS,
)
"""FaceMesh landmark of each of the first 68; of the pupils see :func:`hri_landmarks`."""


def hri_landmarks(
    landmarks_px: npt.NDArray, size_px: tuple[int, int], confidence: float
) -> npt.NDArray[np.float32]:
    """
    Give the 70 points of REP-155 with their confidence.

    Pupils are the middles of the irises. FaceMesh alone does not measure them: then theirs are the
    middles between the corners of the eyes, with confidence 0.

    :param landmarks_px: (468 or 478, 2 or 3) [pixels], the centre of the first pixel at 0, 0.
    :param size_px: width and height of the image.
    :param confidence: of the landmarks, 0..1.
    :returns: (70, 3) float32 x, y, c: x and y are shares of width and height, 0..1. What lies
        outside of the image is moved to its edge and has confidence 0, as has what is not finite.
    """
    points = np.asarray(landmarks_px, np.float64)[:, :2]
    result = np.zeros((COUNT, 3))
    result[: len(FACEMESH_OF_IBUG), :2] = points[list(FACEMESH_OF_IBUG)]
    measured = are_refined(points)
    for pupil, iris, corners in (
        (RIGHT_PUPIL, RIGHT_IRIS, [RIGHT_EYE_OUTER_CORNER, RIGHT_EYE_INNER_CORNER]),
        (LEFT_PUPIL, LEFT_IRIS, [LEFT_EYE_OUTER_CORNER, LEFT_EYE_INNER_CORNER]),
    ):
        result[pupil, :2] = points[iris[0]] if measured else points[corners].mean(axis=0)
    # of the image's area the first pixel's centre is half a pixel in
    shares = (result[:, :2] + 0.5) / np.array(size_px)
    inside = (np.isfinite(shares) & (shares >= 0.0) & (shares <= 1.0)).all(axis=1)
    result[:, :2] = np.clip(np.nan_to_num(shares), 0.0, 1.0)
    result[: None if measured else RIGHT_PUPIL, 2] = confidence
    result[~inside, 2] = 0.0
    return result.astype(np.float32)
