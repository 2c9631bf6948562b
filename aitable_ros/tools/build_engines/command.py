# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Build the TensorRT engines of aitable's networks, for this machine."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from aitable_ros import paths
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import BACKENDS
from aitable_ros.inference.tensorrt.gate import local_gpu
from aitable_ros.inference.tensorrt.runtime import load_tensorrt
from aitable_ros.inference.tensorrt.sidecar import EngineSidecar, Gpu, read_sidecar
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.engine_building.build_options import (
    FORMS,
    PRECISIONS,
    EngineBuildError,
    batch_profiles,
    options_for,
)
from aitable_ros.model_zoo.engine_building.engine_builder import (
    BuildRequest,
    build,
    trtexec_command,
)
from aitable_ros.model_zoo.engine_building.plan_builder import Progress
from aitable_ros.model_zoo.files import ModelFilesError, megabytes, write_atomically
from aitable_ros.model_zoo.store import SOURCES, ensure_models

HEARTBEAT_S = 10.0
"""How often it is said that a build goes on."""

_GOODBYE_S = 30.0  # for TensorRT to clean up, after the engine was written
_LOCK_NAME = '.build_engines.lock'
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h

INTERRUPTED = 130
"""Exit status after Ctrl-C, as of shells: 128 + SIGINT."""


@dataclass(frozen=True)
class Outcome:
    """
    What came of one build.

    :param text: in one line.
    :param failed: whether there is no engine.
    """

    text: str
    failed: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0 when all engines asked for are there, 1 when one is not, 130 when interrupted.
    """
    arguments = _parser().parse_args(argv)
    _set_up_logging(arguments.verbose)
    folder = paths.engines_dir(arguments.engines_dir)
    try:
        requests = _requests(arguments, folder)
        if arguments.list:
            print(_table(requests, folder))
            return 0
        _fetch(requests)
        if arguments.dry_run or arguments.save_onnx:
            return max([_describe(request, arguments) for request in requests], default=0)
        return _build_all(requests, folder, arguments.verbose)
    except (EngineBuildError, ModelFilesError) as error:
        print(f'build_engines: error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('build_engines: interrupted; engines that were there are as before', file=sys.stderr)
        return INTERRUPTED


def run_build(request: BuildRequest, *, verbose: bool = False) -> Outcome:
    """
    Build an engine in a process of its own, and say on standard error how it goes on.

    :param request: what.
    :param verbose: show TensorRT's own messages.
    """
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe(duplex=False)
    arguments = (os.getpid(), _work, theirs, request, verbose)
    process = context.Process(target=_while_parent_lives, args=arguments, daemon=True)
    process.start()
    theirs.close()
    try:
        outcome = _follow(request.name, ours)
        process.join(_GOODBYE_S)
    finally:
        if process.is_alive():
            process.kill()
            process.join()
        for leftover in request.engines_dir.glob(f'.*.{process.pid}.tmp'):
            leftover.unlink(missing_ok=True)
    return outcome or Outcome(_explain_end(process.exitcode), failed=True)


def _follow(name: str, messages: Connection) -> Outcome | None:
    start = last = time.monotonic()
    progress = Progress('', 0.0)
    shown: Progress | None = None
    while True:
        try:
            if messages.poll(1.0):
                kind, content = messages.recv()
                if kind == 'progress':
                    progress = content
                elif kind == 'line':
                    _say(f'{name}: {content}')
                else:
                    return Outcome(content, failed=kind == 'failed')
        except EOFError:
            return None
        now = time.monotonic()
        if now - last >= HEARTBEAT_S:
            last = now
            where = f', {progress.phase} {progress.done:.0%}' if progress != shown else ''
            _say(f'{name}: building for {now - start:.0f} s{where if progress.phase else ""}')
            shown = progress


def _while_parent_lives(parent: int, work: Callable[..., None], *arguments: Any) -> None:
    """Work, and be killed with the parent: it holds the lock, and would say what came of it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        work(*arguments)


def _work(messages: Connection, request: BuildRequest, verbose: bool) -> None:
    """Build; runs in the process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    _set_up_logging(verbose)
    try:
        record = build(
            request,
            lambda line: messages.send(('line', line)),
            lambda progress: messages.send(('progress', progress)),
        )
    except EngineBuildError as error:
        messages.send(('failed', str(error)))
    except MemoryError:
        messages.send(('failed', 'not enough memory'))
    except Exception as error:  # the other builds go on
        messages.send(('failed', ' '.join(f'{type(error).__name__}: {error}'.split())))
    else:
        path = request.engine_path
        if record is None:
            messages.send(('done', f'{path} is up to date'))
            return
        text = f'{path} built in {record.build_seconds:.0f} s ({megabytes(record.engine_size)})'
        if record.version_compatible:
            text += (
                '. It carries code: to let it run, set'
                f" host_code_sha256: '{record.engine_sha256}' under {request.name} in models.yaml"
            )
        messages.send(('done', text))


def _set_up_logging(verbose: bool) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format='%(message)s')


def _explain_end(exit_code: int | None) -> str:
    if exit_code == -signal.SIGKILL:
        return (
            'the build was killed, as Linux does when memory runs out: close other programs, add'
            ' swap, or lower --workspace-mib, --max-batch or --optimization-level'
        )
    if exit_code is not None and exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f'signal {-exit_code}'
        return f'TensorRT crashed ({name}); see its messages with --verbose'
    return f'the build ended with status {exit_code} without a result; see --verbose'


def _build_all(requests: Sequence[BuildRequest], folder: Path, verbose: bool) -> int:
    failed = False
    for request in requests:
        with _alone(folder):
            outcome = run_build(request, verbose=verbose)
        failed |= outcome.failed
        if outcome.failed:
            print(f'build_engines: error: {request.name}: {outcome.text}', file=sys.stderr)
        else:
            print(f'{request.name}: {outcome.text}', flush=True)
    return 1 if failed else 0


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for other builds into the folder: side by side they disturb each other's timing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK_NAME).open('ab')
    except OSError as error:
        raise EngineBuildError(
            f'the engines folder {folder} cannot be written: {error.strerror or error}'
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say('waiting for another build to end')
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _requests(arguments: argparse.Namespace, folder: Path) -> list[BuildRequest]:
    if arguments.onnx is not None and len(arguments.models) != 1:
        raise EngineBuildError('--onnx needs the name of exactly one model')
    names = arguments.models or _available(folder)
    for name in names:
        if name not in CONTRACTS and arguments.onnx is None:
            raise EngineBuildError(
                f'unknown model {name!r} (choose from {", ".join(CONTRACTS)}, or give its ONNX'
                ' file with --onnx)'
            )
        if not name or Path(name).name != name or name.startswith('.'):
            raise EngineBuildError(f'{name!r} cannot be the name of a file')
    return [
        BuildRequest(
            name,
            folder,
            options_for(
                name,
                precision=arguments.precision,
                fp32_first=arguments.fp32_first,
                form=arguments.form,
                max_batch=arguments.max_batch,
                workspace_mib=arguments.workspace_mib,
                optimization_level=arguments.optimization_level,
                version_compatible=arguments.version_compatible,
                strongly_typed=arguments.strongly_typed,
                float_input=arguments.float_input,
                tactic_sources=tuple((arguments.tactic_sources or '').replace(',', ' ').split()),
                calibration_images=arguments.calibration_images,
            ),
            CONTRACTS.get(name),
            arguments.onnx,
            force=arguments.force,
        )
        for name in names
    ]


def _available(folder: Path) -> list[str]:
    """Return all models but those whose files the user has to bring and has not brought."""
    names = [name for name in CONTRACTS if name in SOURCES or (folder / f'{name}.onnx').is_file()]
    for name in CONTRACTS:
        if name not in names:
            _say(f'{name}: left out, {folder / name}.onnx is missing (fetch_models {name})')
    return names


def _fetch(requests: Sequence[BuildRequest]) -> None:
    for request in requests:
        if request.onnx_file is None and request.name in SOURCES:
            ensure_models([request.name], request.engines_dir, progress=_say)


def _describe(request: BuildRequest, arguments: argparse.Namespace) -> int:
    """Print what would be built, without TensorRT, and save the ONNX file if asked to."""
    try:
        source, prepared = request.prepare(
            typed=arguments.strongly_typed, report=lambda line: _say(f'{request.name}: {line}')
        )
        batches = batch_profiles(request.options, dynamic=prepared.dynamic)
        if arguments.save_onnx:
            arguments.save_onnx.mkdir(parents=True, exist_ok=True)
            write_atomically(arguments.save_onnx / f'{request.name}.onnx', prepared.model)
    except EngineBuildError as error:
        print(f'build_engines: error: {request.name}: {error}', file=sys.stderr)
        return 1
    except OSError as error:
        where = f'{arguments.save_onnx or request.engines_dir} cannot be written'
        print(f'build_engines: error: {where}: {error.strerror or error}', file=sys.stderr)
        return 1
    print(f'{request.name}: {request.engine_path}')
    print(f'  from      {source.origin} (sha256 {source.sha256})')
    print(f'  inputs    {", ".join(map(str, prepared.inputs))}')
    print(f'  outputs   {", ".join(map(str, prepared.outputs))}')
    kept = f', {len(prepared.fp32_nodes)} layers in FP32' if prepared.fp32_nodes else ''
    print(f'  precision {request.options.precision}{kept}')
    print(f'  batches   {" and ".join("-".join(map(str, b)) for b in batches) or "fixed"}')
    print(f'  trtexec   {trtexec_command(request.name, prepared, request.options, batches)}')
    return 0


def _table(requests: Sequence[BuildRequest], folder: Path) -> str:
    gpu = local_gpu()
    version, tensorrt = _find_tensorrt()
    rows = [('ENGINE', 'SIZE', 'PRECISION', 'BATCH', 'TENSORRT', 'GPU', 'STATE')]
    for request in requests:
        path = request.engine_path
        record = read_sidecar(path)
        size = megabytes(path.stat().st_size) if path.is_file() else '-'
        if record is None:
            state = 'has no record' if path.is_file() else 'is missing'
            rows.append((path.name, size, '-', '-', '-', '-', state))
            continue
        largest = max((batch[-1] for batch in record.batches), default=1)
        rows.append(
            (
                path.name,
                size,
                record.precision,
                str(largest),
                record.tensorrt,
                record.gpu.name,
                _state(path, record, gpu, version),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows]
    here = f'This machine: {gpu}; {tensorrt}'
    return '\n'.join([f'Engines folder: {folder}', *(line.rstrip() for line in lines), here])


def _state(path: Path, record: EngineSidecar, gpu: Gpu | str, version: str) -> str:
    if not path.is_file():
        return 'is missing'
    if path.stat().st_size != record.engine_size:
        return 'is damaged'
    if isinstance(gpu, str) or not version:
        return 'cannot run here'
    if gpu != record.gpu:
        return 'is for another GPU'
    if not record.version_compatible and version != record.tensorrt:
        return 'is for another TensorRT'
    return 'ok'


def _find_tensorrt() -> tuple[str, str]:
    """Return TensorRT's version, empty where there is none, and what to say of it."""
    try:
        version = str(load_tensorrt().__version__)
    except InferenceError as error:
        return '', str(error)
    return version, f'TensorRT {version}'


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    suffix = BACKENDS['tensorrt'].suffix if 'tensorrt' in BACKENDS else '.engine'
    parser = argparse.ArgumentParser(
        prog='build_engines',
        description=(
            f'Build TensorRT engines (<model>{suffix}) in the engines folder, from the ONNX form'
            ' of the networks. An engine works only with the TensorRT version and on the GPU that'
            ' it was built with: build it on the machine that is to run it. One that is there'
            ' and was built from the same, the same way, is left alone.'
        ),
        epilog=(
            'Beside each engine lies <model>.engine.json with what it was built from and how, and'
            ' a timing cache that makes the next build faster. A build takes from half a minute'
            ' to half an hour, and is best done while nothing else runs. Exit status: 0 when all'
            ' engines asked for are there, 1 when one is not, 130 after Ctrl-C.'
        ),
    )
    parser.add_argument(
        'models',
        metavar='MODEL',
        nargs='*',
        help=f'models to build (default: all): {", ".join(CONTRACTS)}; or, with --onnx, a name'
        ' of your own',
    )
    parser.add_argument('--engines-dir', metavar='DIR', type=Path, help='the engines folder')
    parser.add_argument(
        '--onnx', metavar='FILE', type=Path, help="build from this file, not the model's own"
    )
    how = parser.add_argument_group('how to build')
    how.add_argument(
        '--precision',
        choices=PRECISIONS,
        help='lowest precision to use (default: fp16, of the pose networks tf32); layers that'
        ' would overflow stay in fp32. tf32 is fp32 on tensor cores, which round what they'
        ' multiply to the 11 bits of fp16',
    )
    how.add_argument(
        '--fp32-first',
        metavar='N',
        type=int,
        help='hold the first N layers with weights in fp32 (default: 0, of EmoNet 5)',
    )
    how.add_argument(
        '--form',
        choices=FORMS,
        help='how convolutions are written: plain (as the network has them), dense (depthwise'
        ' separable ones joined) or relu (and PReLU as ReLU of twice the channels): the same'
        ' results, from one to the next fewer kernels and more multiplications (default: plain,'
        ' of face_mesh and iris_landmark relu)',
    )
    how.add_argument(
        '--max-batch',
        metavar='N',
        type=int,
        help='largest batch in one piece (default: 1, of iris_landmark 2); larger ones are run in'
        ' pieces, and 1 is fastest for single pictures',
    )
    how.add_argument(
        '--workspace-mib',
        metavar='MIB',
        type=int,
        help="limit of GPU memory for intermediate results (default: TensorRT's)",
    )
    how.add_argument(
        '--optimization-level',
        metavar='0-5',
        type=int,
        help="0 builds fast, 5 runs fast (default: TensorRT's, 3)",
    )
    how.add_argument(
        '--version-compatible',
        action='store_true',
        help='make an engine that newer TensorRT versions can run; it carries code',
    )
    how.add_argument(
        '--strongly-typed',
        action='store_true',
        help='put the precision into the graph, as TensorRT 11 always does',
    )
    how.add_argument(
        '--float-input',
        action='store_true',
        help='take float32 pixels, scaled on the host, should this TensorRT not take uint8',
    )
    how.add_argument(
        '--calibration-images',
        metavar='DIR',
        type=Path,
        help='folder of pictures as the network gets them, or .npy files of such: to calibrate'
        ' int8, and to find out what overflows in fp16',
    )
    how.add_argument(
        '--tactic-sources',
        metavar='NAME[,NAME]',
        help="use only these of TensorRT's sources of kernels, as JIT_CONVOLUTIONS",
    )
    parser.add_argument('--force', action='store_true', help='build also what is up to date')
    parser.add_argument('--verbose', action='store_true', help="show TensorRT's messages")
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        '--list', action='store_true', help='only show what is there, without changing anything'
    )
    action.add_argument(
        '--dry-run',
        action='store_true',
        help='only show what would be built, and the trtexec command for it',
    )
    parser.add_argument(
        '--save-onnx',
        metavar='DIR',
        type=Path,
        help='only write the ONNX files as TensorRT would get them, for trtexec',
    )
    return parser
