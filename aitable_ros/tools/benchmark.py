# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Time every network on every backend that runs it, and see how right it is meanwhile.

The backends of a network take turns, so that a busy moment or a change of clocks hits all of
them. docs/benchmark.md says how to read the table.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import itertools
import json
import math
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from aitable_ros import __version__, paths
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.engine_sidecar import file_sha256, read_sidecar
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import BACKENDS, load_engine
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.emonet_contract import emonet_spec
from aitable_ros.tools.benchmark_inputs import (
    BenchmarkInputsError,
    Cases,
    Difference,
    compare,
    load_cases,
    make_cases,
    save_cases,
    with_reference,
)
from aitable_ros.tools.benchmark_remote import RemoteTorch, RemoteTorchRunner
from aitable_ros.tools.isolation import Outcome, run_isolated

SPECS: Mapping[str, ModelSpec] = MappingProxyType({'emonet': emonet_spec(8), **CONTRACTS})
"""What can be timed. EmoNet's file is the user's own; random weights take as long."""

REFERENCE = 'onnxruntime'
TORCH = 'torch'
TORCH_MODEL = 'emonet'
TORCH_REFERENCE = 'PyTorch, FP32, on the CPU'

ROUNDS = 10
MIN_RUNS = 5
"""At least so many runs are timed, also where they take long."""
MIN_RUNS_FOR_P99 = 100
_SETTLE_S = 0.05
"""After a change of turns, runs go untimed for so long, but at most two of them: the caches hold
another network's weights then. A run that takes longer than this fills them itself."""

MAX_GROWTH = 0.01
SOAK_WARM_UP = 1000
CYCLES_WARM_UP = 10
SAMPLES = 10
_LAST_SAMPLES = 3

_PROBE_TIMEOUT_S = 600.0
_ENDURANCE_TIMEOUT_S = 24 * 3600.0
_GPU_BACKENDS = ('tensorrt', 'pytorch', TORCH)
_MB = 1e6


class Runner(Protocol):
    """
    What is timed: a network on a backend.

    ``label`` names it in the table; ``max_batch`` is the largest batch that runs in one piece,
    None where there is no limit; ``details`` go into the JSON file.
    """

    label: str
    max_batch: int | None
    details: dict[str, Any]

    def infer(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray]:
        """Run the network, from images (N, H, W, 3) in ordinary memory to arrays in it."""

    def infer_s(self, images: npt.NDArray[np.uint8]) -> float:
        """Do the same, and return how long it took [s]."""

    def device_s(self, batch: int) -> float | None:
        """Run what remains without the host's part; None where the backend cannot tell."""

    def close(self) -> None:
        """Free the network."""


class EngineRunner:
    """
    A network on one of aitable's backends.

    :param spec: the network.
    :param backend: a key of :data:`BACKENDS`.
    :param engines_dir: folder of the model files.
    :param threads: for backends on the CPU.
    :param allow_host_code: let a TensorRT engine bring code that runs in this process.
    :param mapped_memory: let TensorRT work on the host's memory.
    :raises InferenceError: when it does not load.
    """

    def __init__(
        self,
        spec: ModelSpec,
        backend: str,
        engines_dir: Path,
        threads: int,
        allow_host_code: bool = False,
        mapped_memory: bool = False,
    ) -> None:
        file = engines_dir / f'{spec.name}{BACKENDS[backend].suffix}'
        if allow_host_code and backend == 'tensorrt' and file.is_file():
            spec = dataclasses.replace(spec, host_code_sha256=file_sha256(file))
        if mapped_memory and backend == 'tensorrt':
            spec = dataclasses.replace(spec, mapped_memory=True)
        selection = load_engine(spec, backend, engines_dir=engines_dir, threads=threads)
        self.label = backend
        self._engine: Any = selection.engine
        self._input = spec.inputs[0].name
        self.max_batch: int | None = getattr(self._engine, 'max_batch', None)
        self.details: dict[str, Any] = {'file': str(selection.path)}
        record = read_sidecar(selection.path) if backend == 'tensorrt' else None
        if record is not None:
            self.details['precision'] = record.precision
        for name in ('tensorrt_version', 'uses_cuda_graph', 'max_batch', 'device_memory_bytes'):
            if hasattr(self._engine, name):
                self.details[name] = getattr(self._engine, name)

    def infer(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray]:
        """See :class:`Runner`."""
        return self._engine.infer({self._input: images})

    def infer_s(self, images: npt.NDArray[np.uint8]) -> float:
        """See :class:`Runner`."""
        start = time.perf_counter()
        self.infer(images)
        return time.perf_counter() - start

    def device_s(self, batch: int) -> float | None:
        """See :class:`Runner`."""
        if not hasattr(self._engine, 'replay') or batch > (self.max_batch or batch):
            return None
        start = time.perf_counter()
        self._engine.replay(batch)
        return time.perf_counter() - start

    def close(self) -> None:
        """See :class:`Runner`."""
        self._engine.close()


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


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0; 1 when a backend that was named does not run, an answer is not finite, memory
        grew, or nothing could be measured.
    """
    options = _parser().parse_args(argv)
    try:
        if options.record:
            return _record(options)
        report = _Benchmark(options).run()
    except (BenchmarkInputsError, InferenceError, OSError) as error:
        print(f'benchmark: error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('benchmark: interrupted', file=sys.stderr)
        return 130
    for failure in report.failures:
        print(f'benchmark: {failure}', file=sys.stderr)
    return 1 if report.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='benchmark',
        description=(
            'Time networks on every backend that runs them, one taking turns with the other, and'
            ' compare what they answer with ONNX Runtime in FP32. Loading time and memory are'
            ' taken in processes of their own.'
        ),
        epilog='docs/benchmark.md says how to read the table.',
    )
    parser.add_argument(
        'models',
        metavar='MODEL',
        nargs='*',
        help=f'networks (default: all whose files are there): {", ".join(SPECS)}',
    )
    parser.add_argument(
        '--backend',
        action='append',
        metavar='NAME',
        choices=tuple(BACKENDS),
        help=f'only this one; may be given several times ({", ".join(BACKENDS)})',
    )
    parser.add_argument(
        '--batches',
        type=_batches,
        default=(1, 2, 4, 8),
        metavar='N,N',
        help='batch sizes (default: 1,2,4,8)',
    )
    parser.add_argument(
        '--runs',
        type=_count,
        default=300,
        metavar='N',
        help='timed runs of each backend and batch size (default: 300; 0: time nothing)',
    )
    parser.add_argument(
        '--seconds',
        type=_seconds,
        default=3.0,
        metavar='S',
        help='fewer runs where they would take longer than this, at least 5 (default: 3)',
    )
    parser.add_argument(
        '--threads', type=_positive, default=1, metavar='N', help='of CPU backends (default: 1)'
    )
    parser.add_argument(
        '--compare',
        choices=(TORCH,),
        help='also run EmoNet (random weights) on PyTorch, eager and as a CUDA graph',
    )
    parser.add_argument(
        '--torch-python',
        metavar='COMMAND',
        type=shlex.split,
        help='the Python that has PyTorch, where this one has not; with --compare torch',
    )
    parser.add_argument(
        '--soak',
        type=_count,
        default=0,
        metavar='N',
        help='N inferences on each backend: does memory grow after the first 1000?',
    )
    parser.add_argument(
        '--cycles',
        type=_count,
        default=0,
        metavar='N',
        help='load and close each N times: does memory grow after the first 10?',
    )
    parser.add_argument('--engines-dir', metavar='DIR', type=Path, help='the engines folder')
    parser.add_argument(
        '--allow-host-code',
        action='store_true',
        help='let version-compatible TensorRT engines bring code: only for files that you built',
    )
    parser.add_argument(
        '--mapped-memory',
        action='store_true',
        help="let TensorRT work on the host's memory instead of copies of it",
    )
    parser.add_argument('--json', metavar='FILE', type=Path, help='write all figures there')
    reference = parser.add_mutually_exclusive_group()
    reference.add_argument(
        '--record',
        metavar='FILE',
        type=Path,
        help='time nothing; write the images and the reference answers, for --reference on a'
        ' machine without ONNX Runtime or scikit-image',
    )
    reference.add_argument(
        '--reference', metavar='FILE', type=Path, help='images and answers from --record'
    )
    parser.set_defaults(seed=0)
    return parser


def _batches(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(dict.fromkeys(int(part) for part in text.split(',')))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} are no batch sizes, as 1,2,4,8')
    return sizes


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is not a number from 0 on')
    return int(text)


def _positive(text: str) -> int:
    if not _count(text):
        raise argparse.ArgumentTypeError('must be at least 1')
    return int(text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f'{text!r} is no time')
    return value


def _chosen(options: argparse.Namespace) -> list[ModelSpec]:
    unknown = [name for name in options.models if name not in SPECS]
    if unknown:
        raise InferenceError(f'unknown model {unknown[0]!r}; choose from {", ".join(SPECS)}')
    return [SPECS[name] for name in dict.fromkeys(options.models or SPECS)]


def _record(options: argparse.Namespace) -> int:
    """Write inputs and reference answers; return the exit status."""
    cases: dict[str, Cases] = {}
    folder = paths.engines_dir(options.engines_dir)
    for spec in _chosen(options):
        case, problem = _cases_of(spec, folder, options)
        if case.expected:
            cases[spec.name] = case
            print(f'{spec.name}: {len(case.images)} images, answers of {case.reference}')
        elif options.models:
            raise BenchmarkInputsError(f'{spec.name}: {problem}')
        else:
            print(f'{spec.name}: left out: {problem}', file=sys.stderr)
    if not cases:
        raise BenchmarkInputsError('there is nothing to record')
    save_cases(options.record, cases)
    return 0


def _cases_of(spec: ModelSpec, folder: Path, options: argparse.Namespace) -> tuple[Cases, str]:
    """Return images, with expected answers where there are any, else with the reason."""
    if options.reference:
        recorded = load_cases(options.reference, spec)
        if recorded is not None:
            return recorded, ''
        return make_cases(spec, options.seed), f'{options.reference} has none for {spec.name}'
    cases = make_cases(spec, options.seed)
    try:
        engine = load_engine(spec, REFERENCE, engines_dir=folder, threads=options.threads).engine
    except InferenceError as error:
        return cases, str(error)
    with engine:
        version = _version_of('onnxruntime') or 'of unknown version'
        reference = f'ONNX Runtime {version}, FP32, {engine.path.name}'
        return with_reference(cases, engine, reference), ''


class _Benchmark:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._folder = paths.engines_dir(options.engines_dir)
        self._report = Report(describe_environment(options.threads))
        self._torch: Any = None
        self._stack = ExitStack()

    def run(self) -> Report:
        with self._stack:
            return self._run()

    def _run(self) -> Report:
        specs = _chosen(self._options)
        print(', '.join(f'{key} {value}' for key, value in self._report.environment.items()))
        print(f'engines folder: {self._folder}')
        for spec in specs:
            self._measure(spec)
        if not any(model['rows'] for model in self._report.models):
            self._report.failures.append('nothing could be measured')
        if self._options.json:
            document = json.dumps(asdict(self._report), indent=1, allow_nan=False)
            self._options.json.write_text(f'{document}\n', encoding='utf-8')
        return self._report

    def _measure(self, spec: ModelSpec) -> None:
        options = self._options
        cases, problem = _cases_of(spec, self._folder, options)
        runners, left_out = [], []
        with ExitStack() as stack:
            for label, make in self._makers(spec):
                self._say(f'{spec.name}: loading on {label}')
                try:
                    runner = make()
                except (InferenceError, RuntimeError) as error:
                    reason = ' '.join(str(error).split())
                    left_out.append(reason)
                    if label in (options.backend or ()) and spec.name in options.models:
                        self._report.failures.append(reason)
                    continue
                stack.callback(runner.close)
                runners.append(runner)
            if not runners and spec.name not in options.models:
                print(f'\n{spec.name}: no backend runs it: {"; ".join(left_out)}')
                return
            cells = self._cells(spec, runners, cases) if options.runs else {}
        rows = self._rows(spec, runners, cells)
        if options.soak or options.cycles:
            self._endure(spec, runners)
        self._report.models.append(
            {
                'model': spec.name,
                'inputs': list(map(str, spec.inputs)),
                'outputs': list(map(str, spec.outputs)),
                'images': len(cases.images),
                'crops': cases.crops,
                'reference': cases.reference or None,
                'rows': rows,
                'left_out': left_out,
            }
        )
        print_model(self._report.models[-1], problem)

    def _makers(self, spec: ModelSpec) -> Iterator[tuple[str, Callable[[], Runner]]]:
        options = self._options
        for backend in options.backend or BACKENDS:
            yield (
                backend,
                lambda backend=backend: EngineRunner(  # type: ignore[misc]
                    spec,
                    backend,
                    self._folder,
                    options.threads,
                    options.allow_host_code,
                    options.mapped_memory,
                ),
            )
        if options.compare == TORCH and spec.name == TORCH_MODEL:
            torch = self._open_torch()
            for variant in torch.variants():
                yield variant, lambda variant=variant: torch.runner(variant)  # type: ignore[misc]

    def _open_torch(self) -> Any:
        """Return PyTorch's side, in this process or in one of another Python."""
        options = self._options
        if options.torch_python:
            self._torch = RemoteTorch(options.torch_python, options.threads)
            self._stack.callback(self._torch.close)
            self._report.environment['torch'] = f'{self._torch.version}, in another Python'
            return self._torch
        if importlib.util.find_spec('torch') is None:
            raise InferenceError(
                '--compare torch: module torch is not installed; --torch-python names another'
                ' Python'
            )
        self._torch = importlib.import_module('aitable_ros.tools.benchmark_torch')
        self._torch.torch.set_num_threads(options.threads)
        return self._torch

    def _cells(
        self, spec: ModelSpec, runners: Sequence[Runner], cases: Cases
    ) -> dict[str, list[Cell]]:
        options = self._options
        torch_cases = None
        cells: dict[str, list[Cell]] = {}
        for runner in runners:
            expected = cases
            if runner.label.startswith(TORCH):  # random weights, compared with themselves
                if torch_cases is None:
                    self._say(f'{spec.name}: reference of PyTorch')
                    answers = self._torch.reference_answers(cases.images)
                    torch_cases = Cases(cases.images, cases.crops, answers, TORCH_REFERENCE)
                expected = torch_cases
            self._say(f'{spec.name}: answers of {runner.label}')
            try:
                cells[runner.label] = [
                    self._check(spec, runner, expected, batch) for batch in options.batches
                ]
            except (InferenceError, RuntimeError) as error:  # it must not cost the others' figures
                reason = ' '.join(str(error).split())
                self._report.failures.append(f'{spec.name} on {runner.label}: {reason}')
        time_in_turns(
            [runner for runner in runners if runner.label in cells],
            cells,
            {batch: cases.batches(batch) for batch in options.batches},
            lambda done: self._say(f'{spec.name}: round {done} of {ROUNDS}'),
        )
        return cells

    def _check(self, spec: ModelSpec, runner: Runner, cases: Cases, batch: int) -> Cell:
        """Compare the answers, and find how many runs the time allows."""
        options = self._options
        answers: list[Mapping[str, npt.NDArray]] = []
        durations_s = []
        for images in cases.batches(batch):
            start = time.perf_counter()
            answers.append(runner.infer(images))
            durations_s.append(time.perf_counter() - start)
        count = len(cases.images)
        joined = {
            name: np.concatenate([answer[name] for answer in answers])[:count]
            for name in answers[0]
        }
        # The first run of a batch size may prepare something.
        allowed = options.seconds / max(min(durations_s), 1e-9)
        runs = min(options.runs, max(MIN_RUNS, int(min(allowed, options.runs))))
        infinite = [name for name, values in joined.items() if not np.isfinite(values).all()]
        if infinite:
            self._report.failures.append(
                f'{spec.name} on {runner.label}, batch {batch}: not finite: {", ".join(infinite)}'
            )
        return Cell(
            batch,
            runs,
            difference=compare(cases, joined, slice(cases.crops)),
            noise_difference=compare(cases, joined, slice(cases.crops, None)),
        )

    def _rows(
        self, spec: ModelSpec, runners: Sequence[Runner], cells: Mapping[str, list[Cell]]
    ) -> list[dict[str, Any]]:
        rows = []
        for runner in runners:
            loading = None
            if not isinstance(runner, RemoteTorchRunner):
                self._say(f'{spec.name}: memory of {runner.label}')
                outcome = run_isolated(
                    probe_loading, *self._probe_arguments(spec, runner), timeout_s=_PROBE_TIMEOUT_S
                )
                loading = self._result(outcome, spec, runner, 'loading')
            rows.append(
                {
                    'backend': runner.label,
                    **runner.details,
                    'loading': loading,
                    'batches': [cell.summary() for cell in cells.get(runner.label, ())],
                }
            )
        self._say('')
        return rows

    def _endure(self, spec: ModelSpec, runners: Sequence[Runner]) -> None:
        options = self._options
        for runner in runners:
            if isinstance(runner, RemoteTorchRunner):
                continue
            for kind, probe, count in (
                ('soak', probe_soak, options.soak),
                ('cycles', probe_cycles, options.cycles),
            ):
                if not count:
                    continue
                self._say(f'{spec.name}: {count} {kind} on {runner.label}')
                arguments = self._probe_arguments(spec, runner)
                outcome = run_isolated(probe, count, *arguments, timeout_s=_ENDURANCE_TIMEOUT_S)
                result = self._result(outcome, spec, runner, kind)
                if result is None:
                    continue
                entry = {'model': spec.name, 'backend': runner.label, 'kind': kind, **result}
                self._report.endurance.append(entry)
                self._report.failures += _judge_endurance(entry)
                self._say('')
                print_endurance(entry)

    def _probe_arguments(self, spec: ModelSpec, runner: Runner) -> tuple[Any, ...]:
        options = self._options
        folder = str(self._folder)
        flags = options.allow_host_code, options.mapped_memory
        return spec.name, runner.label, folder, options.threads, *flags

    def _result(
        self, outcome: Outcome, spec: ModelSpec, runner: Runner, kind: str
    ) -> dict[str, Any] | None:
        if not outcome.failure and outcome.messages:
            return outcome.messages[-1]
        self._report.failures.append(f'{spec.name} on {runner.label}: {kind}: {outcome.failure}')
        return None

    def _say(self, line: str) -> None:
        """Show what is going on, where somebody is looking."""
        if sys.stderr.isatty():
            print(f'\r\x1b[K{line}', end='', file=sys.stderr, flush=True)


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


@dataclass(frozen=True)
class _Opening:
    """How a process of its own loads a network; the fields are arguments of EngineRunner."""

    model: str
    label: str
    engines_dir: str
    threads: int
    allow_host_code: bool
    mapped_memory: bool

    def open(self) -> Runner:
        if self.label in BACKENDS:
            return EngineRunner(
                SPECS[self.model],
                self.label,
                Path(self.engines_dir),
                self.threads,
                self.allow_host_code,
                self.mapped_memory,
            )
        module = importlib.import_module('aitable_ros.tools.benchmark_torch')
        module.torch.set_num_threads(self.threads)
        return module.TorchRunner(self.label)


def _blank(model: str) -> npt.NDArray[np.uint8]:
    return np.zeros((1, *SPECS[model].inputs[0].shape[1:]), np.uint8)


def probe_loading(*opening: Any) -> Iterator[dict[str, Any]]:
    """
    Load a network twice; yield what the first cost, and what the other one did on top.

    The first also brings in the runtime and, on the GPU, what belongs to the process.

    :param opening: model, label, engines folder, threads, whether host code is allowed, whether
        memory is mapped.
    """
    how = _Opening(*opening)
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
    how = _Opening(*opening)
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
    how = _Opening(*opening)
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
    from aitable_ros.inference.cuda import open_device

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
    first = samples[0]
    return {
        key: min(sample[key] for sample in samples[-_LAST_SAMPLES:]) / max(first[key], 1) - 1.0
        for key in first
        if key != 'after'
    }


def _judge_endurance(entry: Mapping[str, Any]) -> list[str]:
    what = f'{entry["model"]} on {entry["backend"]}: {entry["count"]} {entry["kind"]}'
    failures = [
        f'{what}: {key} grew by {growth:.1%}'
        for key, growth in growth_of(entry['samples']).items()
        if growth >= MAX_GROWTH
    ]
    if entry.get('changed_answers'):
        failures.append(f'{what}: {entry["changed_answers"]} answers changed')
    return failures


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
        from aitable_ros.inference.cuda import open_device

        environment['gpu'] = open_device().name
    environment['python'] = platform.python_version()
    for name in ('numpy', 'onnxruntime', 'ai-edge-litert', 'tensorrt', 'pycuda', 'torch'):
        version = _version_of(name)
        if version:
            environment[name] = version
    environment['threads'] = threads
    return environment


def _version_of(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ''


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
        header = ('batch', 'p50 ms', 'p90 ms', 'p99 ms', 'device ms', 'images/s', 'runs')
        table = [('backend', *header, 'difference', 'on noise')]
        table += [(backend, *_timing_cells(cell)) for backend, cell in timed]
        _print_columns(table, left=(0, 8, 9))
        _print_ratios(timed)
    loaded = [row for row in rows if row['loading']]
    if loaded:
        print()
        titles = ('backend', 'load s', 'RSS MB', 'GPU MB', 'another: s', 'RSS MB', 'GPU MB', '')
        lines: list[tuple[str, ...]] = [titles]
        for row in loaded:
            cells = [
                cell
                for entry in (row['loading']['first'], row['loading']['another'])
                for cell in (
                    f'{entry["seconds"]:.3f}',
                    f'{entry["rss_bytes"] / _MB:.1f}',
                    f'{entry["gpu_bytes"] / _MB:.1f}' if 'gpu_bytes' in entry else '-',
                )
            ]
            file = Path(row.get('file', '')).name
            if row.get('precision'):
                file += f' ({row["precision"]})'
            lines.append((row['backend'], *cells, file))
        _print_columns(lines, left=(0, 7))
    if model['reference']:
        print(f'difference: at worst, from {model["reference"]}; on {_images(model)}')
    else:
        print(f'no reference: {problem}')
    if any(row['backend'].startswith(TORCH) for row in rows):
        print(f'of PyTorch, with random weights: from {TORCH_REFERENCE}')
    for reason in model['left_out']:
        print(f'left out: {reason}')


def _images(model: Mapping[str, Any]) -> str:
    others = model['images'] - model['crops']
    if model['crops']:
        return f'{model["crops"]} pictures of a face; on {others} of noise, black and white'
    return f'{others} images of noise, black and white (no face: scikit-image is not installed)'


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
        difference(cell['difference']),
        difference(cell['noise_difference']),
    )


def _print_ratios(timed: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Say how many times as long as the fastest each takes, at the smallest batch."""
    batch = min(cell['batch'] for _, cell in timed)
    times = {backend: cell['p50_ms'] for backend, cell in timed if cell['batch'] == batch}
    fastest = min(times, key=lambda backend: times[backend])
    others = ', '.join(
        f'{backend} {time_ms / times[fastest]:.2f}'
        for backend, time_ms in sorted(times.items(), key=lambda item: item[1])
        if backend != fastest
    )
    if others:
        print(f'batch {batch}, times as long as {fastest}: {others}')


def print_endurance(entry: Mapping[str, Any]) -> None:
    """
    Print the result of ``--soak`` or ``--cycles``.

    :param entry: of :attr:`Report.endurance`.
    """
    samples = entry['samples']
    growth = growth_of(samples)
    per_run_ms = entry['seconds'] / entry['count'] * 1e3
    parts = []
    for key, title in (('rss_bytes', 'RSS'), ('gpu_bytes', 'GPU memory')):
        if key in growth:
            first, last = (samples[at][key] / _MB for at in (0, -1))
            parts.append(f'{title} {first:.1f} -> {last:.1f} MB ({growth[key]:+.2%})')
    for key, title in (('open_files', 'open files'), ('threads', 'threads')):
        parts.append(f'{title} {samples[0][key]} -> {samples[-1][key]}')
    if 'changed_answers' in entry:
        parts.append(f'{entry["changed_answers"]} answers changed')
    print(
        f'\n{entry["model"]} on {entry["backend"]}, {entry["kind"]}, after'
        f' {samples[0]["after"]} and {samples[-1]["after"]} ({per_run_ms:.3f} ms each):'
        f' {", ".join(parts)}'
    )


def _print_columns(table: Sequence[Sequence[str]], left: Sequence[int]) -> None:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = [
            f'{cell:<{width}}' if column in left else f'{cell:>{width}}'
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        print('  '.join(cells).rstrip())


if __name__ == '__main__':
    sys.exit(main())
