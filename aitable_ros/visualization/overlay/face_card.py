# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The card beside a face: who it is, its expression, its eyes and its fatigue."""

from __future__ import annotations

import math

import cv2
import numpy as np

from aitable_ros.visualization.overlay.drawing import (
    CARD,
    CARD_OPACITY,
    INK,
    MUTED,
    SMALLEST_TEXT_PX,
    SUBPIXEL_BITS,
    TRACK,
    Canvas,
    Rect,
    Rgb,
    blend_rounded,
    disc,
    draw_text,
    text_width,
)
from aitable_ros.visualization.overlay.face_overlay import LEVEL_COLOURS, FaceOverlay

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
        self.circumplex = full and not (math.isnan(face.valence) or math.isnan(face.arousal))
        gap = round(0.7 * unit)
        header = sum(
            text_width(text, unit) + gap for text in (self.tag, self.headline, self.figure) if text
        )
        rows = 1 + int(self.ears) + int(self.has_perclos) + int(bool(self.level))
        wide = max(header - gap, round(11.5 * unit) if rows > 1 else 0)
        if self.level:
            wide = max(wide, text_width(self.level, unit) + gap + unit)
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

    def draw(self, canvas: Canvas, rect: Rect, face: FaceOverlay) -> None:
        """Draw the card at its place."""
        unit = self.unit
        blend_rounded(canvas, rect, CARD, CARD_OPACITY, round(0.6 * unit))
        x = rect.left + self.pad
        y = rect.top + (rect.bottom - rect.top - self.text_height) // 2
        cursor = x
        if self.tag:
            cursor = draw_text(canvas, self.tag, cursor, y, unit, MUTED) + self.gap
        known = self.headline not in ('unknown', face.face_id)
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
            disc(canvas, x + 0.45 * unit, y + 0.5 * unit, 0.32 * unit, colour)
            draw_text(canvas, self.level, x + round(1.3 * unit), y, unit, colour)
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
    fixed = 1 << SUBPIXEL_BITS
    centre = (round(x * fixed), round(y * fixed))
    inner = radius - 1
    for dx, dy in ((inner, 0.0), (0.0, inner)):
        cv2.line(
            canvas,
            (round((x - dx) * fixed), round((y - dy) * fixed)),
            (round((x + dx) * fixed), round((y + dy) * fixed)),
            TRACK,
            thickness,
            cv2.LINE_AA,
            SUBPIXEL_BITS,
        )
    cv2.circle(canvas, centre, round(inner * fixed), MUTED, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    v, a = np.clip((valence, arousal), -1.0, 1.0)
    length = math.hypot(v, a)
    if length > 1.0:
        v, a = v / length, a / length
    reach = radius * 0.84
    px, py = x + v * reach, y - a * reach
    cv2.line(
        canvas,
        centre,
        (round(px * fixed), round(py * fixed)),
        _EMOTION,
        thickness,
        cv2.LINE_AA,
        SUBPIXEL_BITS,
    )
    disc(canvas, px, py, max(2.0, 0.13 * radius), _EMOTION)
