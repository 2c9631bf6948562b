# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the overlay shows of one face."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.landmarks import LANDMARKS, LEFT_EYE_RING, RIGHT_EYE_RING
from aitable_ros.visualization.overlay.drawing import FAR_PX, Rect, Rgb, enclosing_rect

OPEN: Rgb = (94, 234, 212)
CLOSED: Rgb = (255, 99, 118)
UNMEASURED: Rgb = (203, 213, 225)

LEVEL_COLOURS: dict[str, Rgb] = {
    'alert': (110, 231, 160),
    'mild': (252, 211, 77),
    'severe': (255, 146, 84),
    'microsleep': (255, 99, 118),
    'asleep': (255, 99, 118),
}
"""Colour by fatigue level; other texts are drawn muted."""

ZONE_COLOURS: dict[str, Rgb] = {
    'front': (110, 231, 160),
    'desk': (92, 190, 255),
    'away': (255, 178, 84),
}
"""Colour by zone."""

EYE_RINGS = np.array((RIGHT_EYE_RING, LEFT_EYE_RING))


@dataclass(frozen=True, eq=False)
class FaceOverlay:
    """
    What is drawn of one face. NaN, None and empty mean 'not measured' and are left out.

    :param face_id: of :class:`~aitable_ros.perception.faces.pipeline.TrackedFace`.
    :param xywh_px: (4,) left, top, width, height of the face [pixels].
    :param landmarks_px: (468, 2 or 3) FaceMesh points [pixels], or None.
    :param expression: its name, e.g. 'happy'.
    :param confidence: how far to trust it, 0..1.
    :param valence: unpleasant -1 .. 1 pleasant.
    :param arousal: calm -1 .. 1 excited.
    :param left_ear: eye aspect ratio of the subject's left eye.
    :param right_ear: and of the right eye.
    :param eyes_closed: whether the eyes are closed; None: unknown.
    :param perclos: share of time with closed eyes, 0..1.
    :param level: fatigue level, e.g. 'alert'; a key of :data:`LEVEL_COLOURS` gets its colour.
    :param head_axes_px: (4, 2) where the head's axes begin, and where its x (out of the face), y
        (to the person's left) and z (up) axes end [pixels]; None: not measured. See
        :func:`~aitable_ros.visualization.overlay.head_axes.head_axes_px`.
    :param zone: what the person looks at, e.g. 'desk'; a key of :data:`ZONE_COLOURS`.
    :param gaze_px: (2, 2) where the gaze begins and where its arrow ends [pixels]; None: not
        measured.
    :raises ValueError: when an array has another shape or the box is not finite.
    """

    face_id: str
    xywh_px: npt.NDArray
    landmarks_px: npt.NDArray | None = None
    expression: str = ''
    confidence: float = math.nan
    valence: float = math.nan
    arousal: float = math.nan
    left_ear: float = math.nan
    right_ear: float = math.nan
    eyes_closed: bool | None = None
    perclos: float = math.nan
    level: str = ''
    head_axes_px: npt.NDArray | None = None
    zone: str = ''
    gaze_px: npt.NDArray | None = None

    def __post_init__(self) -> None:
        box = np.asarray(self.xywh_px, dtype=np.float64)
        if box.shape != (4,) or not np.isfinite(box).all():
            raise ValueError(f'xywh_px must be 4 finite numbers, got {self.xywh_px}')
        object.__setattr__(self, 'xywh_px', box)
        if self.landmarks_px is not None:
            landmarks = np.asarray(self.landmarks_px)
            if landmarks.ndim != 2 or len(landmarks) < LANDMARKS or landmarks.shape[1] < 2:
                raise ValueError(
                    f'landmarks_px must have shape (468, 2 or 3), got {landmarks.shape}'
                )
            object.__setattr__(self, 'landmarks_px', landmarks)
        if self.head_axes_px is not None:
            axes = np.asarray(self.head_axes_px, dtype=np.float64)
            if axes.shape != (4, 2):
                raise ValueError(f'head_axes_px must have shape (4, 2), got {axes.shape}')
            object.__setattr__(self, 'head_axes_px', axes)

    @property
    def box(self) -> Rect:
        """The face in whole pixels."""
        x, y, w, h = np.clip(self.xywh_px, -FAR_PX, FAR_PX)
        return enclosing_rect(x, y, x + w, y + h)

    @property
    def level_colour(self) -> Rgb:
        """Colour of the fatigue level."""
        return LEVEL_COLOURS.get(self.level.lower(), UNMEASURED)

    @property
    def zone_colour(self) -> Rgb:
        """Colour of what the person looks at."""
        return ZONE_COLOURS.get(self.zone, UNMEASURED)

    @property
    def eye_colour(self) -> Rgb:
        """Colour of the eyes: open, closed or not measured."""
        if self.eyes_closed is None:
            return UNMEASURED
        return CLOSED if self.eyes_closed else OPEN


def eye_regions(face: FaceOverlay) -> tuple[Rect, ...]:
    """
    Return what no text may cover: the eyes with a margin of a third of their width.

    Without landmarks it is the band of the box in which eyes lie.
    """
    points = face.landmarks_px
    if points is None or not np.isfinite(points[EYE_RINGS, :2]).all():
        x, y, w, h = np.clip(face.xywh_px, -FAR_PX, FAR_PX)
        return (enclosing_rect(x, y + 0.15 * h, x + w, y + 0.55 * h),)
    regions = []
    for ring in EYE_RINGS:
        eye = np.clip(points[ring, :2].astype(np.float64), -FAR_PX, FAR_PX)
        low, high = eye.min(axis=0), eye.max(axis=0)
        margin = (high - low).max() / 3.0
        regions.append(enclosing_rect(*(low - margin), *(high + margin)))
    return tuple(regions)
