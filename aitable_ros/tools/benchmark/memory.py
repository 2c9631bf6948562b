# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
What loading a network costs, and whether running or reloading it many times lets memory grow.

The functions named ``probe_...`` are for processes of their own, whose memory is that of one
network.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import BACKENDS
from aitable_ros.tools.benchmark.inputs import make_cases
from aitable_ros.tools.benchmark.runners import SPECS, TORCH, EngineRunner, Runner

SOAK_WARM_UP = 1000
CYCLES_WARM_UP = 10
SAMPLES = 10
_LAST_SAMPLES = 3

_GPU_BACKENDS = ('tensorrt', 'pytorch', TORCH)


@dataclass(frozen=True)
class Opening:
    """
    How a process of its own loads a network, in values that JSON can carry.

    :param model: a key of :data:`SPECS`.
    :param label: a backend, or a variant of PyTorch.
    :param engines_dir: folder of the model files.
    :param threads: for what runs on the CPU.
    :param allow_host_code: see :class:`EngineRunner`.
    :param mapped_memory: see there.
    """

    model: str
    label: str
    engines_dir: str
    threads: int
    allow_host_code: bool
    mapped_memory: bool

    def open(self) -> Runner:
        """Load it."""
        if self.label in BACKENDS:
            return EngineRunner(
                SPECS[self.model],
                self.label,
                Path(self.engines_dir),
                self.threads,
                self.allow_host_code,
                self.mapped_memory,
            )
        module = importlib.import_module('aitable_ros.tools.benchmark.pytorch_peer')
        module.torch.set_num_threads(self.threads)
        return module.TorchRunner(self.label)


def _prepared(opening: Sequence[Any]) -> Opening:
    """Load what the benchmark itself imports: it is no part of what a network costs."""
    importlib.import_module('aitable_ros.tools.benchmark.command')
    return Opening(*opening)


def _blank(model: str) -> npt.NDArray[np.uint8]:
    return np.zeros((1, *SPECS[model].inputs[0].shape[1:]), np.uint8)


def probe_loading(*opening: Any) -> Iterator[dict[str, Any]]:
    """
    Load a network twice; yield what the first cost, and what the other one did on top.

    The first also brings in the runtime and, on the GPU, what belongs to the process.

    :param opening: the fields of :class:`Opening`, in order.
    """
    how = _prepared(opening)
    memory = [_memory(how.label)]
    seconds = []
    with ExitStack() as stack:
        for _ in range(2):
            start = time.perf_counter()
            runner = how.open()
            seconds.append(time.perf_counter() - start)
            stack.callback(runner.close)
            runner.infer(_blank(how.model))
            memory.append(_memory(how.label))
    growth = [
        {key: after[key] - before[key] for key in after if key in before}
        for before, after in itertools.pairwise(memory)
    ]
    yield {
        'first': {'seconds': seconds[0], **growth[0]},
        'another': {'seconds': seconds[1], **growth[1]},
    }


def probe_soak(count: int, *opening: Any) -> Iterator[dict[str, Any]]:
    """
    Run a network many times; yield the memory after the first thousand and until the end.

    Yields also how many of the answers that were looked at (every 100th) differ from the first
    ones for their image.

    :param count: of the runs.
    :param opening: as for :func:`probe_loading`.
    """
    how = _prepared(opening)
    images = make_cases(SPECS[how.model]).batches(1)
    looked_at = _sampling(count, SOAK_WARM_UP)
    samples = []
    changed = 0
    with contextlib.closing(how.open()) as runner:
        wanted = [runner.infer(image) for image in images]
        start = time.perf_counter()
        for number in range(1, count + 1):
            index = number % len(images)
            answers = runner.infer(images[index])
            if number % 100 == 0:
                changed += any(
                    not np.allclose(answers[name], wanted[index][name], 1e-3, 1e-3)
                    for name in answers
                )
            if number in looked_at:
                samples.append({'after': number, **_resources(how.label)})
        seconds = time.perf_counter() - start
    yield {'count': count, 'seconds': seconds, 'changed_answers': changed, 'samples': samples}


def probe_cycles(count: int, *opening: Any) -> Iterator[dict[str, Any]]:
    """
    Load, run and close a network many times; yield the memory after some and until the end.

    :param count: of the cycles.
    :param opening: as for :func:`probe_loading`.
    """
    how = _prepared(opening)
    looked_at = _sampling(count, CYCLES_WARM_UP)
    samples = []
    image = _blank(how.model)
    start = time.perf_counter()
    for number in range(1, count + 1):
        with contextlib.closing(how.open()) as runner:
            runner.infer(image)
        if number in looked_at:
            samples.append({'after': number, **_resources(how.label)})
    seconds = time.perf_counter() - start
    yield {'count': count, 'seconds': seconds, 'samples': samples}


def _sampling(count: int, warm_up: int) -> frozenset[int]:
    """Return after which runs memory is looked at: after the warm-up, then until the end."""
    first = min(warm_up, max(count // SAMPLES, 1))
    return frozenset(
        number
        for number in (first, *(count * n // SAMPLES for n in range(1, SAMPLES + 1)))
        if number >= first
    )


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


def growth_of(samples: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """
    Return by how much each quantity grew after the first sample, as a part of it.

    The least of the last few samples counts: allocators keep a block more now and then, and give
    it back, where a leak never does.

    :param samples: of one run, in order.
    """
    first, last = samples[0], at_the_end(samples)
    return {key: last[key] / max(first[key], 1) - 1.0 for key in last}


def at_the_end(samples: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """
    Return the least of each quantity in the last few samples.

    :param samples: of one run, in order.
    """
    last = samples[-_LAST_SAMPLES:]
    return {key: min(sample[key] for sample in last) for key in samples[0] if key != 'after'}


def judge_endurance(entry: Mapping[str, Any], max_growth: float) -> list[str]:
    """
    Return what is not as it must be: memory that grew, answers that changed.

    :param entry: of :attr:`aitable_ros.tools.benchmark.report.Report.endurance`.
    :param max_growth: by what part of what it was any quantity may grow.
    """
    what = f'{entry["model"]} on {entry["backend"]}: {entry["count"]} {entry["kind"]}'
    failures = [
        f'{what}: {key} grew by {growth:.1%}'
        for key, growth in growth_of(entry['samples']).items()
        if growth > max_growth
    ]
    if entry.get('changed_answers'):
        failures.append(f'{what}: {entry["changed_answers"]} answers changed')
    return failures
