# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmark found, and on what machine: to be kept, and printed for people."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aitable_ros import __version__
from aitable_ros.inference.engine import InferenceError
from aitable_ros.tools.benchmark.memory import growth_of
from aitable_ros.tools.benchmark.runners import TORCH, TORCH_REFERENCE
from aitable_ros.tools.support.installed import version_of

_MB = 1e6
_GAP = '  '


@dataclass
class Report:
    """
    What was found.

    :param environment: of the machine and its software.
    :param models: for each network, its rows and what was left out.
    :param endurance: results of ``--soak`` and ``--cycles``.
    :param failures: what is not as it must be; any makes the exit status 1.
    """

    environment: dict[str, Any]
    models: list[dict[str, Any]] = field(default_factory=list)
    endurance: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def describe_environment(threads: int) -> dict[str, Any]:
    """
    Name the machine and the software that the figures depend on.

    :param threads: of CPU backends.
    """
    environment: dict[str, Any] = {'aitable': __version__, 'machine': platform.machine()}
    with contextlib.suppress(OSError):
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace')
        names = [line.partition(':')[2] for line in text.splitlines() if 'model name' in line]
        if names:
            environment['cpu'] = f'{names[0].strip()} ({os.cpu_count()} cores)'
    with contextlib.suppress(OSError):
        model = Path('/proc/device-tree/model').read_bytes()
        environment['board'] = model.rstrip(b'\0').decode(errors='replace')
    with contextlib.suppress(InferenceError):
        from aitable_ros.inference.tensorrt.cuda import open_device

        environment['gpu'] = open_device().name
    environment['python'] = platform.python_version()
    for name in ('numpy', 'onnxruntime', 'ai-edge-litert', 'tensorrt', 'pycuda', 'torch'):
        version = version_of(name)
        if version:
            environment[name] = version
    environment['threads'] = threads
    return environment


def print_model(model: Mapping[str, Any], problem: str = '') -> None:
    """
    Print the tables of one network.

    :param model: an entry of :attr:`Report.models`.
    :param problem: why there is no reference, where there is none.
    """
    print(f'\n{model["model"]}: {", ".join(model["inputs"])} -> {", ".join(model["outputs"])}')
    rows = model['rows']
    timed = [(row['backend'], cell) for row in rows for cell in row['batches']]
    if timed:
        _print_timed(timed)
    loaded = [row for row in rows if row['loading']]
    if loaded:
        print()
        titles = ('backend', 'load s', 'RSS MB', 'GPU MB', 'another: s', 'RSS MB', 'GPU MB', '')
        _print_columns([titles, *map(_loading_cells, loaded)], left=(0, 7))
    if timed and model['reference']:
        others = f'{model["images"] - model["crops"]} of noise, black and white'
        images = f'{others} (no face: scikit-image is not installed)'
        if model['crops']:
            images = f'{model["crops"]} pictures of a face; on {others}'
        print(f'difference: at worst, from {model["reference"]}; on {images}')
    elif timed:
        print(f'no reference: {problem}')
    if any(backend.startswith(TORCH) for backend, _ in timed):
        print(f'of PyTorch, with random weights: from {TORCH_REFERENCE}')
    for reason in model['left_out']:
        print(f'left out: {reason}')


def _loading_cells(row: Mapping[str, Any]) -> list[str]:
    cells = [row['backend']]
    for entry in (row['loading']['first'], row['loading']['another']):
        gpu = f'{entry["gpu_bytes"] / _MB:.1f}' if 'gpu_bytes' in entry else '-'
        cells += [f'{entry["seconds"]:.3f}', f'{entry["rss_bytes"] / _MB:.1f}', gpu]
    precision = f' ({row["precision"]})' if row.get('precision') else ''
    return [*cells, Path(row.get('file', '')).name + precision]


def _print_timed(timed: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Print one table; on a terminal that is too narrow, one of times, one of differences."""
    header = ('batch', 'p50 ms', 'p90 ms', 'p99 ms', 'device ms', 'images/s', 'runs')
    table: list[tuple[str, ...]] = [('backend', *header, 'difference', 'on noise')]
    table += [(backend, *_timing_cells(cell)) for backend, cell in timed]
    width = sum(max(map(len, column)) + len(_GAP) for column in zip(*table)) - len(_GAP)
    narrow = sys.stdout.isatty() and width > shutil.get_terminal_size().columns
    _print_columns([row[:8] for row in table] if narrow else table, left=(0, 8, 9))
    _print_ratios(timed)
    if narrow:
        print()
        _print_columns([(*row[:2], *row[8:]) for row in table], left=(0, 2, 3))


def _timing_cells(cell: Mapping[str, Any]) -> tuple[str, ...]:
    def milliseconds(value: float | None) -> str:
        return '-' if value is None else f'{value:.3f}' if value < 10 else f'{value:.1f}'

    def difference(value: Mapping[str, Any] | None) -> str:
        if value is None:
            return '-'
        if value['absolute'] is None:
            return f'{value["output"]} not finite'
        if not value['absolute']:
            return '0'
        relative = f'{value["relative"]:.3%}' if value['relative'] >= 1e-5 else '<0.001%'
        return f'{value["output"]} {value["absolute"]:.2g} ({relative})'

    return (
        str(cell['batch']),
        *(milliseconds(cell[key]) for key in ('p50_ms', 'p90_ms', 'p99_ms', 'device_p50_ms')),
        f'{cell["images_per_s"]:.1f}',
        str(cell['runs']),
        *(difference(cell[key]) for key in ('difference', 'noise_difference')),
    )


def _print_ratios(timed: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Say how many times as long as the fastest each takes, at the smallest batch."""
    batch = min(cell['batch'] for _, cell in timed)
    (least, fastest), *others = sorted(
        (cell['p50_ms'], backend) for backend, cell in timed if cell['batch'] == batch
    )
    if others:
        ratios = ', '.join(f'{backend} {time_ms / least:.2f}' for time_ms, backend in others)
        print(f'batch {batch}, times as long as {fastest}: {ratios}')


def print_endurance(entry: Mapping[str, Any]) -> None:
    """
    Print the result of ``--soak`` or ``--cycles``.

    :param entry: of :attr:`Report.endurance`.
    """
    samples = entry['samples']
    parts = []
    for key, (before, after, growth) in growth_of(samples).items():
        if key.endswith('_bytes'):
            title = {'rss_bytes': 'RSS', 'gpu_bytes': 'GPU memory'}[key]
            parts.append(f'{title} {before / _MB:.1f} -> {after / _MB:.1f} MB ({growth:+.2%})')
        else:
            parts.append(f'{key.replace("_", " ")} {before} -> {after}')
    if 'changed_answers' in entry:
        parts.append(f'{entry["changed_answers"]} answers changed')
    print(
        f'\n{entry["model"]} on {entry["backend"]}, {entry["kind"]}, after {samples[0]["after"]}'
        f' and {samples[-1]["after"]} ({entry["seconds"] / entry["count"] * 1e3:.3f} ms each):'
        f' {", ".join(parts)}'
    )


def _print_columns(table: Sequence[Sequence[str]], left: Sequence[int]) -> None:
    widths = [max(map(len, column)) for column in zip(*table)]
    for row in table:
        cells = [
            f'{cell:<{width}}' if column in left else f'{cell:>{width}}'
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        print(_GAP.join(cells).rstrip())
