# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from aitable_ros.tools.benchmark.memory import growth_of, judge_endurance


class TestGrowth:
    @staticmethod
    def samples(*rss: int) -> list[dict[str, int]]:
        return [{'after': n, 'rss_bytes': value} for n, value in enumerate(rss)]

    def test_a_leak_is_seen(self) -> None:
        samples = self.samples(*range(1000, 1110, 10))
        assert growth_of(samples) == {'rss_bytes': (1000, 1080, pytest.approx(0.08))}
        entry = {'model': 'm', 'backend': 'b', 'kind': 'soak', 'count': 9, 'samples': samples}
        assert judge_endurance(entry, 0.01) == ['m on b: 9 soak: rss_bytes grew by 8.0%']
        assert judge_endurance(entry, 0.1) == []

    def test_a_block_kept_for_a_while_is_none(self) -> None:
        growth = growth_of(self.samples(1000, 1001, 1000, 1040, 1002, 1040))
        assert growth == {'rss_bytes': (1000, 1002, pytest.approx(0.002))}

    def test_a_file_left_open_counts(self) -> None:
        samples = [{'after': n, 'open_files': 8 + n // 5} for n in range(11)]
        entry = {'model': 'm', 'backend': 'b', 'kind': 'cycles', 'count': 9, 'samples': samples}
        assert len(judge_endurance(entry, 0.01)) == 1

    def test_other_answers_count(self) -> None:
        samples = self.samples(1, 1)
        entry = {'model': 'm', 'backend': 'b', 'kind': 'soak', 'count': 9, 'samples': samples}
        assert judge_endurance({**entry, 'changed_answers': 0}, 0.01) == []
        assert len(judge_endurance({**entry, 'changed_answers': 1}, 0.01)) == 1
