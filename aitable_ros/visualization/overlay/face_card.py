# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The card beside a face: who it is, its expression, its eyes and its fatigue.

Everything scales with the image. Cards lie inside the image, beside each other, and never on
anybody's eyes: where there is no room for a card a smaller one is tried, and at last none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from aitable_ros.visualization.overlay.drawing import (
    CARD,
    CARD_OPACITY,
    INK,
    MUTED,
    SMALLEST_TEXT_PX,
    TRACK,
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
from aitable_ros.visualization.overlay.face_overlay import LEVEL_COLOURS, FaceOverlay, eye_regions

_EMOTION: Rgb = (186, 163, 255)

_PERCLOS_FULL = 0.40
"""PERCLOS at which its bar is full: beyond the thresholds that are in use (0.1 to 0.4)."""


def card_text_height(box: Rect, unit: int) -> int:
    """
    Return the height of capitals on a face's card: small faces get small cards, to a limit.

    :param box: of the face.
    :param unit: height of capitals in this image [pixels].
    """
    smallest = max(SMALLEST_TEXT_PX, round(0.6 * unit))
    return int(np.clip(round(0.115 * (box.bottom - box.top)), smallest, unit))


class Card:
    """
    The text of one face: a header, and the rows that there is something to say in.

    :param face: the face.
    :param unit: height of capitals [pixels].
    :param full: all rows; otherwise the header alone.
    """

    def __init__(self, face: FaceOverlay, unit: int, *, full: bool) -> None:
        self.face = face
        self.unit = unit
        self.pad = round(0.8 * unit)
        self.pitch = round(1.75 * unit)
        self.headline = face.expression or face.face_id
        confidence = '' if math.isnan(face.confidence) else f'{100 * face.confidence:.0f}%'
        self.figure = confidence if face.expression else ''
        self.tag = face.face_id if face.expression else ''
        self.ears = full and not (math.isnan(face.left_ear) and math.isnan(face.right_ear))
        self.has_perclos = full and (bool(face.level) or not math.isnan(face.perclos))
        self.level = face.level if full else ''
        self.zone = f'looks: {face.zone}' if full and face.zone else ''
        self.circumplex = full and not (math.isnan(face.valence) or math.isnan(face.arousal))
        gap = round(0.7 * unit)
        header = sum(
            text_width(text, unit) + gap for text in (self.tag, self.headline, self.figure) if text
        )
        rows = 1 + int(self.ears) + int(self.has_perclos) + bool(self.level) + bool(self.zone)
        wide = max(header - gap, round(11.5 * unit) if rows > 1 else 0)
        if self.level:
            wide = max(wide, text_width(self.level, unit) + gap + unit)
        wide = max(wide, text_width(self.zone, unit)) if self.zone else wide
        self.bar_height = max(3, round(0.36 * unit)) if self.has_perclos else 0
        self.bar_pitch = round(0.55 * unit) + self.bar_height if self.has_perclos else 0
        text_height = self.pitch * (rows - 1) + unit + self.bar_pitch
        self.dial = max(text_height, round(4.0 * unit)) if self.circumplex else 0
        self.dial = min(self.dial, round(6.0 * unit))
        self.height = max(text_height, self.dial) + 2 * self.pad
        self.width = wide + 2 * self.pad + (self.dial + self.pad if self.dial else 0)
        self.gap = gap
        self.text_width = wide
        self.text_height = text_height

    def draw(self, canvas: Canvas, rect: Rect) -> None:
        """Draw the card at its place."""
        face, unit = self.face, self.unit
        blend_rounded(canvas, rect, CARD, CARD_OPACITY, round(0.6 * unit))
        x = rect.left + self.pad
        y = rect.top + (rect.bottom - rect.top - self.text_height) // 2
        cursor = x
        if self.tag:
            cursor = draw_text(canvas, self.tag, cursor, y, unit, MUTED) + self.gap
        known = self.headline not in ('uncertain', 'unknown', face.face_id)
        cursor = draw_text(canvas, self.headline, cursor, y, unit, INK if known else MUTED)
        if self.figure:
            draw_text(canvas, self.figure, cursor + self.gap, y, unit, MUTED)
        if self.ears:
            y += self.pitch
            self._draw_ears(canvas, x, y, face)
        if self.has_perclos:
            y += self.pitch
            self._draw_perclos(canvas, x, y, face)
            y += self.bar_pitch
        if self.level:
            y += self.pitch
            colour = LEVEL_COLOURS.get(self.level.lower(), MUTED)
            circle(canvas, x + 0.45 * unit, y + 0.5 * unit, 0.32 * unit, colour)
            draw_text(canvas, self.level, x + round(1.3 * unit), y, unit, colour)
        if self.zone:
            y += self.pitch
            draw_text(canvas, self.zone, x, y, unit, face.zone_colour)
        if self.dial:
            radius = 0.5 * self.dial
            _draw_circumplex(
                canvas,
                rect.right - self.pad - radius,
                0.5 * (rect.top + rect.bottom),
                radius,
                face.valence,
                face.arousal,
            )

    def _draw_ears(self, canvas: Canvas, x: int, y: int, face: FaceOverlay) -> None:
        cursor = draw_text(canvas, 'EAR', x, y, self.unit, MUTED) + self.gap
        # The image's left side first: that is the subject's right eye.
        for value in (face.right_ear, face.left_ear):
            text = '-' if math.isnan(value) else f'{value:.2f}'
            cursor = draw_text(canvas, text, cursor, y, self.unit, face.eye_colour) + self.gap

    def _draw_perclos(self, canvas: Canvas, x: int, y: int, face: FaceOverlay) -> None:
        unit = self.unit
        measured = not math.isnan(face.perclos)
        text = f'{100 * face.perclos:.0f}%' if measured else '-'
        end = x + self.text_width
        draw_text(canvas, 'PERCLOS', x, y, unit, MUTED)
        draw_text(canvas, text, end - text_width(text, unit), y, unit, INK)
        top = y + unit + round(0.55 * unit)
        bar = Rect(x, top, end, top + self.bar_height)
        blend_rounded(canvas, bar, TRACK, 1.0, self.bar_height // 2)
        if measured:
            share = min(max(face.perclos / _PERCLOS_FULL, 0.0), 1.0)
            filled = max(round(share * (end - x)), self.bar_height)
            done = Rect(x, top, x + filled, bar.bottom)
            blend_rounded(canvas, done, face.level_colour, 1.0, self.bar_height // 2)


def _draw_circumplex(
    canvas: Canvas,
    x: float,
    y: float,
    radius: float,
    valence: float,
    arousal: float,
) -> None:
    """Draw valence (to the right) and arousal (upwards) as a point in a circle."""
    thickness = max(1, round(radius / 28))
    inner = radius - 1
    across, up = ((x - inner, y), (x + inner, y)), ((x, y - inner), (x, y + inner))
    polylines(canvas, list(fixed_point((across, up))), TRACK, thickness)
    circle(canvas, x, y, inner, MUTED, thickness)
    v, a = np.clip((valence, arousal), -1.0, 1.0)
    length = max(math.hypot(v, a), 1.0)
    reach = radius * 0.84 / length
    px, py = x + v * reach, y - a * reach
    polylines(canvas, [fixed_point(((x, y), (px, py)))], _EMOTION, thickness)
    circle(canvas, px, py, max(2.0, 0.13 * radius), _EMOTION)


def place_cards(
    height: int, width: int, faces: Sequence[FaceOverlay]
) -> list[tuple[Card, Rect] | None]:
    """
    Find a place for the card of each face.

    :param height: of the image [pixels].
    :param width: of the image [pixels].
    :param faces: in their order.
    :returns: one per face; None where there is no room.
    """
    unit = text_height(height, width)
    eyes = [region for face in faces for region in eye_regions(face)]
    boxes = [face.box for face in faces]
    placed: list[tuple[Card, Rect] | None] = []
    for i, face in enumerate(faces):
        taken = [one[1] for one in placed if one is not None]
        others = boxes[:i] + boxes[i + 1 :]
        for full in (True, False):
            card = Card(face, card_text_height(boxes[i], unit), full=full)
            rect = _place(card, boxes[i], others, (*eyes, *taken), width, height)
            if rect is not None:
                break
        placed.append(None if rect is None else (card, rect))
    return placed


def _place(
    card: Card,
    box: Rect,
    others: Sequence[Rect],
    taken: Sequence[Rect],
    width: int,
    height: int,
) -> Rect | None:
    """
    Find the card's place: beside the face if possible, on no other face, never on eyes.

    The first candidate that costs nothing is taken, else the one that covers least of the face.
    """
    w, h = card.width, card.height
    margin = max(2, round(0.5 * text_height(height, width)))
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
        if any(rect.overlap(other) for other in (*taken, *others)):
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
