# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Drawings of a report, as SVG in HTML: light and dark by the page's style, no scripts."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

WIDTH = 1000
LEFT = 128
"""Room for the names of lanes [px]; time goes from here to WIDTH."""

LANE = 30
CURVE = 84
MARKS = 18
_STEPS_S = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_TICKS = 10


class Timeline:
    """
    Lanes above each other over one axis of time.

    :param start_s: where it begins [s].
    :param end_s: where it ends [s].
    """

    def __init__(self, start_s: float, end_s: float) -> None:
        self._start_s, self._span_s = start_s, max(end_s - start_s, 1.0)
        self._top = 4.0
        self._parts: list[str] = []

    def x(self, at_s: float) -> float:
        """Return where a time is [px]."""
        share = (at_s - self._start_s) / self._span_s
        return round(LEFT + (WIDTH - LEFT) * min(max(share, 0.0), 1.0), 1)

    def shares(
        self,
        name: str,
        bins: Sequence[tuple[float, float, Mapping[str, float]]],
        kinds: Mapping[str, tuple[str, str]],
    ) -> None:
        """
        Add a lane that shows how much of each bin was what.

        :param bins: begin and end [s], and the share of each kind, 0..1 together.
        :param kinds: word and colour, the lowest first.
        """
        paths: dict[str, list[str]] = {kind: [] for kind in kinds}
        for begin_s, end_s, found in bins:
            left, right = self.x(begin_s), self.x(end_s)
            bottom = self._top + LANE
            for kind in kinds:
                height = LANE * found.get(kind, 0.0)
                if height > 0.05:
                    rectangle = f'M{left} {bottom:.1f}H{right}v{-height:.1f}H{left}z'
                    paths[kind].append(rectangle)
                    bottom -= height
        self._lane(name, LANE)
        self._parts += [
            f'<path d="{"".join(path)}" fill="{kinds[kind][1]}"><title>{_safe(kinds[kind][0])}'
            '</title></path>'
            for kind, path in paths.items()
            if path
        ]
        self._top += LANE + 6

    def curve(
        self,
        name: str,
        points: Sequence[tuple[float, float, float | None]],
        top: float,
        unit: str,
        lines: Iterable[tuple[float, str]] = (),
    ) -> None:
        """
        Add a curve that holds each value for its time.

        :param points: begin and end [s], and value; None: a gap.
        :param top: value at the upper edge.
        :param unit: behind numbers.
        :param lines: values to compare with, and what they are.
        """
        self._lane(name, CURVE)
        bottom = self._top + CURVE
        path, last_s = '', math.nan
        for begin_s, end_s, value in points:
            if value is None:
                last_s = math.nan
                continue
            y = round(bottom - CURVE * min(value / top, 1.0), 1)
            path += f'{"L" if begin_s == last_s else "M"}{self.x(begin_s)} {y}H{self.x(end_s)}'
            last_s = end_s
        for value, word in lines:
            y = bottom - CURVE * min(value / top, 1.0)
            self._parts.append(
                f'<path class="line" d="M{LEFT} {y:.1f}H{WIDTH}"/><text class="small"'
                f' x="{WIDTH - 4}" y="{y - 3:.1f}" text-anchor="end">{_safe(word)}</text>'
            )
        self._parts.append(f'<path class="curve" d="{path}"/>')
        for value, y in ((top, self._top + 10), (0.0, bottom)):
            self._parts.append(
                f'<text class="small" x="{LEFT - 6}" y="{y:.1f}" text-anchor="end">'
                f'{value:g}{unit}</text>'
            )
        self._top += CURVE + 8

    def marks(self, name: str, colour: str, events: Iterable[tuple[float, float, str]]) -> None:
        """
        Add a narrow lane of events of one kind.

        :param events: begin [s], duration [s] and words of each.
        """
        self._lane(name, MARKS)
        for begin_s, duration_s, words in events:
            left = self.x(begin_s)
            width = max(self.x(begin_s + duration_s) - left, 4.0)
            left = min(left, WIDTH - width)
            self._parts.append(
                f'<rect x="{left}" y="{self._top + 2}" rx="2" width="{width:.1f}"'
                f' height="{MARKS - 4}" fill="{colour}"><title>{_safe(words)}</title></rect>'
            )
        self._top += MARKS + 3

    def svg(self, label: str) -> str:
        """Return the drawing, with its axis."""
        step_s = next((s for s in _STEPS_S if self._span_s / s <= _TICKS), _STEPS_S[-1])
        offset_s = _offset_s(self._start_s)
        first_s = math.ceil((self._start_s + offset_s) / step_s) * step_s - offset_s
        ticks = []
        while first_s <= self._start_s + self._span_s:
            x, form = self.x(first_s), '%H:%M:%S' if step_s < 60 else '%H:%M'
            word = f'{datetime.fromtimestamp(first_s):{form}}'
            anchor = 'end' if x > WIDTH - 20 else 'middle'
            ticks.append(
                f'<path class="tick" d="M{x} 0V{self._top:.0f}"/><text class="small" x="{x}"'
                f' y="{self._top + 13:.0f}" text-anchor="{anchor}">{word}</text>'
            )
            first_s += step_s
        height = self._top + 20
        return (
            f'<svg class="time" viewBox="0 0 {WIDTH} {height:.0f}" role="img"'
            f' aria-label="{_safe(label)}">{"".join(ticks)}{"".join(self._parts)}</svg>'
        )

    def _lane(self, name: str, height: float) -> None:
        self._parts.append(
            f'<rect class="lane" x="{LEFT}" y="{self._top}" width="{WIDTH - LEFT}"'
            f' height="{height}"/><text x="0" y="{self._top + min(height, LANE) / 2 + 5}">'
            f'{_safe(name)}</text>'
        )


def share_bar(found: Mapping[str, float], kinds: Mapping[str, tuple[str, str]]) -> str:
    """
    Draw shares of one whole, and say them.

    :param found: share of each kind, 0..1 together.
    :param kinds: word and colour.
    """
    shown = {kind: found[kind] for kind in kinds if found.get(kind, 0.0) >= 0.005}
    parts, left = [], 0.0
    for kind, share in shown.items():
        word, colour = kinds[kind]
        parts.append(
            f'<rect x="{left:.2f}" width="{100 * share:.2f}" height="10" fill="{colour}">'
            f'<title>{_safe(word)}: {share:.0%}</title></rect>'
        )
        left += 100 * share
    legend = ''.join(
        f'<li><i style="background:{kinds[kind][1]}"></i>{_safe(kinds[kind][0])}'
        f' <b>{share:.0%}</b></li>'
        for kind, share in sorted(shown.items(), key=lambda pair: -pair[1])
    )
    return (
        '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'{"".join(parts)}</svg><ul class="legend">{legend}</ul>'
    )


def _safe(text: str) -> str:
    return html.escape(text)


def _offset_s(at_s: float) -> float:
    """Return how far local time is before UTC [s]."""
    offset = datetime.fromtimestamp(at_s).astimezone().utcoffset()
    return offset.total_seconds() if offset else 0.0
