# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The CUDA device: its context, and what is told where there is none."""

from __future__ import annotations

import types

import pytest
from tensorrt_fixtures import SPEC, CudaError

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt import cuda
from aitable_ros.inference.tensorrt.cuda import open_device
from aitable_ros.inference.tensorrt.engine import TensorRtEngine


def test_unwinding_pops_our_context_and_leaves_others(gpu, trt):
    device = open_device()
    foreign = gpu.driver.Context()
    foreign.push()
    device.__enter__()
    device.__enter__()
    device.unwind()
    assert gpu.stack == [foreign]
    foreign.pop()


@pytest.mark.parametrize(
    ('error', 'told'),
    [
        (
            ModuleNotFoundError('no', name='pycuda'),
            r'module pycuda is not installed \(pip install',
        ),
        (ImportError('libcuda.so.1: cannot open'), 'there is no NVIDIA driver'),
        (CudaError('no device'), 'no CUDA device can be used: no device'),
    ],
)
def test_without_what_it_needs_it_says_so(gpu, trt, path, monkeypatch, error, told):
    def fail(*_):
        raise error

    if isinstance(error, ImportError):
        monkeypatch.setattr(cuda, 'importlib', types.SimpleNamespace(import_module=fail))
    monkeypatch.setattr(gpu.driver, 'init', fail)
    with pytest.raises(InferenceError, match=told):
        TensorRtEngine(SPEC, path)
