# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
PyTorch in another Python, for the benchmark to compare with.

TensorRT's bindings and PyTorch often live in different interpreters: JetPack's TensorRT belongs
to the system's Python, PyTorch to a virtual environment of another version. The other
interpreter runs :mod:`aitable_ros.tools.benchmark.pytorch_peer`, takes its turns, and times
itself, so that no figure contains the way between the processes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError

_START_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 20.0

_ROOT = Path(__file__).resolve().parents[3]

# What else lies beside our package, such as this Python's own NumPy, is not for the other one.
# And Ctrl-C is for both: it ends there without a word.
_START = (
    'import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);'
    'root = sys.argv.pop(1); sys.path[:] = [root, *filter(None, sys.path)];'
    'import aitable_ros; sys.path.remove(root);'
    'from aitable_ros.tools.benchmark.remote import start; sys.exit(start())'
)

_Packed = tuple[str, tuple[int, ...], bytes]


class RemoteTorchError(InferenceError):
    """The other interpreter could not do what it was asked; says why."""


class RemoteTorch:
    """
    PyTorch's side of the benchmark in a process of another Python.

    :param command: how that Python is started, for example ``['/opt/venv/bin/python3']``, or with
        ``env`` in front of it to clear what this interpreter needs and that one must not see.
    :param threads: of PyTorch on the CPU.
    :raises RemoteTorchError: when it does not start, or has no PyTorch.
    """

    def __init__(self, command: Sequence[str], threads: int) -> None:
        here, there = socket.socketpair()
        there.set_inheritable(True)
        arguments = ['-c', _START, str(_ROOT), str(there.fileno())]
        try:
            self._process = subprocess.Popen(
                [*command, *arguments, '--threads', str(threads)],
                pass_fds=(there.fileno(),),
                stdin=subprocess.DEVNULL,
                # its output must not get between the lines of the table
                stdout=sys.stderr,
            )
        except OSError as error:
            here.close()
            raise RemoteTorchError(f'{command[0]} does not start: {error}') from error
        finally:
            there.close()
        self._connection = Connection(here.detach())
        try:
            if not self._connection.poll(_START_TIMEOUT_S):
                raise RemoteTorchError(f'{command[0]} says nothing for {_START_TIMEOUT_S:g} s')
            self.version: str = self._answer()
        except RemoteTorchError:
            self.close()
            raise

    def ask(self, question: str, *arguments: Any) -> Any:
        """
        Let the other process do something, and wait for it.

        :param question: name of a method of the server.
        :raises RemoteTorchError: when that failed there.
        """
        try:
            self._connection.send((question, arguments))
        except OSError as error:
            raise RemoteTorchError(f'the process with PyTorch has ended: {error}') from error
        return self._answer()

    def variants(self) -> tuple[str, ...]:
        """Return the variants that it can run."""
        return tuple(self.ask('variants'))

    def reference_answers(
        self, images: npt.NDArray[np.uint8]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """See :func:`aitable_ros.tools.benchmark.pytorch_peer.reference_answers`."""
        return _unpacked(self.ask('reference_answers', _pack(images)))

    def runner(self, variant: str) -> RemoteTorchRunner:
        """Load a variant there."""
        return RemoteTorchRunner(self, variant)

    def close(self) -> None:
        """End the other process."""
        self._connection.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self) -> Any:
        try:
            fine, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise RemoteTorchError('the process with PyTorch has ended') from error
        if not fine:
            raise RemoteTorchError(value)
        return value


class RemoteTorchRunner:
    """
    A variant of EmoNet in the other process; a runner of the benchmark.

    :param remote: the process.
    :param variant: a key of ``benchmark_torch.VARIANTS``.
    """

    max_batch: int | None = None

    def __init__(self, remote: RemoteTorch, variant: str) -> None:
        self.label = variant
        self._remote = remote
        self.details: dict[str, Any] = remote.ask('load', variant)

    def infer(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray]:
        """Run the network there."""
        return _unpacked(self._remote.ask('infer', self.label, _pack(images)))

    def infer_s(self, images: npt.NDArray[np.uint8]) -> float:
        """Run the network there, and return how long that process took for it [s]."""
        return float(self._remote.ask('infer_s', self.label, _pack(images)))

    def device_s(self, batch: int) -> float | None:
        """Return the seconds that the GPU needs once its input is there; None on the CPU."""
        return self._remote.ask('device_s', self.label, batch)

    def close(self) -> None:
        """Free the network there."""
        with contextlib.suppress(RemoteTorchError):  # it has ended, and freed everything
            self._remote.ask('free', self.label)


def _pack(array: npt.NDArray) -> _Packed:
    """Take an array apart: two versions of NumPy need not read each other's pickles."""
    return array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes()


def _unpack(packed: _Packed) -> npt.NDArray:
    dtype, shape, data = packed
    return np.frombuffer(data, np.dtype(dtype)).reshape(shape).copy()


def _unpacked(answers: Mapping[str, _Packed]) -> dict[str, npt.NDArray]:
    return {name: _unpack(packed) for name, packed in answers.items()}


class _Server:
    """What the other process does; methods are named by :meth:`RemoteTorch.ask`."""

    def __init__(self, threads: int) -> None:
        from aitable_ros.tools.benchmark import pytorch_peer as benchmark_torch

        benchmark_torch.torch.set_num_threads(threads)
        self._module = benchmark_torch
        self.version = str(benchmark_torch.torch.__version__)
        self._runners: dict[str, Any] = {}

    def variants(self) -> tuple[str, ...]:
        return self._module.variants()

    def reference_answers(self, images: _Packed) -> dict[str, _Packed]:
        answers = self._module.reference_answers(_unpack(images))
        return {name: _pack(answer) for name, answer in answers.items()}

    def load(self, variant: str) -> dict[str, Any]:
        self._runners[variant] = self._module.TorchRunner(variant)
        python = '.'.join(map(str, sys.version_info[:3]))
        return {**self._runners[variant].details, 'python': python}

    def infer(self, variant: str, images: _Packed) -> dict[str, _Packed]:
        answers = self._runners[variant].infer(_unpack(images))
        return {name: _pack(answer) for name, answer in answers.items()}

    def infer_s(self, variant: str, images: _Packed) -> float:
        runner, array = self._runners[variant], _unpack(images)
        start = time.perf_counter()
        runner.infer(array)
        return time.perf_counter() - start

    def device_s(self, variant: str, batch: int) -> float | None:
        return self._runners[variant].device_s(batch)

    def free(self, variant: str) -> None:
        self._runners.pop(variant).close()


def serve(descriptor: int, threads: int) -> None:
    """
    Be the other process: answer what comes in, until the connection is closed.

    :param descriptor: of the socket to the benchmark.
    :param threads: of PyTorch on the CPU.
    """
    connection = Connection(os.dup(descriptor))
    try:
        server = _Server(threads)
    except Exception as error:
        connection.send((False, f'{type(error).__name__}: {error}'))
        return
    with contextlib.suppress(EOFError, OSError):  # the benchmark has ended
        connection.send((True, server.version))
        while True:
            question, arguments = connection.recv()
            try:
                answer = (True, getattr(server, question)(*arguments))
            except Exception as error:  # the benchmark reports it and goes on
                answer = (False, f'{type(error).__name__}: {error}')
            connection.send(answer)


def start(argv: Sequence[str] | None = None) -> int:
    """Start the server; the benchmark does so, nobody else."""
    parser = argparse.ArgumentParser(description=serve.__doc__)
    parser.add_argument('descriptor', type=int)
    parser.add_argument('--threads', type=int, default=1)
    options = parser.parse_args(argv)
    serve(options.descriptor, options.threads)
    return 0
