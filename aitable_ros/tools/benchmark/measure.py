# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Load networks, compare their answers, time them in turns, and see what they cost."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros import paths
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import BACKENDS, load_engine
from aitable_ros.tools.benchmark.inputs import (
    Cases,
    compare,
    load_cases,
    make_cases,
    with_reference,
)
from aitable_ros.tools.benchmark.memory import (
    Opening,
    judge_endurance,
    probe_cycles,
    probe_loading,
    probe_soak,
)
from aitable_ros.tools.benchmark.remote import RemoteTorch, RemoteTorchRunner
from aitable_ros.tools.benchmark.report import (
    Report,
    describe_environment,
    print_endurance,
    print_model,
)
from aitable_ros.tools.benchmark.runners import (
    TORCH,
    TORCH_MODEL,
    TORCH_REFERENCE,
    EngineRunner,
    Runner,
)
from aitable_ros.tools.benchmark.timing import ROUNDS, Cell, time_in_turns
from aitable_ros.tools.support.installed import is_there, version_of
from aitable_ros.tools.support.isolation import Outcome, run_isolated

REFERENCE = 'onnxruntime'
MIN_RUNS = 5
"""At least so many runs are timed, also where they take long."""

_PROBE_TIMEOUT_S = 600.0
_ENDURANCE_TIMEOUT_S = 24 * 3600.0


@dataclass(frozen=True)
class Options:
    """
    What to measure, and how.

    :param models: names of the networks that were asked for; empty: all, as far as they run.
    :param backends: likewise, of :data:`BACKENDS`.
    :param batches: sizes of the batches.
    :param runs: how many runs of each backend and batch size are timed; 0: none.
    :param seconds: fewer where they would take longer than this, but not below
        :data:`MIN_RUNS` [s].
    :param threads: of backends on the CPU.
    :param compare: ``'torch'`` to run EmoNet on PyTorch as well; else None.
    :param torch_python: how the Python that has PyTorch is started; None: it is this one.
    :param soak: run each so many times, and see what becomes of its memory; 0: do not.
    :param cycles: load and close each so many times, likewise.
    :param max_growth: by what part memory, open files and threads may grow in these.
    :param engines_dir: folder of the model files.
    :param allow_host_code: see :class:`EngineRunner`.
    :param mapped_memory: see there.
    :param json: write the report to this file.
    :param reference: a file of recorded images and answers; None: make them.
    """

    models: Sequence[str]
    backends: Sequence[str]
    batches: Sequence[int]
    runs: int
    seconds: float
    threads: int
    compare: str | None
    torch_python: Sequence[str] | None
    soak: int
    cycles: int
    max_growth: float
    engines_dir: Path | None
    allow_host_code: bool
    mapped_memory: bool
    json: Path | None
    reference: Path | None


def cases_of(spec: ModelSpec, options: Options) -> tuple[Cases, str]:
    """
    Return images, with expected answers where there are any, else with the reason.

    :param spec: the network.
    :param options: where its files, or recorded answers, are.
    :raises BenchmarkInputsError: when the file of recorded answers cannot be read.
    """
    if options.reference:
        recorded = load_cases(options.reference, spec)
        if recorded is not None:
            return recorded, ''
        return make_cases(spec), f'{options.reference} has none for {spec.name}'
    cases = make_cases(spec)
    folder = paths.engines_dir(options.engines_dir)
    try:
        engine = load_engine(spec, REFERENCE, engines_dir=folder, threads=options.threads).engine
    except InferenceError as error:
        return cases, str(error)
    with engine:
        version = version_of('onnxruntime') or 'of unknown version'
        reference = f'ONNX Runtime {version}, FP32, {engine.path.name}'
        return with_reference(cases, engine, reference), ''


class Benchmark:
    """
    A run of the benchmark, from loading the networks to the printed tables.

    :param specs: the networks.
    :param options: what to measure.
    """

    def __init__(self, specs: Sequence[ModelSpec], options: Options) -> None:
        self._specs = specs
        self._options = options
        self._folder = paths.engines_dir(options.engines_dir)
        self._report = Report(describe_environment(options.threads))
        self._torch: Any = None
        self._stack = ExitStack()

    def run(self) -> Report:
        """
        Measure, print and, where that was asked for, write the report to a file.

        The file is also written, with what there is, when the run ends early.

        :raises BenchmarkInputsError: when the file of recorded answers cannot be read.
        :raises InferenceError: when PyTorch was asked for and is not there.
        :raises OSError: when the report cannot be written.
        """
        print(', '.join(f'{key} {value}' for key, value in self._report.environment.items()))
        print(f'engines folder: {self._folder}')
        try:
            with self._stack:
                self._stack.callback(self._say, '')
                for spec in self._specs:
                    self._measure(spec)
        except BaseException as error:
            if self._report.models:  # these figures may have taken hours
                self._report.failures.append(f'ended early: {str(error) or type(error).__name__}')
                self._write()
            raise
        if not any(model['rows'] for model in self._report.models):
            self._report.failures.append('nothing could be measured')
        self._write()
        return self._report

    def _write(self) -> None:
        if self._options.json:
            document = json.dumps(asdict(self._report), indent=1, allow_nan=False)
            self._options.json.write_text(f'{document}\n', encoding='utf-8')

    def _measure(self, spec: ModelSpec) -> None:
        options = self._options
        cases, problem = cases_of(spec, options)
        runners, left_out = [], []
        with ExitStack() as stack:
            for label, make in self._makers(spec):
                self._say(f'{spec.name}: loading on {label}')
                try:
                    runner = make()
                except (InferenceError, RuntimeError) as error:
                    reason = ' '.join(str(error).split())
                    left_out.append(reason)
                    is_named = label in options.backends and spec.name in options.models
                    if is_named or label.startswith(TORCH):
                        self._report.failures.append(reason)
                    continue
                stack.callback(runner.close)
                runners.append(runner)
            if not runners and spec.name not in options.models:
                self._say('')
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
        for backend in options.backends or BACKENDS:
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
        if not is_there('torch'):
            raise InferenceError(
                '--compare torch: module torch is not installed; --torch-python names another'
                ' Python'
            )
        self._torch = importlib.import_module('aitable_ros.tools.benchmark.pytorch_peer')
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
                    probe_loading, *self._opening(spec, runner), timeout_s=_PROBE_TIMEOUT_S
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
                opening = self._opening(spec, runner)
                outcome = run_isolated(probe, count, *opening, timeout_s=_ENDURANCE_TIMEOUT_S)
                result = self._result(outcome, spec, runner, kind)
                if result is None:
                    continue
                entry = {'model': spec.name, 'backend': runner.label, 'kind': kind, **result}
                self._report.endurance.append(entry)
                self._report.failures += judge_endurance(entry, options.max_growth)
                self._say('')
                print_endurance(entry)

    def _opening(self, spec: ModelSpec, runner: Runner) -> tuple[Any, ...]:
        """Return what the probes need to load the same."""
        options = self._options
        return astuple(
            Opening(
                spec.name,
                runner.label,
                str(self._folder),
                options.threads,
                options.allow_host_code,
                options.mapped_memory,
            )
        )

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
