# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.tools.benchmark.inputs import Cases, make_cases
from aitable_ros.tools.benchmark.timing import ROUNDS, Cell, Runner, time_in_turns


@pytest.fixture(scope='module')
def cases() -> Cases:
    return make_cases(CONTRACTS['face_detection'])  # a small network


class Recorder(Runner):
    """A runner that remembers when it was called."""

    def __init__(self, label: str, calls: list[tuple[str, int]], on_device: bool = False) -> None:
        self.label, self.calls, self.on_device = label, calls, on_device
        self.details: dict[str, Any] = {}
        self.launches = 0

    def infer(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray]:
        self.calls.append((self.label, len(images)))
        return {}

    def infer_s(self, images: npt.NDArray[np.uint8]) -> float:
        self.infer(images)
        return 0.001

    def device_s(self, batch: int) -> float | None:
        self.launches += 1
        return 0.001 * batch if self.on_device else None

    def close(self) -> None:
        pass


def test_every_backend_and_batch_has_its_turn_in_every_round(cases: Cases) -> None:
    calls: list[tuple[str, int]] = []
    runners = [Recorder('a', calls), Recorder('b', calls, on_device=True)]
    cells = {label: [Cell(1, 30), Cell(4, 10)] for label in 'ab'}
    rounds: list[int] = []
    time_in_turns(runners, cells, {n: cases.batches(n) for n in (1, 4)}, rounds.append)
    turns = [calls[0]]
    turns += [call for before, call in itertools.pairwise(calls) if call != before]
    assert turns == [('a', 1), ('a', 4), ('b', 1), ('b', 4)] * ROUNDS
    assert rounds == list(range(1, ROUNDS + 1))
    for label in 'ab':
        assert [len(cell.durations_s) for cell in cells[label]] == [30, 10]
    assert [cell.device_s for cell in cells['a']] == [[], []]
    assert [len(cell.device_s) for cell in cells['b']] == [30, 10]


def test_few_runs_are_spread_over_the_rounds(cases: Cases) -> None:
    calls: list[tuple[str, int]] = []
    runner = Recorder('a', calls)
    cells = {'a': [Cell(1, 3)]}
    time_in_turns([runner], cells, {1: cases.batches(1)})
    assert len(cells['a'][0].durations_s) == 3


def test_summary() -> None:
    durations_s = [0.001] * 50 + [0.003] * 50
    summary = Cell(2, durations_s=durations_s, device_s=[0.0005]).summary()
    assert summary['p50_ms'] == pytest.approx(2.0)
    assert summary['p90_ms'] == summary['p99_ms'] == pytest.approx(3.0)
    assert summary['images_per_s'] == pytest.approx(1000.0)
    assert summary['device_p50_ms'] == pytest.approx(0.5)
    few = Cell(2, durations_s=durations_s[:99]).summary()
    assert few['p99_ms'] is None  # it would be no more than the largest
    assert few['device_p50_ms'] is None
