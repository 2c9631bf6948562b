# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The page of many recordings: per table and day, and what somebody should look after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aitable_ros.tools.report.digest import summed
from aitable_ros.tools.report.shell import badge, lasting, page, rows, safe, section, tile
from aitable_ros.tools.report.words import LEVELS, SEEING

BADLY_SEEN = 0.2
"""A camera that saw badly for more than this share of the time is named."""

DAY_S = 86400
QUARTER_S = 900


@dataclass
class Entry:
    """
    What the page keeps of a recording: all of a building's need not be in memory.

    :param name: of the recording.
    :param link: its own page; empty: it has none.
    """

    name: str
    link: str
    table: str
    start_s: float
    total: dict[str, float | None]
    backends: tuple[str, ...]
    problems: tuple[str, ...]
    people: int
    quarters: dict[int, Counter[str]] = field(default_factory=dict)


def entry_of(content: Mapping[str, Any], link: str) -> Entry | None:
    """Return what is kept of a recording; None: there is no image in it."""
    if content['start_s'] is None:
        return None
    quarters: dict[int, Counter[str]] = {}
    for one in content['bins']:
        into = quarters.setdefault(int(one['start_s'] // (QUARTER_S)), Counter())
        into.update({k: v for k, v in one.items() if k.endswith('_s') and k != 'start_s'})
    present = {one['person'] for one in content['bins'] if one.get('present_s')}
    return Entry(
        content['recording'],
        link,
        content['table'],
        content['start_s'],
        summed(content['bins']),
        tuple(content['backends']),
        tuple(content.get('problems', ())),
        len(present),
        quarters,
    )


def fleet_page(title: str, entries: Sequence[Entry], outcomes: Sequence[Mapping[str, Any]]) -> str:
    """
    Return the page.

    :param title: of the page.
    :param entries: of the recordings.
    :param outcomes: what became of each, as ``process_bags`` writes it.
    """
    days = sorted({_day(one.start_s) for one in entries})
    cells: dict[tuple[str, str], list[Entry]] = {}
    for one in entries:
        cells.setdefault((one.table, _day(one.start_s)), []).append(one)
    tables = sorted({table for table, _ in cells})
    recorded_s = sum(_of(one.total, 'recorded_s') for one in entries)
    there_s = recorded_s - sum(_of(one.total, 'nobody_s') for one in entries)
    failed = [one for one in outcomes if one['status'] == 'failed']
    tiles = (
        tile('Tables', str(len(tables)), f'{len(days)} days' if len(days) != 1 else '1 day'),
        tile('Recorded', lasting(recorded_s), f'{len(entries)} recordings'),
        tile(
            'Somebody was there',
            f'{there_s / recorded_s:.0%}' if recorded_s else '-',
            lasting(there_s),
        ),
        tile('Failed', str(len(failed)), 'recordings without a result'),
    )
    hours = _hours(entries)
    grid = rows(
        ('Table', *days),
        [
            (
                f'<b>{safe(table)}</b>',
                *(_cell(cells.get((table, day), []), hours) for day in days),
            )
            for table in tables
        ],
    )
    legend = ''.join(
        f'<li><i style="background:{colour}"></i>{safe(word)}</li>'
        for word, colour in LEVELS.values()
    )
    return page(
        title,
        f'<h1>{safe(title)}</h1>',
        f'<div class="tiles">{"".join(tiles)}</div>',
        _needs_a_look(cells, entries, failed),
        section(
            'Tables and days',
            grid,
            f'<p class="soft">From {hours[0]}:00 to {hours[1]}:00: when somebody was there, and'
            ' how awake they were; grey: recorded, nobody was there.</p>'
            f'<ul class="legend">{legend}</ul>',
        ),
        section('What runs where', _backends(entries)),
        section('Recordings', _recordings(entries)),
    )


def _of(total: Mapping[str, float | None], name: str) -> float:
    return total[name] or 0.0


def _day(at_s: float) -> str:
    return 'without a date' if at_s < DAY_S else f'{datetime.fromtimestamp(at_s):%Y-%m-%d}'


def _seen_badly(entries: Sequence[Entry]) -> dict[str, float]:
    """Return for how much of the time images were dark or the like."""
    whole_s = sum(_of(one.total, 'recorded_s') for one in entries)
    shares = {
        kind: sum(_of(one.total, kind) for one in entries) / whole_s if whole_s else 0.0
        for kind in list(SEEING)[1:]
    }
    return {kind: share for kind, share in shares.items() if share > BADLY_SEEN}


def _saw_nobody(entries: Sequence[Entry]) -> bool:
    return all(_of(one.total, 'nobody_s') >= _of(one.total, 'recorded_s') for one in entries)


def _needs_a_look(
    cells: Mapping[tuple[str, str], Sequence[Entry]],
    entries: Sequence[Entry],
    failed: Sequence[Mapping[str, Any]],
) -> str:
    lines = [f'<b>{safe(one["name"])}</b> failed: {safe(one["reason"])}' for one in failed]
    lines += [
        f'<b>{safe(one.name)}</b> is not complete: {safe("; ".join(one.problems))}'
        for one in entries
        if one.problems
    ]
    for (table, day), found in sorted(cells.items()):
        where = f'<b>{safe(table)}</b>, {day}'
        lines += [
            f'{where}: the image was {SEEING[kind][0]} for {share:.0%} of the time'
            for kind, share in _seen_badly(found).items()
        ]
        if _saw_nobody(found):
            recorded_s = sum(_of(one.total, 'recorded_s') for one in found)
            lines.append(f'{where}: nobody was seen in {lasting(recorded_s)}')
    if not lines:
        return section('Needs a look', '<p>Nothing.</p>')
    listed = ''.join(f'<li>{line}</li>' for line in lines)
    return section('Needs a look', f'<ul class="plain">{listed}</ul>', kind='warn')


def _hours(entries: Sequence[Entry]) -> tuple[int, int]:
    """Return between which hours of the day there were recordings."""
    used = [
        datetime.fromtimestamp(quarter * QUARTER_S).hour
        for one in entries
        for quarter in one.quarters
    ]
    return min(used, default=0), max(used, default=23) + 1


def _cell(entries: Sequence[Entry], hours: tuple[int, int]) -> str:
    """Draw a day of a table."""
    if not entries:
        return '<span class="soft">no recording</span>'
    quarters: dict[int, Counter[str]] = {}
    for one in entries:
        for quarter, sums in one.quarters.items():
            quarters.setdefault(quarter, Counter()).update(sums)
    midnight = datetime.fromtimestamp(entries[0].start_s).replace(hour=0, minute=0, second=0)
    first = int(midnight.timestamp() // QUARTER_S) + 4 * hours[0]
    columns = 4 * (hours[1] - hours[0])
    parts = []
    for quarter, sums in sorted(quarters.items()):
        at, bottom = quarter - first, 10.0
        if not 0 <= at < columns:
            continue  # it went on after midnight
        read_s = sum(sums[kind] for kind in LEVELS)
        whole_s = sums['recorded_s']
        parts.append(f'<rect class="lane" x="{at}" width="1" height="10"/>')
        there = 1.0 - sums['nobody_s'] / whole_s if whole_s else 0.0
        for kind, (_, colour) in LEVELS.items():
            height = 10 * there * sums[kind] / read_s if read_s else 0.0
            if height > 0.0:
                bottom -= height
                parts.append(
                    f'<rect x="{at}" y="{bottom:.2f}" width="1" height="{height:.2f}"'
                    f' fill="{colour}"/>'
                )
    recorded_s = sum(_of(one.total, 'recorded_s') for one in entries)
    there_s = recorded_s - sum(_of(one.total, 'nobody_s') for one in entries)
    worst = [k for k in LEVELS if any(_of(one.total, k) > 0.0 for one in entries)]
    told = [badge('nobody', bad=True)] if _saw_nobody(entries) else []
    told += [badge(SEEING[kind][0], bad=True) for kind in _seen_badly(entries)]
    if worst and not _saw_nobody(entries):
        word, colour = LEVELS[worst[-1]]
        told.append(badge(word, colour=colour))
    return (
        f'<div class="day"><svg viewBox="0 0 {columns} 10" preserveAspectRatio="none" role="img"'
        f' aria-label="when somebody was there">{"".join(parts)}</svg>'
        f'<small>{lasting(there_s)} of {lasting(recorded_s)}</small> {"".join(told)}</div>'
    )


def _backends(entries: Sequence[Entry]) -> str:
    where: dict[str, Counter[str]] = {}
    for one in entries:
        for backend in one.backends:
            where.setdefault(backend, Counter())[one.table] += 1
    everywhere = {one.table for one in entries}
    body = []
    for backend, tables in sorted(where.items()):
        missing = sorted(everywhere - set(tables))
        if not missing:
            on = 'all tables'
        elif len(missing) < len(tables):
            on = f'all tables but {", ".join(missing)}'
        else:
            on = ', '.join(sorted(tables))
        body.append((safe(backend), safe(on), f'{sum(tables.values())} recordings'))
    return rows(('network: backend', 'on', 'in'), body) if body else ''


def _recordings(entries: Sequence[Entry]) -> str:
    body = []
    for one in sorted(entries, key=lambda one: (one.table, one.start_s, one.name)):
        name = f'<a href="{safe(one.link)}">{safe(one.name)}</a>' if one.link else safe(one.name)
        recorded_s = _of(one.total, 'recorded_s')
        nobody_s = _of(one.total, 'nobody_s')
        there = f'{1 - nobody_s / recorded_s:.0%}' if recorded_s else '-'
        blinks, perclos = one.total['blinks_per_min'], one.total['perclos']
        worst = [kind for kind in LEVELS if _of(one.total, kind) > 0.0]
        level = badge(LEVELS[worst[-1]][0], colour=LEVELS[worst[-1]][1]) if worst else '-'
        body.append(
            (
                name,
                f'{datetime.fromtimestamp(one.start_s):%Y-%m-%d %H:%M}'
                if one.start_s >= DAY_S
                else '-',
                lasting(recorded_s),
                there,
                str(one.people),
                '-' if blinks is None else f'{blinks:.0f}',
                '-' if perclos is None else f'{perclos:.1%}',
                level,
            )
        )
    head = ('Recording', 'Begin', 'Length', 'Somebody there', 'People', 'Blinks a minute')
    return rows((*head, 'PERCLOS', 'Highest level'), body)
