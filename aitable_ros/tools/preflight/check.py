# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What preflight finds, and how it is told to people and to machines."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, TextIO

from aitable_ros import __version__

PROBE_TIMEOUT_S = 60.0
"""A process of its own, in which something is tried, is killed after this time."""

_WRAP_WIDTH = 100
_MIN_WIDTH = 60


class Status(IntEnum):
    """How a check came out; its value is the exit status when nothing is worse."""

    OK = 0
    WARNING = 1
    ERROR = 2


_COLOURS = {Status.OK: '32', Status.WARNING: '33', Status.ERROR: '31'}


@dataclass(frozen=True)
class Check:
    """
    One finding.

    :param name: what was looked at.
    :param status: whether it is as it should be. A warning: it works, but with less, or slower.
    :param summary: what was found.
    :param advice: what to do about it; empty when nothing.
    :param details: the same for machines, in values that JSON can carry; most checks have none.
    """

    name: str
    status: Status
    summary: str
    advice: str = ''
    details: Mapping[str, Any] = field(default_factory=dict)


def as_document(checks: Sequence[Check]) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    worst = max(check.status for check in checks)
    return {
        'aitable_ros': __version__,
        'status': worst.name.lower(),
        'checks': [{**asdict(check), 'status': check.status.name.lower()} for check in checks],
    }


def print_table(checks: Sequence[Check], stream: TextIO) -> None:
    """Print findings for people; in colour, and as wide as it is, on a terminal."""
    terminal = stream.isatty()
    coloured = terminal and not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'
    width = max(shutil.get_terminal_size().columns, _MIN_WIDTH) if terminal else _WRAP_WIDTH
    name_width = max(len(check.name) for check in checks)
    indent = ' ' * (len('warning') + name_width + 4)
    for check in checks:
        label = f'{check.status.name.lower():<7}'
        if coloured:
            label = f'\x1b[{_COLOURS[check.status]}m{label}\x1b[0m'
        texts = [check.summary, *([f'-> {check.advice}'] if check.advice else [])]
        lines = [line for text in texts for line in _wrapped(text, width - len(indent))]
        print(f'{label}  {check.name:<{name_width}}  {lines[0]}', file=stream)
        for line in lines[1:]:
            print(f'{indent}{line}', file=stream)
    counts = Counter(check.status for check in checks)
    print(
        f'{len(checks)} checks: {counts[Status.OK]} ok, {counts[Status.WARNING]} with warnings,'
        f' {counts[Status.ERROR]} with errors',
        file=stream,
    )


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
