# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The page of one recording: who was there, how awake, where they looked, how they sat."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from aitable_ros.perception.fatigue.level import LevelSettings
from aitable_ros.tools.report.charts import Timeline, share_bar
from aitable_ros.tools.report.digest import summed
from aitable_ros.tools.report.shell import lasting, page, rows, safe, section, tile
from aitable_ros.tools.report.words import (
    EVENTS,
    EXPRESSIONS,
    LEVELS,
    MARKED,
    POSTURES,
    PRESENCE,
    SEEING,
    ZONES,
)

Kinds = Mapping[str, tuple[str, str]]

PEOPLE_SHOWN = 8
"""So many have a timeline of their own, those who were there longest."""

COLUMNS_DRAWN = 360
"""A timeline has no more columns: bins are put together."""

PERCLOS_TOP, BLINKS_TOP = 0.3, 30.0
"""Upper edges of the curves; they grow with what is to be shown."""

GROUPS: tuple[tuple[str, Kinds], ...] = (
    ('Level', LEVELS),
    ('Looks', ZONES),
    ('Expression', EXPRESSIONS),
    ('Posture', POSTURES),
)


def recording_page(
    content: Mapping[str, Any], pictures: Sequence[tuple[float, bytes]] = ()
) -> str:
    """
    Return the page of a recording.

    :param content: of :meth:`~aitable_ros.tools.report.digest.Digest.content`.
    :param pictures: stamp [s] and JPEG of each.
    """
    name = content['recording']
    if content['start_s'] is None:
        return page(name, f'<h1>{safe(name)}</h1><p>There is no image in it.</p>')
    by_person: dict[str, list[Mapping[str, Any]]] = {}
    for one in content['bins']:
        by_person.setdefault(one['person'], []).append(one)
    camera = by_person.pop('', [])
    people = {person: summed(bins) for person, bins in by_person.items()}
    longest = sorted(people, key=lambda person: -_of(people[person], 'present_s'))
    shown = [one for one in longest if _of(people[one], 'present_s') > 0.0][:PEOPLE_SHOWN]
    problems = ''.join(f'<li>{safe(one)}</li>' for one in content.get('problems', ()))
    left = len([one for one in people if _of(people[one], 'present_s') > 0.0]) - len(shown)
    return page(
        name,
        _head(content),
        section('It is not complete', f'<ul class="plain">{problems}</ul>', kind='warn')
        if problems
        else '',
        _tiles(content, summed(content['bins']), summed(camera)),
        *(
            _person(content, person, by_person[person], people[person], len(shown) == 1)
            for person in shown
        ),
        f'<p class="soft">{left} more were there for a shorter time.</p>' if left > 0 else '',
        _film(pictures),
        section('The camera', _camera(content, camera)),
        section('What has happened', _events(content)),
        section('What ran', _backends(content)),
    )


def _head(content: Mapping[str, Any]) -> str:
    start = datetime.fromtimestamp(content['start_s']).astimezone()
    end = datetime.fromtimestamp(content['end_s'])
    table = f'table {safe(content["table"])}, ' if content['table'] else ''
    day = '' if content['start_s'] < 86400 else f'{start:%A, %d %B %Y}, '  # a video has no date
    return (
        f'<h1>{safe(content["recording"])}</h1><p class="soft">{table}{day}{start:%H:%M:%S} to'
        f' {end:%H:%M:%S} ({safe(start.tzname())}), {content["images"]} images</p>'
    )


def _of(total: Mapping[str, float | None], name: str) -> float:
    return total[name] or 0.0


def _shares(total: Mapping[str, float | None], kinds: Kinds) -> dict[str, float]:
    whole_s = sum(_of(total, kind) for kind in kinds)
    return {kind: _of(total, kind) / whole_s for kind in kinds} if whole_s > 0.0 else {}


def _tiles(
    content: Mapping[str, Any],
    total: Mapping[str, float | None],
    camera: Mapping[str, float | None],
) -> str:
    recorded_s = _of(camera, 'recorded_s')
    there_s = recorded_s - _of(camera, 'nobody_s')
    tiles = [
        tile(
            'Somebody was there',
            lasting(there_s),
            f'{there_s / recorded_s:.0%} of {lasting(recorded_s)}' if recorded_s else '',
        )
    ]
    if total['blinks_per_min'] is not None:
        tiles.append(tile('Blinks', f'{total["blinks_per_min"]:.0f}/min', _watched(total)))
    if total['perclos'] is not None:
        measured = [one for one in content['bins'] if 'perclos' in one]
        highest = max(one['perclos'] / one['perclos_valid_s'] for one in measured)
        tiles.append(tile('PERCLOS', f'{total["perclos"]:.1%}', f'highest {highest:.1%}'))
    worst = [kind for kind in LEVELS if _of(total, kind) > 0.0]
    if worst:
        times_s = _of(total, worst[-1])
        tiles.append(tile('Highest level', LEVELS[worst[-1]][0], f'for {lasting(times_s)}'))
    for name, kinds in GROUPS[1:]:
        found = {k: v for k, v in _shares(total, kinds).items() if not k.endswith('unknown_s')}
        if any(found.values()):
            kind = max(found, key=found.__getitem__)
            tiles.append(tile(f'{name}, mostly', kinds[kind][0], f'{found[kind]:.0%} of the time'))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _watched(total: Mapping[str, float | None]) -> str:
    return f'{_of(total, "blink_events"):.0f} in {lasting(_of(total, "blinks_valid_s"))} watched'


def _person(
    content: Mapping[str, Any],
    person: str,
    bins: list[Mapping[str, Any]],
    total: Mapping[str, float | None],
    alone: bool,
) -> str:
    line = Timeline(content['start_s'], content['end_s'])
    columns = _columns(content, bins)
    line.shares('There', _stack(content, columns, PRESENCE, of_time=True), PRESENCE)
    for name, kinds in GROUPS:
        if any(_of(total, kind) for kind in kinds):
            line.shares(name, _stack(content, columns, kinds), kinds)
    if total['perclos'] is not None:
        curve = [(begin_s, end_s, one.get('perclos')) for begin_s, end_s, one in columns]
        top = max([PERCLOS_TOP, *(math.ceil(10 * v) / 10 for _, _, v in curve if v is not None)])
        settings = LevelSettings()
        limits = ((settings.mild_perclos, 'mild'), (settings.severe_perclos, 'severe'))
        percent = [(a, b, None if v is None else 100 * v) for a, b, v in curve]
        line.curve('PERCLOS', percent, 100 * top, ' %', [(100 * v, word) for v, word in limits])
    if total['blinks_per_min'] is not None:
        rate = _blink_rate(content, bins)
        top = max([BLINKS_TOP, *(10 * math.ceil(v / 10) for _, _, v in rate if v is not None)])
        line.curve('Blinks a minute', rate, top, '')
    events = [one for one in content['events'] if one['person'] in (person, *[''] * alone)]
    for kind, name in MARKED.items():
        told = [one for one in events if one['kind'] == kind]
        if told:
            line.marks(f'{name}: {len(told)}', EVENTS[kind][1], map(_mark, told))
    there_s = _of(total, 'present_s')
    shares = ''.join(
        f'<div><h3>{name}</h3>{share_bar(_shares(total, kinds), kinds)}</div>'
        for name, kinds in GROUPS
        if any(_of(total, kind) for kind in kinds)
    )
    return section(
        f'{person}, there for {lasting(there_s)}',
        f'<div class="wide">{line.svg(f"What was read of {person} over time")}</div>'
        f'<div class="shares">{shares}</div>',
    )


def _columns(
    content: Mapping[str, Any], bins: list[Mapping[str, Any]]
) -> list[tuple[float, float, Mapping[str, Any]]]:
    """Put bins together, so many that they can be drawn; give begin, end and sums of each."""
    span_s = content['end_s'] - content['start_s']
    width_s = content['bin_s'] * max(1, math.ceil(span_s / content['bin_s'] / COLUMNS_DRAWN))
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for one in bins:
        grouped.setdefault(int(one['start_s'] // width_s), []).append(one)
    return [
        (k * width_s, (k + 1) * width_s, {n: v for n, v in summed(group).items() if v is not None})
        for k, group in sorted(grouped.items())
    ]


def _stack(
    content: Mapping[str, Any],
    columns: Sequence[tuple[float, float, Mapping[str, Any]]],
    kinds: Kinds,
    *,
    of_time: bool = False,
) -> list[tuple[float, float, dict[str, float]]]:
    """Turn sums into shares of each column: of what was read, or of the time that was recorded."""
    stacked = []
    for begin_s, end_s, one in columns:
        left_s, right_s = max(begin_s, content['start_s']), min(end_s, content['end_s'])
        read_s = sum(one.get(kind, 0.0) for kind in kinds)
        whole_s = max(right_s - left_s if of_time else read_s, read_s)
        if read_s > 0.0:
            shares = {kind: one.get(kind, 0.0) / whole_s for kind in kinds}
            stacked.append((begin_s, end_s, shares))
    return stacked


def _blink_rate(
    content: Mapping[str, Any], bins: list[Mapping[str, Any]]
) -> list[tuple[float, float, float | None]]:
    """Count blinks by the minute, or by more of them where there are many."""
    span_s = content['end_s'] - content['start_s']
    width_s = 60.0 * max(1, math.ceil(span_s / 60.0 / COLUMNS_DRAWN))
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for one in bins:
        grouped.setdefault(int(one['start_s'] // width_s), []).append(one)
    rates = []
    for k, group in sorted(grouped.items()):
        total = summed(group)
        # of a few seconds nobody can tell
        enough = _of(total, 'blinks_valid_s') >= content['bin_s']
        rates.append((k * width_s, (k + 1) * width_s, total['blinks_per_min'] if enough else None))
    return rates


def _mark(event: Mapping[str, Any]) -> tuple[float, float, str]:
    lasted_s = event['duration_s'] or 0.0
    if event['kind'] == 'left':  # its duration is how long the person was there
        begin_s, lasted_s = event['start_s'] + lasted_s, 0.0
    else:
        begin_s = event['start_s']
    return begin_s, lasted_s, f'{_clock(begin_s)} {_said(event)}'


def _said(event: Mapping[str, Any]) -> str:
    word = EVENTS[event['kind']][0]
    what = f': {event["what"].replace("_", " ")}' if event['what'] else ''
    lasted_s = event['duration_s']
    return f'{word}{what}' + ('' if lasted_s is None else f', {lasting_finely(lasted_s)}')


def lasting_finely(seconds: float) -> str:
    """Say a length of time, tenths of a second too where it is short."""
    return f'{seconds:.1f} s' if seconds < 10 else lasting(seconds)


def _events(content: Mapping[str, Any]) -> str:
    counts: dict[str, int] = {}
    for one in content['events']:
        counts[one['kind']] = counts.get(one['kind'], 0) + 1
    if not counts:
        return ''
    told = ', '.join(
        f'{EVENTS[kind][0] if kind in EVENTS else "blink"}: {count}'
        for kind, count in sorted(counts.items(), key=lambda pair: -pair[1])
    )
    body = [
        (_clock(_mark(one)[0]), safe(one['person']), safe(_said(one)))
        for one in content['events']
        if one['kind'] in EVENTS
    ]
    table = rows(('when', 'who', 'what'), body)
    return f'<p>{safe(told)}</p><details><summary>All but blinks</summary>{table}</details>'


def _camera(content: Mapping[str, Any], bins: list[Mapping[str, Any]]) -> str:
    if not bins:
        return ''
    line = Timeline(content['start_s'], content['end_s'])
    columns = _columns(content, bins)
    line.shares('The image is', _stack(content, columns, SEEING), SEEING)
    total = summed(bins)
    return (
        f'<div class="wide">{line.svg("What could be seen in the images over time")}</div>'
        f'{share_bar(_shares(total, SEEING), SEEING)}'
    )


def _film(pictures: Sequence[tuple[float, bytes]]) -> str:
    figures = ''.join(
        f'<figure><img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
        f'<figcaption>{_clock(stamp_s)}</figcaption></figure>'
        for stamp_s, jpeg in pictures
    )
    return section('Pictures', f'<div class="film">{figures}</div>') if figures else ''


def _backends(content: Mapping[str, Any]) -> str:
    lines = [f'<li>{safe(one)}</li>' for one in content['backends']]
    lines += [
        f'<li>{safe(name)} did not run: {safe(why)}</li>'
        for name, why in content.get('skipped', {}).items()
    ]
    return f'<ul class="plain">{"".join(lines)}</ul>' if lines else ''


def _clock(at_s: float) -> str:
    return f'{datetime.fromtimestamp(at_s):%H:%M:%S}'
