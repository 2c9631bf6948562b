# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Run a function in a process of its own, so that a native runtime may crash there."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# `python -c` puts the current folder first, where anything may lie.
_START = (
    'import sys; sys.path[:] = [path for path in sys.path if path];'
    'from aitable_ros.tools.support.isolation import serve; serve()'
)
_TOLD_LENGTH = 300
_FAILED = 70
"""Exit status of a child whose function raised: EX_SOFTWARE of sysexits.h."""


@dataclass(frozen=True)
class Outcome:
    """
    What came of a function that ran in a process of its own.

    :param messages: what it yielded, also where it failed later.
    :param failure: how it failed, in one line; empty when it did not.
    """

    messages: tuple[Any, ...]
    failure: str = ''


def run_isolated(
    function: Callable[..., Iterable[Any]], *arguments: Any, timeout_s: float
) -> Outcome:
    """
    Run a generator function in a new Python process, and wait for its end.

    Whatever the process prints is kept away from this one's output.

    :param function: a function of a module that can be imported; it yields what JSON can carry.
    :param arguments: its arguments; JSON must be able to carry them.
    :param timeout_s: after this many seconds it is killed.
    :returns: what it yielded, and how it failed: by an exception, a signal or the timeout.
    """
    request = json.dumps([_module_of(function), function.__qualname__, arguments])
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    try:
        done = subprocess.run(
            [sys.executable, '-c', _START],
            input=request.encode(),
            capture_output=True,
            timeout=timeout_s,
            env={**os.environ, 'PYTHONPATH': path},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return Outcome(_messages(error.stdout), f'took longer than {timeout_s:g} s')
    if done.returncode == 0:
        return Outcome(_messages(done.stdout))
    return Outcome(_messages(done.stdout), _describe(done.returncode, done.stderr))


def serve() -> None:
    """Be the new process: read which function to run from stdin, write what it yields."""
    with _kept_stdout() as write:
        try:
            module, name, arguments = json.loads(sys.stdin.buffer.read())
            function: Any = importlib.import_module(module)
            for part in name.split('.'):
                function = getattr(function, part)
            for message in function(*arguments):
                write(message)
        except Exception as error:
            text = f'{type(error).__name__}: {error}'
            print(' '.join(text.split()), file=sys.stderr)
            sys.exit(_FAILED)


@contextmanager
def _kept_stdout() -> Iterator[Callable[[Any], None]]:
    """Keep stdout for messages; what else is printed, by native code too, goes to stderr."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(descriptor, 'w', encoding='utf-8') as stream:

        def write(message: Any) -> None:
            print(json.dumps(message), file=stream, flush=True)

        yield write


def _module_of(function: Callable[..., Any]) -> str:
    if function.__module__ != '__main__':
        return function.__module__
    spec = sys.modules['__main__'].__spec__  # of `python -m`
    assert spec is not None, 'run isolated only what a module has'
    return spec.name


def _messages(output: bytes | None) -> tuple[Any, ...]:
    lines = (output or b'').split(b'\n')[:-1]  # a killed process may leave half a line
    return tuple(json.loads(line) for line in lines)


def _describe(status: int, stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode(errors='replace').splitlines()]
    told = next((line for line in reversed(lines) if line), '')[:_TOLD_LENGTH]
    if status == _FAILED and told:
        return told
    if status < 0:
        try:
            ended = f'was ended by {signal.Signals(-status).name}'
        except ValueError:
            ended = f'was ended by signal {-status}'
    else:
        ended = f'exited with status {status}'
    return f'{ended} ({told})' if told else ended
