# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The TensorRT engine on a GPU that is played: what fails, who may use it, what is freed when."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tensorrt_fixtures import NEW_API, SPEC, assert_right, both_apis, images, toy_network

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt import turn
from aitable_ros.inference.tensorrt.engine import MAX_PREPARED_BATCHES, TensorRtEngine


@both_apis
@pytest.mark.parametrize('cuda_graph', [True, False])
@pytest.mark.parametrize('mapped', [False, True])
def test_any_batch_is_run(gpu, trt, path, cuda_graph, mapped):
    with TensorRtEngine(SPEC, path, cuda_graph=cuda_graph, mapped_memory=mapped) as engine:
        assert engine.uses_cuda_graph is cuda_graph
        first = engine.infer({'image': images(2)})['sums']
        for seed, count in enumerate([1, 4, 2, 11, 1, 3, 4]):  # 4 is the engine's largest
            assert_right(engine, images(count, seed))
        np.testing.assert_allclose(first, toy_network(images(2)))  # it belongs to the caller
        assert_right(engine, images(4)[::2, :, ::-1])
        # 8.x does not share a profile: there a new batch size displaces the others
        assert gpu.live.count('execution') == (4 if trt.version == NEW_API else 1)
        assert (gpu.copies == 0) is mapped
    assert not gpu.live


def test_a_batch_smaller_than_the_engine_takes_is_filled_with_zeros(trt, path):
    seen = []
    trt.plan.batches = [(3, 3, 3)]
    trt.plan.network = lambda image: toy_network(seen.append(image.copy()) or image)
    with TensorRtEngine(SPEC, path) as engine:
        assert_right(engine, images(3, seed=1))
        assert_right(engine, images(1, seed=2))
    assert len(seen[-1]) == 3
    assert not seen[-1][1:].any()


def test_prepared_batch_sizes_are_bounded(gpu, trt, path):
    trt.plan.batches = [(1, 1, 2 * MAX_PREPARED_BATCHES)]
    with TensorRtEngine(SPEC, path) as engine:
        for count in range(1, 2 * MAX_PREPARED_BATCHES + 1):
            assert_right(engine, images(count))
        assert gpu.live.count('execution') <= MAX_PREPARED_BATCHES
        assert gpu.live.count('executable') <= MAX_PREPARED_BATCHES


def test_a_replay_runs_the_last_images_again(trt, path):
    runs = []
    trt.plan.network = lambda image: toy_network(runs.append(image.copy()) or image)
    with TensorRtEngine(SPEC, path) as engine:
        assert_right(engine, images(2))
        runs.clear()
        engine.replay(2)
        np.testing.assert_array_equal(runs, [images(2)])
        with pytest.raises(InferenceError, match=r'expected 1\.\.4 images, got 5'):
            engine.replay(5)


def test_any_thread_may_close_it_once_its_own_has_ended(gpu, trt, path):
    with ThreadPoolExecutor(1) as owner:
        engine = owner.submit(TensorRtEngine, SPEC, path).result()
    with pytest.raises(InferenceError, match='belongs to'):
        engine.infer({'image': images(1)})
    engine.close()
    assert not gpu.live


def test_what_was_current_before_is_current_again(gpu, trt, path):
    foreign = gpu.driver.Context()
    foreign.push()
    with TensorRtEngine(SPEC, path) as engine:
        assert gpu.stack == [foreign]
        assert_right(engine, images(1))
        with pytest.raises(InferenceError):
            engine.infer({})
        assert gpu.stack == [foreign]
    assert gpu.stack == [foreign]
    foreign.pop()


def test_at_exit_a_run_under_way_ends_and_no_other_thread_begins_one(gpu, trt, path, monkeypatch):
    # Python would stop a daemon thread inside a CUDA call, which aborts the process
    monkeypatch.setattr(turn, '_exit_gate', threading.RLock())
    monkeypatch.setattr(turn, '_turns', weakref.WeakSet())
    running, go_on, counted = threading.Event(), threading.Event(), []

    def network(image):
        counted.append(len(counted))
        if len(counted) > 5:
            running.set()
            go_on.wait(10.0)
        return toy_network(image)

    trt.plan.network = network
    kept, stop = [], threading.Event()

    def work():
        with TensorRtEngine(SPEC, path) as engine:
            kept.append(engine)
            while not stop.is_set():
                engine.infer({'image': images(1)})

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    assert running.wait(10.0)
    threading.Timer(0.1, go_on.set).start()
    before = len(counted)
    turn.stop_for_exit()
    assert go_on.is_set(), 'it did not wait'
    with ThreadPoolExecutor(1) as other:
        opened = other.submit(TensorRtEngine, SPEC, path)
        with pytest.raises(concurrent.futures.TimeoutError):
            opened.result(timeout=0.2)
        assert len(counted) == before
        assert worker.is_alive()
        # a process that ends never does this
        stop.set()
        kept[0].turn.lock.release()
        turn._exit_gate.release()
        other.submit(opened.result(timeout=10.0).close).result()
    worker.join(10.0)
    assert not gpu.live


def test_everything_is_freed_in_order_without_the_garbage_collector(gpu, trt, path):
    gc.collect()
    gc.disable()
    try:
        engine = TensorRtEngine(SPEC, path)
        assert_right(engine, images(1))
        engine.close()
        assert not gpu.live
    finally:
        gc.enable()
    assert gpu.freed == [
        *('executable', 'execution', 'engine', 'runtime'),
        *('device', 'device', 'pinned', 'device', 'pinned', 'Stream'),
    ]


CONSTRUCTION_STEPS = [
    *(('Stream', 1), ('device', 1), ('device', 2), ('device', 3), ('pinned', 1), ('pinned', 2)),
    *(('context', 1), ('shape', 1), ('output shape', 1), ('address', 1), ('address', 2)),
    *(('execute', 1), ('runtime', 1), ('is_shape', 1), ('vectorized', 2)),
]


@pytest.mark.parametrize(('step', 'call'), CONSTRUCTION_STEPS)
def test_a_construction_that_fails_halfway_frees_what_it_had(gpu, trt, path, step, call):
    gpu.fail_at = {step: {call, call + 1}}
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(InferenceError, match=r'toy on tensorrt \(toy\.engine\): .*') as error:
            TensorRtEngine(SPEC, path)
        assert not gpu.live  # although the traceback is still held
        assert not gpu.stack
    finally:
        gc.enable()
    if step in ('context', 'shape', 'address'):
        assert f'TensorRT: {step} is refused' in str(error.value)


def test_closing_goes_on_where_freeing_fails(gpu, trt, path, caplog):
    engine = TensorRtEngine(SPEC, path)
    gpu.fail_at = {'cuGraphExecDestroy': {1}}
    engine.close()
    assert not {'device', 'pinned', 'Stream'} & set(gpu.live)
    assert 'could not be freed entirely' in caplog.text


def test_a_device_that_is_lost_is_told_and_closing_ends(gpu, trt, path, monkeypatch, caplog):
    def lost(stream):
        del stream  # which the traceback would hold
        raise gpu.driver.Error('the device is lost')

    engine = TensorRtEngine(SPEC, path)
    monkeypatch.setattr(type(engine._memory.stream), 'synchronize', lost)
    with pytest.raises(InferenceError, match='running failed: the device is lost'):
        engine.infer({'image': images(1)})
    engine.close()
    assert 'could not be freed entirely: the device is lost' in caplog.text
    assert not gpu.live


def test_a_failing_run_is_an_error_and_the_engine_stays_usable(gpu, trt, path):
    with TensorRtEngine(SPEC, path, cuda_graph=False) as engine:
        gpu.fail_at = {'execute': {gpu.calls.count('execute') + 1}}
        with pytest.raises(InferenceError, match='execute is refused'):
            engine.infer({'image': images(1)})
        assert_right(engine, images(1))
