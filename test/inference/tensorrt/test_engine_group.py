# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Several engines in one launch: the same answers, and what happens where that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from tensorrt_fixtures import SPEC, both_apis, images, toy_network

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt.engine import TensorRtEngine
from aitable_ros.inference.tensorrt.engine_group import MAX_GRAPHS, EngineGroup


@pytest.fixture
def engines(trt, path):
    with TensorRtEngine(SPEC, path) as first, TensorRtEngine(SPEC, path) as second:
        yield first, second


def assert_right(group, *counts, seed=0):
    given = [images(count, seed + i) for i, count in enumerate(counts)]
    answers = group.infer([{'image': batch} for batch in given])
    for answer, batch in zip(answers, given):
        np.testing.assert_allclose(answer['sums'], toy_network(batch))


@both_apis
def test_all_networks_run_in_one_launch(gpu, engines):
    with EngineGroup(engines) as group:
        assert_right(group, 1, 2)
        launches = gpu.calls.count('cuGraphLaunch')
        recorded = gpu.calls.count('cuStreamBeginCapture_v2')
        for seed in range(3):
            assert_right(group, 1, 2, seed=seed)
        assert gpu.calls.count('cuGraphLaunch') == launches + 3
        assert gpu.calls.count('cuStreamBeginCapture_v2') == recorded
        # each still runs alone
        np.testing.assert_allclose(
            engines[0].infer({'image': images(3)})['sums'], toy_network(images(3))
        )
        assert_right(group, 2, 1)
        assert_right(group, 1, 2)


def test_a_batch_in_several_pieces_is_run_by_each_engine(gpu, engines):
    with EngineGroup(engines) as group:
        assert_right(group, 1, 11)  # 4 is the engine's largest
        assert group.uses_cuda_graph


def test_where_recording_fails_they_run_one_after_the_other(gpu, engines, caplog):
    gpu.fail_at = {'cuGraphInstantiateWithFlags': {3}}  # after those of the engines
    with EngineGroup(engines) as group:
        assert_right(group, 1, 1)
        assert not group.uses_cuda_graph
        assert_right(group, 2, 1)
    assert caplog.text.count('recording one CUDA graph failed') == 1


def test_graphs_are_bounded_and_freed(gpu, engines):
    alone = gpu.live.count('executable')
    with EngineGroup(engines) as group:
        for first in range(1, 5):
            for second in range(1, 5):
                assert_right(group, first, second)
        single = 8  # one for each engine and batch size
        assert gpu.live.count('executable') <= single + MAX_GRAPHS
    assert gpu.live.count('executable') <= single
    assert alone == 2


def test_misuse_is_refused(gpu, trt, path, engines):
    with pytest.raises(InferenceError, match='different engines of one CUDA device'):
        EngineGroup((engines[0], engines[0]))
    with EngineGroup(engines) as group:
        with pytest.raises(InferenceError, match='expected inputs of 2 engines'):
            group.infer([{'image': images(1)}])
        with pytest.raises(InferenceError, match='input image'):
            group.infer([{'image': images(1)}, {'image': images(1) / 255}])
        assert_right(group, 1, 1)
        engines[1].close()
        with pytest.raises(InferenceError, match='used after close'):
            group.infer([{'image': images(1)}] * 2)


def test_a_failing_launch_is_an_error_and_the_group_stays_usable(gpu, engines):
    with EngineGroup(engines) as group:
        assert_right(group, 1, 1)
        gpu.fail_at = {'cuGraphLaunch': {gpu.calls.count('cuGraphLaunch') + 1}}
        with pytest.raises(InferenceError, match='STREAM_CAPTURE_INVALIDATED'):
            group.infer([{'image': images(1)}] * 2)
        assert_right(group, 1, 1)
