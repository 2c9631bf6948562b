# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Plots of one face over time: expression and fatigue.

Matplotlib is imported by the first figure, pyplot never. ``savefig`` writes a figure to a file.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.emotion.expression import (
    EXPRESSIONS,
    UNCERTAIN,
    UNKNOWN,
    EmotionEstimate,
    expression_name,
)
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.fatigue.monitor import FatigueSettings, FatigueState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_COLOURS = (
    *('#c4cad4', '#f6be3e', '#4a76d0', '#42beba', '#9468c8', '#70a84a', '#d84848', '#a07054'),
    *('#e6e8ee', '#ffffff'),
)
"""By the order of EXPRESSIONS; the last ones are for uncertain and unknown."""

_EVENT_COLOURS = {
    'blink': '#388cdc',
    'long closure': '#f59e42',
    'microsleep': '#e0455a',
    'yawn': '#935bd6',
    'nod': '#5b8a3c',
}

_TITLE_LENGTH = 80
_GAP_INTERVALS = 5.0
"""A pause of more than this many usual intervals is a gap."""


class EmotionTrack:
    """
    Collects what was estimated of one face, or of the faces of a row of pictures.

    :param is_time: positions are header times [s]; otherwise they are numbers of pictures.
    """

    def __init__(self, *, is_time: bool = True) -> None:
        self.is_time = is_time
        self._rows = array('d')

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._rows) // (4 + len(EXPRESSIONS))

    def add(self, position: float, estimate: EmotionEstimate) -> None:
        """Add a sample, in any order of positions."""
        row = (position, estimate.valence, estimate.arousal, estimate.expression)
        self._rows.extend((*row, *estimate.probabilities))

    def rows(self) -> Floats:
        """Return (N, 12), sorted: position, valence, arousal, expression, probabilities."""
        rows = np.array(self._rows).reshape(len(self), -1)
        return rows[np.argsort(rows[:, 0], kind='stable')]

    def shares(self) -> dict[str, float]:
        """Return the share of samples by expression, most frequent first, without empty ones."""
        codes, counts = np.unique(self.rows()[:, 3], return_counts=True)
        order = np.argsort(-counts, kind='stable')
        return {expression_name(int(codes[i])): float(counts[i] / len(self)) for i in order}

    def means(self) -> list[float]:
        """Return mean valence and arousal of the samples that have them; NaN if none has."""
        columns = [column[np.isfinite(column)] for column in self.rows()[:, 1:3].T]
        return [float(column.mean()) if column.size else np.nan for column in columns]


class FatigueTrack:
    """
    Collects the states of one person.

    :param settings: whose thresholds are drawn.
    """

    def __init__(self, settings: FatigueSettings | None = None) -> None:
        self.settings = settings or FatigueSettings()
        self.events: dict[str, list[tuple[float, float]]] = {name: [] for name in _EVENT_COLOURS}
        """Start and duration of each [s]."""
        self._rows = array('d')

    def add(self, stamp_s: float, state: FatigueState) -> None:
        """Add the state after one image, whose stamp [s] is after the last one's."""
        perclos = state.perclos
        self._rows.extend((stamp_s, state.openness, perclos.p80, perclos.long, state.level))
        found = {'blink': state.ended_blink, 'yawn': state.ended_yawn, 'nod': state.ended_nod}
        closure, blinks = state.ended_closure, self.settings.blinks
        if closure and closure.duration_s >= blinks.long_closure_s:
            found['long closure'] = closure
            if closure.duration_s >= blinks.microsleep_s:
                found['microsleep'] = closure
        for name, event in found.items():
            if event:
                self.events[name].append((event.start_s, event.end_s - event.start_s))

    def rows(self) -> Floats:
        """Return (N, 5): stamp, openness, PERCLOS, its share in long closures, level."""
        return np.array(self._rows).reshape(-1, 5)


def require_matplotlib() -> None:
    """
    Import Matplotlib.

    :raises ImportError: when that fails; the message says how to get it.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        advice = 'apt install python3-matplotlib, or pip install matplotlib'
        raise ImportError(f'plots need Matplotlib ({error}): {advice}') from error


def draw_emotion(track: EmotionTrack, title: str) -> Figure:
    """
    Draw circumplex, shares, probabilities (stacked), valence and arousal of one sample or more.

    The circumplex (Russell 1980, 'A circumplex model of affect') has valence to the right and
    arousal upwards; its dots have the colours of time, or of the expressions of pictures.
    """
    rows = track.rows()
    at = rows[:, 0]
    starts, ends = at - 0.4, at + 0.4
    if track.is_time:
        steps = np.diff(at)[np.diff(at) > 0.0]
        usual = float(np.median(steps)) if steps.size else 1.0
        starts, ends = at, np.append(at[1:], at[-1] + usual)
        ends = np.minimum(ends, at + _GAP_INTERVALS * usual)
    mosaic = [['plane', 'shares'], ['probabilities'] * 2, ['signals'] * 2]
    figure, axes = _figure(title, 900, mosaic, height_ratios=(5, 2, 2), width_ratios=(3, 2))
    _draw_plane(axes['plane'], track)
    names = (*EXPRESSIONS, *map(expression_name, (UNCERTAIN, UNKNOWN)))
    shares = track.shares()
    values = [shares.get(name, 0.0) for name in names]
    # as wide as their colour can be seen, which is the legend of the probabilities
    widths = np.maximum(values, 0.02)
    bars = axes['shares'].barh(names, widths, color=_COLOURS, edgecolor='grey')
    axes['shares'].bar_label(bars, [f'{value:.0%}' for value in values], padding=4)
    unit = 'frames' if track.is_time else 'faces'
    axes['shares'].set(xlim=(0, 1.2), xticks=(), title=f'share of {len(track)} {unit}')
    axes['shares'].invert_yaxis()
    measured = np.isfinite(rows[:, 4:]).any(axis=1, keepdims=True)
    x, stack = _held(starts, ends, np.where(measured, np.nan_to_num(rows[:, 4:]), np.nan))
    axes['probabilities'].stackplot(x, stack.T, colors=_COLOURS, antialiased=False)
    axes['probabilities'].set(ylim=(0, 1), title='probability of each expression')
    for name, column, colour in (('valence', 1, '#008060'), ('arousal', 2, '#cc5414')):
        axes['signals'].plot(*_held(starts, ends, rows[:, column]), color=colour, label=name)
    axes['signals'].set(ylim=(-1.05, 1.05))
    axes['signals'].grid(alpha=0.4)
    axes['signals'].legend(loc='lower center', bbox_to_anchor=(0.5, 1), ncol=2, frameon=False)
    for name in ('probabilities', 'signals'):
        axes[name].set_xlim(starts[0], ends[-1])
        if track.is_time:
            _show_time(axes[name])
        else:
            axes[name].set_xlabel('face, in the order of the pictures')
            axes[name].locator_params(axis='x', integer=True)
    return figure


def draw_fatigue(track: FatigueTrack, title: str) -> Figure:
    """
    Draw openness of both eyes, events, PERCLOS with thresholds, and level of one state or more.

    Grey: the eyes were not measured (not seen, or still calibrating).
    """
    stamps_s, openness, perclos, long, levels = track.rows().T
    blinks, level = track.settings.blinks, track.settings.level
    following_s = np.append(stamps_s[1:], stamps_s[-1])
    ends_s = np.minimum(following_s, stamps_s + track.settings.perclos.max_gap_s)
    unseen_s = np.where(np.isnan(openness), stamps_s, ends_s)
    begin_s, end_s = np.stack([unseen_s, following_s])[:, unseen_s < following_s]
    first = np.append(True, begin_s[1:] > end_s[:-1])[: len(begin_s)]
    unseen = [*zip(begin_s[first], end_s[np.roll(first, -1)] - begin_s[first])]
    mosaic = [['openness'], ['events'], ['perclos'], ['level']]
    figure, axes = _figure(title, 800, mosaic, height_ratios=(4, 2, 3, 2))
    for panel in axes.values():
        across = panel.get_xaxis_transform()
        panel.broken_barh(unseen, (0, 1), transform=across, color='0.9', label='not measured')
        panel.set_xlim(stamps_s[0], max(stamps_s[-1], stamps_s[0] + 1.0))
        panel.tick_params(labelbottom=panel is axes['level'])
    ticks = (0, blinks.close_openness, 1)
    axes['openness'].plot(*_held(stamps_s, ends_s, openness), color='#0d9488', linewidth=1)
    axes['openness'].axhline(blinks.close_openness, color='0.6', linestyle='--', linewidth=1)
    axes['openness'].set(ylim=(-0.05, 1.2), yticks=ticks, ylabel='openness of the eyes')
    for row, (name, colour) in enumerate(_EVENT_COLOURS.items()):
        axes['events'].broken_barh(track.events[name], (row - 0.3, 0.6), color=colour, label=name)
    axes['events'].set_yticks(range(len(track.events)))
    axes['events'].set_yticklabels([f'{name}: {len(e)}' for name, e in track.events.items()])
    axes['events'].set_ylim(len(track.events) - 0.5, -0.5)
    top = max(1.3 * np.fmax.reduce(perclos, initial=0.0), 1.8 * level.severe_perclos)
    axes['perclos'].plot(*_held(stamps_s, ends_s, perclos), color='#4f46e5', label='PERCLOS')
    axes['perclos'].plot(*_held(stamps_s, ends_s, long), color='#be3c8c', label='in long closures')
    axes['perclos'].axhline(level.mild_perclos, color='#e0a800', linestyle='--', label='mild')
    axes['perclos'].axhline(level.severe_perclos, color='#f06020', linestyle='--', label='severe')
    axes['perclos'].yaxis.set_major_formatter('{x:.0%}')
    axes['perclos'].set(ylim=(-0.02 * top, top), ylabel='PERCLOS')
    axes['perclos'].legend(loc='upper left', ncol=5, fontsize='small')
    axes['level'].fill_between(stamps_s, levels, -0.5, step='post', color='#e0455a', alpha=0.3)
    axes['level'].step(stamps_s, levels, where='post', color='#e0455a')
    axes['level'].set(ylim=(-0.5, len(FatigueLevel) - 0.5), yticks=range(len(FatigueLevel)))
    axes['level'].set_yticklabels([each.name.lower() for each in FatigueLevel])
    _show_time(axes['level'])
    return figure


def _figure(
    title: str, height_px: int, mosaic: Any, **ratios: Sequence[int]
) -> tuple[Figure, dict[str, Axes]]:
    """Make a figure 1000 pixels wide; of a long title the end is kept, which names the file."""
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties, findfont, get_font

    figure = Figure(figsize=(10, height_px / 100), dpi=100, layout='constrained')
    font = get_font(findfont(FontProperties()))
    shown = title if len(title) <= _TITLE_LENGTH else '...' + title[3 - _TITLE_LENGTH :]
    shown = ''.join(c if font.get_char_index(ord(c)) else '?' for c in shown)
    figure.suptitle(shown.replace('$', r'\$'))  # no formulas
    return figure, figure.subplot_mosaic(mosaic, gridspec_kw=ratios)


def _draw_plane(axes: Axes, track: EmotionTrack) -> None:
    at, valence, arousal, codes = track.rows()[:, :4].T
    means = ', '.join('-' if np.isnan(mean) else f'{mean:+.2f}' for mean in track.means())
    ticks, limits = (-1, -0.5, 0, 0.5, 1), (-1.05, 1.05)
    axes.set(xlim=limits, ylim=limits, xticks=ticks, yticks=ticks, aspect='equal')
    axes.set_title(f'mean valence and arousal: {means}')
    axes.set(xlabel='unpleasant  ←  valence  →  pleasant', ylabel='calm  ←  arousal  →  excited')
    angles = np.linspace(0.0, 2.0 * np.pi, 181)
    axes.plot(np.cos(angles), np.sin(angles), color='0.7', linewidth=1)
    axes.grid(color='0.9')
    for i, word in enumerate(('gloomy', 'relaxed', 'tense', 'excited')):
        axes.text(1.24 * (i % 2) - 0.62, 1.24 * (i // 2) - 0.62, word, color='0.6', ha='center')
    if track.is_time:
        dots = axes.scatter(valence, arousal, c=at, s=12, zorder=3)
        bar = axes.figure.colorbar(dots, ax=axes, ticks=(at[0], at[-1]), shrink=0.5)
        bar.ax.set_yticklabels(('start', 'end'))
    else:
        colours = [_COLOURS[min(int(code), len(EXPRESSIONS))] for code in codes]
        axes.scatter(valence, arousal, c=colours, s=80, edgecolors='black', zorder=3)


def _held(starts: Floats, ends: Floats, values: Floats) -> tuple[Floats, Floats]:
    """
    Return x (M,) and y (M, ...) that hold each value from its start to its end.

    :param starts: (N,) ascending.
    :param ends: (N,) at most the next start; between them y is NaN.
    :param values: (N, ...).
    """
    x, y = np.stack([starts, ends], axis=1).ravel(), np.repeat(values, 2, axis=0)
    gaps = np.flatnonzero(ends[:-1] < starts[1:])
    at = 2 * (gaps + 1)
    return np.insert(x, at, ends[gaps]), np.insert(y, at, np.nan, axis=0)


def _show_time(axes: Axes) -> None:
    start_s, end_s = axes.get_xlim()
    axes.set_xlabel('time [s]')
    if end_s - start_s > 59.0:
        axes.set_xlabel('time [min:s]')
        axes.xaxis.set_major_formatter(lambda s, _: f'{s // 60:.0f}:{s % 60:02.0f}')
