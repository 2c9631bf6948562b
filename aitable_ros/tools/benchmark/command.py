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
from collections.abc import Sequence
from pathlib import Path

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import BACKENDS
from aitable_ros.tools.benchmark.inputs import BenchmarkInputsError, Cases, save_cases
from aitable_ros.tools.benchmark.measure import Benchmark, Options, cases_of
from aitable_ros.tools.benchmark.runners import SPECS, TORCH, TORCH_MODEL


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0; 1 when a backend that was named does not run, an answer is not finite, memory
        grew, or nothing could be measured.
    """
    parser = _parser()
    arguments = vars(parser.parse_args(argv))
    record: Path | None = arguments.pop('record')
    options = Options(**arguments)
    if options.torch_python and not options.compare:
        parser.error('--torch-python says where --compare torch runs; add that')
    if options.compare and options.models and TORCH_MODEL not in options.models:
        parser.error(f'--compare {options.compare} runs {TORCH_MODEL}; add it to the models')
    try:
        specs = _chosen(options.models)
        for file in (record, options.json):
            if file:
                _check_writable(file)
        if record:
            return _record(record, specs, options)
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
    parser.add_argument(
        'models',
        metavar='MODEL',
        nargs='*',
        help=f'networks (default: all whose files are there): {", ".join(SPECS)}',
    )
    parser.add_argument(
        '--backend',
        dest='backends',
        action='append',
        default=[],
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
        type=_amount,
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
    parser.add_argument(
        '--max-growth',
        type=_percent,
        default=0.01,
        metavar='PERCENT',
        help='growth in these that is a failure if exceeded (default: 1)',
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


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number from 0 on')
    return value


def _percent(text: str) -> float:
    return _amount(text) / 100


def _chosen(names: Sequence[str]) -> list[ModelSpec]:
    unknown = [name for name in names if name not in SPECS]
    if unknown:
        raise InferenceError(f'unknown model {unknown[0]!r}; choose from {", ".join(SPECS)}')
    return [SPECS[name] for name in dict.fromkeys(names or SPECS)]


def _check_writable(file: Path) -> None:
    """Find out before the work whether its results can be kept."""
    is_new = not file.exists()
    try:
        file.open('ab').close()
    except OSError as error:
        raise OSError(f'{file} cannot be written: {error.strerror or error}') from error
    if is_new:
        file.unlink()


def _record(file: Path, specs: Sequence[ModelSpec], options: Options) -> int:
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
    save_cases(file, cases)
    return 0
