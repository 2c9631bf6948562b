# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How much of people a picture shows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.visualization.overlay.drawing import CARD, FAR_PX, Canvas, Rect, enclosing_rect
from aitable_ros.visualization.overlay.face_overlay import FaceOverlay
from aitable_ros.visualization.overlay.posture_overlay import HEAD_POINTS, PostureOverlay
from aitable_ros.visualization.overlay.privacy_modes import MESH, NONE, SHOWS_IMAGE

MEMORY_S = 30.0
"""How long the place of a face stays blurred after it was last found [s]: heads turn away."""

LARGEST_PX = 8192
"""Side of the largest plain ground that is made."""

_MARGIN = 0.35
_CELLS = 5
"""So many blocks are left across a blurred face: about the distance of the eyes each."""


class LastPlaces:
    """Where faces are, and where those that are no longer found were last."""

    def __init__(self) -> None:
        self._places: list[tuple[float, Rect]] = []

    def update(
        self, stamp_s: float, faces: Sequence[FaceOverlay], body: PostureOverlay | None = None
    ) -> list[Rect]:
        """
        Note the faces of an image.

        :param stamp_s: its time [s]; going back forgets what was.
        :param faces: all that were found in it.
        :param body: whose head is a face's place, too: it is found from behind and aside.
        :returns: what to blur [pixels].
        """
        found = [_with_margin(face.box) for face in faces]
        if body is not None and (head := _head(body)) is not None:
            found.append(head)
        kept = [(t, rect) for t, rect in self._places if 0.0 <= stamp_s - t <= MEMORY_S]
        # one that has been found again need not be kept from every image before
        kept = [(t, rect) for t, rect in kept if not any(_is_in(rect, new) for new in found)]
        self._places = [*kept, *((stamp_s, rect) for rect in found)]
        return [rect for _, rect in self._places]


def ground(
    image: npt.NDArray[np.uint8] | None,
    size_px: tuple[int, int],
    privacy: str,
    places: Sequence[Rect] = (),
) -> npt.NDArray[np.uint8]:
    """
    Give what readings are drawn onto.

    :param image: (H, W, 3) uint8 RGB, left as it is; may be None where it is not shown.
    :param size_px: its width and height.
    :param privacy: see :mod:`~aitable_ros.visualization.overlay.privacy_modes`.
    :param places: of the faces, to be blurred.
    :returns: (H, W, 3) uint8 RGB; the image itself for none.
    :raises ValueError: for no_image, where the image is needed and not there, or for a size that
        no image has.
    """
    if privacy == MESH:
        if not 0 < min(size_px) <= max(size_px) <= LARGEST_PX:
            raise ValueError(f'an image of {size_px[0]}x{size_px[1]} pixels is not drawn')
        return np.full((size_px[1], size_px[0], 3), CARD, np.uint8)
    if privacy not in SHOWS_IMAGE or image is None:
        raise ValueError(f'there is no picture for privacy {privacy}')
    if privacy == NONE:
        return image
    canvas = image.copy()
    for rect in places:
        _blur(canvas, rect)
    return canvas


def _blur(canvas: Canvas, rect: Rect) -> None:
    """Average the place down to a few blocks, from which no face can be made again."""
    view = canvas[max(rect.top, 0) : max(rect.bottom, 0), max(rect.left, 0) : max(rect.right, 0)]
    height, width = view.shape[:2]
    if not view.size:
        return
    block = max(rect.right - rect.left, rect.bottom - rect.top) / _CELLS
    cells = (max(1, round(width / block)), max(1, round(height / block)))
    few = cv2.resize(view, cells, interpolation=cv2.INTER_AREA)
    view[:] = cv2.resize(few, (width, height), interpolation=cv2.INTER_LINEAR)


def _with_margin(box: Rect) -> Rect:
    dx, dy = _MARGIN * (box.right - box.left), _MARGIN * (box.bottom - box.top)
    return enclosing_rect(box.left - dx, box.top - dy, box.right + dx, box.bottom + dy)


def _head(body: PostureOverlay) -> Rect | None:
    """Give the place of a body's head: twice as large as its eyes, ears and nose reach."""
    if body.xy_px is None:
        return None
    points = np.asarray(body.xy_px, np.float64)[HEAD_POINTS]
    points = points[(np.abs(points) < FAR_PX).all(axis=1)]  # also where they are not NaN
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    reach = max(*(high - low), 1.0)
    x, y = (low + high) / 2
    return enclosing_rect(x - reach, y - reach, x + reach, y + reach)


def _is_in(rect: Rect, other: Rect) -> bool:
    area = (rect.right - rect.left) * (rect.bottom - rect.top)
    return rect.overlap(other) >= 0.5 * area
