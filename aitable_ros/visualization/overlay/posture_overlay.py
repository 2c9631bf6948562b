# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Draws a sitting person: the bones that are seen, and a badge that says how they sit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.posture.body_keypoints import KEYPOINT_COUNT, BodyKeypoint
from aitable_ros.visualization.overlay.drawing import (
    CARD,
    CARD_OPACITY,
    FAR_PX,
    INK,
    MUTED,
    Canvas,
    Rect,
    Rgb,
    blend_rounded,
    circle,
    draw_text,
    fixed_point,
    polylines,
    text_height,
    text_width,
)

K = BodyKeypoint

HEAD_BONES: tuple[tuple[int, int], ...] = (
    (K.LEFT_EAR, K.LEFT_EYE),
    (K.LEFT_EYE, K.NOSE),
    (K.NOSE, K.RIGHT_EYE),
    (K.RIGHT_EYE, K.RIGHT_EAR),
)
"""Keypoints of the head that a line joins."""

TRUNK_BONES: tuple[tuple[int, int], ...] = (
    (K.LEFT_SHOULDER, K.RIGHT_SHOULDER),
    (K.LEFT_SHOULDER, K.LEFT_ELBOW),
    (K.LEFT_ELBOW, K.LEFT_WRIST),
    (K.RIGHT_SHOULDER, K.RIGHT_ELBOW),
    (K.RIGHT_ELBOW, K.RIGHT_WRIST),
    (K.LEFT_SHOULDER, K.LEFT_HIP),
    (K.RIGHT_SHOULDER, K.RIGHT_HIP),
    (K.LEFT_HIP, K.RIGHT_HIP),
)
"""Keypoints of trunk and arms that a line joins; legs are under the table."""

BONES = (*HEAD_BONES, *TRUNK_BONES)

HEAD_POINTS = sorted({int(point) for bone in HEAD_BONES for point in bone})
"""Indices of the keypoints of the head."""

POSTURE_COLOURS: dict[str, Rgb] = {
    'upright': (110, 231, 160),
    'leaning forward': (252, 211, 77),
    'slouching': (255, 146, 84),
    'tilted': (252, 211, 77),
    'too close': (255, 99, 118),
}
"""Colour by posture; others are drawn muted."""

_MIN_VISIBILITY = 0.5


@dataclass(frozen=True, eq=False)
class PostureOverlay:
    """
    What is drawn of a person. NaN and empty mean 'not measured' and are left out.

    :param xy_px: (33, 2) keypoints [pixels], or None: nobody is there.
    :param visibility: (33,) 0..1; points below 0.5 are not drawn.
    :param posture: its name; a key of :data:`POSTURE_COLOURS` gets its colour.
    :param camera_distance_m: of the eyes to the camera [m].
    :param eye_desk_m: of the eyes above the desk [m].
    :param note: a further line, e.g. how the calibration goes.
    :raises ValueError: when an array has another shape.
    """

    xy_px: npt.NDArray | None = None
    visibility: npt.NDArray | None = None
    posture: str = ''
    camera_distance_m: float = math.nan
    eye_desk_m: float = math.nan
    note: str = ''

    def __post_init__(self) -> None:
        if self.xy_px is None:
            return
        if self.xy_px.shape != (KEYPOINT_COUNT, 2):
            raise ValueError(f'xy_px must have shape (33, 2), got {self.xy_px.shape}')
        if self.visibility is None or self.visibility.shape != (KEYPOINT_COUNT,):
            raise ValueError(f'visibility must have shape (33,), got {self.visibility}')

    @property
    def colour(self) -> Rgb:
        """Colour of bones and badge."""
        return POSTURE_COLOURS.get(self.posture, MUTED)

    @property
    def lines(self) -> tuple[str, ...]:
        """The badge's text."""
        distances = [
            f'{words} {distance_m * 100:.0f} cm'
            for words, distance_m in (
                ('camera', self.camera_distance_m),
                ('desk', self.eye_desk_m),
            )
            if math.isfinite(distance_m)
        ]
        return tuple(filter(None, (self.posture, '   '.join(distances), self.note)))


def draw_posture(
    canvas: Canvas, posture: PostureOverlay, *, avoid: Sequence[Rect] = (), head: bool = True
) -> None:
    """
    Draw a person's posture.

    :param canvas: drawn on.
    :param posture: what to draw.
    :param avoid: where the badge must not be: eyes, cards.
    :param head: draw the lines between eyes, nose and ears; where the face itself is drawn they
        would cross its eyes.
    """
    height, width = canvas.shape[:2]
    unit = text_height(height, width)
    _draw_bones(canvas, posture, unit, BONES if head else TRUNK_BONES)
    rect = badge_rect(height, width, posture, avoid=avoid)
    if rect is not None:
        blend_rounded(canvas, rect, CARD, CARD_OPACITY, round(0.5 * unit))
        for i, line in enumerate(posture.lines):
            colour = posture.colour if i == 0 and posture.posture else INK
            top = rect.top + unit + 2 * unit * i
            draw_text(canvas, line, rect.left + unit, top - unit // 4, unit, colour)


def badge_rect(
    height: int, width: int, posture: PostureOverlay, *, avoid: Sequence[Rect] = ()
) -> Rect | None:
    """
    Tell where the badge is: in the first corner that is free, from the upper left one clockwise.

    :param height: of the image [pixels].
    :param width: of the image [pixels].
    :param posture: as for :func:`draw_posture`.
    :param avoid: as for :func:`draw_posture`.
    :returns: None when it has no text or there is no room.
    """
    if not posture.lines:
        return None
    unit = text_height(height, width)
    margin = max(2, round(0.5 * unit))
    wide = max(text_width(line, unit) for line in posture.lines) + 2 * unit
    high = 2 * unit * len(posture.lines) + unit
    right, bottom = width - margin - wide, height - margin - high
    for left, top in ((margin, margin), (right, margin), (right, bottom), (margin, bottom)):
        rect = Rect(left, top, left + wide, top + high)
        if rect.inside(width, height) and not any(rect.overlap(other) for other in avoid):
            return rect
    return None


def _draw_bones(
    canvas: Canvas, posture: PostureOverlay, unit: int, bones: Sequence[tuple[int, int]]
) -> None:
    if posture.xy_px is None or posture.visibility is None:
        return
    points = np.asarray(posture.xy_px, np.float64)
    # comparisons with NaN are false
    seen = (np.abs(points) < FAR_PX).all(axis=1) & (posture.visibility >= _MIN_VISIBILITY)
    lines = [fixed_point(points[list(bone)]) for bone in bones if seen[list(bone)].all()]
    thickness = max(1, round(0.2 * unit))
    polylines(canvas, lines, (0, 0, 0), thickness + 2)
    polylines(canvas, lines, posture.colour, thickness)
    for row in sorted({row for bone in bones for row in bone}):
        if seen[row]:
            x, y = points[row]
            circle(canvas, x, y, 0.35 * unit + 1, (0, 0, 0))
            circle(canvas, x, y, 0.35 * unit, posture.colour)
