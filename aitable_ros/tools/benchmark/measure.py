# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Load networks, compare their answers, time them in turns, and see what they cost."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, astuple
from functools import partial
from typing import Any

import numpy as np

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
from aitable_ros.tools.benchmark.memory import judge_endurance, probe_endurance, probe_loading
from aitable_ros.tools.benchmark.remote import RemoteTorch, RemoteTorchRunner, load_torch
from aitable_ros.tools.benchmark.report import (
    Report,
    describe_environment,
    print_endurance,
    print_model,
)
from aitable_ros.tools.benchmark.runners import TORCH, TORCH_MODEL, TORCH_REFERENCE, Opening
from aitable_ros.tools.benchmark.timing import ROUNDS, Cell, Runner, joined, time_in_turns
from aitable_ros.tools.support.installed import is_there, version_of
from aitable_ros.tools.support.isolation import run_isolated

REFERENCE = 'onnxruntime'
MIN_RUNS = 5
"""At least so many runs are timed, also where they take long."""

_PROBE_TIMEOUT_S = 600.0
_ENDURANCE_TIMEOUT_S = 24 * 3600.0


def cases_of(spec: ModelSpec, options: argparse.Namespace) -> tuple[Cases, str]:
    """
    Return images, with expected answers where there are any, else with the reason.

    :param spec: the network.
    :param options: where its files, or recorded answers, are, as the command parses them.
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
    :param options: what to measure, and how, as the command parses them.
    """

    def __init__(self, specs: Sequence[ModelSpec], options: argparse.Namespace) -> None:
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
        runners: list[Runner] = []
        left_out = []
        with ExitStack() as stack:
            for label, load in self._loaders(spec):
                self._say(f'{spec.name}: loading on {label}')
                try:
                    runner = load()
                except (InferenceError, RuntimeError) as error:
                    left_out.append(' '.join(str(error).split()))
                    is_named = label in options.backends and spec.name in options.models
                    if is_named or label.startswith(TORCH):
                        self._report.failures.append(left_out[-1])
                    continue
                stack.callback(runner.close)
                runners.append(runner)
            if not runners and spec.name not in options.models:
                self._say('')
                print(f'\n{spec.name}: no backend runs it: {"; ".join(left_out)}')
                return
            cells = self._time(spec, runners, cases) if options.runs else {}
        model = {
            'model': spec.name,
            'inputs': list(map(str, spec.inputs)),
            'outputs': list(map(str, spec.outputs)),
            'images': len(cases.images),
            'crops': cases.crops,
            'reference': cases.reference or None,
            'rows': [
                {
                    'backend': runner.label,
                    **runner.details,
                    'loading': self._probe(_PROBE_TIMEOUT_S, spec, runner, 'loading'),
                    'batches': [cell.summary() for cell in cells.get(runner.label, ())],
                }
                for runner in runners
            ],
            'left_out': left_out,
        }
        for runner in runners:
            self._endure(spec, runner)
        self._report.models.append(model)
        self._say('')
        print_model(model, problem)

    def _loaders(self, spec: ModelSpec) -> Iterator[tuple[str, Callable[[], Runner]]]:
        for backend in self._options.backends or BACKENDS:
            yield backend, self._opening(spec, backend).open
        if self._options.compare == TORCH and spec.name == TORCH_MODEL:
            self._torch = torch = self._open_torch()
            for variant in torch.variants():
                if isinstance(torch, RemoteTorch):
                    yield variant, partial(RemoteTorchRunner, torch, variant)
                else:
                    yield variant, self._opening(spec, variant).open

    def _opening(self, spec: ModelSpec, label: str) -> Opening:
        how = self._options
        flags = how.allow_host_code, how.mapped_memory
        return Opening(spec.name, label, str(self._folder), how.threads, *flags)

    def _open_torch(self) -> Any:
        """Return PyTorch's side, in this process or in one of another Python."""
        options = self._options
        if options.torch_python:
            remote = RemoteTorch(options.torch_python, options.threads)
            self._stack.callback(remote.close)
            self._report.environment['torch'] = f'{remote.version}, in another Python'
            return remote
        if not is_there('torch'):
            raise InferenceError(
                '--compare torch: module torch is not installed; --torch-python names another'
                ' Python'
            )
        return load_torch(options.threads)

    def _time(
        self, spec: ModelSpec, runners: Sequence[Runner], cases: Cases
    ) -> dict[str, list[Cell]]:
        sizes = self._options.batches
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
                cells[runner.label] = [self._check(spec, runner, expected, n) for n in sizes]
            except (InferenceError, RuntimeError) as error:  # it must not cost the others' figures
                reason = ' '.join(str(error).split())
                self._report.failures.append(f'{spec.name} on {runner.label}: {reason}')
        time_in_turns(
            [runner for runner in runners if runner.label in cells],
            cells,
            {batch: cases.batches(batch) for batch in sizes},
            lambda done: self._say(f'{spec.name}: round {done} of {ROUNDS}'),
        )
        return cells

    def _check(self, spec: ModelSpec, runner: Runner, cases: Cases, batch: int) -> Cell:
        """Compare the answers, and find how many runs the time allows."""
        all_answers: list[Mapping[str, Any]] = []
        durations_s = []
        for images in cases.batches(batch):
            start = time.perf_counter()
            all_answers.append(runner.infer(images))
            durations_s.append(time.perf_counter() - start)
        count = len(cases.images)
        answers = {name: values[:count] for name, values in joined(all_answers).items()}
        infinite = [name for name, values in answers.items() if not np.isfinite(values).all()]
        if infinite:
            self._report.failures.append(
                f'{spec.name} on {runner.label}, batch {batch}: not finite: {", ".join(infinite)}'
            )
        # the least: the first run of a batch size may prepare something
        allowed = self._options.seconds / max(min(durations_s), 1e-9)
        return Cell(
            batch,
            min(self._options.runs, max(MIN_RUNS, int(allowed))),
            difference=compare(cases, answers, slice(cases.crops)),
            noise_difference=compare(cases, answers, slice(cases.crops, None)),
        )

    def _endure(self, spec: ModelSpec, runner: Runner) -> None:
        options = self._options
        for kind, count in (('soak', options.soak), ('cycles', options.cycles)):
            if not count:
                continue
            result = self._probe(_ENDURANCE_TIMEOUT_S, spec, runner, kind, kind, count)
            if result is not None:
                entry = {'model': spec.name, 'backend': runner.label, 'kind': kind, **result}
                self._report.endurance.append(entry)
                self._report.failures += judge_endurance(entry, options.max_growth / 100)
                self._say('')
                print_endurance(entry)

    def _probe(
        self, timeout_s: float, spec: ModelSpec, runner: Runner, what: str, *arguments: Any
    ) -> dict[str, Any] | None:
        """Find out something in a process of its own; None where that fails or is elsewhere."""
        if isinstance(runner, RemoteTorchRunner):
            return None
        self._say(f'{spec.name}: {what} on {runner.label}')
        probe = probe_loading if what == 'loading' else probe_endurance
        opening = astuple(self._opening(spec, runner.label))
        outcome = run_isolated(probe, *arguments, *opening, timeout_s=timeout_s)
        if outcome.messages and not outcome.failure:
            return outcome.messages[-1]
        self._report.failures.append(f'{spec.name} on {runner.label}: {what}: {outcome.failure}')
        return None

    def _say(self, line: str) -> None:
        """Show what is going on, where somebody is looking."""
        if sys.stderr.isatty():
            print(f'\r\x1b[K{line}', end='', file=sys.stderr, flush=True)
