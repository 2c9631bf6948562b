# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the checks of preflight share: the form of a finding, the time that a trial may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

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

    def __post_init__(self) -> None:
        if not self.name or not self.summary:
            raise ValueError(f'a check needs a name and a summary: {self}')


def gigabytes(size: int) -> str:
    """
    Return a size for people.

    :param size: in bytes.
    """
    return f'{size / 1e9:.1f} GB'
