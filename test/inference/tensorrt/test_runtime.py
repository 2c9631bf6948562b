# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT's module, its log and its refusals, as the user of an engine file meets them."""

from __future__ import annotations

import gc
import logging
import sys
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
from tensorrt_fixtures import NEW_API, PLAN, SPEC, TensorRt, assert_right, images

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt import runtime as tensorrt_runtime
from aitable_ros.inference.tensorrt.engine import TensorRtEngine


@pytest.mark.parametrize(
    ('said', 'told'),
    [
        (
            'The engine plan file is not compatible with this version of TensorRT, expecting'
            ' library version 8.6.1.6 got 8.5.2.2, please rebuild.',
            r'built for another TensorRT version \(8\.5\.2\)',
        ),
        (
            'Error Code 1: Serialization (Version tag does not match. Note: Current Version: 239,'
            ' Serialized Engine Version: 236)',
            r'built for another TensorRT version',
        ),
        (
            'The engine plan file is generated on an incompatible device, expecting compute 8.7'
            ' got compute 7.2, please rebuild.',
            'built for another GPU',
        ),
        (
            'IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion'
            ' plan->header.pad == expectedPlatformTag failed.Platform specific tag mismatch'
            ' detected. TensorRT plan files are only supported on the target runtime platform they'
            ' were created on.)',
            'built for another platform',
        ),
        (
            'Requested amount of GPU memory (99999999 bytes) could not be allocated. There may'
            ' not be enough free memory for allocation to succeed.',
            'not enough GPU memory',
        ),
        (
            'Error Code 1: Serialization (Serialization assertion plan->header.size == blobSize'
            ' failed.)',
            'the file is truncated',
        ),
        (
            'Error Code 1: Serialization (Serialization assertion sizeRead =='
            ' static_cast<uint64_t>(mEnd - mCurrent) failed.Size specified in header does not'
            ' match archive size)',
            'the file is truncated',
        ),
        ('The serialized host buffer is corrupted', 'the file is damaged'),
        ('something new', 'TensorRT refused it'),
    ],
)
def test_a_refused_plan_is_explained_in_words_and_in_tensorrts_own(gpu, trt, path, said, told):
    trt.refusal = said
    path.write_bytes(b'ftrt' + bytes(20) + bytes((8, 5, 2, 2)) + b'another')
    with pytest.raises(InferenceError, match=told) as error:
        TensorRtEngine(SPEC, path)
    assert ' '.join(said.split()) in str(error.value)
    assert str(path) in str(error.value)
    assert not gpu.live


def test_what_is_no_plan_is_called_so(trt, path):
    # 10.16 speaks of the tag and of a version here
    trt.refusal = (
        'Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.Trying to load an'
        ' engine created with incompatible serialization version (1836345404 != 1953657958).'
    )
    path.write_bytes(b'<html>not found</html>')
    with pytest.raises(InferenceError, match='damaged or not a TensorRT plan'):
        TensorRtEngine(SPEC, path)


def test_a_plan_from_before_8_6_is_not_called_damaged(trt, path):
    # it has another tag, and that is what 8.6 and later speak of
    trt.refusal = (
        'Error Code 1: Serialization (Serialization assertion plan->header.magicTag =='
        ' rt::kPLAN_MAGIC_TAG failed.)'
    )
    path.write_bytes(b'ptrt' + bytes(100))
    with pytest.raises(InferenceError, match='built for another TensorRT version; build it'):
        TensorRtEngine(SPEC, path)


def test_an_earlier_refusal_is_not_quoted_again(trt, path, tmp_path):
    trt.refusal = 'the first trouble'
    for trouble in ('the first trouble', 'the second trouble'):
        trt.refusal = trouble
        path.write_bytes(b'nothing')
        with pytest.raises(InferenceError, match=trouble) as error:
            TensorRtEngine(SPEC, path)
    assert 'first' not in str(error.value)


def test_a_truncated_plan_is_recognised_by_its_own_size(trt, path):
    content = bytearray(PLAN + bytes(100))
    content[16:24] = len(content).to_bytes(8, 'little')
    path.write_bytes(content[:-50])
    with pytest.raises(InferenceError, match=r'truncated: the plan has 135 bytes, 85 are there'):
        TensorRtEngine(SPEC, path)


def test_host_code_is_refused_unless_allowed(gpu, trt, path):
    trt.plans[PLAN].host_code = True
    with pytest.raises(InferenceError, match='allow that .* only for a file that you built'):
        TensorRtEngine(SPEC, path)
    assert not gpu.live
    with TensorRtEngine(SPEC, path, allow_host_code=True) as engine:
        assert_right(engine, images(1))


def test_ultralytics_metadata_before_the_plan_is_skipped(trt, path):
    metadata = b'{"task": "detect"}'
    path.write_bytes(len(metadata).to_bytes(4, 'little') + metadata + PLAN)
    with TensorRtEngine(SPEC, path) as engine:
        assert_right(engine, images(1))


@pytest.mark.parametrize('metadata', [b'{"task":', b'{"task": ' + b'[' * 100_000])
def test_what_only_looks_like_metadata_is_left_to_tensorrt(trt, path, metadata):
    path.write_bytes(len(metadata).to_bytes(4, 'little') + metadata + PLAN)
    with pytest.raises(InferenceError, match='damaged or not a TensorRT plan'):
        TensorRtEngine(SPEC, path)


def test_a_driver_too_old_for_tensorrt_is_told_and_its_runtime_never_freed(gpu, trt, path):
    # freeing it would end the process
    trt.driver_too_old = True
    with pytest.raises(InferenceError, match='driver may be too old .* error: 35'):
        TensorRtEngine(SPEC, path)
    gc.collect()
    assert trt.broken_runtimes_freed == 0


def test_an_error_in_another_thread_meanwhile_is_none_of_ones_own(gpu, trt, path, monkeypatch):
    # as when two nodes of a process load their networks, and one's engine is damaged
    runtime = trt.module.Runtime

    def create(logger):
        with ThreadPoolExecutor(1) as other:
            other.submit(trt.say, 'Serialization assertion failed').result()
        return runtime(logger)

    monkeypatch.setattr(trt.module, 'Runtime', create)
    with TensorRtEngine(SPEC, path) as engine:
        assert_right(engine, images(1))


def test_without_tensorrt_it_says_so(gpu, path, monkeypatch):
    for name in tensorrt_runtime.MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InferenceError, match='tensorrt'):
        TensorRtEngine(SPEC, path)


@pytest.mark.parametrize('name', tensorrt_runtime.MODULES)
def test_the_lean_runtime_serves_as_well(gpu, path, monkeypatch, name):
    for other in tensorrt_runtime.MODULES:
        monkeypatch.setitem(sys.modules, other, types.ModuleType(other))
    monkeypatch.setitem(sys.modules, name, TensorRt(gpu, NEW_API).module)
    with TensorRtEngine(SPEC, path) as engine:
        assert_right(engine, images(1))
        assert engine.tensorrt_version == NEW_API


def test_tensorrt_before_8_5_is_too_old(gpu, trt, path):
    trt.module.IExecutionContext = object
    with pytest.raises(InferenceError, match='too old'):
        TensorRtEngine(SPEC, path)


def test_its_warnings_and_errors_reach_pythons_log(gpu, trt, path, caplog):
    caplog.set_level(logging.DEBUG)
    with TensorRtEngine(SPEC, path):
        trt.say('across different models of devices', 'WARNING')
        trt.say('trouble', 'ERROR')
        trt.say('chatter', 'VERBOSE')
    levels = {r.getMessage(): r.levelno for r in caplog.records if 'TensorRT: ' in r.message}
    assert levels['TensorRT: across different models of devices'] == logging.WARNING
    assert levels['TensorRT: trouble'] == logging.INFO  # whoever called raises it
    assert levels['TensorRT: chatter'] == logging.DEBUG


def test_there_is_one_logger_per_process(gpu, trt, path):
    for _ in range(3):
        TensorRtEngine(SPEC, path).close()
    assert len(trt.loggers) == 1


def test_lines_of_another_thread_are_not_taken_for_ones_own(gpu, trt):
    log = tensorrt_runtime.log_of(trt.module)
    mark = log.mark()
    with ThreadPoolExecutor(1) as other:
        other.submit(trt.say, 'theirs').result()
        assert log.quote(mark) == 'TensorRT: theirs'  # TensorRT has threads of its own
        trt.say('ours')
        assert log.quote(mark) == 'TensorRT: ours'
        assert other.submit(log.quote, mark).result() == 'TensorRT: theirs'
    assert log.quote(log.mark()) == 'TensorRT gave no reason'
