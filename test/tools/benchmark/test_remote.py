# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from aitable_ros.tools.benchmark import remote as benchmark_remote
from aitable_ros.tools.benchmark.remote import RemoteTorch, RemoteTorchError, RemoteTorchRunner


def test_another_python_answers_as_this_one_does_and_times_itself() -> None:
    pytest.importorskip('torch')
    from aitable_ros.tools.benchmark import pytorch_peer as benchmark_torch

    images = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    remote = RemoteTorch([sys.executable], threads=1)
    try:
        assert remote.version == benchmark_torch.torch.__version__
        assert remote.variants() == benchmark_torch.variants()
        expected = benchmark_torch.reference_answers(images)
        for name, values in remote.reference_answers(images).items():
            assert np.allclose(values, expected[name], 1e-4, 1e-4)
        runner = RemoteTorchRunner(remote, 'torch fp32')
        for name, values in runner.infer(images).items():
            assert np.allclose(values, expected[name], 1e-3, 1e-3 * np.abs(values).max())
        start = time.perf_counter()
        seconds = runner.infer_s(images)
        assert 0 < seconds < time.perf_counter() - start
        runner.close()
        with pytest.raises(RemoteTorchError, match='AssertionError'):
            runner.infer(images)
    finally:
        remote.close()
    with pytest.raises(RemoteTorchError, match='has ended'):
        remote.variants()


@pytest.mark.parametrize(
    ('command', 'reason'),
    [
        (['/nowhere/python3'], 'does not start: .*No such file'),
        (['true'], 'the process with PyTorch has ended'),
    ],
)
def test_another_python_that_cannot(command: list[str], reason: str) -> None:
    with pytest.raises(RemoteTorchError, match=reason):
        RemoteTorch(command, threads=1)


def python_with(folder: Path) -> list[str]:
    """Return a command of this Python in which the modules of a folder come first."""
    path = os.pathsep.join([str(folder), os.environ.get('PYTHONPATH', '')])
    return ['env', f'PYTHONPATH={path}', sys.executable]


def test_another_python_without_pytorch(tmp_path: Path) -> None:
    (tmp_path / 'torch.py').write_text("raise ImportError('there is none')")
    with pytest.raises(RemoteTorchError, match='ImportError: there is none'):
        RemoteTorch(python_with(tmp_path), threads=1)


def test_it_sees_our_package_but_not_what_is_installed_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In site-packages, NumPy and PyTorch of this Python lie there."""
    ours, theirs = tmp_path / 'ours', tmp_path / 'theirs'
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / 'torch.py').write_text(f'raise ImportError({folder.name!r})')
    (ours / 'aitable_ros').symlink_to(benchmark_remote._ROOT / 'aitable_ros')
    monkeypatch.setattr(benchmark_remote, '_ROOT', ours)
    with pytest.raises(RemoteTorchError, match='ImportError: theirs'):
        RemoteTorch(python_with(theirs), threads=1)


def test_its_path_is_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\nexit 3\n')
    python.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RemoteTorchError, match='the process with PyTorch has ended'):
        RemoteTorch(['./python'], threads=1)


def test_ctrl_c_ends_it_without_a_word(tmp_path: Path) -> None:
    begun = tmp_path / 'begun'
    (tmp_path / 'torch.py').write_text(
        f'import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)'
    )
    here, there = socket.socketpair()
    with here, there:
        process = subprocess.Popen(
            [
                *(sys.executable, '-c', benchmark_remote._START),
                *(str(benchmark_remote._ROOT), str(there.fileno()), '1'),
            ],
            env={**os.environ, 'PYTHONPATH': str(tmp_path)},
            pass_fds=[there.fileno()],
            stderr=subprocess.PIPE,
        )
        try:
            benchmark_remote.Connection(os.dup(here.fileno())).send(('', 'version'))
            while not begun.exists():
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=20) == (None, b'')
            assert process.returncode == -signal.SIGINT
        finally:
            process.kill()
            process.wait()
