# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What runs one batch size: where its graph cannot be recorded, and where memory is short."""

from __future__ import annotations

import pytest
from tensorrt_fixtures import SPEC, assert_right, images

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt.engine import TensorRtEngine


@pytest.mark.parametrize(
    ('step', 'call', 'told'),
    [
        ('cuStreamBeginCapture_v2', 1, 'CUDA_ERROR_STREAM_CAPTURE_INVALIDATED'),
        ('cuStreamEndCapture', 1, 'CUDA_ERROR_STREAM_CAPTURE_INVALIDATED'),
        ('cuGraphInstantiateWithFlags', 1, 'CUDA_ERROR_STREAM_CAPTURE_INVALIDATED'),
        ('cuGraphLaunch', 1, 'CUDA_ERROR_STREAM_CAPTURE_INVALIDATED'),
        ('execute', 2, 'execute is refused'),  # the first one is the trial run
    ],
)
def test_where_recording_fails_it_runs_step_by_step_and_says_so(
    gpu, trt, path, caplog, step, call, told
):
    gpu.fail_at = {step: {call}}
    with TensorRtEngine(SPEC, path) as engine:
        assert not engine.uses_cuda_graph
        assert told in caplog.text
        assert_right(engine, images(1))
        assert_right(engine, images(2))
        assert not {'graph', 'executable'} & set(gpu.live)
        assert caplog.text.count('runs step by step') == 1
    assert not gpu.live


def test_a_graph_is_recorded_once_per_batch_size_and_then_only_launched(gpu, trt, path):
    with TensorRtEngine(SPEC, path) as engine:
        for count in (1, 1, 3, 3, 1):
            assert_right(engine, images(count))
        assert gpu.calls.count('cuStreamBeginCapture_v2') == 2
        assert gpu.calls.count('execute') == 4  # a trial run and the recorded one


def test_too_little_gpu_memory_is_told_with_what_is_needed(gpu, trt, path):
    trt.plan.workspace = 2**30
    with pytest.raises(InferenceError, match=r'for batch 4 it needs 1024\.0 MiB, 1 of 1 MiB'):
        TensorRtEngine(SPEC, path)
    assert not gpu.live
