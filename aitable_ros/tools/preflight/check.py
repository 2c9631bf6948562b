# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What preflight finds, and how it is told to people and to machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, TextIO

from aitable_ros import __version__

PROBE_TIMEOUT_S = 60.0
"""A process of its own, in which something is tried, is killed after this time."""


class Status(IntEnum):
    """How a check came out; its value is the exit status when nothing is worse."""

    OK = 0
    WARNING = 1
    ERROR = 2


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
    """Print findings for people; lines are not broken, so that commands in them can be copied."""
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(
            f'{check.status.name.lower():<7}  {check.name:<{width}}  {check.summary}', file=stream
        )
        if check.advice:
            print(f'{"":<{width + 9}}  -> {check.advice}', file=stream)
    ok, warnings, errors = (sum(check.status is each for check in checks) for each in Status)
    counts = f'{ok} ok, {warnings} with warnings, {errors} with errors'
    print(f'{len(checks)} checks: {counts}', file=stream)
