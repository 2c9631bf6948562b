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
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.face_landmarks import (
    BROW_EDGES,
    FACE_OVAL_EDGES,
    LANDMARKS,
    LEFT_EYE_RING,
    LIPS_EDGES,
    NOSE_BRIDGE,
    RIGHT_EYE_RING,
    line_edges,
)

Rgb = tuple[int, int, int]

_INK: Rgb = (241, 245, 249)
_MUTED: Rgb = (158, 170, 188)
_CARD: Rgb = (15, 20, 31)
_TRACK: Rgb = (62, 72, 90)
_OPEN: Rgb = (94, 234, 212)
_CLOSED: Rgb = (255, 99, 118)
_UNMEASURED: Rgb = (203, 213, 225)
_EMOTION: Rgb = (186, 163, 255)
_CARD_OPACITY = 0.74

LEVEL_COLOURS: dict[str, Rgb] = {
    'alert': (110, 231, 160),
    'mild': (252, 211, 77),
    'severe': (255, 146, 84),
    'microsleep': (255, 99, 118),
    'asleep': (255, 99, 118),
}
"""Colour by fatigue level; other texts are drawn muted."""

_PERCLOS_FULL = 0.40
"""PERCLOS at which its bar is full: beyond the thresholds that are in use (0.1 to 0.4)."""

_EYE_RINGS = np.array((RIGHT_EYE_RING, LEFT_EYE_RING))
_LINES = np.array(BROW_EDGES + LIPS_EDGES + FACE_OVAL_EDGES + line_edges(NOSE_BRIDGE))

_SMALLEST_TEXT_PX = 8
_SUBPIXEL_BITS = 3
_SUPERSAMPLING = 4


@dataclass(frozen=True, eq=False)
class FaceOverlay:
    """
    What is drawn of one face. NaN, None and empty mean 'not measured' and are left out.

    :param face_id: 'f1', 'f2', ...
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


@dataclass(frozen=True)
class Rect:
    """
    An axis-aligned rectangle in whole pixels; right and bottom lie just outside.

    :param left: first column.
    :param top: first row.
    :param right: column after the last.
    :param bottom: row after the last.
    """

    left: int
    top: int
    right: int
    bottom: int

    def overlap(self, other: Rect) -> int:
        """Return the area in common [pixels]."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0

    def inside(self, width: int, height: int) -> bool:
        """Tell whether it lies wholly in an image of this size."""
        return self.left >= 0 and self.top >= 0 and self.right <= width and self.bottom <= height


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
    status: str = '',
) -> npt.NDArray[np.uint8]:
    """
    Draw faces onto a copy of an image.

    :param image: (H, W, 3) uint8 RGB; left as it is.
    :param faces: what to draw.
    :param mesh: draw the landmarks and the lines of brows, nose, lips and face as well.
    :param status: a line for the lower left corner, e.g. ``'29.9 fps   12 ms'``.
    :returns: a new (H, W, 3) uint8 RGB image.
    :raises ValueError: when the image has another shape or element type.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f'image must be (H, W, 3) uint8 and not empty, got {image.dtype}{list(image.shape)}'
        )
    canvas = np.array(image, order='C')
    unit = _text_height(canvas.shape[0], canvas.shape[1])
    for face in faces:
        _draw_face(canvas, face, unit, mesh=mesh)
    plan, _, line = _arrange(canvas.shape[0], canvas.shape[1], faces, status, unit)
    for face, placed in zip(faces, plan):
        if placed is not None:
            card, rect = placed
            card.draw(canvas, rect, face)
    if line is not None:
        _blend_rounded(canvas, line, _CARD, _CARD_OPACITY, round(0.5 * unit))
        _draw_text(canvas, status, line.left + unit, line.top + unit // 2, unit, _INK)
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
    plan, eyes, line = _arrange(height, width, faces, status, _text_height(height, width))
    return Layout(tuple(placed and placed[1] for placed in plan), eyes, line)


def _text_height(height: int, width: int) -> int:
    """Height of capitals: 8 px at 320x240 and below, 11 at 640x480, 23 at 1920x1080."""
    return int(np.clip(round(0.0205 * min(height, width) + 1.0), _SMALLEST_TEXT_PX, 64))


def _card_text_height(box: Rect, unit: int) -> int:
    """Height of capitals on a face's card: small faces get small cards, down to a limit."""
    smallest = max(_SMALLEST_TEXT_PX, round(0.6 * unit))
    return int(np.clip(round(0.115 * (box.bottom - box.top)), smallest, unit))


def _level_colour(face: FaceOverlay) -> Rgb:
    return LEVEL_COLOURS.get(face.level.lower(), _UNMEASURED)


def _eye_colour(face: FaceOverlay) -> Rgb:
    if face.eyes_closed is None:
        return _UNMEASURED
    return _CLOSED if face.eyes_closed else _OPEN


def _draw_face(canvas: npt.NDArray[np.uint8], face: FaceOverlay, unit: int, *, mesh: bool) -> None:
    thickness = max(1, round(unit / 11))
    _draw_corners(canvas, face, _level_colour(face), thickness)
    if face.landmarks_px is None:
        return
    points = face.landmarks_px[:LANDMARKS, :2].astype(np.float64)
    if not np.isfinite(points).all() or np.abs(points).max() > 1e5:
        return
    fixed = np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    large_enough = face.xywh_px[2] >= 6 * unit
    if mesh and large_enough:
        _draw_mesh(canvas, points, fixed, thickness)
    for ring in _EYE_RINGS:
        cv2.polylines(
            canvas,
            [fixed[ring]],
            True,
            _eye_colour(face),
            thickness if large_enough else 1,
            cv2.LINE_AA,
            _SUBPIXEL_BITS,
        )


def _draw_mesh(
    canvas: npt.NDArray[np.uint8],
    points: npt.NDArray[np.float64],
    fixed: npt.NDArray[np.int32],
    thickness: int,
) -> None:
    """Draw landmarks and lines faintly: they are context, the eyes are the message."""
    height, width = canvas.shape[:2]
    left, top = np.floor(points.min(axis=0)).astype(int) - 2 * thickness - 1
    right, bottom = np.ceil(points.max(axis=0)).astype(int) + 2 * thickness + 2
    left, top = max(int(left), 0), max(int(top), 0)
    right, bottom = min(int(right), width), min(int(bottom), height)
    if left >= right or top >= bottom:
        return
    view = canvas[top:bottom, left:right]
    ink = view.copy()
    shift = np.array((left, top), np.int32) << _SUBPIXEL_BITS
    cv2.polylines(
        ink, list((fixed - shift)[_LINES]), False, _INK, thickness, cv2.LINE_AA, _SUBPIXEL_BITS
    )
    pixels = np.round(points).astype(int) - (left, top)
    span = range(max(1, thickness))
    for dx in span:
        for dy in span:
            x, y = pixels[:, 0] + dx, pixels[:, 1] + dy
            seen = (x >= 0) & (y >= 0) & (x < right - left) & (y < bottom - top)
            ink[y[seen], x[seen]] = _INK
    cv2.addWeighted(ink, 0.45, view, 0.55, 0.0, dst=view)


def _draw_corners(
    canvas: npt.NDArray[np.uint8], face: FaceOverlay, colour: Rgb, thickness: int
) -> None:
    x, y, w, h = np.clip(face.xywh_px, -1e5, 1e5)
    arm = 0.16 * min(w, h)
    if arm < 1.0:
        return
    lines = []
    for cx, sx in ((x, 1.0), (x + w, -1.0)):
        for cy, sy in ((y, 1.0), (y + h, -1.0)):
            lines.append(((cx + sx * arm, cy), (cx, cy), (cx, cy + sy * arm)))
    fixed = np.round(np.array(lines) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    shadow = thickness + max(2, thickness)
    cv2.polylines(canvas, list(fixed), False, _CARD, shadow, cv2.LINE_AA, _SUBPIXEL_BITS)
    cv2.polylines(canvas, list(fixed), False, colour, thickness + 1, cv2.LINE_AA, _SUBPIXEL_BITS)


def eye_regions(face: FaceOverlay) -> tuple[Rect, ...]:
    """
    Return what no text may cover: the eyes with a margin of a third of their width.

    Without landmarks it is the band of the box in which eyes lie.
    """
    points = face.landmarks_px
    if points is None or not np.isfinite(points[_EYE_RINGS, :2]).all():
        x, y, w, h = np.clip(face.xywh_px, -1e5, 1e5)
        return (_rect(x, y + 0.15 * h, x + w, y + 0.55 * h),)
    regions = []
    for ring in _EYE_RINGS:
        eye = np.clip(points[ring, :2].astype(np.float64), -1e5, 1e5)
        low, high = eye.min(axis=0), eye.max(axis=0)
        margin = (high - low).max() / 3.0
        regions.append(_rect(*(low - margin), *(high + margin)))
    return tuple(regions)


def _rect(left: float, top: float, right: float, bottom: float) -> Rect:
    return Rect(math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))


class _Card:
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
            _text_width(text, unit) + gap
            for text in (self.tag, self.headline, self.figure)
            if text
        )
        rows = 1 + int(self.ears) + int(self.has_perclos) + int(bool(self.level))
        text_width = max(header - gap, round(11.5 * unit) if rows > 1 else 0)
        if self.level:
            text_width = max(text_width, _text_width(self.level, unit) + gap + unit)
        self.bar_height = max(3, round(0.36 * unit)) if self.has_perclos else 0
        self.bar_pitch = round(0.55 * unit) + self.bar_height if self.has_perclos else 0
        text_height = self.pitch * (rows - 1) + unit + self.bar_pitch
        self.dial = max(text_height, round(4.0 * unit)) if self.circumplex else 0
        self.dial = min(self.dial, round(6.0 * unit))
        self.height = max(text_height, self.dial) + 2 * self.pad
        self.width = text_width + 2 * self.pad + (self.dial + self.pad if self.dial else 0)
        self.gap = gap
        self.text_width = text_width
        self.text_height = text_height

    def draw(self, canvas: npt.NDArray[np.uint8], rect: Rect, face: FaceOverlay) -> None:
        """Draw the card at its place."""
        unit = self.unit
        _blend_rounded(canvas, rect, _CARD, _CARD_OPACITY, round(0.6 * unit))
        x = rect.left + self.pad
        y = rect.top + (rect.bottom - rect.top - self.text_height) // 2
        cursor = x
        if self.tag:
            cursor = _draw_text(canvas, self.tag, cursor, y, unit, _MUTED) + self.gap
        known = self.headline not in ('unknown', face.face_id)
        cursor = _draw_text(canvas, self.headline, cursor, y, unit, _INK if known else _MUTED)
        if self.figure:
            _draw_text(canvas, self.figure, cursor + self.gap, y, unit, _MUTED)
        if self.ears:
            y += self.pitch
            self._draw_ears(canvas, x, y, face)
        if self.has_perclos:
            y += self.pitch
            self._draw_perclos(canvas, x, y, face)
            y += self.bar_pitch
        if self.level:
            y += self.pitch
            colour = LEVEL_COLOURS.get(self.level.lower(), _MUTED)
            _disc(canvas, x + 0.45 * unit, y + 0.5 * unit, 0.32 * unit, colour)
            _draw_text(canvas, self.level, x + round(1.3 * unit), y, unit, colour)
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

    def _draw_ears(self, canvas: npt.NDArray[np.uint8], x: int, y: int, face: FaceOverlay) -> None:
        cursor = _draw_text(canvas, 'EAR', x, y, self.unit, _MUTED) + self.gap
        # The image's left side first: that is the subject's right eye.
        for value in (face.right_ear, face.left_ear):
            text = '-' if math.isnan(value) else f'{value:.2f}'
            cursor = _draw_text(canvas, text, cursor, y, self.unit, _eye_colour(face)) + self.gap

    def _draw_perclos(
        self, canvas: npt.NDArray[np.uint8], x: int, y: int, face: FaceOverlay
    ) -> None:
        unit = self.unit
        measured = not math.isnan(face.perclos)
        text = f'{100 * face.perclos:.0f}%' if measured else '-'
        end = x + self.text_width
        _draw_text(canvas, 'PERCLOS', x, y, unit, _MUTED)
        _draw_text(canvas, text, end - _text_width(text, unit), y, unit, _INK)
        top = y + unit + round(0.55 * unit)
        bar = Rect(x, top, end, top + self.bar_height)
        _blend_rounded(canvas, bar, _TRACK, 1.0, self.bar_height // 2)
        if measured:
            share = min(max(face.perclos / _PERCLOS_FULL, 0.0), 1.0)
            filled = max(round(share * (end - x)), self.bar_height)
            done = Rect(x, top, x + filled, bar.bottom)
            _blend_rounded(canvas, done, _level_colour(face), 1.0, self.bar_height // 2)


_Placed = tuple[_Card, Rect] | None


def _arrange(
    height: int, width: int, faces: Sequence[FaceOverlay], status: str, unit: int
) -> tuple[list[_Placed], tuple[Rect, ...], Rect | None]:
    eyes = tuple(region for face in faces for region in eye_regions(face))
    boxes = [
        _rect(x, y, x + w, y + h)
        for x, y, w, h in (np.clip(face.xywh_px, -1e5, 1e5) for face in faces)
    ]
    margin = max(2, round(0.5 * unit))
    taken: list[Rect] = []
    line = None
    if status:
        wide, high = _text_width(status, unit) + 2 * unit, 2 * unit
        candidate = Rect(margin, height - margin - high, margin + wide, height - margin)
        if candidate.inside(width, height) and not any(candidate.overlap(e) for e in eyes):
            line = candidate
            taken.append(candidate)
    plan: list[_Placed] = []
    for i, face in enumerate(faces):
        placed: _Placed = None
        for full in (True, False):
            card = _Card(face, _card_text_height(boxes[i], unit), full=full)
            others = boxes[:i] + boxes[i + 1 :]
            rect = _place(card, boxes[i], others, eyes, taken, width, height, margin)
            if rect is not None:
                placed = (card, rect)
                taken.append(rect)
                break
        plan.append(placed)
    return plan, eyes, line


def _place(
    card: _Card,
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


def _draw_circumplex(
    canvas: npt.NDArray[np.uint8],
    x: float,
    y: float,
    radius: float,
    valence: float,
    arousal: float,
) -> None:
    """Draw valence (to the right) and arousal (upwards) as a point in a circle."""
    thickness = max(1, round(radius / 28))
    fixed = 1 << _SUBPIXEL_BITS
    centre = (round(x * fixed), round(y * fixed))
    inner = radius - 1
    for dx, dy in ((inner, 0.0), (0.0, inner)):
        cv2.line(
            canvas,
            (round((x - dx) * fixed), round((y - dy) * fixed)),
            (round((x + dx) * fixed), round((y + dy) * fixed)),
            _TRACK,
            thickness,
            cv2.LINE_AA,
            _SUBPIXEL_BITS,
        )
    cv2.circle(
        canvas, centre, round(inner * fixed), _MUTED, thickness, cv2.LINE_AA, _SUBPIXEL_BITS
    )
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
        _SUBPIXEL_BITS,
    )
    _disc(canvas, px, py, max(2.0, 0.13 * radius), _EMOTION)


def _disc(canvas: npt.NDArray[np.uint8], x: float, y: float, radius: float, colour: Rgb) -> None:
    fixed = 1 << _SUBPIXEL_BITS
    cv2.circle(
        canvas,
        (round(x * fixed), round(y * fixed)),
        round(radius * fixed),
        colour,
        -1,
        cv2.LINE_AA,
        _SUBPIXEL_BITS,
    )


@lru_cache(maxsize=64)
def _corner_mask(radius: int) -> npt.NDArray[np.uint8]:
    """Return the coverage 0..255 of the upper left corner of a rounded rectangle."""
    size = radius * _SUPERSAMPLING
    corner = np.zeros((size, size), np.uint8)
    cv2.circle(corner, (size, size), size, 255, -1)
    small = cv2.resize(corner, (radius, radius), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


@lru_cache(maxsize=64)
def _blend_table(colour: Rgb, opacity: float) -> npt.NDArray[np.uint8]:
    """Return what each value of each channel becomes under a film of colour, (1, 256, 3)."""
    values = np.arange(256)[None, :, None] * (1.0 - opacity) + np.array(colour) * opacity
    return np.asarray(np.round(values), dtype=np.uint8)


def _blend_rounded(
    canvas: npt.NDArray[np.uint8], rect: Rect, colour: Rgb, opacity: float, radius: int
) -> None:
    view = canvas[rect.top : rect.bottom, rect.left : rect.right]
    radius = min(radius, view.shape[0] // 2, view.shape[1] // 2)
    ends = (slice(None, radius), slice(-radius, None)) if radius > 0 else ()
    corners = [(rows, columns, view[rows, columns].copy()) for rows in ends for columns in ends]
    view[:] = cv2.LUT(view, _blend_table(colour, opacity))
    for rows, columns, original in corners:
        mask = _corner_mask(radius)
        mask = mask if rows.start is None else mask[::-1]
        mask = mask if columns.start is None else mask[:, ::-1]
        _blend(original, mask, colour, opacity)
        view[rows, columns] = original


def _blend(
    view: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], colour: Rgb, opacity: float = 1.0
) -> None:
    weight = (mask.astype(np.uint16) * round(256 * opacity) // 255)[:, :, None]
    mixed = view * (256 - weight) + np.array(colour, np.uint16) * weight
    view[:] = (mixed >> 8).astype(np.uint8)


_FONT = cv2.FONT_HERSHEY_DUPLEX
_FONT_CAPITALS = 22.0
"""Height of capitals of OpenCV's Hershey duplex font at scale 1 [pixels]."""


@lru_cache(maxsize=512)
def _text_mask(text: str, unit: int) -> npt.NDArray[np.uint8]:
    """
    Render a text as coverage 0..255.

    Drawn four times as large and averaged: OpenCV's strokes are whole pixels wide.

    :param unit: height of capitals [pixels]; the mask has half of it above and below.
    """
    scale = unit * _SUPERSAMPLING / _FONT_CAPITALS
    stroke = max(1, round(0.125 * unit * _SUPERSAMPLING))
    (wide, _), _ = cv2.getTextSize(text, _FONT, scale, stroke)
    height = 2 * unit * _SUPERSAMPLING
    width = -(-wide // _SUPERSAMPLING) * _SUPERSAMPLING
    large = np.zeros((height, max(width, _SUPERSAMPLING)), np.uint8)
    baseline = round(1.5 * unit * _SUPERSAMPLING)
    cv2.putText(large, text, (0, baseline), _FONT, scale, 255, stroke, cv2.LINE_AA)
    size = (large.shape[1] // _SUPERSAMPLING, 2 * unit)
    return np.asarray(cv2.resize(large, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _printable(text: str) -> str:
    """Replace what the font does not have."""
    return ''.join(c if ' ' <= c <= '~' else '?' for c in text)


def _text_width(text: str, unit: int) -> int:
    return int(_text_mask(_printable(text), unit).shape[1])


def _draw_text(
    canvas: npt.NDArray[np.uint8], text: str, x: int, y: int, unit: int, colour: Rgb
) -> int:
    """
    Write a text whose capitals reach from y to y + unit; what leaves the image is cut.

    :returns: the column after the text.
    """
    mask = _text_mask(_printable(text), unit)
    end = x + mask.shape[1]
    top = y - unit // 2
    left_cut, top_cut = max(0, -x), max(0, -top)
    view = canvas[max(top, 0) : top + mask.shape[0], max(x, 0) : end]
    _blend(view, mask[top_cut:, left_cut:][: view.shape[0], : view.shape[1]], colour)
    return end
