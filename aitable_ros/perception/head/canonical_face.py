# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Where an average face has those of its landmarks that no facial muscle moves.

Source: MediaPipe's canonical face model, of which the points are a selection
(``mediapipe/modules/face_geometry/data/geometry_pipeline_metadata_landmarks.pbtxt``, Copyright
2020 The MediaPipe Authors, Apache-2.0). Changed here: the origin moved to the sellion, the axes
renamed, centimetres to metres, rounded to 10 micrometres; the left half is the mirror image of
the right one, which it is in the original too.

Frame: the face frame of REP-155, x out of the face, y to the person's left, z up, origin at the
sellion (landmark 168). The canonical model has x to the person's left, y up and z out of the
face instead. Its eyes' centres (the middles of their corners) are 63 mm apart, about an average
adult's: of a face that is smaller or larger the distance measured with it is wrong by the same
ratio, the angles are not.

Selected are the eye corners, the ridge and tip of the nose, the cheekbones and the temples. Not
selected are lids, lips and jaw, which move; the brows, which move too; and the forehead, on which
FaceMesh and the canonical model agree worst, as hair hides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SELLION = 168
"""The landmark at the origin: the deepest point of the nose's root."""

_MIDDLE: Mapping[int, tuple[float, float, float]] = MappingProxyType(
    {
        SELLION: (0.0, 0.0, 0.0),
        6: (0.00553, 0.0, -0.00798),
        197: (0.01081, 0.0, -0.01543),
        195: (0.01539, 0.0, -0.02212),
        5: (0.02007, 0.0, -0.02905),
        4: (0.02351, 0.0, -0.03734),
        1: (0.02240, 0.0, -0.04398),
    }
)
"""Ridge of the nose, from its root to its tip."""

_PAIRS: Mapping[tuple[int, int], tuple[float, float, float]] = MappingProxyType(
    {
        # eye corners, outer and inner
        (33, 263): (-0.02063, -0.04446, -0.00607),
        (133, 362): (-0.01478, -0.01856, -0.00686),
        # cheekbones
        (118, 347): (-0.01713, -0.04432, -0.02549),
        (117, 346): (-0.02262, -0.05259, -0.02325),
        (116, 345): (-0.03546, -0.06465, -0.02334),
        (123, 352): (-0.03355, -0.06338, -0.03800),
        (50, 280): (-0.01701, -0.04766, -0.03973),
        # temples, down to the ears
        (21, 251): (-0.05136, -0.07088, 0.02164),
        (162, 389): (-0.06228, -0.07556, 0.00836),
        (127, 356): (-0.07241, -0.07743, -0.00906),
        (234, 454): (-0.07672, -0.07664, -0.02598),
    }
)
"""(right, left) landmark -> coordinates of the right one; the left one has the opposite y."""

RIGID_POINTS_M: Mapping[int, tuple[float, float, float]] = MappingProxyType(
    {
        **_MIDDLE,
        **{right: point for (right, _), point in _PAIRS.items()},
        **{left: (x, -y, z) for (_, left), (x, y, z) in _PAIRS.items()},
    }
)
"""FaceMesh landmark -> (out of the face, to the person's left, up) from the sellion [m]."""

EYE_SPAN_M = 0.08892
"""Distance between the outer eye corners (33 and 263) of :data:`RIGID_POINTS_M` [m]."""
