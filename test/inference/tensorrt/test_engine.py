# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The TensorRT engine without a GPU, on one that is played: see tensorrt_fixtures.py."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tensorrt_fixtures import FLOAT32, NEW_API, PLAN, SPEC, assert_right, images, toy_network

from aitable_ros.inference.engine import InferenceError, TensorSpec
from aitable_ros.inference.tensorrt import engine as tensorrt_engine
from aitable_ros.inference.tensorrt.engine import MAX_PREPARED_BATCHES, TensorRtEngine


@pytest.mark.parametrize('cuda_graph', [True, False])
def test_runs_images_through_the_engine(trt, path, cuda_graph):
    with TensorRtEngine(SPEC, path, cuda_graph=cuda_graph) as engine:
        assert engine.uses_cuda_graph is cuda_graph
        for seed in range(3):
            assert_right(engine, images(1, seed))


@pytest.mark.parametrize('cuda_graph', [True, False])
def test_mapped_memory_is_worked_on_without_copies(gpu, trt, path, cuda_graph, monkeypatch):
    def no_copy(*_):
        raise AssertionError('copied')

    monkeypatch.setattr(gpu.driver, 'memcpy_htod_async', no_copy)
    monkeypatch.setattr(gpu.driver, 'memcpy_dtoh_async', no_copy)
    with TensorRtEngine(SPEC, path, cuda_graph=cuda_graph, mapped_memory=True) as engine:
        assert 'pinned' not in gpu.live
        assert gpu.live.count('mapped') == 2
        for count in (1, 3):
            assert_right(engine, images(count))
    assert gpu.live == []


def test_a_replay_runs_the_last_images_again(gpu, trt, path):
    runs = []

    def network(image):
        runs.append(image.copy())
        return toy_network(image)

    trt.plans[PLAN].network = network
    with TensorRtEngine(SPEC, path) as engine:
        assert_right(engine, images(2))
        engine.replay(2)
        np.testing.assert_array_equal(runs[-1], images(2))
        with pytest.raises(InferenceError, match=r'expected 1\.\.4 images, got 5'):
            engine.replay(5)
    with pytest.raises(InferenceError, match='used after close'):
        engine.replay()


def test_outputs_belong_to_the_caller(trt, path):
    with TensorRtEngine(SPEC, path) as engine:
        first = assert_right(engine, images(1, 1))
        kept = {name: values.copy() for name, values in first.items()}
        assert_right(engine, images(1, 2))
        for name in kept:
            assert first[name].flags.owndata
            np.testing.assert_array_equal(first[name], kept[name])


def test_inputs_that_are_not_contiguous_are_right_too(trt, path):
    with TensorRtEngine(SPEC, path) as engine:
        assert_right(engine, images(4)[::2])
        assert_right(engine, images(2)[:, :, ::-1])


def test_a_graph_is_recorded_once_per_batch_size_and_then_only_launched(gpu, trt, path):
    trt.plans[PLAN].batches = [(1, 2, 4)]
    with TensorRtEngine(SPEC, path) as engine:
        assert gpu.count('cuStreamBeginCapture_v2') == 1
        executed = gpu.count('execute_async_v3')
        for seed in range(5):
            assert_right(engine, images(1, seed))
        assert gpu.count('execute_async_v3') == executed
        for seed in range(3):
            assert_right(engine, images(3, seed))
        assert gpu.count('cuStreamBeginCapture_v2') == 2


def test_alternating_batch_sizes_stay_right(trt, path):
    with TensorRtEngine(SPEC, path) as engine:
        for seed, count in enumerate([1, 4, 2, 1, 3, 4, 1]):
            assert_right(engine, images(count, seed))


def test_with_the_old_api_a_new_batch_size_displaces_the_other(gpu, trt, path):
    # profiles are not shared there; the new API keeps one context per batch size
    with TensorRtEngine(SPEC, path) as engine:
        assert_right(engine, images(2))
        assert_right(engine, images(3))
        assert gpu.live.count('context') == (3 if trt.version == NEW_API else 1)


def test_prepared_batch_sizes_are_bounded(gpu, trt, path):
    trt.plans[PLAN].batches = [(1, 1, 2 * MAX_PREPARED_BATCHES)]
    with TensorRtEngine(SPEC, path) as engine:
        for count in range(1, 2 * MAX_PREPARED_BATCHES + 1):
            assert_right(engine, images(count))
        assert gpu.live.count('context') <= MAX_PREPARED_BATCHES
        assert gpu.live.count('executable') <= MAX_PREPARED_BATCHES


def test_a_batch_larger_than_the_engine_takes_is_run_in_pieces(trt, path):
    with TensorRtEngine(SPEC, path) as engine:
        assert engine.max_batch == 4
        assert_right(engine, images(11))


def test_a_static_engine_runs_image_by_image(trt, path):
    plan = trt.plans[PLAN]
    plan.tensors = {name: (m, d, (1, *s[1:])) for name, (m, d, s) in plan.tensors.items()}
    plan.batches = [(1, 1, 1)]
    with TensorRtEngine(SPEC, path) as engine:
        assert engine.max_batch == 1
        assert_right(engine, images(3))


def test_a_batch_smaller_than_the_engine_takes_is_filled_with_zeros(trt, path):
    seen = []

    def network(image):
        seen.append(image.copy())
        return toy_network(image)

    trt.plans[PLAN].batches = [(3, 3, 3)]
    trt.plans[PLAN].network = network
    with TensorRtEngine(SPEC, path) as engine:
        assert_right(engine, images(3, seed=1))
        assert_right(engine, images(1, seed=2))
    assert len(seen[-1]) == 3
    assert not seen[-1][1:].any()


def test_the_narrowest_profile_that_takes_the_batch_is_used(gpu, trt, path):
    trt.plans[PLAN].batches = [(1, 8, 8), (1, 1, 1), (2, 2, 4)]
    with TensorRtEngine(SPEC, path) as engine:
        assert engine.max_batch == 8
        assert [r.profile for r in engine.batch_ranges] == [0, 1, 2]
        for count in (1, 2, 4, 5, 9):
            assert_right(engine, images(count))


@pytest.mark.parametrize(
    'inputs',
    [
        {},
        {'image': None},
        {'image': np.zeros((1, 4, 6, 3), np.float32)},
        {'image': np.zeros((1, 6, 4, 3), np.uint8)},
        {'image': np.zeros((4, 6, 3), np.uint8)},
        {'image': np.zeros((0, 4, 6, 3), np.uint8)},
        {'image': np.zeros((1, 4, 6, 3), np.uint8), 'more': np.zeros(1)},
    ],
)
def test_wrong_inputs_are_refused_and_the_engine_lives_on(trt, path, inputs):
    with TensorRtEngine(SPEC, path) as engine:
        with pytest.raises(InferenceError, match='toy on tensorrt'):
            engine.infer(inputs)
        assert_right(engine, images(1))


def test_inputs_of_different_batches_are_refused(trt, path):
    spec = dataclasses.replace(SPEC, inputs=(*SPEC.inputs, TensorSpec('second', (-1, 2), FLOAT32)))
    trt.plans[PLAN].tensors['second'] = ('in', 'FLOAT', (-1, 2))
    with (
        TensorRtEngine(spec, path) as engine,
        pytest.raises(InferenceError, match="differ in size: {'image': 2, 'second': 3}"),
    ):
        engine.infer({'image': images(2), 'second': np.zeros((3, 2), np.float32)})


def test_after_close_it_refuses_and_closing_again_does_nothing(gpu, trt, path):
    engine = TensorRtEngine(SPEC, path)
    engine.close()
    engine.close()
    with pytest.raises(InferenceError, match=r'used after close\(\)'):
        engine.infer({'image': images(1)})
    assert not gpu.live


def test_only_its_own_thread_may_use_and_close_it(gpu, trt, path):
    with TensorRtEngine(SPEC, path) as engine, ThreadPoolExecutor(1) as other:
        with pytest.raises(InferenceError, match='belongs to MainThread'):
            other.submit(engine.infer, {'image': images(1)}).result()
        with pytest.raises(InferenceError, match='belongs to MainThread'):
            other.submit(engine.close).result()
        assert not engine.closed
        assert_right(engine, images(1))
    assert not gpu.live


def test_any_thread_may_close_it_once_its_own_has_ended(gpu, trt, path):
    with ThreadPoolExecutor(1) as owner:
        engine = owner.submit(TensorRtEngine, SPEC, path).result()
    with pytest.raises(InferenceError, match='belongs to'):
        engine.infer({'image': images(1)})
    engine.close()
    assert not gpu.live


def test_all_engines_and_threads_share_one_context_object(gpu, trt, path):
    def run(seed):
        with TensorRtEngine(SPEC, path) as engine:
            for _ in range(10):
                assert_right(engine, images(1, seed))
        return not gpu.stack

    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(run, range(6)))
    assert gpu.retained == 1
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
    monkeypatch.setattr(tensorrt_engine, '_exit_gate', threading.RLock())
    running, go_on, counted = threading.Event(), threading.Event(), []

    def network(image):
        counted.append(len(counted))
        if len(counted) > 5:
            running.set()
            go_on.wait(10.0)
        return toy_network(image)

    trt.plans[PLAN].network = network
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
    tensorrt_engine._stop_for_exit()
    assert go_on.is_set(), 'it did not wait'
    with ThreadPoolExecutor(1) as other:
        opened = other.submit(TensorRtEngine, SPEC, path)
        with pytest.raises(concurrent.futures.TimeoutError):
            opened.result(timeout=0.2)
        assert len(counted) == before
        assert worker.is_alive()
        # a process that ends never does this
        stop.set()
        kept[0]._turn.lock.release()
        tensorrt_engine._exit_gate.release()
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
        *('executable', 'context', 'engine', 'runtime'),
        *('device', 'device', 'pinned', 'device', 'pinned', 'Stream'),
    ]


CONSTRUCTION_STEPS = [
    *(('Stream', 1), ('device', 1), ('device', 2), ('device', 3), ('pinned', 1), ('pinned', 2)),
    *(('context', 1), ('shape', 1), ('address', 1), ('address', 3), ('execute', 1)),
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


@pytest.mark.parametrize('step', ['cuGraphExecDestroy'])
def test_closing_goes_on_where_freeing_fails(gpu, trt, path, step, caplog):
    engine = TensorRtEngine(SPEC, path)
    gpu.fail_at = {step: {1}}
    engine.close()
    assert not {'device', 'pinned', 'Stream'} & set(gpu.live)
    assert 'could not be freed entirely' in caplog.text


def test_a_failing_run_is_an_error_and_the_engine_stays_usable(gpu, trt, path):
    with TensorRtEngine(SPEC, path, cuda_graph=False) as engine:
        gpu.fail_at = {'execute': {gpu.count('execute') + 1}}
        with pytest.raises(InferenceError, match='execute is refused'):
            engine.infer({'image': images(1)})
        assert_right(engine, images(1))


@pytest.mark.parametrize(
    'step',
    [
        'cuStreamBeginCapture_v2',
        'cuStreamEndCapture',
        'cuGraphInstantiateWithFlags',
        'cuGraphLaunch',
    ],
)
def test_where_recording_fails_it_runs_step_by_step_and_says_so(gpu, trt, path, step, caplog):
    gpu.fail_at = {step: {1}}
    if step == 'cuStreamEndCapture':  # the driver ends it all the same
        ended = gpu.library.cuStreamEndCapture

        def end(stream, graph):
            gpu.streams[stream.value] = None
            return ended(stream, graph)

        gpu.library.cuStreamEndCapture = end
    with TensorRtEngine(SPEC, path) as engine:
        assert not engine.uses_cuda_graph
        assert 'runs step by step' in caplog.text
        assert 'CUDA_ERROR_STREAM_CAPTURE_INVALIDATED' in caplog.text
        assert_right(engine, images(1))
        assert_right(engine, images(2))
        assert 'graph' not in gpu.live
        assert 'executable' not in gpu.live
        assert caplog.text.count('runs step by step') == 1
    assert not gpu.live


def test_where_tensorrt_refuses_to_be_recorded_it_runs_step_by_step(gpu, trt, path, caplog):
    gpu.fail_at = {'execute': {2}}  # the first one is the trial run, the second is recorded
    with TensorRtEngine(SPEC, path) as engine:
        assert not engine.uses_cuda_graph
        assert 'execute is refused' in caplog.text
        assert_right(engine, images(1))


def test_an_implicit_batch_dimension_is_refused(gpu, trt, path, monkeypatch):
    original = trt.module.Runtime.deserialize_cuda_engine

    def deserialize(runtime, content):
        engine = original(runtime, content)
        engine.has_implicit_batch_dimension = True
        return engine

    monkeypatch.setattr(trt.module.Runtime, 'deserialize_cuda_engine', deserialize)
    with pytest.raises(InferenceError, match='implicit batch'):
        TensorRtEngine(SPEC, path)
    assert not gpu.live


@pytest.mark.parametrize('content', [b'', None])
def test_an_empty_or_missing_file_is_named(gpu, trt, path, content):
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InferenceError, match=r'toy\.engine (is empty|cannot be read: No such)'):
        TensorRtEngine(SPEC, path)
    assert not gpu.live


def test_too_little_gpu_memory_is_told_with_what_is_needed(gpu, trt, path):
    trt.plans[PLAN].workspace = 2**30
    with pytest.raises(InferenceError, match=r'for batch 4 it needs 1024\.0 MiB, 1 of 1 MiB'):
        TensorRtEngine(SPEC, path)
    assert not gpu.live


def test_importing_the_module_imports_no_runtime():
    code = (
        'import sys; import aitable_ros.inference.tensorrt.engine;'
        'print([m for m in ("tensorrt", "pycuda", "torch", "rclpy") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'
