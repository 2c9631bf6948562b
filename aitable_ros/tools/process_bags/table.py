# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The one table of all recordings: a row a person and minute, as CSV and Parquet."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from aitable_ros.tools.process_bags.jobs import read_record
from aitable_ros.tools.report.digest import COLUMNS, EVENTS, minutes

NAME = 'minutes'
_TEXTS = ('recording', 'table', 'day', 'person')


def write_tables(folder: Path, records: Iterable[Path]) -> str:
    """
    Write ``minutes.csv``, and ``minutes.parquet`` where PyArrow is installed.

    :param records: of the recordings, in the order of the rows.
    :returns: why there is no Parquet file; empty: there is.
    :raises OSError: when one cannot be written; what was there stays.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        why = 'no minutes.parquet: pip install -r requirements/fleet.txt'
    else:
        why = ''
    with _whole(folder / f'{NAME}.csv') as file:
        text = io.TextIOWrapper(file, encoding='utf-8', newline='', write_through=True)
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        kept = list(records)
        for rows in _rows(kept):
            writer.writerows({name: _text(row[name]) for name in COLUMNS} for row in rows)
        text.detach()
    if not why:
        with _whole(folder / f'{NAME}.parquet') as file:
            _write_parquet(file, _rows(kept))
    return why


def _rows(records: Iterable[Path]) -> Iterator[list[dict[str, Any]]]:
    """Give the rows of a recording after the other: all of a building need not be in memory."""
    for path in records:
        content = read_record(path)
        if content is not None:
            yield minutes(content)


def _write_parquet(file: BinaryIO, groups: Iterable[Sequence[Mapping[str, Any]]]) -> None:
    import pyarrow
    from pyarrow import parquet

    kinds: dict[str, Any] = dict.fromkeys(COLUMNS, pyarrow.float64())
    kinds |= dict.fromkeys(_TEXTS, pyarrow.string()) | dict.fromkeys(EVENTS, pyarrow.int64())
    kinds['minute'] = pyarrow.timestamp('s', tz='UTC')
    schema = pyarrow.schema(list(kinds.items()))
    with parquet.ParquetWriter(file, schema) as writer:
        for rows in groups:
            typed = [
                {
                    **row,
                    **{name: int(row[name]) for name in EVENTS},
                    'minute': datetime.fromisoformat(row['minute'].replace('Z', '+00:00')),
                }
                for row in rows
            ]
            writer.write_table(pyarrow.Table.from_pylist(typed, schema))


def _text(value: Any) -> Any:
    if value is None:
        return ''
    return f'{value:.6g}' if isinstance(value, float) else value


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its place when it is whole."""
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        with temporary.open('wb') as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
