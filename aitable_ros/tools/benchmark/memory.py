# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
What loading a network costs, and whether running or reloading it many times lets memory grow.

The functions named ``probe_...`` are for processes of their own, whose memory is that of one
network.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.tools.benchmark.inputs import make_cases
from aitable_ros.tools.benchmark.runners import SPECS, TORCH, Opening

WARM_UP = {'soak': 1000, 'cycles': 10}
SAMPLES = 10
_LAST_SAMPLES = 3

_GPU_BACKENDS = ('tensorrt', 'pytorch', TORCH)


def _prepared(opening: Sequence[Any]) -> tuple[Opening, npt.NDArray[np.uint8]]:
    """Return how the network is opened, and a black image."""
    how = Opening(*opening)
    return how, np.zeros((1, *SPECS[how.model].inputs[0].shape[1:]), np.uint8)


def probe_loading(*opening: Any) -> Iterator[dict[str, Any]]:
    """
    Load a network twice; yield what the first cost, and what the other one did on top.

    The first also brings in the runtime and, on the GPU, what belongs to the process.

    :param opening: the fields of :class:`Opening`, in order.
    """
    how, image = _prepared(opening)
    memory = [_memory(how.label)]
    seconds = []
    with ExitStack() as stack:
        for _ in range(2):
            start = time.perf_counter()
            runner = how.open()
            seconds.append(time.perf_counter() - start)
            stack.callback(runner.close)
            runner.infer(image)
            memory.append(_memory(how.label))
    growth = [
        {key: after[key] - before[key] for key in after if key in before}
        for before, after in itertools.pairwise(memory)
    ]
    yield {
        'first': {'seconds': seconds[0], **growth[0]},
        'another': {'seconds': seconds[1], **growth[1]},
    }


def probe_endurance(kind: str, count: int, *opening: Any) -> Iterator[dict[str, Any]]:
    """
    Run a network many times; yield the memory after the first of them and until the end.

    :param kind: ``soak``: it stays loaded, and how many of the answers that were looked at (every
        100th) differ from the first ones for their image is yielded, too; ``cycles``: it is
        loaded and closed each time.
    :param count: of the runs.
    :param opening: as for :func:`probe_loading`.
    """
    how, image = _prepared(opening)
    first = min(WARM_UP[kind], max(count // SAMPLES, 1))
    looked_at = {first, *(count * n // SAMPLES for n in range(1, SAMPLES + 1))} - {*range(first)}
    samples = []
    result: dict[str, Any] = {'count': count}
    with ExitStack() as stack:
        if kind == 'soak':
            images = make_cases(SPECS[how.model]).batches(1)
            runner = stack.enter_context(contextlib.closing(how.open()))
            wanted = [runner.infer(image) for image in images]
            result['changed_answers'] = 0
        start = time.perf_counter()
        for number in range(1, count + 1):
            if kind == 'cycles':
                with contextlib.closing(how.open()) as loaded:
                    loaded.infer(image)
            else:
                index = number % len(images)
                answers = runner.infer(images[index])
                if number % 100 == 0:
                    result['changed_answers'] += any(
                        not np.allclose(answers[name], wanted[index][name], 1e-3, 1e-3)
                        for name in answers
                    )
            if number in looked_at:
                samples.append({'after': number, **_resources(how.label)})
        result['seconds'] = time.perf_counter() - start
    yield {**result, 'samples': samples}


def _resources(label: str) -> dict[str, int]:
    return {
        **_memory(label),
        'open_files': len(list(Path('/proc/self/fd').iterdir())),
        'threads': len(list(Path('/proc/self/task').iterdir())),
    }


def _memory(label: str) -> dict[str, int]:
    """Return resident memory, and the GPU's memory in use where this backend uses any."""
    status = Path('/proc/self/status').read_text(encoding='ascii', errors='replace')
    memory = {'rss_bytes': int(status.partition('VmRSS:')[2].split()[0]) * 1024}
    if label.startswith(_GPU_BACKENDS):
        used = _gpu_memory_used()
        if used is not None:
            memory['gpu_bytes'] = used
    return memory


def _gpu_memory_used() -> int | None:
    """Return what all programs together use of the GPU's memory."""
    from aitable_ros.inference.tensorrt.cuda import open_device

    try:
        free, total = open_device().memory_bytes()
    except InferenceError:
        torch = sys.modules.get('torch')
        if torch is None or not torch.cuda.is_available():
            return None
        free, total = torch.cuda.mem_get_info()
    return total - free


def growth_of(samples: Sequence[Mapping[str, int]]) -> dict[str, tuple[int, int, float]]:
    """
    Return what each quantity was, what it came to, and by what part of it that is more.

    It came to the least of the last few samples: allocators keep a block more now and then, and
    give it back, where a leak never does.

    :param samples: of one run, in order; ``after`` is no quantity.
    """
    growth = {}
    for key, before in samples[0].items():
        after = min(sample[key] for sample in samples[-_LAST_SAMPLES:])
        growth[key] = (before, after, after / max(before, 1) - 1.0)
    del growth['after']
    return growth


def judge_endurance(entry: Mapping[str, Any], max_growth: float) -> list[str]:
    """
    Return what is not as it must be: memory that grew, answers that changed.

    :param entry: of :attr:`aitable_ros.tools.benchmark.report.Report.endurance`.
    :param max_growth: by what part of what it was any quantity may grow.
    """
    what = f'{entry["model"]} on {entry["backend"]}: {entry["count"]} {entry["kind"]}'
    failures = [
        f'{what}: {key} grew by {growth:.1%}'
        for key, (_, _, growth) in growth_of(entry['samples']).items()
        if growth > max_growth
    ]
    if entry.get('changed_answers'):
        failures.append(f'{what}: {entry["changed_answers"]} answers changed')
    return failures
