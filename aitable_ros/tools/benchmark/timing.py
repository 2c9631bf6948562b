# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Time runs in turns, and sum them up; needs nothing but NumPy."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

ROUNDS = 10
MIN_RUNS_FOR_P99 = 100

_SETTLE_S = 0.05
"""After a change of turns, runs go untimed for so long, but at most two of them: the caches hold
another network's weights then. A run that takes longer than this fills them itself."""


class Runner(ABC):
    """
    What is timed: a network on a backend.

    ``label`` names it in the table; ``details`` go into the JSON file.
    """

    label: str
    details: dict[str, Any]

    @abstractmethod
    def infer(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray]:
        """Run the network, from images (N, H, W, 3) in ordinary memory to arrays in it."""

    def infer_s(self, images: npt.NDArray[np.uint8]) -> float:
        """Do the same, and return how long it took [s]."""
        start = time.perf_counter()
        self.infer(images)
        return time.perf_counter() - start

    def device_s(self, batch: int) -> float | None:
        """Run what remains without the host's part [s]; None where the backend cannot tell."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Free the network."""


@dataclass
class Cell:
    """
    One backend at one batch size.

    :param batch: number of images of a run.
    :param runs: how many runs are to be timed.
    :param durations_s: of the runs, host to host.
    :param device_s: of what the device alone takes; empty where nothing tells.
    :param difference: from the reference, on images that show what the network is for, as
        :func:`aitable_ros.tools.benchmark.inputs.compare` gives it.
    :param noise_difference: the same on noise, black and white.
    """

    batch: int
    runs: int = 0
    durations_s: list[float] = field(default_factory=list)
    device_s: list[float] = field(default_factory=list)
    difference: dict[str, Any] | None = None
    noise_difference: dict[str, Any] | None = None

    def summary(self) -> dict[str, Any]:
        """Return what goes into the JSON file; None for what cannot be said."""
        p50, p90, p99 = (np.percentile(self.durations_s, [50, 90, 99]) * 1e3).tolist()
        runs = len(self.durations_s)
        return {
            'batch': self.batch,
            'runs': runs,
            'p50_ms': p50,
            'p90_ms': p90,
            'p99_ms': p99 if runs >= MIN_RUNS_FOR_P99 else None,
            'device_p50_ms': float(np.median(self.device_s)) * 1e3 if self.device_s else None,
            'images_per_s': self.batch * runs / sum(self.durations_s),
            'difference': self.difference,
            'noise_difference': self.noise_difference,
        }


def joined(answers: Sequence[Mapping[str, npt.NDArray]]) -> dict[str, npt.NDArray]:
    """Put the answers to several batches together, output by output."""
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


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
                batches = images[cell.batch]
                numbers = range(cell.runs * turn // ROUNDS, cell.runs * (turn + 1) // ROUNDS)
                if not numbers:
                    continue
                start = time.perf_counter()
                runner.infer(batches[0])
                if time.perf_counter() - start <= _SETTLE_S:
                    runner.infer(batches[1 % len(batches)])
                cell.durations_s += [runner.infer_s(batches[n % len(batches)]) for n in numbers]
                for _ in numbers:
                    duration_s = runner.device_s(cell.batch)
                    if duration_s is None:
                        break
                    cell.device_s.append(duration_s)
