# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The CUDA device: its context, and what is told where there is none."""

from __future__ import annotations

import sys

import pytest
from tensorrt_fixtures import SPEC

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


def test_without_pycuda_it_says_so(trt, path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycuda.driver', None)
    with pytest.raises(InferenceError, match=r'(?i)pycuda'):
        TensorRtEngine(SPEC, path)


def test_without_a_driver_it_says_so(trt, path, monkeypatch):
    def refuse(name):
        if name == 'pycuda.driver':
            raise ImportError('libcuda.so.1: cannot open shared object file')
        return sys.modules[name]

    monkeypatch.setattr(cuda.importlib, 'import_module', refuse)
    with pytest.raises(InferenceError, match='there is no NVIDIA driver'):
        TensorRtEngine(SPEC, path)


def test_without_a_device_it_says_so(gpu, trt, path):
    gpu.fail_at = {'init': {1}}
    with pytest.raises(InferenceError, match='no CUDA device can be used: init failed'):
        TensorRtEngine(SPEC, path)


def test_a_device_that_is_not_there_is_named(trt, path):
    with pytest.raises(InferenceError, match='no CUDA device 3: this machine has 1'):
        TensorRtEngine(SPEC, path, device=3)
