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

import contextlib
import importlib
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.tools.benchmark.timing import Runner

_START_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 20.0

_ROOT = Path(__file__).resolve().parents[3]

# What else lies beside our package, such as this Python's own NumPy, is not for the other one.
# And Ctrl-C is for both: it ends there without a word.
_START = (
    'import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);'
    'root = sys.argv.pop(1); sys.path[:] = [root, *filter(None, sys.path)];'
    'import aitable_ros; sys.path.remove(root);'
    'from aitable_ros.tools.benchmark.remote import serve; serve(*map(int, sys.argv[1:]))'
)


class RemoteTorchError(InferenceError):
    """The other interpreter could not do what it was asked; says why."""


def load_torch(threads: int) -> Any:
    """
    Import :mod:`aitable_ros.tools.benchmark.pytorch_peer`, and with it PyTorch.

    :param threads: of PyTorch on the CPU.
    """
    peer = importlib.import_module('aitable_ros.tools.benchmark.pytorch_peer')
    peer.torch.set_num_threads(threads)
    return peer


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
        with there:
            try:
                self._process = subprocess.Popen(
                    [*command, '-c', _START, str(_ROOT), str(there.fileno()), str(threads)],
                    pass_fds=(there.fileno(),),
                    stdin=subprocess.DEVNULL,
                    # its output must not get between the lines of the table
                    stdout=sys.stderr,
                )
            except OSError as error:
                here.close()
                raise RemoteTorchError(f'{command[0]} does not start: {error}') from error
        self._connection = Connection(here.detach())
        try:
            self.version: str = self.ask('', 'version', timeout_s=_START_TIMEOUT_S)
        except RemoteTorchError:
            self.close()
            raise

    def ask(
        self, variant: str, function: str, *arguments: Any, timeout_s: float | None = None
    ) -> Any:
        """
        Let the other process do something, and wait for it.

        :param variant: whose method that is; empty: it is a function of the module.
        :param function: its name; ``load`` loads the variant.
        :param timeout_s: how long to wait [s]; None: as long as it takes.
        :raises RemoteTorchError: when that failed there.
        """
        try:
            self._connection.send((variant, function, *map(_packed, arguments)))
            if not self._connection.poll(timeout_s):
                raise RemoteTorchError(f'the Python with PyTorch says nothing for {timeout_s:g} s')
            fine, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise RemoteTorchError('the process with PyTorch has ended') from error
        if not fine:
            raise RemoteTorchError(value)
        return _unpacked(value)

    def variants(self) -> tuple[str, ...]:
        """Return the variants that it can run."""
        return self.ask('', 'variants')

    def reference_answers(self, images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray]:
        """See :func:`aitable_ros.tools.benchmark.pytorch_peer.reference_answers`."""
        return self.ask('', 'reference_answers', images)

    def close(self) -> None:
        """End the other process."""
        self._connection.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class RemoteTorchRunner(Runner):
    """
    A variant of EmoNet in the other process.

    :param remote: the process.
    :param variant: a key of :data:`aitable_ros.tools.benchmark.pytorch_peer.VARIANTS`.
    :raises RemoteTorchError: when it does not load there.
    """

    def __init__(self, remote: RemoteTorch, variant: str) -> None:
        self.label = variant
        self._remote = remote
        self.details = remote.ask(variant, 'load')

    def infer(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray]:
        """See :class:`Runner`."""
        return self._remote.ask(self.label, 'infer', images)

    def infer_s(self, images: npt.NDArray[np.uint8]) -> float:
        """See :class:`Runner`; as long as it took that process."""
        return self._remote.ask(self.label, 'infer_s', images)

    def device_s(self, batch: int) -> float | None:
        """See :class:`Runner`."""
        return self._remote.ask(self.label, 'device_s', batch)

    def close(self) -> None:
        """See :class:`Runner`."""
        with contextlib.suppress(RemoteTorchError):  # it has ended, and freed everything
            self._remote.ask(self.label, 'close')


class _Array(NamedTuple):
    """An array taken apart: two versions of NumPy need not read each other's pickles."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def _packed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _Array(value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, dict):
        return {key: _packed(part) for key, part in value.items()}
    return value


def _unpacked(value: Any) -> Any:
    if isinstance(value, _Array):
        return np.frombuffer(value.data, np.dtype(value.dtype)).reshape(value.shape).copy()
    if isinstance(value, dict):
        return {key: _unpacked(part) for key, part in value.items()}
    return value


def serve(descriptor: int, threads: int) -> None:
    """
    Be the other process: do what :meth:`RemoteTorch.ask` says, until the connection is closed.

    :param descriptor: of the socket to the benchmark.
    :param threads: of PyTorch on the CPU.
    """
    connection = Connection(os.dup(descriptor))
    runners: dict[str, Runner] = {}

    def do(variant: str, function: str, *arguments: Any) -> Any:
        if variant and function != 'load':
            return getattr(runners[variant], function)(*map(_unpacked, arguments))
        peer = load_torch(threads)
        if function == 'version':
            return str(peer.torch.__version__)
        if function == 'load':
            runners[variant] = peer.TorchRunner(variant)
            return {**runners[variant].details, 'python': platform.python_version()}
        return getattr(peer, function)(*map(_unpacked, arguments))

    with contextlib.suppress(EOFError, OSError):  # the benchmark has ended
        while True:
            question = connection.recv()
            try:
                answer = (True, _packed(do(*question)))
            except Exception as error:  # the benchmark reports it and goes on
                answer = (False, f'{type(error).__name__}: {error}')
            connection.send(answer)
