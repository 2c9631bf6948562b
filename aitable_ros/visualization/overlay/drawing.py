# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the overlay is drawn with: rectangles, rounded films, discs and text. Needs OpenCV only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Rgb = tuple[int, int, int]
Canvas = npt.NDArray[np.uint8]
"""(H, W, 3) RGB; drawn on in place."""

INK: Rgb = (241, 245, 249)
MUTED: Rgb = (158, 170, 188)
CARD: Rgb = (15, 20, 31)
TRACK: Rgb = (62, 72, 90)
CARD_OPACITY = 0.74

SUBPIXEL_BITS = 3
"""OpenCV's ``shift``: coordinates are given in eighths of a pixel."""

FAR_PX = 1e5
"""Coordinates farther away than this are not drawn: OpenCV's are 32 bits wide."""

SMALLEST_TEXT_PX = 8
LARGEST_TEXT_PX = 64
_SUPERSAMPLING = 4


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


def canvas_of(image: npt.NDArray[np.uint8]) -> Canvas:
    """
    Copy an image for drawing on it.

    :param image: (H, W, 3) uint8 RGB; left as it is.
    :raises ValueError: when the image has another shape or element type.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f'image must be (H, W, 3) uint8 and not empty, got {image.dtype}{list(image.shape)}'
        )
    return np.array(image, order='C')


def enclosing_rect(left: float, top: float, right: float, bottom: float) -> Rect:
    """Return the smallest rectangle of whole pixels around one of fractions of pixels."""
    return Rect(math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))


def fixed_point(points: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Give coordinates [pixels] as OpenCV wants them with :data:`SUBPIXEL_BITS`."""
    return np.round(np.asarray(points, np.float64) * (1 << SUBPIXEL_BITS)).astype(np.int32)


def polylines(
    canvas: Canvas,
    lines: list[npt.NDArray[np.int32]],
    colour: Rgb,
    thickness: int,
    *,
    closed: bool = False,
) -> None:
    """Draw smooth lines through :func:`fixed_point` coordinates."""
    cv2.polylines(canvas, lines, closed, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def circle(
    canvas: Canvas, x: float, y: float, radius: float, colour: Rgb, thickness: int = -1
) -> None:
    """Draw a circle, by default a filled one."""
    px, py, r = fixed_point((x, y, radius)).tolist()
    cv2.circle(canvas, (px, py), r, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


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


def blend_rounded(canvas: Canvas, rect: Rect, colour: Rgb, opacity: float, radius: int) -> None:
    """
    Lay a film with rounded corners over a rectangle.

    :param rect: inside the canvas.
    :param opacity: 0..1.
    :param radius: of the corners [pixels].
    """
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


def text_width(text: str, unit: int) -> int:
    """Return how wide a text is whose capitals are ``unit`` pixels high [pixels]."""
    return int(_text_mask(_printable(text), unit).shape[1])


def text_height(height: int, width: int) -> int:
    """
    Give the height of capitals that suits an image [pixels]: 8 at 320x240, 11 at 640x480.

    :param height: of the image [pixels].
    :param width: of the image [pixels].
    """
    wanted = round(0.0205 * min(height, width) + 1.0)
    return int(np.clip(wanted, SMALLEST_TEXT_PX, LARGEST_TEXT_PX))


def draw_text(canvas: Canvas, text: str, x: int, y: int, unit: int, colour: Rgb) -> int:
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
