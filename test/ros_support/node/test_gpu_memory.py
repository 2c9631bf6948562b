# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""GPU memory is told where a network runs on one, and CUDA is left alone otherwise."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import Selection
from aitable_ros.ros_support.node.gpu_memory import gpu_memory_bytes


def selection(backend):
    return Selection(engine=None, backend=backend, path=Path('x'))


class Device:
    """A device with 3 of 8 bytes free, or one that does not answer."""

    def __init__(self, error=None):
        self.error = error

    def memory_bytes(self):
        if self.error:
            raise self.error
        return 3, 8


@pytest.mark.parametrize('backends', [[], ['litert'], ['onnxruntime', 'ncnn']])
def test_nothing_where_no_network_runs_on_a_gpu(monkeypatch, backends):
    for module in ('aitable_ros.inference.tensorrt.cuda', 'torch'):
        monkeypatch.setitem(sys.modules, module, None)  # a look at it would fail
    assert gpu_memory_bytes([selection(backend) for backend in backends]) is None


def test_of_the_device_that_tensorrt_has_open(monkeypatch):
    cuda = SimpleNamespace(open_device=lambda: Device())
    monkeypatch.setitem(sys.modules, 'aitable_ros.inference.tensorrt.cuda', cuda)
    assert gpu_memory_bytes([selection('litert'), selection('tensorrt')]) == (5, 8)


def test_a_device_that_does_not_answer_is_no_error(monkeypatch):
    cuda = SimpleNamespace(open_device=lambda: Device(InferenceError('gone')))
    monkeypatch.setitem(sys.modules, 'aitable_ros.inference.tensorrt.cuda', cuda)
    assert gpu_memory_bytes([selection('tensorrt')]) is None


@pytest.mark.parametrize('initialised', [True, False])
def test_of_pytorch_only_after_it_uses_cuda(monkeypatch, initialised):
    torch_cuda = SimpleNamespace(
        is_initialized=lambda: initialised, mem_get_info=lambda: (1 << 30, 4 << 30)
    )
    monkeypatch.setitem(sys.modules, 'torch', SimpleNamespace(cuda=torch_cuda))
    expected = (3 << 30, 4 << 30) if initialised else None
    assert gpu_memory_bytes([selection('pytorch')]) == expected
