# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Time runs in turns, and sum them up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.tools.benchmark.inputs import Difference
from aitable_ros.tools.benchmark.runners import Runner

ROUNDS = 10

MIN_RUNS_FOR_P99 = 100
_SETTLE_S = 0.05
"""After a change of turns, runs go untimed for so long, but at most two of them: the caches hold
another network's weights then. A run that takes longer than this fills them itself."""


@dataclass
class Cell:
    """
    One backend at one batch size.

    :param batch: number of images of a run.
    :param runs: how many runs are to be timed.
    :param durations_s: of the runs, host to host.
    :param device_s: of what the device alone takes; empty where nothing tells.
    :param difference: from the reference, on images that show what the network is for.
    :param noise_difference: the same on noise, black and white.
    """

    batch: int
    runs: int = 0
    durations_s: list[float] = field(default_factory=list)
    device_s: list[float] = field(default_factory=list)
    difference: Difference | None = None
    noise_difference: Difference | None = None

    def summary(self) -> dict[str, Any]:
        """Return what goes into the JSON file; None for what cannot be said."""
        p50, p90, p99 = (float(v) for v in np.percentile(self.durations_s, [50, 90, 99]))
        enough = len(self.durations_s) >= MIN_RUNS_FOR_P99
        return {
            'batch': self.batch,
            'runs': len(self.durations_s),
            'p50_ms': p50 * 1e3,
            'p90_ms': p90 * 1e3,
            'p99_ms': p99 * 1e3 if enough else None,
            'device_p50_ms': float(np.median(self.device_s)) * 1e3 if self.device_s else None,
            'images_per_s': self.batch * len(self.durations_s) / sum(self.durations_s),
            'difference': _difference_entry(self.difference),
            'noise_difference': _difference_entry(self.noise_difference),
        }


def _difference_entry(difference: Difference | None) -> dict[str, Any] | None:
    """Return a difference for JSON, which has no infinity: None in its place."""
    if difference is None:
        return None
    return {
        key: value if not isinstance(value, float) or math.isfinite(value) else None
        for key, value in asdict(difference).items()
    }


def time_in_turns(
    runners: Sequence[Runner],
    cells: Mapping[str, Sequence[Cell]],
    images: Mapping[int, Sequence[npt.NDArray[np.uint8]]],
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """
    Time the runs of all cells, in rounds in which each has its turn.

    :param runners: what is timed.
    :param cells: by label; their durations are filled in, as many as their ``runs``.
    :param images: batches to run in turn, by size.
    :param progress: told the number of the round.
    """
    for turn in range(ROUNDS):
        progress(turn + 1)
        for runner in runners:
            for cell in cells[runner.label]:
                first, last = (cell.runs * n // ROUNDS for n in (turn, turn + 1))
                if first == last:
                    continue
                batches = images[cell.batch]
                _settle(runner, batches)
                for index in range(first, last):
                    batch = batches[index % len(batches)]
                    cell.durations_s.append(runner.infer_s(batch))
                for _ in range(first, last):
                    duration_s = runner.device_s(cell.batch)
                    if duration_s is None:
                        break
                    cell.device_s.append(duration_s)


def _settle(runner: Runner, batches: Sequence[npt.NDArray[np.uint8]]) -> None:
    start = time.perf_counter()
    for index in range(2):
        if index and time.perf_counter() - start > _SETTLE_S:
            break
        runner.infer(batches[index % len(batches)])
