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
from tensorrt_fixtures import NEW_API, PLAN, SPEC, TensorRt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt import runtime as tensorrt_runtime
from aitable_ros.inference.tensorrt.engine import TensorRtEngine
from aitable_ros.inference.tensorrt.runtime import explain_refusal, load_tensorrt, plan_of_file

REFUSED = b'ftrt' + bytes(20) + bytes((8, 5, 2, 2)) + b'another'


@pytest.mark.parametrize(
    ('said', 'told'),
    [
        (
            'The engine plan file is not compatible with this version of TensorRT, expecting'
            ' library version 8.6.1.6 got 8.5.2.2, please rebuild.',
            'it was built for another TensorRT version (8.5.2); build it with this one',
        ),
        (
            'Error Code 1: Serialization (Version tag does not match. Note: Current Version: 239,'
            ' Serialized Engine Version: 236)',
            'it was built for another TensorRT version (8.5.2); build it with this one',
        ),
        (
            'The engine plan file is generated on an incompatible device, expecting compute 8.7'
            ' got compute 7.2, please rebuild.',
            'it was built for another GPU; build it on this one',
        ),
        (
            'Serialization assertion plan->header.pad == expectedPlatformTag failed.Platform'
            ' specific tag mismatch detected.',
            'it was built for another platform (processor or operating system); build it on this'
            ' one',
        ),
        (
            'Requested amount of GPU memory (99999999 bytes) could not be allocated. There may'
            ' not be enough free memory for allocation to succeed.',
            'there is not enough GPU memory',
        ),
        (
            'Serialization assertion plan->header.size == blobSize failed.',
            'the file is truncated or damaged: it is not as long as it should be',
        ),
        (
            'Serialization assertion sizeRead == static_cast<uint64_t>(mEnd - mCurrent)'
            ' failed.Size specified in header does not match archive size)',
            'the file is truncated or damaged: it is not as long as it should be',
        ),
        ('The serialized host buffer is corrupted', 'the file is damaged'),
        ('something new', 'TensorRT refused it'),
    ],
)
def test_a_refusal_is_explained_in_plain_words(said, told):
    assert explain_refusal(REFUSED, said) == told


def test_what_is_no_plan_is_called_so():
    # 10.16 speaks of the tag and of a version here
    said = (
        'Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.Trying to load an'
        ' engine created with incompatible serialization version (1836345404 != 1953657958).'
    )
    told = 'the file is damaged or not a TensorRT plan'
    assert explain_refusal(b'<html>not found</html>', said) == told


def test_a_plan_from_before_8_6_is_not_called_damaged():
    # it has another tag, and that is what 8.6 and later speak of
    said = 'Serialization assertion plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.'
    told = 'it was built for another TensorRT version; build it with this one'
    assert explain_refusal(b'ptrt' + bytes(100), said) == told


def test_a_truncated_plan_is_recognised_by_its_own_size():
    content = bytearray(PLAN + bytes(100))
    content[16:24] = len(content).to_bytes(8, 'little')
    told = 'the file is truncated: the plan has 135 bytes, 85 are there'
    assert explain_refusal(bytes(content[:-50]), 'whatever') == told


@pytest.mark.parametrize('metadata', [b'{"task":', b'{"task": ' + b'[' * 100_000])
def test_what_only_looks_like_metadata_is_left_to_tensorrt(metadata):
    content = len(metadata).to_bytes(4, 'little') + metadata + PLAN
    assert plan_of_file(content) == content


def test_a_driver_too_old_for_tensorrt_is_told_and_its_runtime_never_freed(trt, path):
    # freeing it would end the process
    trt.driver_too_old = True
    with pytest.raises(InferenceError, match='driver may be too old .* error: 35'):
        TensorRtEngine(SPEC, path)
    gc.collect()
    assert trt.broken_runtimes_freed == 0


def test_an_error_in_another_thread_meanwhile_is_none_of_ones_own(trt, path, monkeypatch):
    # as when two nodes of a process load their networks, and one's engine is damaged
    runtime = trt.module.Runtime

    def create(logger):
        with ThreadPoolExecutor(1) as other:
            other.submit(trt.say, 'Serialization assertion failed').result()
        return runtime(logger)

    monkeypatch.setattr(trt.module, 'Runtime', create)
    TensorRtEngine(SPEC, path).close()


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        (lambda trt, patch: patch.setitem(sys.modules, 'tensorrt', None), 'tensorrt'),
        (lambda trt, patch: patch.delattr(trt.module, 'Runtime'), 'it has no Runtime'),
        (
            lambda trt, patch: patch.setattr(trt.module, 'IExecutionContext', object),
            r'11\.4\.0 is too old: 8\.5 or later is needed',
        ),
    ],
    ids=['missing', 'empty', 'old'],
)
def test_without_a_tensorrt_that_serves_it_says_so(trt, path, monkeypatch, change, told):
    change(trt, monkeypatch)
    with pytest.raises(InferenceError, match=rf'toy on tensorrt \(toy\.engine\): .*{told}'):
        TensorRtEngine(SPEC, path)


@pytest.mark.parametrize('name', tensorrt_runtime.MODULES)
def test_the_lean_runtime_serves_as_well(gpu, monkeypatch, name):
    for other in tensorrt_runtime.MODULES:
        monkeypatch.setitem(sys.modules, other, types.ModuleType(other))
    lean = TensorRt(gpu, NEW_API).module
    monkeypatch.setitem(sys.modules, name, lean)
    assert load_tensorrt() is lean


def test_its_warnings_and_errors_reach_pythons_log_through_one_logger(trt, path, caplog):
    caplog.set_level(logging.DEBUG)
    for _ in range(2):
        TensorRtEngine(SPEC, path).close()
    assert len(trt.loggers) == 1
    trt.say('across different models of devices', 'WARNING')
    trt.say('trouble', 'ERROR')
    trt.say('chatter', 'VERBOSE')
    levels = {r.getMessage(): r.levelno for r in caplog.records if 'TensorRT: ' in r.message}
    assert levels['TensorRT: across different models of devices'] == logging.WARNING
    assert levels['TensorRT: trouble'] == logging.INFO  # whoever called raises it
    assert levels['TensorRT: chatter'] == logging.DEBUG


def test_lines_of_another_thread_are_not_taken_for_ones_own(trt):
    log = tensorrt_runtime.log_of(trt.module)
    mark = log.mark()
    with ThreadPoolExecutor(1) as other:
        other.submit(trt.say, 'theirs').result()
        assert log.quote(mark) == 'TensorRT: theirs'  # TensorRT has threads of its own
        trt.say('ours')
        assert log.quote(mark) == 'TensorRT: ours'
        assert other.submit(log.quote, mark).result() == 'TensorRT: theirs'
    assert log.quote(log.mark()) == 'TensorRT gave no reason'
