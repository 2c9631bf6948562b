# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How a node is: one level and the reasons for it, from its counters. Free of ROS."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from aitable_ros.perception.maths.settings import Settings, setting

CLOCK_MISMATCH_S = 3600.0
"""An image cannot be that old: its stamp comes from another clock (a bag, say)."""


class Level(IntEnum):
    """The levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class HealthLimits(Settings):
    """
    Thresholds.

    :param warn_latency: diagnostics: the median age of the images when their results are
        published is a warning above this [s]
    :param error_latency: diagnostics: and an error above this [s]
    :param min_rate: diagnostics: input below this rate is a warning; 0: any rate will do [Hz]
    :param max_overtaken_share: diagnostics: it is a warning when a larger share of the inputs of
        the last 5 s was overtaken by newer ones
    :param stale_after: diagnostics: no input for this long is a warning [s]
    :raises ValueError: when one is out of range, or the error latency below the warning's.
    """

    warn_latency: float = setting(0.5, 0, 3600)
    error_latency: float = setting(2.0, 0, 3600)
    min_rate: float = setting(1.0, 0, 1000)
    max_overtaken_share: float = setting(0.8, 0, 1)
    stale_after: float = setting(3.0, 0, 3600)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.error_latency < self.warn_latency:
            raise ValueError(
                f'error_latency ({self.error_latency:g}) is below '
                f'warn_latency ({self.warn_latency:g})'
            )


@dataclass(frozen=True)
class Vitals:
    """
    What the level depends on. Counts are those of the last seconds.

    :param state: label of the lifecycle state.
    :param problem: why the node is not configured; empty: nothing is wrong.
    :param problem_is_error: False: the system can do without this node.
    :param reload_problem: why the last reload failed; empty: it did not.
    :param notice: what else a subclass warns of; empty: nothing.
    :param idle_s: time since the last input, or since the node was activated [s].
    :param settled: whether it has been active for long enough to judge rates.
    :param latency_s: median age of the images when their results were published [s]; NaN: none.
    :param overtaken: inputs that were replaced by newer ones.
    :param malformed: images that could not be decoded.
    :param last_error: text of the latest failure.
    """

    state: str
    enabled: bool = True
    problem: str = ''
    problem_is_error: bool = True
    reload_problem: str = ''
    notice: str = ''
    needs_input: bool = True
    idle_s: float = 0.0
    settled: bool = True
    input_rate_hz: float = 0.0
    latency_s: float = math.nan
    inputs: int = 0
    overtaken: int = 0
    malformed: int = 0
    failures: int = 0
    outputs: int = 0
    last_error: str = ''

    @property
    def overtaken_share(self) -> float:
        """Share of the inputs that were overtaken, 0..1."""
        return self.overtaken / self.inputs if self.inputs else 0.0


def judge(vitals: Vitals, limits: HealthLimits) -> tuple[Level, str]:
    """
    Give the level of a node and why.

    :returns: the highest level that applies, and all reasons for a level, the worst first.
    """
    if vitals.problem:
        return Level.ERROR if vitals.problem_is_error else Level.WARN, vitals.problem
    if vitals.state != 'active':
        return Level.WARN, f'not active: {vitals.state}'
    if not vitals.enabled:
        return Level.OK, 'disabled'
    findings = sorted(_findings(vitals, limits), key=lambda finding: -finding[0])
    if not findings:
        waiting = vitals.needs_input and vitals.inputs == 0
        return Level.OK, 'waiting for input' if waiting else 'running'
    return findings[0][0], '; '.join(reason for _, reason in findings)


def _findings(vitals: Vitals, limits: HealthLimits) -> Iterator[tuple[Level, str]]:
    if vitals.failures:
        level = Level.WARN if vitals.outputs else Level.ERROR
        yield level, f'{vitals.failures} inputs failed: {vitals.last_error}'
    if vitals.malformed:
        yield Level.WARN, f'{vitals.malformed} malformed images'
    if vitals.reload_problem:
        yield Level.WARN, f'reload failed, the old one goes on: {vitals.reload_problem}'
    if vitals.notice:
        yield Level.WARN, vitals.notice
    if vitals.needs_input and vitals.idle_s > limits.stale_after:
        yield Level.WARN, f'no input for {vitals.idle_s:.0f} s'
    elif vitals.settled and vitals.inputs and vitals.input_rate_hz < limits.min_rate:
        yield Level.WARN, f'input comes at {vitals.input_rate_hz:.1f} Hz'
    if vitals.overtaken_share > limits.max_overtaken_share:
        yield Level.WARN, f'{vitals.overtaken_share:.0%} of the inputs are overtaken'
    latency_s = vitals.latency_s  # comparisons with NaN are false
    if abs(latency_s) > CLOCK_MISMATCH_S:
        text = 'stamps are not of this clock, latency is unknown: a bag without use_sim_time?'
        yield Level.WARN, text
    elif latency_s > limits.warn_latency:
        level = Level.ERROR if latency_s > limits.error_latency else Level.WARN
        yield level, f'latency {latency_s * 1e3:.0f} ms'
