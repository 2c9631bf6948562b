# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures of how one face's expression went: circumplex and timelines.

The circumplex (Russell 1980, 'A circumplex model of affect') has valence to the right and arousal
upwards. OpenCV alone draws it, at twice the size, averaged down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.analysis.expression import EXPRESSIONS, UNKNOWN, UNKNOWN_NAME, expression_name

Rgb = tuple[int, int, int]

EXPRESSION_COLOURS: tuple[Rgb, ...] = (
    (196, 202, 212),
    (246, 190, 62),
    (74, 118, 208),
    (66, 190, 186),
    (148, 104, 200),
    (112, 168, 74),
    (216, 72, 72),
    (160, 112, 84),
)
"""Colours by the order of :data:`~aitable_ros.analysis.expression.EXPRESSIONS`."""

VALENCE_COLOUR: Rgb = (0, 128, 96)
AROUSAL_COLOUR: Rgb = (204, 84, 20)

_PAPER: Rgb = (255, 255, 255)
_PANEL: Rgb = (248, 249, 251)
_INK: Rgb = (30, 36, 48)
_MUTED: Rgb = (108, 116, 130)
_FAINT: Rgb = (176, 182, 192)
_GRID: Rgb = (222, 226, 232)

_SCALE = 2
_SUBPIXEL_BITS = 4
_FONT = cv2.FONT_HERSHEY_DUPLEX
_FONT_CAPITALS = 22.0

WIDTH_PX = 1200
HEIGHT_PX = 1240
_LEFT, _RIGHT = 92, 1172

_PATH_POINTS = 300
"""Longer tracks are averaged over this many stretches for the path: it stays readable."""

_GAP_INTERVALS = 5.0
"""A pause of more than this many usual intervals leaves a gap in the lines."""


@dataclass(frozen=True, eq=False)
class EmotionTrack:
    """
    What was estimated of one face, or of the faces of a row of pictures.

    :param title: e.g. ``'ride.mp4   face f1'``.
    :param positions: (N,) where the samples stand, not falling: header time [s], or the numbers
        of pictures.
    :param expressions: (N,) indices into :data:`~aitable_ros.analysis.expression.EXPRESSIONS`, or
        :data:`~aitable_ros.analysis.expression.UNKNOWN`.
    :param probabilities: (N, 8); NaN: not measured.
    :param valence: (N,) -1..1; NaN: not measured.
    :param arousal: (N,) -1..1; NaN: not measured.
    :param is_time: positions are seconds and neighbours belong together; otherwise each sample
        stands for itself.
    :raises ValueError: when the shapes do not fit, there is no sample, or positions are not finite
        or fall.
    """

    title: str
    positions: npt.NDArray[np.float64]
    expressions: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    valence: npt.NDArray[np.float64]
    arousal: npt.NDArray[np.float64]
    is_time: bool = True

    def __post_init__(self) -> None:
        for name in ('positions', 'probabilities', 'valence', 'arousal'):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, 'expressions', np.array(self.expressions, dtype=np.int64))
        count = len(self.positions)
        shapes = {
            'positions': (count,),
            'expressions': (count,),
            'probabilities': (count, len(EXPRESSIONS)),
            'valence': (count,),
            'arousal': (count,),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f'{name}: expected {shape}, got {getattr(self, name).shape}')
        if count == 0:
            raise ValueError('a track needs at least one sample')
        if not np.isfinite(self.positions).all() or (np.diff(self.positions) < 0.0).any():
            raise ValueError('positions must be finite and must not fall')
        for expression in np.unique(self.expressions):
            expression_name(int(expression))

    def shares(self) -> dict[str, float]:
        """Return the share of samples by expression, most frequent first, without empty ones."""
        codes, counts = np.unique(self.expressions, return_counts=True)
        order = np.argsort(-counts, kind='stable')
        return {expression_name(int(codes[i])): float(counts[i] / counts.sum()) for i in order}

    @property
    def mean_valence(self) -> float:
        """Mean over the samples that have one; NaN if none has."""
        return _mean(self.valence)

    @property
    def mean_arousal(self) -> float:
        """Mean over the samples that have one; NaN if none has."""
        return _mean(self.arousal)


def draw_track(track: EmotionTrack) -> npt.NDArray[np.uint8]:
    """
    Draw a track: circumplex, shares, probabilities, valence and arousal.

    :returns: (1240, 1200, 3) uint8 RGB.
    """
    sheet = _Sheet(WIDTH_PX, HEIGHT_PX)
    sheet.text(_fitted(track.title, 24, _RIGHT - 40), 40, 58, 24)
    detail = f'{len(track.positions)} {"frames" if track.is_time else "faces"}'
    if track.is_time:
        detail += f'   {track.positions[0]:.1f} to {track.positions[-1]:.1f} s'
    detail += f'   mean valence {_signed(track.mean_valence)}'
    detail += f'   mean arousal {_signed(track.mean_arousal)}'
    sheet.text(detail, 40, 92, 15, _MUTED)
    _draw_circumplex(sheet, track, _Box(_LEFT, 132, _LEFT + 560, 132 + 560))
    _draw_shares(sheet, track, 724, 142)
    starts, ends = _extents(track)
    low, high = float(starts.min()), float(ends.max())
    _draw_probabilities(sheet, track, _Box(_LEFT, 800, _RIGHT, 950), starts, ends)
    _draw_signals(sheet, track, _Box(_LEFT, 1000, _RIGHT, 1160), low, high)
    return sheet.image()


def write_track(path: Path, track: EmotionTrack) -> None:
    """
    Draw a track into a PNG file.

    :param path: file to write.
    :param track: what to draw.
    :raises OSError: when it cannot be written.
    """
    done, data = cv2.imencode('.png', cv2.cvtColor(draw_track(track), cv2.COLOR_RGB2BGR))
    if not done:
        raise OSError(f'{path}: the picture cannot be encoded as PNG')
    path.write_bytes(data.tobytes())


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def _signed(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:+.2f}'


@dataclass(frozen=True)
class _Box:
    """A panel [pixels of the finished picture]."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


class _Sheet:
    """A canvas with coordinates in pixels of the finished picture."""

    def __init__(self, width: int, height: int) -> None:
        self._canvas = np.full((height * _SCALE, width * _SCALE, 3), _PAPER, np.uint8)

    def image(self) -> npt.NDArray[np.uint8]:
        height, width = self._canvas.shape[:2]
        size = (width // _SCALE, height // _SCALE)
        return np.asarray(
            cv2.resize(self._canvas, size, interpolation=cv2.INTER_AREA), dtype=np.uint8
        )

    @staticmethod
    def _fixed(points: npt.ArrayLike) -> npt.NDArray[np.int32]:
        scaled = np.asarray(points, dtype=np.float64) * (_SCALE << _SUBPIXEL_BITS)
        return np.round(scaled).astype(np.int32)

    def line(self, points: npt.ArrayLike, colour: Rgb, width: float = 1.0) -> None:
        thickness = max(1, round(width * _SCALE))
        cv2.polylines(
            self._canvas,
            [self._fixed(points)],
            False,
            colour,
            thickness,
            cv2.LINE_AA,
            _SUBPIXEL_BITS,
        )

    def circle(
        self, x: float, y: float, radius: float, colour: Rgb, width: float | None = None
    ) -> None:
        """Draw a circle; filled where ``width`` is None."""
        centre = tuple(self._fixed((x, y)).tolist())
        size = round(radius * (_SCALE << _SUBPIXEL_BITS))
        thickness = -1 if width is None else max(1, round(width * _SCALE))
        cv2.circle(self._canvas, centre, size, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def fill(self, box: _Box, colour: Rgb) -> None:
        left, top, right, bottom = (
            round(v * _SCALE) for v in (box.left, box.top, box.right, box.bottom)
        )
        self._canvas[top:bottom, left:right] = colour

    def text(
        self, text: str, x: float, y: float, size: int, colour: Rgb = _INK, align: float = 0.0
    ) -> None:
        """
        Write a text.

        :param x: left edge, centre or right edge, for ``align`` 0, 0.5 and 1.
        :param y: base line.
        :param size: height of capitals times 1.5.
        """
        text = _printable(text)
        left = x - align * _text_width(text, size)
        thickness = max(1, round(size * _SCALE / 16))
        cv2.putText(
            self._canvas,
            text,
            (round(left * _SCALE), round(y * _SCALE)),
            _FONT,
            _font_scale(size),
            colour,
            thickness,
            cv2.LINE_AA,
        )


def _font_scale(size: int) -> float:
    return size / 1.5 * _SCALE / _FONT_CAPITALS


def _printable(text: str) -> str:
    """Replace what the font does not have."""
    return ''.join(c if ' ' <= c <= '~' else '?' for c in text)


def _text_width(text: str, size: int) -> float:
    (width, _), _ = cv2.getTextSize(text, _FONT, _font_scale(size), 1)
    return width / _SCALE


def _fitted(text: str, size: int, width: float) -> str:
    """Cut a text at its front so that it fits: the end of a path says most."""
    text = _printable(text)
    if _text_width(text, size) <= width:
        return text
    while len(text) > 1 and _text_width('...' + text, size) > width:
        text = text[1:]
    return '...' + text


def _extents(
    track: EmotionTrack,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return from where to where each sample stands."""
    at = track.positions
    if not track.is_time:
        return at - 0.5, at + 0.5
    usual = _usual_interval(at)
    following = np.append(at[1:], at[-1] + usual)
    return at, np.minimum(following, at + _GAP_INTERVALS * usual)


def _usual_interval(positions: npt.NDArray[np.float64]) -> float:
    steps = np.diff(positions)
    steps = steps[steps > 0.0]
    return float(np.median(steps)) if steps.size else 1.0


def _stretches(track: EmotionTrack, *signals: npt.NDArray[np.float64]) -> list[npt.NDArray]:
    """Return index ranges without gaps in time and without unmeasured values."""
    known: npt.NDArray[np.bool_] = np.asarray(np.isfinite(np.stack(signals)).all(axis=0))
    usual = _usual_interval(track.positions)
    breaks = np.diff(track.positions) > _GAP_INTERVALS * usual
    breaks |= known[1:] != known[:-1]
    runs = np.split(np.arange(len(known)), np.flatnonzero(breaks) + 1)
    return [run for run in runs if known[run[0]]]


def _time_colours(shares: npt.NDArray[np.float64]) -> list[Rgb]:
    """Colours from dark (start, 0) to light (end, 1); the palest yellow is left out."""
    values = np.round(np.clip(shares, 0.0, 1.0) * 225.0).astype(np.uint8)[:, None]
    bgr = cv2.applyColorMap(values, cv2.COLORMAP_VIRIDIS)[:, 0]
    return [(int(r), int(g), int(b)) for b, g, r in bgr]


def _draw_circumplex(sheet: _Sheet, track: EmotionTrack, box: _Box) -> None:
    sheet.fill(box, _PANEL)
    cx, cy = 0.5 * (box.left + box.right), 0.5 * (box.top + box.bottom)
    radius = 0.5 * box.width - 14
    for value in (-0.5, 0.5):
        sheet.line([(cx + value * radius, box.top), (cx + value * radius, box.bottom)], _GRID)
        sheet.line([(box.left, cy - value * radius), (box.right, cy - value * radius)], _GRID)
    sheet.circle(cx, cy, radius, _FAINT, 1.5)
    sheet.circle(cx, cy, 0.5 * radius, _GRID, 1.0)
    sheet.line([(cx, box.top), (cx, box.bottom)], _FAINT, 1.5)
    sheet.line([(box.left, cy), (box.right, cy)], _FAINT, 1.5)
    for value in (-1.0, -0.5, 0.0, 0.5, 1.0):
        sheet.text(f'{value:g}', cx + value * radius, box.bottom + 20, 14, _MUTED, 0.5)
        sheet.text(f'{value:g}', box.left - 8, cy - value * radius + 5, 14, _MUTED, 1.0)
    sheet.text('valence', cx, box.bottom + 44, 16, _INK, 0.5)
    sheet.text('unpleasant', box.left, box.bottom + 44, 14, _MUTED)
    sheet.text('pleasant', box.right, box.bottom + 44, 14, _MUTED, 1.0)
    sheet.text('arousal', box.left - 12, box.top - 8, 16, _INK, 0.5)
    for word, v, a in (
        ('tense', -0.62, 0.62),
        ('excited', 0.62, 0.62),
        ('gloomy', -0.62, -0.62),
        ('relaxed', 0.62, -0.62),
    ):
        sheet.text(word, cx + v * radius, cy - a * radius, 15, _FAINT, 0.5)

    def place(v: npt.NDArray[np.float64], a: npt.NDArray[np.float64]) -> npt.NDArray:
        return np.stack([cx + radius * np.clip(v, -1, 1), cy - radius * np.clip(a, -1, 1)], axis=1)

    runs = _stretches(track, track.valence, track.arousal)
    if not runs:
        sheet.text('nothing measured', cx, cy - 12, 18, _MUTED, 0.5)
        return
    start, end = float(track.positions[0]), float(track.positions[-1])
    span = max(end - start, 1e-9)
    if not track.is_time:
        for run in runs:
            points = place(track.valence[run], track.arousal[run])
            for (x, y), code in zip(points, track.expressions[run]):
                sheet.circle(x, y, 8, _PAPER)
                sheet.circle(x, y, 6.5, _expression_colour(int(code)))
                sheet.circle(x, y, 6.5, _INK, 0.8)
        return
    total = sum(len(run) for run in runs)
    for run in runs:
        pieces = min(len(run), max(1, round(_PATH_POINTS * len(run) / total)))
        chunks = np.array_split(run, pieces)
        points = place(
            np.array([track.valence[chunk].mean() for chunk in chunks]),
            np.array([track.arousal[chunk].mean() for chunk in chunks]),
        )
        moments = np.array([track.positions[chunk].mean() for chunk in chunks])
        colours = _time_colours((moments - start) / span)
        for i in range(len(points) - 1):
            sheet.line(points[i : i + 2], colours[i], 1.6)
        for (x, y), colour in zip(points, colours):
            sheet.circle(x, y, 2.6, colour)
    for run, index, colour in (
        (runs[0], 0, _time_colours(np.zeros(1))[0]),
        (runs[-1], -1, _time_colours(np.ones(1))[0]),
    ):
        at = run[[index]]
        x, y = place(track.valence[at], track.arousal[at])[0]
        sheet.circle(x, y, 9.5, _PAPER)
        sheet.circle(x, y, 7.5, colour)
        sheet.circle(x, y, 8.5, _INK, 1.2)
    _draw_time_key(sheet, box, start, end)


def _draw_time_key(sheet: _Sheet, box: _Box, start: float, end: float) -> None:
    """Draw what the path's colours mean, below the shares."""
    left, right, top = 724.0, 1040.0, 620.0
    count = 158
    edges = np.linspace(left, right, count + 1)
    for i, colour in enumerate(_time_colours(np.linspace(0.0, 1.0, count))):
        sheet.fill(_Box(edges[i], top, edges[i + 1], top + 14), colour)
    sheet.text('path: time [s]', left, top - 12, 15, _INK)
    sheet.text(f'start {start:.1f}', left, top + 36, 14, _MUTED)
    sheet.text(f'end {end:.1f}', right, top + 36, 14, _MUTED, 1.0)


def _expression_colour(code: int) -> Rgb:
    return _PAPER if code == UNKNOWN else EXPRESSION_COLOURS[code]


def _draw_shares(sheet: _Sheet, track: EmotionTrack, left: float, top: float) -> None:
    """Draw the key of the expressions' colours with the share of each."""
    shares = track.shares()
    unit = 'frames' if track.is_time else 'faces'
    sheet.text(f'expression, share of {unit}', left, top + 6, 15, _INK)
    bar_left, bar_right = left + 130, left + 370
    for row, name in enumerate((*EXPRESSIONS, UNKNOWN_NAME)):
        y = top + 46 + 42 * row
        share = shares.get(name, 0.0)
        colour = _PAPER if name == UNKNOWN_NAME else EXPRESSION_COLOURS[row]
        sheet.fill(_Box(left - 1, y - 14, left + 17, y + 4), _MUTED)
        sheet.fill(_Box(left, y - 13, left + 16, y + 3), colour)
        sheet.text(name, left + 28, y, 16, _INK if share else _FAINT)
        sheet.fill(_Box(bar_left, y - 12, bar_right, y + 2), _PANEL)
        end = bar_left + share * (bar_right - bar_left)
        sheet.fill(_Box(bar_left, y - 12, end, y + 2), _FAINT if colour == _PAPER else colour)
        sheet.text(f'{100 * share:.0f} %', bar_right + 70, y, 16, _INK if share else _FAINT, 1.0)


def _draw_probabilities(
    sheet: _Sheet,
    track: EmotionTrack,
    box: _Box,
    starts: npt.NDArray[np.float64],
    ends: npt.NDArray[np.float64],
) -> None:
    sheet.fill(box, _PANEL)
    sheet.text('probability of each expression (colours as above)', box.left, box.top - 12, 15)
    low, high = float(starts.min()), float(ends.max())
    known: npt.NDArray[np.bool_] = np.asarray(np.isfinite(track.probabilities).any(axis=1))
    heights = np.cumsum(np.nan_to_num(track.probabilities), axis=1)
    columns = round(box.width * _SCALE)
    edges = low + (high - low) * np.arange(columns + 1) / columns
    first = np.clip(np.searchsorted(starts, edges[:-1], side='right') - 1, 0, None)
    last = np.clip(np.searchsorted(starts, edges[1:], side='left') - 1, first, None)
    for column in range(columns):
        covered = np.arange(first[column], last[column] + 1)
        covered = covered[known[covered] & (ends[covered] > edges[column])]
        if not covered.size:
            continue
        bounds = box.bottom - np.append(0.0, heights[covered].mean(axis=0)) * box.height
        left = box.left + column / _SCALE
        for code in range(len(EXPRESSIONS)):
            stripe = _Box(left, bounds[code + 1], left + 1 / _SCALE, bounds[code])
            sheet.fill(stripe, EXPRESSION_COLOURS[code])
    for value in (0.0, 0.5, 1.0):
        y = box.bottom - value * box.height
        sheet.text(f'{value:g}', box.left - 8, y + 5, 14, _MUTED, 1.0)
    _frame(sheet, box)


def _draw_signals(sheet: _Sheet, track: EmotionTrack, box: _Box, low: float, high: float) -> None:
    sheet.fill(box, _PANEL)
    middle = 0.5 * (box.top + box.bottom)
    for value in (-1.0, -0.5, 0.0, 0.5, 1.0):
        y = middle - value * 0.5 * box.height
        sheet.line([(box.left, y), (box.right, y)], _GRID if value else _FAINT)
        sheet.text(f'{value:g}', box.left - 8, y + 5, 14, _MUTED, 1.0)
    cursor = box.left
    for name, colour in (('valence', VALENCE_COLOUR), ('arousal', AROUSAL_COLOUR)):
        sheet.line([(cursor, box.top - 17), (cursor + 26, box.top - 17)], colour, 3.0)
        sheet.text(name, cursor + 34, box.top - 12, 15)
        cursor += 34 + _text_width(name, 15) + 30

    def across(positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return box.left + (positions - low) / (high - low) * box.width

    for signal, colour in ((track.valence, VALENCE_COLOUR), (track.arousal, AROUSAL_COLOUR)):
        for run in _stretches(track, signal):
            x = across(track.positions[run])
            y = middle - np.clip(signal[run], -1.0, 1.0) * 0.5 * box.height
            if track.is_time and len(run) > 1:
                sheet.line(np.stack([x, y], axis=1), colour, 2.0)
            else:
                for px, py in zip(x, y):
                    sheet.circle(px, py, 4.0, colour)
    ticks = _ticks(low, high, whole=not track.is_time)
    for tick in ticks:
        at = float(across(np.array(tick)))
        sheet.line([(at, box.bottom), (at, box.bottom + 6)], _MUTED)
        sheet.text(f'{tick:.10g}', at, box.bottom + 24, 14, _MUTED, 0.5)
    label = 'time [s]' if track.is_time else 'face, in the order of the pictures'
    sheet.text(label, 0.5 * (box.left + box.right), box.bottom + 50, 16, _INK, 0.5)
    _frame(sheet, box)


def _frame(sheet: _Sheet, box: _Box) -> None:
    corners = [
        (box.left, box.top),
        (box.right, box.top),
        (box.right, box.bottom),
        (box.left, box.bottom),
        (box.left, box.top),
    ]
    sheet.line(corners, _FAINT)


def _ticks(low: float, high: float, *, whole: bool, most: int = 12) -> Sequence[float]:
    """Return round numbers in an interval: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))
    if whole:
        step = max(step, 1.0)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 9) + 0.0 for i in range(first, last + 1)]
