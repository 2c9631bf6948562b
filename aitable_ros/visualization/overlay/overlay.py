# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Draws what was found onto the image: faces, eyes, and a small card per face.

Everything scales with the image. Cards lie inside the image, beside each other, and never on
anybody's eyes: where there is no room for a card a smaller one is tried, and at last none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aitable_ros.visualization.overlay.drawing import (
    CARD,
    CARD_OPACITY,
    INK,
    Rect,
    blend_rounded,
    draw_text,
    text_height,
    text_width,
)
from aitable_ros.visualization.overlay.face_card import Card, card_text_height
from aitable_ros.visualization.overlay.face_marks import draw_face
from aitable_ros.visualization.overlay.face_overlay import LEVEL_COLOURS, FaceOverlay, eye_regions

__all__ = [
    'LEVEL_COLOURS',
    'FaceOverlay',
    'Layout',
    'Rect',
    'draw_overlay',
    'eye_regions',
    'plan_layout',
]


@dataclass(frozen=True)
class Layout:
    """
    Where :func:`draw_overlay` puts its text.

    :param cards: one per face, in their order; None where there was no room.
    :param eyes: what is kept free: the eyes of every face, two rectangles or one each.
    :param status: the status line, or None.
    """

    cards: tuple[Rect | None, ...]
    eyes: tuple[Rect, ...]
    status: Rect | None


def draw_overlay(
    image: npt.NDArray[np.uint8],
    faces: Sequence[FaceOverlay],
    *,
    mesh: bool = True,
    axes: bool = True,
    status: str = '',
) -> npt.NDArray[np.uint8]:
    """
    Draw faces onto a copy of an image.

    :param image: (H, W, 3) uint8 RGB; left as it is.
    :param faces: what to draw.
    :param mesh: draw the landmarks and the lines of brows, nose, lips and face as well.
    :param axes: draw the axes of the heads as well.
    :param status: a line for the lower left corner, e.g. ``'29.9 fps   12 ms'``.
    :returns: a new (H, W, 3) uint8 RGB image.
    :raises ValueError: when the image has another shape or element type.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f'image must be (H, W, 3) uint8 and not empty, got {image.dtype}{list(image.shape)}'
        )
    canvas = np.array(image, order='C')
    unit = text_height(canvas.shape[0], canvas.shape[1])
    for face in faces:
        draw_face(canvas, face, unit, mesh=mesh, axes=axes)
    plan, _, line = _arrange(canvas.shape[0], canvas.shape[1], faces, status, unit)
    for face, placed in zip(faces, plan):
        if placed is not None:
            card, rect = placed
            card.draw(canvas, rect, face)
    if line is not None:
        blend_rounded(canvas, line, CARD, CARD_OPACITY, round(0.5 * unit))
        draw_text(canvas, status, line.left + unit, line.top + unit // 2, unit, INK)
    return canvas


def plan_layout(
    height: int, width: int, faces: Sequence[FaceOverlay], *, status: str = ''
) -> Layout:
    """
    Tell where :func:`draw_overlay` puts cards and status line, without drawing.

    :param height: of the image [pixels].
    :param width: of the image [pixels].
    :param faces: as for :func:`draw_overlay`.
    :param status: as for :func:`draw_overlay`.
    """
    plan, eyes, line = _arrange(height, width, faces, status, text_height(height, width))
    return Layout(tuple(placed and placed[1] for placed in plan), eyes, line)


_Placed = tuple[Card, Rect] | None


def _arrange(
    height: int, width: int, faces: Sequence[FaceOverlay], status: str, unit: int
) -> tuple[list[_Placed], tuple[Rect, ...], Rect | None]:
    eyes = tuple(region for face in faces for region in eye_regions(face))
    boxes = [face.box for face in faces]
    margin = max(2, round(0.5 * unit))
    taken: list[Rect] = []
    line = None
    if status:
        wide, high = text_width(status, unit) + 2 * unit, 2 * unit
        candidate = Rect(margin, height - margin - high, margin + wide, height - margin)
        if candidate.inside(width, height) and not any(candidate.overlap(e) for e in eyes):
            line = candidate
            taken.append(candidate)
    plan: list[_Placed] = []
    for i, face in enumerate(faces):
        placed: _Placed = None
        for full in (True, False):
            card = Card(face, card_text_height(boxes[i], unit), full=full)
            others = boxes[:i] + boxes[i + 1 :]
            rect = _place(card, boxes[i], others, eyes, taken, width, height, margin)
            if rect is not None:
                placed = (card, rect)
                taken.append(rect)
                break
        plan.append(placed)
    return plan, eyes, line


def _place(
    card: Card,
    box: Rect,
    others: Sequence[Rect],
    eyes: Sequence[Rect],
    taken: Sequence[Rect],
    width: int,
    height: int,
    margin: int,
) -> Rect | None:
    """
    Find the card's place: beside the face if possible, on no other face, never on eyes.

    The first candidate that costs nothing is taken, else the one that covers least of the face.
    """
    w, h = card.width, card.height
    right, bottom = width - margin - w, height - margin - h
    if right < margin or bottom < margin:
        return None
    tops = (box.top, box.bottom - h, (box.top + box.bottom - h) // 2)
    lefts = (box.left, box.right - w, (box.left + box.right - w) // 2)
    candidates = [(box.right + margin, top) for top in tops]
    candidates += [(box.left - margin - w, top) for top in tops]
    candidates += [(left, box.top - margin - h) for left in lefts]
    candidates += [(left, box.bottom + margin) for left in lefts]
    candidates += [
        (margin + (right - margin) * column // 4, margin + (bottom - margin) * row // 4)
        for row in (4, 3, 2, 1, 0)
        for column in range(5)
    ]
    best: Rect | None = None
    best_cost = math.inf
    reach = 1.5 * max(box.right - box.left, box.bottom - box.top) + max(w, h)
    for left, top in candidates:
        x, y = min(max(left, margin), right), min(max(top, margin), bottom)
        rect = Rect(x, y, x + w, y + h)
        if any(rect.overlap(other) for other in (*eyes, *taken, *others)):
            continue
        centre = (x + 0.5 * w - 0.5 * (box.left + box.right), y + 0.5 * h)
        distance = math.hypot(centre[0], centre[1] - 0.5 * (box.top + box.bottom))
        if others and distance > reach:
            continue  # nobody could tell whose card it is
        cost = rect.overlap(box) / (w * h) + 0.02 * distance / reach
        if rect.overlap(box) == 0:
            return rect
        if cost < best_cost:
            best, best_cost = rect, cost
    return best
