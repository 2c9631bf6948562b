# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""One build in a process of its own, that ends with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from aitable_ros.inference.engine import one_line
from aitable_ros.model_zoo.engine_building.build_options import EngineBuildError
from aitable_ros.model_zoo.engine_building.engine_builder import BuildRequest, build
from aitable_ros.model_zoo.engine_building.plan_builder import Progress
from aitable_ros.model_zoo.engine_building.rtx_builder import RtxBuildRequest, build_rtx
from aitable_ros.model_zoo.files import held, megabytes, print_report

HEARTBEAT_S = 10.0
"""How often it is said that a build goes on."""

_GOODBYE_S = 30.0  # for TensorRT to clean up, after the engine was written
_LOCK_NAME = '.build_engines.lock'
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h

INTERRUPTED = 130
"""Exit status after Ctrl-C, as of shells: 128 + SIGINT."""


class Outcome(NamedTuple):
    """What came of one build, in one line, and whether there is no engine."""

    text: str
    failed: bool = False


def run_build(request: BuildRequest, *, verbose: bool = False) -> Outcome:
    """Build an engine in a process of its own, and say on standard error how it goes on."""
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
                    print_report(f'{name}: {content}')
                else:
                    return Outcome(content, failed=kind == 'failed')
        except EOFError:
            return None
        now = time.monotonic()
        if now - last >= HEARTBEAT_S:
            last = now
            where = f', {progress.phase} {progress.done:.0%}' if progress != shown else ''
            print_report(
                f'{name}: building for {now - start:.0f} s{where if progress.phase else ""}'
            )
            shown = progress


def _while_parent_lives(parent: int, work: Callable[..., None], *arguments: Any) -> None:
    """Work, and be killed with the parent: it holds the lock, and would say what came of it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        work(*arguments)


def _work(messages: Connection, request: BuildRequest, verbose: bool) -> None:
    """Build; runs in the process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    set_up_logging(verbose)

    def report(line: str) -> None:
        messages.send(('line', line))

    def watch(progress: Progress) -> None:
        messages.send(('progress', progress))

    try:
        if isinstance(request, RtxBuildRequest):
            record = build_rtx(request, report, watch)
        else:
            record = build(request, report, watch)
    except EngineBuildError as error:
        messages.send(('failed', str(error)))
    except MemoryError:
        messages.send(('failed', 'not enough memory'))
    except Exception as error:  # the other builds go on
        messages.send(('failed', one_line(f'{type(error).__name__}: {error}')))
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


def set_up_logging(verbose: bool) -> None:
    """Show what the build says, or its errors alone."""
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


def build_all(requests: Sequence[BuildRequest], folder: Path, verbose: bool) -> int:
    """
    Build one engine after the other, and print what became of each.

    :param folder: where they go; one build at a time works there.
    :returns: exit status: 1 when one failed.
    :raises EngineBuildError: when the folder cannot be written.
    """
    failed = False
    for request in requests:
        with contextlib.ExitStack() as stack:
            try:
                # side by side builds would disturb each other's timing
                lock = held(folder / _LOCK_NAME, print_report, 'waiting for another build to end')
                stack.enter_context(lock)
            except OSError as error:
                raise EngineBuildError(
                    f'the engines folder {folder} cannot be written: {error.strerror or error}'
                ) from error
            outcome = run_build(request, verbose=verbose)
        failed |= outcome.failed
        if outcome.failed:
            print(f'build_engines: error: {request.name}: {outcome.text}', file=sys.stderr)
        else:
            print(f'{request.name}: {outcome.text}', flush=True)
    return 1 if failed else 0
