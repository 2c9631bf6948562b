# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Time every network on every backend that runs it, and see how right it is meanwhile.

The backends of a network take turns, so that a busy moment or a change of clocks hits all of
them. docs/benchmark.md says how to read the table.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import BACKENDS
from aitable_ros.tools.benchmark.inputs import BenchmarkInputsError, Cases, save_cases
from aitable_ros.tools.benchmark.measure import Benchmark, cases_of
from aitable_ros.tools.benchmark.runners import SPECS, TORCH, TORCH_MODEL


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0; 1 when a backend that was named does not run, an answer is not finite, memory
        grew, or nothing could be measured.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.torch_python and not options.compare:
        parser.error('--torch-python says where --compare torch runs; add that')
    if options.compare and options.models and TORCH_MODEL not in options.models:
        parser.error(f'--compare {options.compare} runs {TORCH_MODEL}; add it to the models')
    try:
        unknown = [name for name in options.models if name not in SPECS]
        if unknown:
            raise InferenceError(f'unknown model {unknown[0]!r}; choose from {", ".join(SPECS)}')
        specs = [SPECS[name] for name in dict.fromkeys(options.models or SPECS)]
        for file in (options.record, options.json):
            if file:
                _check_writable(file)
        if options.record:
            return _record(specs, options)
        report = Benchmark(specs, options).run()
    except (BenchmarkInputsError, InferenceError, OSError, MemoryError) as error:
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

    def add(name: str, metavar: str | None, text: str, **how: Any) -> None:
        parser.add_argument(name, metavar=metavar, help=text, **how)

    names = ', '.join(SPECS)
    add('models', 'MODEL', f'networks (default: all whose files are there): {names}', nargs='*')
    text = f'only this one; may be given several times ({", ".join(BACKENDS)})'
    how: dict[str, Any] = {'dest': 'backends', 'action': 'append', 'default': []}
    add('--backend', 'NAME', text, choices=tuple(BACKENDS), **how)
    text = 'batch sizes (default: 1,2,4,8)'
    add('--batches', 'N,N', text, type=_batches, default=(1, 2, 4, 8))
    text = 'timed runs of each backend and batch size (default: 300; 0: time nothing)'
    add('--runs', 'N', text, type=_number(int), default=300)
    text = 'fewer runs where they would take longer than this, at least 5 (default: 3)'
    add('--seconds', 'S', text, type=_number(float), default=3.0)
    add('--threads', 'N', 'of CPU backends (default: 1)', type=_number(int, 1), default=1)
    text = 'also run EmoNet (random weights) on PyTorch, eager and as a CUDA graph'
    add('--compare', None, text, choices=(TORCH,))
    text = 'the Python that has PyTorch, where this one has not; with --compare torch'
    add('--torch-python', 'COMMAND', text, type=shlex.split)
    text = 'N inferences on each backend: does memory grow after the first 1000?'
    add('--soak', 'N', text, type=_number(int), default=0)
    text = 'load and close each N times: does memory grow after the first 10?'
    add('--cycles', 'N', text, type=_number(int), default=0)
    text = 'growth in these that is a failure if exceeded (default: 1)'
    add('--max-growth', 'PERCENT', text, type=_number(float), default=1.0)
    add('--engines-dir', 'DIR', 'the engines folder', type=Path)
    flags = {
        '--allow-host-code': 'let version-compatible TensorRT engines bring code: only for files'
        ' that you built',
        '--mapped-memory': "let TensorRT work on the host's memory instead of copies of it",
    }
    for name, text in flags.items():
        parser.add_argument(name, action='store_true', help=text)
    add('--json', 'FILE', 'write all figures there', type=Path)
    files = parser.add_mutually_exclusive_group()
    text = (
        'time nothing; write the images and the reference answers, for --reference on a machine'
        ' without ONNX Runtime or scikit-image'
    )
    files.add_argument('--record', metavar='FILE', type=Path, help=text)
    text = 'images and answers from --record'
    files.add_argument('--reference', metavar='FILE', type=Path, help=text)
    return parser


def _batches(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(dict.fromkeys(int(part) for part in text.split(',')))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} are no batch sizes, as 1,2,4,8')
    return sizes


def _number(kind: type[int] | type[float], least: int = 0) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value: float = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f'{text!r} is not a number from {least} on')
        return value

    return convert


def _check_writable(file: Path) -> None:
    """Find out before the work whether its results can be kept."""
    is_new = not file.exists()
    try:
        file.open('ab').close()
    except OSError as error:
        raise OSError(f'{file} cannot be written: {error.strerror or error}') from error
    if is_new:
        file.unlink()


def _record(specs: Sequence[ModelSpec], options: argparse.Namespace) -> int:
    """Write inputs and reference answers; return the exit status."""
    cases: dict[str, Cases] = {}
    for spec in specs:
        case, problem = cases_of(spec, options)
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
