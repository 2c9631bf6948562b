# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from aitable_ros.tools.benchmark_remote import RemoteTorch, RemoteTorchError


def test_another_python_answers_as_this_one_does_and_times_itself() -> None:
    pytest.importorskip('torch')
    from aitable_ros.tools import benchmark_torch

    images = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    remote = RemoteTorch([sys.executable], threads=1)
    try:
        assert remote.version == benchmark_torch.torch.__version__
        assert remote.variants() == benchmark_torch.variants()
        expected = benchmark_torch.reference_answers(images)
        for name, values in remote.reference_answers(images).items():
            assert np.allclose(values, expected[name], 1e-4, 1e-4)
        runner = remote.runner('torch fp32')
        for name, values in runner.infer(images).items():
            assert np.allclose(values, expected[name], 1e-3, 1e-3 * np.abs(values).max())
        start = time.perf_counter()
        seconds = runner.infer_s(images)
        assert 0 < seconds < time.perf_counter() - start
        runner.close()
        with pytest.raises(RemoteTorchError, match='KeyError'):
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


def test_another_python_without_pytorch(tmp_path: Path) -> None:
    (tmp_path / 'torch.py').write_text("raise ImportError('there is none')")
    path = os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')])
    with pytest.raises(RemoteTorchError, match='ImportError: there is none'):
        RemoteTorch(['env', f'PYTHONPATH={path}', sys.executable], threads=1)
