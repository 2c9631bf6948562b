# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A picture of one person's fatigue over time: openness, PERCLOS, level and events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.analysis.fatigue_level import FatigueLevel, LevelSettings
from aitable_ros.analysis.fatigue_monitor import FatigueSettings, FatigueState

Rgb = tuple[int, int, int]
Image = npt.NDArray[np.uint8]

_PAPER: Rgb = (255, 255, 255)
_INK: Rgb = (30, 41, 59)
_MUTED: Rgb = (120, 132, 150)
_GRID: Rgb = (226, 232, 240)
_UNKNOWN: Rgb = (236, 239, 244)
_OPENNESS: Rgb = (13, 148, 136)
_PERCLOS: Rgb = (79, 70, 229)
_LONG: Rgb = (190, 60, 140)
_BLINK: Rgb = (56, 140, 220)
_LONG_CLOSURE: Rgb = (255, 205, 160)
_MICROSLEEP: Rgb = (252, 165, 165)
_YAWN: Rgb = (147, 91, 214)
_LEVELS: dict[FatigueLevel, Rgb] = {
    FatigueLevel.UNKNOWN: (203, 213, 225),
    FatigueLevel.ALERT: (110, 210, 150),
    FatigueLevel.MILD: (245, 200, 70),
    FatigueLevel.SEVERE: (245, 140, 70),
    FatigueLevel.MICROSLEEP: (235, 85, 100),
    FatigueLevel.ASLEEP: (165, 30, 60),
}

_MIN_WIDTH_PX, _MIN_HEIGHT_PX = 480, 280
_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Panel:
    """
    A chart's place in the picture.

    :param left: first column [pixels].
    :param top: first row.
    :param right: last column.
    :param bottom: last row.
    """

    left: int
    top: int
    right: int
    bottom: int


class Timeline:
    """
    Collects the states of one person and draws them.

    :param settings: whose thresholds are drawn.
    """

    def __init__(self, settings: FatigueSettings | None = None) -> None:
        self._settings = settings or FatigueSettings()
        self._stamps_s: list[float] = []
        self._openness: list[float] = []
        self._perclos: list[float] = []
        self._long: list[float] = []
        self._levels: list[FatigueLevel] = []
        self._blinks: list[float] = []
        self._closures: list[tuple[float, float]] = []
        self._yawns: list[tuple[float, float]] = []

    def __len__(self) -> int:
        """Return the number of states."""
        return len(self._stamps_s)

    def add(self, stamp_s: float, state: FatigueState) -> None:
        """
        Add the state after one image.

        :param stamp_s: header time, after the last one's [s].
        :param state: what :meth:`FatigueMonitor.update` returned.
        :raises ValueError: when the stamp is not after the last one's.
        """
        if self._stamps_s and not stamp_s > self._stamps_s[-1]:
            raise ValueError(f'{stamp_s} is not after {self._stamps_s[-1]}')
        self._stamps_s.append(stamp_s)
        self._openness.append(state.openness)
        self._perclos.append(state.perclos.p80)
        self._long.append(state.perclos.long)
        self._levels.append(state.level)
        if state.ended_blink:
            self._blinks.append(state.ended_blink.start_s)
        closure = state.ended_closure
        if closure and closure.duration_s >= self._settings.blinks.long_closure_s:
            self._closures.append((closure.start_s, closure.end_s))
        if state.ended_yawn:
            self._yawns.append((state.ended_yawn.start_s, state.ended_yawn.end_s))

    def draw(self, title: str = '', width_px: int = 1600, height_px: int = 640) -> Image:
        """
        Draw the picture.

        From above: openness of the eyes with blinks (ticks), long closures and microsleeps
        (orange and red) and yawns (bars); PERCLOS and its share in long closures, with the
        thresholds of the levels; the level. Grey: the eyes were not measured (not seen, or still
        calibrating).

        :param title: written above, ASCII.
        :param width_px: of the picture, at least 480.
        :param height_px: of the picture, at least 280.
        :returns: (height_px, width_px, 3) uint8 RGB.
        :raises ValueError: when the picture is too small or there is no state.
        """
        if width_px < _MIN_WIDTH_PX or height_px < _MIN_HEIGHT_PX:
            raise ValueError(
                f'expected at least {_MIN_WIDTH_PX} x {_MIN_HEIGHT_PX} pixels,'
                f' got {width_px} x {height_px}'
            )
        if not self._stamps_s:
            raise ValueError('there is nothing to draw')
        canvas = _Canvas(
            np.full((height_px, width_px, 3), _PAPER, np.uint8),
            self._stamps_s[0],
            max(self._stamps_s[-1], self._stamps_s[0] + 1.0),
        )
        left, right = 76, width_px - 20
        room = height_px - 44 - 62
        openness = Panel(left, 44, right, 44 + int(0.46 * room))
        perclos = Panel(
            left, openness.bottom + 24, right, 44 + int(0.46 * room) + int(0.42 * room)
        )
        level = Panel(left, perclos.bottom + 14, right, height_px - 62)
        self._draw_openness(canvas, openness)
        self._draw_perclos(canvas, perclos)
        self._draw_levels(canvas, level)
        canvas.time_axis((openness, perclos), level)
        canvas.text(title, left, 28, _INK, 0.62)
        self._draw_legend(canvas, right)
        return canvas.image

    def _draw_openness(self, canvas: _Canvas, panel: Panel) -> None:
        blinks = self._settings.blinks
        for start_s, end_s in self._unseen():
            canvas.band(panel, start_s, end_s, _UNKNOWN)
        for start_s, end_s in self._closures:
            sleep = end_s - start_s >= blinks.microsleep_s
            canvas.band(panel, start_s, end_s, _MICROSLEEP if sleep else _LONG_CLOSURE)
        for start_s, end_s in self._yawns:
            canvas.band(panel, start_s, end_s, _YAWN, height_px=6)
        canvas.level_line(panel, blinks.close_openness, 1.0, f'{blinks.close_openness:g}', _MUTED)
        canvas.level_line(panel, 1.0, 1.0, '1', _GRID)
        canvas.curve(panel, self._stamps_s, self._openness, 1.0, _OPENNESS)
        for stamp_s in self._blinks:
            canvas.tick(panel, stamp_s, _BLINK)
        canvas.frame(panel, 'eyes open')

    def _draw_perclos(self, canvas: _Canvas, panel: Panel) -> None:
        level: LevelSettings = self._settings.level
        known = [value for value in self._perclos if not math.isnan(value)]
        top = min(max(1.25 * max(known, default=0.0), 1.5 * level.severe_perclos), 1.0)
        for start_s, end_s in self._unseen():
            canvas.band(panel, start_s, end_s, _UNKNOWN)
        for value, kind in (
            (level.mild_perclos, FatigueLevel.MILD),
            (level.severe_perclos, FatigueLevel.SEVERE),
        ):
            canvas.level_line(panel, value, top, f'{value:.0%}', _LEVELS[kind])
        canvas.curve(panel, self._stamps_s, self._long, top, _LONG)
        canvas.curve(panel, self._stamps_s, self._perclos, top, _PERCLOS)
        canvas.frame(panel, 'PERCLOS')

    def _draw_levels(self, canvas: _Canvas, panel: Panel) -> None:
        stamps_s = [*self._stamps_s, self._stamps_s[-1]]
        begin = 0
        for i in range(1, len(self._levels) + 1):
            if i == len(self._levels) or self._levels[i] is not self._levels[begin]:
                canvas.band(panel, stamps_s[begin], stamps_s[i], _LEVELS[self._levels[begin]])
                begin = i
        canvas.frame(panel, 'level')

    def _draw_legend(self, canvas: _Canvas, right: int) -> None:
        present = [level for level in FatigueLevel if level in set(self._levels)]
        entries = [
            ('blink', _BLINK),
            ('long closure', _LONG_CLOSURE),
            ('microsleep', _MICROSLEEP),
            ('yawn', _YAWN),
            ('PERCLOS', _PERCLOS),
            ('of it long', _LONG),
            ('not measured', _UNKNOWN),
            *((level.name.lower(), _LEVELS[level]) for level in present),
        ]
        canvas.legend(entries, right)

    def _unseen(self) -> list[tuple[float, float]]:
        """List the times without a measured eye."""
        spans: list[tuple[float, float]] = []
        max_gap_s = self._settings.perclos.max_gap_s
        for i, (stamp_s, openness) in enumerate(zip(self._stamps_s, self._openness)):
            end_s = self._stamps_s[i + 1] if i + 1 < len(self._stamps_s) else stamp_s
            if math.isnan(openness):
                start_s = stamp_s
            elif end_s - stamp_s > max_gap_s:
                start_s = stamp_s + max_gap_s
            else:
                continue
            if spans and spans[-1][1] >= start_s:
                spans[-1] = (spans[-1][0], end_s)
            else:
                spans.append((start_s, end_s))
        return spans


class _Canvas:
    """The picture, and where times and values lie in it."""

    def __init__(self, image: Image, start_s: float, end_s: float) -> None:
        self.image = image
        self._start_s, self._end_s = start_s, end_s

    def band(
        self, panel: Panel, start_s: float, end_s: float, colour: Rgb, height_px: int = 0
    ) -> None:
        left, right = self._x(panel, start_s), self._x(panel, end_s)
        bottom = panel.top + height_px if height_px else panel.bottom
        self.image[panel.top : bottom + 1, left : max(right, left) + 1] = colour

    def tick(self, panel: Panel, stamp_s: float, colour: Rgb) -> None:
        x = self._x(panel, stamp_s)
        cv2.line(self.image, (x, panel.top + 8), (x, panel.top + 16), colour, 2, cv2.LINE_AA)

    def level_line(self, panel: Panel, value: float, top: float, label: str, colour: Rgb) -> None:
        y = self._y(panel, value, top)
        cv2.line(self.image, (panel.left, y), (panel.right, y), colour, 1, cv2.LINE_AA)
        (width, height), _ = cv2.getTextSize(label, _FONT, 0.42, 1)
        self.text(label, panel.left - 8 - width, y + height // 2, _MUTED, 0.42)

    def curve(
        self,
        panel: Panel,
        stamps_s: Sequence[float],
        values: Sequence[float],
        top: float,
        colour: Rgb,
    ) -> None:
        """Draw a line; where many values share a column, from the lowest to the highest."""
        columns: dict[int, list[int]] = {}
        previous = None
        for stamp_s, value in zip(stamps_s, values):
            if math.isnan(value):
                previous = None
                continue
            point = (self._x(panel, stamp_s), self._y(panel, value, top))
            if previous is not None and previous[0] != point[0]:
                cv2.line(self.image, previous, point, colour, 1, cv2.LINE_AA)
            columns.setdefault(point[0], []).append(point[1])
            previous = point
        for x, ys in columns.items():
            cv2.line(self.image, (x, min(ys)), (x, max(ys)), colour, 1)

    def frame(self, panel: Panel, name: str) -> None:
        cv2.rectangle(self.image, (panel.left, panel.top), (panel.right, panel.bottom), _MUTED, 1)
        self.text(name, 6, panel.top - 6 if name != 'level' else panel.bottom - 4, _INK, 0.42)

    def time_axis(self, grid: Sequence[Panel], panel: Panel) -> None:
        span_s = self._end_s - self._start_s
        most = max((panel.right - panel.left) // 90, 2)
        step_s = next((s for s in _STEPS_S if span_s / s <= most), _STEPS_S[-1])
        for k in range(int(span_s // step_s) + 1):
            seconds = k * step_s
            x = self._x(panel, self._start_s + seconds)
            for other in grid:
                for y in range(other.top, other.bottom, 6):
                    self.image[y : y + 2, x] = _GRID
            cv2.line(self.image, (x, panel.bottom), (x, panel.bottom + 4), _MUTED, 1)
            label = _clock(seconds)
            (width, height), _ = cv2.getTextSize(label, _FONT, 0.42, 1)
            self.text(label, x - width // 2, panel.bottom + 8 + height, _MUTED, 0.42)

    def legend(self, entries: Sequence[tuple[str, Rgb]], right: int) -> None:
        x, y = 76, self.image.shape[0] - 14
        for name, colour in entries:
            (width, _), _ = cv2.getTextSize(name, _FONT, 0.42, 1)
            if x + 16 + width > right:
                return
            self.image[y - 9 : y + 1, x : x + 12] = colour
            cv2.rectangle(self.image, (x, y - 9), (x + 12, y), _MUTED, 1)
            self.text(name, x + 17, y, _INK, 0.42)
            x += 17 + width + 16

    def text(self, text: str, x: int, y: int, colour: Rgb, scale: float) -> None:
        cv2.putText(self.image, text, (x, y), _FONT, scale, colour, 1, cv2.LINE_AA)

    def _x(self, panel: Panel, stamp_s: float) -> int:
        share = (stamp_s - self._start_s) / (self._end_s - self._start_s)
        return panel.left + round(min(max(share, 0.0), 1.0) * (panel.right - panel.left))

    def _y(self, panel: Panel, value: float, top: float) -> int:
        share = min(max(value / (1.04 * top), 0.0), 1.0)
        return panel.bottom - round(share * (panel.bottom - panel.top))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
