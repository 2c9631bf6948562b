# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What preflight found, for people and for machines."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

from aitable_ros import __version__
from aitable_ros.tools.preflight_check import Check, Status

_WRAP_WIDTH = 100
_MIN_WIDTH = 60
_COLOURS = {Status.OK: '32', Status.WARNING: '33', Status.ERROR: '31'}


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
