# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Where process_bag may write, and a table that appears when it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from aitable_ros.bags import BagError


@contextmanager
def table_file(csv: Path | None) -> Iterator[TextIO | None]:
    """
    Give the file of the table, which takes its place when the run has ended well.

    :raises BagError: when it cannot be written.
    """
    if csv is None:
        yield None
        return
    place = Path(os.path.realpath(csv))
    temporary = place.with_name(f'.{place.name}.{os.getpid()}.tmp')
    try:
        try:
            with temporary.open('w', encoding='utf-8', newline='') as file:
                yield file
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BagError(f'{csv} cannot be written: {error.strerror or error}') from error


def check_table(source: Path, target: Path, table: Path | None) -> None:
    """
    Refuse to write a table where a bag is, will be, or anything that is no file.

    :raises BagError: when it would be there.
    """
    if table is None:
        return
    check_apart(source, table)
    check_apart(target, table, 'other output')
    if os.path.lexists(table) and not table.is_file():
        raise BagError(f'{table} is there and no file: not overwriting it')


def check_apart(source: Path, target: Path, what: str = 'input') -> None:
    """
    Refuse to write into what is being read.

    :raises BagError: when the two overlap.
    """
    # unlike resolve() it takes links that go round in circles
    there, here = (Path(os.path.realpath(path)) for path in (source, target))
    if there == here or there in here.parents or here in there.parents:
        raise BagError(f'{target}: the output would lie on the {what} {source}')
