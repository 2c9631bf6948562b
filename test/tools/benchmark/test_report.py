# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from typing import Any

import pytest

from aitable_ros.tools.benchmark.report import print_endurance, print_model

CELL: dict[str, Any] = {
    'batch': 1,
    'runs': 300,
    'p50_ms': 0.251,
    'p90_ms': 0.27,
    'p99_ms': None,
    'device_p50_ms': 0.24,
    'images_per_s': 3938.8,
    'difference': {'output': 'presence', 'absolute': 0.12, 'relative': 0.0038},
    'noise_difference': {'output': 'presence', 'absolute': None, 'relative': None},
}
LOADING = {'seconds': 0.14, 'rss_bytes': 206_000_000, 'gpu_bytes': 25_200_000}
ROW: dict[str, Any] = {
    'backend': 'tensorrt',
    'file': '/engines/face_mesh.engine',
    'precision': 'fp16',
    'loading': {'first': LOADING, 'another': LOADING},
    'batches': [CELL, {**CELL, 'batch': 2}],
}
MODEL: dict[str, Any] = {
    'model': 'face_mesh',
    'inputs': ['image'],
    'outputs': ['presence'],
    'images': 12,
    'crops': 8,
    'reference': 'the reference',
    'rows': [ROW, {**ROW, 'backend': 'torch fp16 graph nhwc', 'loading': None}],
    'left_out': ['it cannot run on litert'],
}


def printed(
    capsys: pytest.CaptureFixture[str], model: dict[str, Any], problem: str = ''
) -> list[str]:
    print_model(model, problem)
    return capsys.readouterr().out.splitlines()


class TestModel:
    def test_times_differences_and_loading(self, capsys: pytest.CaptureFixture[str]) -> None:
        lines = printed(capsys, MODEL)
        assert lines[1] == 'face_mesh: image -> presence'
        header, first = (' '.join(line.split()) for line in lines[2:4])
        assert header == (
            'backend batch p50 ms p90 ms p99 ms device ms images/s runs difference on noise'
        )
        assert first == (
            'tensorrt 1 0.251 0.270 - 0.240 3938.8 300 presence 0.12 (0.380%) presence not finite'
        )
        (loaded,) = [line for line in lines if line.endswith('face_mesh.engine (fp16)')]
        assert ' '.join(loaded.split()[:7]) == 'tensorrt 0.140 206.0 25.2 0.140 206.0 25.2'
        assert lines[-3].startswith('difference: at worst, from the reference; on 8 pictures')
        assert lines[-2].startswith('of PyTorch, with random weights: from PyTorch')
        assert lines[-1] == 'left out: it cannot run on litert'

    @pytest.mark.parametrize('columns', [80, 100])
    def test_on_a_narrow_terminal_the_tables_fit(
        self, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wide = printed(capsys, MODEL)
        assert max(map(len, wide)) > 100
        monkeypatch.setattr(sys.stdout, 'isatty', lambda: True)
        monkeypatch.setenv('COLUMNS', str(columns))
        lines = printed(capsys, MODEL)
        end = next(
            n for n, line in enumerate(lines) if line.startswith('backend') and 'load' in line
        )
        assert max(map(len, lines[:end])) <= 80
        figures = [word for line in wide[2:7] for word in line.split()]
        assert set(figures) <= {word for line in lines[:end] for word in line.split()}

    def test_where_nothing_was_timed_nothing_is_said_of_differences(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        untimed = {**MODEL, 'rows': [{**ROW, 'batches': []}]}
        assert not [line for line in printed(capsys, untimed) if 'difference' in line]
        without = printed(capsys, {**MODEL, 'reference': None}, 'there is none')
        assert 'no reference: there is none' in without


def test_endurance_tells_from_what_to_what(capsys: pytest.CaptureFixture[str]) -> None:
    rss = [200, 230, 202, 204, 260]
    samples = [
        {'after': n, 'rss_bytes': size * 10**6, 'open_files': 8, 'threads': 4}
        for n, size in enumerate(rss, 1)
    ]
    entry = {'model': 'm', 'backend': 'b', 'kind': 'cycles', 'count': 5, 'seconds': 1.0}
    print_endurance({**entry, 'samples': samples})
    out = capsys.readouterr().out
    assert 'm on b, cycles, after 1 and 5 (200.000 ms each): ' in out
    assert 'RSS 200.0 -> 202.0 MB (+1.00%), open files 8 -> 8, threads 4 -> 4' in out
