# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The TensorRT engine without a GPU.

PyCUDA, the CUDA driver and TensorRT are played by objects that keep their rules: memory and
streams only under a current context, contexts pushed and popped per thread, refusals told in the
log and nowhere else, 8.x giving a profile to one context at a time. The names of TensorRT's API
are checked against its real bindings where some are installed.
"""

from __future__ import annotations

import ast
import concurrent.futures
import contextlib
import ctypes
import dataclasses
import enum
import gc
import inspect
import itertools
import logging
import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest

from aitable_ros.inference import cuda, tensorrt_engine, tensorrt_runtime
from aitable_ros.inference.cuda import open_device
from aitable_ros.inference.engine import InferenceError, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt_engine import MAX_PREPARED_BATCHES, TensorRtEngine

UINT8, FLOAT32 = np.dtype(np.uint8), np.dtype(np.float32)
OLD_API, NEW_API = '8.5.3', '11.4.0'

SPEC = ModelSpec(
    name='toy',
    inputs=(TensorSpec('image', (-1, 4, 6, 3), UINT8),),
    outputs=(
        TensorSpec('sums', (-1, 4, 3), FLOAT32),
        TensorSpec('mean', (-1, 1), FLOAT32),
    ),
    scale=2.0 / 255.0,
    offset=-1.0,
    tflite_outputs={'conv2d_1': 'sums'},
)


def toy_network(image):
    """Return what the toy network makes of (N, 4, 6, 3) images."""
    image = image.astype(np.float32)
    return {'sums': image.sum(axis=2), 'mean': image.mean(axis=(1, 2, 3))[:, None]}


class CudaError(Exception):
    pass


class CudaMemoryError(CudaError):
    pass


class Memory:
    """A block on the GPU or of pinned host memory; counted until it is freed."""

    def __init__(self, gpu, kind, nbytes):
        gpu.step(kind)
        gpu.require_context()
        if nbytes > gpu.free_bytes:
            raise CudaMemoryError('cuMemAlloc failed: out of memory')
        self.gpu, self.kind, self.nbytes = gpu, kind, nbytes
        self.bytes = (ctypes.c_uint8 * nbytes)(*itertools.repeat(0xCD, nbytes))
        self.address = ctypes.addressof(self.bytes)
        self.__array_interface__ = {
            'data': (self.address, False),
            'shape': (nbytes,),
            'typestr': '|u1',
            'version': 3,
        }
        gpu.live.append(kind)

    def __int__(self):
        return self.address

    def get_device_pointer(self):
        assert self.kind == 'mapped'
        return self.address

    def free(self):
        self.gpu.require_context()
        self.gpu.live.remove(self.kind)
        self.gpu.freed.append(self.kind)


class Stream:
    def __init__(self, gpu, flags):
        self.gpu = gpu
        gpu.step('Stream')
        gpu.require_context()
        assert flags == cuda.NON_BLOCKING
        self.handle = 77000 + len(gpu.streams)
        gpu.streams[self.handle] = self.recording = None
        gpu.live.append('Stream')

    def synchronize(self):
        self.gpu.require_context()
        assert self.gpu.streams[self.handle] is None, 'waiting breaks a capture'

    def __del__(self):
        if 'Stream' in self.gpu.live:
            self.gpu.require_context()
            self.gpu.live.remove('Stream')
            self.gpu.freed.append('Stream')


class Gpu:
    """
    A pretended GPU with its driver, and PyCUDA's rules about contexts.

    :param fail_at: by the name of a step, which of its calls (1, 2, ...) fail.
    """

    def __init__(self):
        self.live, self.freed, self.calls = [], [], []
        self.streams, self.graphs = {}, {}
        self.free_bytes = 2**20
        self.fail_at = {}
        self.retained = 0
        self.local = threading.local()
        self.driver = self.make_driver()
        self.library = self.make_library()

    @property
    def stack(self):
        if not hasattr(self.local, 'stack'):
            self.local.stack = []
        return self.local.stack

    def require_context(self):
        if not self.stack:
            raise CudaError('invalid device context')

    def step(self, name):
        self.calls.append(name)
        if self.calls.count(name) in self.fail_at.get(name, ()):
            raise CudaError(f'{name} failed')

    def count(self, name):
        return self.calls.count(name)

    def do(self, handle, work):
        self.require_context()
        recording = self.streams[handle]
        if recording is None:
            work()
        else:
            recording.append(work)

    def make_driver(self):
        gpu = self

        class Context:
            def push(self):
                gpu.stack.append(self)

            @staticmethod
            def pop():
                gpu.stack.pop()

            @staticmethod
            def get_current():
                return gpu.stack[-1] if gpu.stack else None

        class Device:
            def __init__(self, ordinal):
                self.ordinal = ordinal

            @staticmethod
            def count():
                return 1

            def name(self):
                return 'Toy GPU'

            def compute_capability(self):
                return (8, 7)

            def retain_primary_context(self):
                gpu.retained += 1
                return Context()

        def pagelocked_empty(nbytes, dtype, mem_flags):
            assert dtype is np.uint8
            kind = {0: 'pinned', 2: 'mapped'}[mem_flags]
            return np.asarray(Memory(gpu, kind, nbytes))

        def copy(target, source, nbytes):
            return lambda: ctypes.memmove(target, source, nbytes)

        driver = types.ModuleType('pycuda.driver')
        driver.Error, driver.MemoryError = CudaError, CudaMemoryError
        driver.init = lambda: gpu.step('init')
        driver.Context, driver.Device = Context, Device
        driver.Stream = lambda flags: Stream(gpu, flags)
        driver.mem_alloc = lambda nbytes: Memory(gpu, 'device', nbytes)
        driver.mem_get_info = lambda: (gpu.free_bytes, 2**20)
        driver.pagelocked_empty = pagelocked_empty
        driver.host_alloc_flags = types.SimpleNamespace(DEVICEMAP=2)
        driver.memcpy_htod_async = lambda address, host, stream: gpu.do(
            stream.handle, copy(address, host.ctypes.data, host.nbytes)
        )
        driver.memcpy_dtoh_async = lambda host, address, stream: gpu.do(
            stream.handle, copy(host.ctypes.data, address, host.nbytes)
        )
        return driver

    def make_library(self):
        gpu = self

        def driver_function(function):
            def call(*arguments):
                try:
                    gpu.step(function.__name__)
                    gpu.require_context()
                    function(*arguments)
                except CudaError:
                    return 901
                return 0

            return call

        def cuStreamBeginCapture_v2(stream, mode):  # noqa: N802
            assert mode == 1
            gpu.streams[stream.value] = []

        def cuStreamEndCapture(stream, graph):  # noqa: N802
            work, gpu.streams[stream.value] = gpu.streams[stream.value], None
            graph._obj.value = 5000 + len(gpu.graphs)
            gpu.graphs[graph._obj.value] = work
            gpu.live.append('graph')

        def cuGraphInstantiateWithFlags(executable, graph, flags):  # noqa: N802
            executable._obj.value = 9000 + len(gpu.graphs)
            gpu.graphs[executable._obj.value] = gpu.graphs[graph.value]
            gpu.live.append('executable')

        def cuGraphLaunch(executable, stream):  # noqa: N802
            for work in gpu.graphs[executable.value]:
                work()

        def cuGraphExecDestroy(executable):  # noqa: N802
            gpu.graphs[executable.value] = None
            gpu.live.remove('executable')
            gpu.freed.append('executable')

        def cuGraphDestroy(graph):  # noqa: N802
            gpu.graphs[graph.value] = None
            gpu.live.remove('graph')

        library = types.SimpleNamespace(
            **{
                function.__name__: driver_function(function)
                for function in (
                    cuStreamBeginCapture_v2,
                    cuStreamEndCapture,
                    cuGraphInstantiateWithFlags,
                    cuGraphLaunch,
                    cuGraphExecDestroy,
                    cuGraphDestroy,
                )
            }
        )

        def error_name(code, name):
            name._obj.value = b'CUDA_ERROR_STREAM_CAPTURE_INVALIDATED'
            return 0

        library.cuGetErrorName = error_name
        return library


@dataclass
class Plan:
    """What a pretended engine file holds."""

    tensors: dict = field(
        default_factory=lambda: {
            'image': ('in', 'UINT8', (-1, 4, 6, 3)),
            'sums': ('out', 'FLOAT', (-1, 4, 3)),
            'mean': ('out', 'FLOAT', (-1, 1)),
        }
    )
    batches: list = field(default_factory=lambda: [(1, 1, 4)])
    host_code: bool = False
    network: object = staticmethod(toy_network)
    workspace: int = 1000
    output_names: dict = field(default_factory=dict)


PLAN = b'ftrt' + bytes(20) + bytes((10, 3, 0, 26)) + b'weights'
DTYPES = {'UINT8': np.uint8, 'FLOAT': np.float32, 'HALF': np.float16, 'INT32': np.int32}


class TensorRt:
    """
    A pretended TensorRT of the old or the new API.

    :param plans: by the bytes of an engine file, what it holds; other bytes are refused.
    """

    def __init__(self, gpu, version):
        self.gpu, self.version = gpu, version
        self.plans = {PLAN: Plan()}
        self.refusal = 'Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.'
        self.loggers = []
        self.driver_too_old = False
        self.broken_runtimes_freed = 0
        self.module = self.make_module()

    def say(self, text, severity='ERROR'):
        self.loggers[-1].log(self.module.ILogger.Severity[severity], text)

    def make_module(self):
        trt, gpu = self, self.gpu
        is_new = self.version == NEW_API

        class Severity(enum.Enum):
            INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

        class TensorIOMode(enum.Enum):
            NONE, INPUT, OUTPUT = range(3)

        class ILogger:
            def __init__(self):
                trt.loggers.append(self)

        ILogger.Severity = Severity

        class Held:
            def __init__(self, kind):
                gpu.require_context()
                self.kind = kind
                gpu.live.append(kind)

            def __del__(self):
                gpu.require_context()
                gpu.live.remove(self.kind)
                gpu.freed.append(self.kind)

        class Runtime(Held):
            engine_host_code_allowed = False

            def __new__(cls, logger):
                if trt.driver_too_old:
                    trt.say('CUDA initialization failure with error: 35', 'WARNING')
                    return NullRuntime()
                return super().__new__(cls)

            def __init__(self, logger):
                super().__init__('runtime')

            def deserialize_cuda_engine(self, content):
                plan = trt.plans.get(content)
                if plan is None:
                    trt.say(trt.refusal)
                    return None
                if plan.host_code and not self.engine_host_code_allowed:
                    trt.say('IRuntime::getEngineHostCodeAllowed() is false.')
                    return None
                return Engine(self, plan)

        class NullRuntime:
            def __del__(self):
                trt.broken_runtimes_freed += 1

        class Engine(Held):
            def __init__(self, runtime, plan):
                super().__init__('engine')
                self.runtime, self.plan = runtime, plan
                self.claimed_profiles = set()
                self.num_io_tensors = len(plan.tensors)
                self.num_optimization_profiles = len(plan.batches)
                if is_new:
                    self.device_memory_size_v2 = plan.workspace
                else:
                    self.has_implicit_batch_dimension = False
                    self.device_memory_size = plan.workspace

            def make_context(self, strategy):
                assert strategy == 'USER_MANAGED'
                if trt.fails('context'):
                    return None
                return ExecutionContext(self)

            def get_tensor_name(self, index):
                return tuple(self.plan.tensors)[index]

            def get_tensor_mode(self, name):
                kinds = {'in': TensorIOMode.INPUT, 'out': TensorIOMode.OUTPUT}
                return kinds[self.plan.tensors[name][0]]

            def get_tensor_dtype(self, name):
                return types.SimpleNamespace(name=self.plan.tensors[name][1])

            def get_tensor_shape(self, name):
                return list(self.plan.tensors[name][2])

            def is_shape_inference_io(self, name):
                return False

            def get_tensor_vectorized_dim(self, name):
                return -1

            def get_tensor_profile_shape(self, name, profile):
                rows = self.plan.tensors[name][2][1:]
                return [(batch, *rows) for batch in self.plan.batches[profile]]

        if is_new:
            Engine.create_execution_context = Engine.make_context
        else:
            Engine.create_execution_context_without_device_memory = lambda engine: (
                engine.make_context('USER_MANAGED')
            )

        class ExecutionContext(Held):
            def __init__(self, engine):
                super().__init__('context')
                self.engine = engine
                self.addresses, self.batch = {}, None
                self.active_optimization_profile = 0
                if not is_new and 0 in self.engine.claimed_profiles:
                    self.active_optimization_profile = -1
                elif not is_new:
                    self.engine.claimed_profiles.add(0)

            def __del__(self):
                if not is_new:
                    self.engine.claimed_profiles.discard(self.active_optimization_profile)
                super().__del__()

            def set_optimization_profile_async(self, profile, stream):
                if not is_new and profile in self.engine.claimed_profiles:
                    trt.say(f'Profile {profile} has been chosen by another IExecutionContext')
                    return False
                self.engine.claimed_profiles.discard(self.active_optimization_profile)
                self.engine.claimed_profiles.add(profile)
                self.active_optimization_profile = profile
                return not trt.fails('profile')

            def set_input_shape(self, name, shape):
                low, _, high = self.engine.plan.batches[self.active_optimization_profile]
                self.batch = shape[0]
                return low <= shape[0] <= high and not trt.fails('shape')

            def get_tensor_shape(self, name):
                return [self.batch, *self.engine.plan.tensors[name][2][1:]]

            def set_tensor_address(self, name, address):
                assert address % 4 == 0
                self.addresses[name] = address
                return not trt.fails('address')

            def execute_async_v3(self, stream):
                gpu.step('execute_async_v3')
                if trt.fails('execute') or not self.device_memory:
                    trt.say('enqueueV3: Error Code 1: Cuda Runtime')
                    return False
                gpu.do(stream, self.run)
                return True

            def array(self, name, shape):
                dtype = np.dtype(DTYPES[self.engine.plan.tensors[name][1]])
                size = int(np.prod(shape)) * dtype.itemsize
                memory = (ctypes.c_uint8 * size).from_address(self.addresses[name])
                return np.frombuffer(memory, dtype).reshape(shape)

            def run(self):
                plan = self.engine.plan
                name = next(n for n, t in plan.tensors.items() if t[0] == 'in')
                shape = (self.batch, *plan.tensors[name][2][1:])
                for output, values in plan.network(self.array(name, shape)).items():
                    self.array(plan.output_names.get(output, output), values.shape)[:] = values

        module = types.ModuleType('tensorrt')
        module.__version__ = self.version
        module.ILogger, module.Runtime = ILogger, Runtime
        module.TensorIOMode = TensorIOMode
        module.IExecutionContext = ExecutionContext
        if is_new:
            module.ExecutionContextAllocationStrategy = types.SimpleNamespace(
                USER_MANAGED='USER_MANAGED'
            )
        return module

    def fails(self, name):
        try:
            self.gpu.step(name)
        except CudaError:
            self.say(f'{name} is refused')
            return True
        return False


@pytest.fixture
def gpu(monkeypatch):
    pretended = Gpu()
    package = types.ModuleType('pycuda')
    package.driver = pretended.driver
    monkeypatch.setitem(sys.modules, 'pycuda', package)
    monkeypatch.setitem(sys.modules, 'pycuda.driver', pretended.driver)
    monkeypatch.setattr(cuda, '_devices', {})
    monkeypatch.setattr(cuda, '_driver_library', lambda: pretended.library)
    monkeypatch.setattr(cuda.atexit, 'register', lambda function: None)
    yield pretended
    assert not pretended.stack, 'a context was left pushed'


@pytest.fixture(params=[OLD_API, NEW_API])
def trt(request, gpu, monkeypatch):
    pretended = TensorRt(gpu, request.param)
    for name in tensorrt_runtime.MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, 'tensorrt', pretended.module)
    return pretended


@pytest.fixture
def path(tmp_path):
    file = tmp_path / 'toy.engine'
    file.write_bytes(PLAN)
    return file


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 6, 3), np.uint8)


def assert_right(engine, batch, network=toy_network):
    outputs = engine.infer({'image': batch})
    for name, expected in network(batch).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-6)
    return outputs


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


def float_plan(layout, outputs=('sums', 'mean')):
    shape = {'nhwc': (1, 4, 6, 3), 'nchw': (1, 3, 4, 6)}[layout]

    def network(image):
        return toy_network(image if layout == 'nhwc' else image.transpose(0, 2, 3, 1))

    return Plan(
        tensors={
            'input_1': ('in', 'FLOAT', shape),
            outputs[0]: ('out', 'FLOAT', (1, 4, 3)),
            outputs[1]: ('out', 'FLOAT', (1, 1)),
        },
        batches=[(1, 1, 1)],
        network=network,
        output_names=dict(zip(('sums', 'mean'), outputs)),
    )


@pytest.mark.parametrize('layout', ['nhwc', 'nchw'])
@pytest.mark.parametrize('offset', [-1.0, 0.0])
def test_a_float_engine_gets_its_pixels_scaled_on_the_host(trt, path, layout, offset):
    spec = dataclasses.replace(SPEC, offset=offset)
    trt.plans[PLAN] = float_plan(layout)
    with TensorRtEngine(spec, path) as engine:
        assert engine.scales_on_host
        batch = images(2)
        outputs = engine.infer({'image': batch})
        for name, expected in toy_network(batch * (2.0 / 255.0) + offset).items():
            np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=1e-5)


def test_a_uint8_engine_needs_no_scaling_on_the_host(trt, path):
    with TensorRtEngine(SPEC, path) as engine:
        assert not engine.scales_on_host


def test_tflite_output_names_are_translated_and_folded_dimensions_unfolded(trt, path):
    plan = float_plan('nhwc', outputs=('conv2d_1', 'mean'))
    plan.tensors['conv2d_1'] = ('out', 'FLOAT', (1, 1, 1, 12))
    trt.plans[PLAN] = plan
    with TensorRtEngine(SPEC, path) as engine:
        assert engine.infer({'image': images(1)})['sums'].shape == (1, 4, 3)
        assert [str(tensor) for tensor in engine.engine_tensors()] == [
            'input_1 FLOAT[1,4,6,3]',
            'conv2d_1 FLOAT[1,1,1,12]',
            'mean FLOAT[1,1]',
        ]


@pytest.mark.parametrize('shape', [(12,), (1, 12), (4, 1, 3), (1, 4, 3, 1), (2, 2, 3)])
def test_dimensions_may_be_joined_or_split_where_the_order_stays(trt, path, shape):
    trt.plans[PLAN].tensors['sums'] = ('out', 'FLOAT', (-1, *shape))
    original = toy_network

    def network(image):
        outputs = original(image)
        return outputs | {'sums': outputs['sums'].reshape(-1, *shape)}

    trt.plans[PLAN].network = network
    with TensorRtEngine(SPEC, path) as engine:
        assert_right(engine, images(2))


@pytest.mark.parametrize('layout', ['nhwc', 'nchw'])
def test_a_spec_without_tensors_takes_those_of_the_file(trt, path, layout):
    plan = float_plan(layout, outputs=('output0', 'output1'))
    trt.plans[PLAN] = plan
    with TensorRtEngine(ModelSpec('mine', (), ()), path) as engine:
        (given,) = engine.inputs
        assert str(given) == f'input_1 float32{list(plan.tensors["input_1"][2])}'.replace(
            ', ', ','
        )
        assert list(map(str, engine.outputs)) == ['output0 float32[1,4,3]', 'output1 float32[1,1]']
        assert not engine.scales_on_host
        batch = images(1).astype(np.float32)
        given = batch if layout == 'nhwc' else np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
        outputs = engine.infer({'input_1': given})
        np.testing.assert_allclose(outputs['output0'], toy_network(batch)['sums'], rtol=1e-6)
        np.testing.assert_allclose(outputs['output1'], toy_network(batch)['mean'], rtol=1e-6)


@pytest.mark.parametrize(
    ('tensor', 'told'),
    [
        (('in', 'FLOAT', (1, 3, -1, -1)), 'only the batch may be dynamic'),
        (('in', 'BF16', (1, 3, 4, 6)), 'type that is not supported'),
    ],
)
def test_a_file_of_one_s_own_is_refused_where_its_tensors_cannot_be_served(
    gpu, trt, path, tensor, told
):
    plan = float_plan('nchw')
    plan.tensors['input_1'] = tensor
    trt.plans[PLAN] = plan
    with pytest.raises(InferenceError, match=told):
        TensorRtEngine(ModelSpec('mine', (), ()), path)
    assert not gpu.live


@pytest.mark.parametrize(
    ('name', 'tensor', 'told'),
    [
        ('image', ('in', 'UINT8', (-1, 6, 4, 3)), r'image uint8\[N,4,6,3\] is image UINT8\[N,6,4'),
        ('image', ('in', 'HALF', (-1, 4, 6, 3)), r'is image HALF\[N,4,6,3\]'),
        ('image', ('in', 'FLOAT', (-1, 4, 6, 4)), r'is image FLOAT\[N,4,6,4\]'),
        ('image', ('in', 'BF16', (-1, 4, 6, 3)), r'is image BF16'),
        ('picture', ('in', 'UINT8', (-1, 4, 6, 3)), r'image uint8\[N,4,6,3\] is missing.*picture'),
        ('sums', ('out', 'HALF', (-1, 4, 3)), r'sums float32\[N,4,3\] is sums HALF'),
        ('sums', ('out', 'FLOAT', (-1, 4, 4)), r'is sums FLOAT\[N,4,4\]'),
        ('sums', ('out', 'FLOAT', (-1, 3, 4)), r'is sums FLOAT\[N,3,4\]'),
        ('sums', ('out', 'FLOAT', (-1, 6, 2)), r'is sums FLOAT\[N,6,2\]'),
        ('total', ('out', 'FLOAT', (-1, 4, 3)), r'sums .* is missing.*unexpected output total'),
        ('extra', ('out', 'FLOAT', (-1, 4, 3)), r'unexpected output extra FLOAT\[N,4,3\]'),
    ],
)
def test_another_network_is_refused_and_the_difference_named(gpu, trt, path, name, tensor, told):
    tensors = trt.plans[PLAN].tensors
    replaced = {'picture': 'image', 'total': 'sums'}.get(name)
    tensors.pop(replaced, None)
    tensors[name] = tensor
    with pytest.raises(InferenceError, match=told):
        TensorRtEngine(SPEC, path)
    assert not gpu.live


def test_profiles_that_exclude_the_networks_size_are_refused(trt, path):
    trt.plans[PLAN].tensors['image'] = ('in', 'UINT8', (-1, -1, -1, 3))
    with pytest.raises(InferenceError, match='no optimisation profile of it takes image'):
        TensorRtEngine(SPEC, path)


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


def test_unwinding_pops_our_context_and_leaves_others(gpu, trt):
    device = open_device()
    foreign = gpu.driver.Context()
    foreign.push()
    device.__enter__()
    device.__enter__()
    device.unwind()
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


def test_too_little_gpu_memory_is_told_with_what_is_needed(gpu, trt, path):
    trt.plans[PLAN].workspace = 2**30
    with pytest.raises(InferenceError, match=r'for batch 4 it needs 1024\.0 MiB, 1 of 1 MiB'):
        TensorRtEngine(SPEC, path)
    assert not gpu.live


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


ALTERNATIVES = [
    {'create_execution_context_without_device_memory', 'create_execution_context'},
    {'device_memory_size', 'device_memory_size_v2'},
]
"""Names of which a version needs to have one; the code asks with hasattr."""

OPTIONAL = {
    'ExecutionContextAllocationStrategy',  # since 10.0
    'has_implicit_batch_dimension',  # until 10
    'engine_host_code_allowed',  # since 8.6
}

OWNERS = {'trt': '', 'runtime': 'Runtime', 'engine': 'ICudaEngine', 'context': 'IExecutionContext'}


def names_used():
    """Return (owner, attribute) of all that the code takes from TensorRT's objects."""
    used = set()
    for module in (tensorrt_engine, tensorrt_runtime):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Attribute):
                owner = getattr(node.value, 'id', getattr(node.value, 'attr', '')).strip('_')
                if owner in OWNERS and not node.attr.startswith('_'):
                    used.add((OWNERS[owner], node.attr))
            elif isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'getattr':
                owner = getattr(node.args[0], 'id', getattr(node.args[0], 'attr', '')).strip('_')
                if owner in OWNERS:
                    used.add((OWNERS[owner], node.args[1].value))
    return used


def test_the_names_used_are_found_in_the_code():
    assert ('Runtime', 'deserialize_cuda_engine') in names_used()
    assert ('IExecutionContext', 'execute_async_v3') in names_used()
    assert ('', 'TensorIOMode') in names_used()
    assert len(names_used()) >= 25


@pytest.mark.parametrize('module', tensorrt_runtime.MODULES)
def test_every_name_exists_in_the_real_bindings(module):
    with contextlib.suppress(OSError):
        real = pytest.importorskip(module)
    if not hasattr(real, 'Runtime'):
        pytest.skip(f'{module} is not TensorRT')
    alternatives = set().union(*ALTERNATIVES)
    for owner, name in names_used():
        holder = getattr(real, owner) if owner else real
        if name not in alternatives | OPTIONAL:
            assert hasattr(holder, name), f'{owner}.{name}'
    for names in ALTERNATIVES:
        assert any(
            hasattr(real.ICudaEngine, n) or hasattr(real.IExecutionContext, n) for n in names
        )
    assert {'INTERNAL_ERROR', 'ERROR', 'WARNING'} <= real.ILogger.Severity.__members__.keys()
    assert 'INPUT' in real.TensorIOMode.__members__
    assert {'UINT8', 'FLOAT', 'HALF', 'INT32'} <= real.DataType.__members__.keys()
    if hasattr(real, 'ExecutionContextAllocationStrategy'):
        assert 'USER_MANAGED' in real.ExecutionContextAllocationStrategy.__members__


@pytest.mark.parametrize('module', tensorrt_runtime.MODULES)
def test_the_real_log_keeps_what_tensorrt_says(module):
    with contextlib.suppress(OSError):
        real = pytest.importorskip(module)
    if not hasattr(real, 'Runtime'):
        pytest.skip(f'{module} is not TensorRT')
    log = tensorrt_runtime.TensorRtLog(real)
    mark = log.mark()
    log.logger.log(real.ILogger.Severity.WARNING, 'a warning')
    log.logger.log(real.ILogger.Severity.INFO, 'chatter')
    assert log.quote(mark) == 'TensorRT: a warning'
    log.logger.log(real.ILogger.Severity.ERROR, 'an\n error')
    assert log.quote(mark) == 'TensorRT: an error'
    assert isinstance(log.logger, real.ILogger)


@pytest.mark.parametrize('module', tensorrt_runtime.MODULES)
def test_without_a_usable_driver_the_real_tensorrt_is_refused_not_crashed_into(module):
    with contextlib.suppress(OSError):
        real = pytest.importorskip(module)
    if not hasattr(real, 'Runtime') or not hasattr(real, 'ExecutionContextAllocationStrategy'):
        pytest.skip('8.x crashes by itself before it answers')
    with contextlib.suppress(OSError):
        ctypes.CDLL('libcuda.so.1')
        pytest.skip('there is a driver here')
    code = (
        'import sys\n'
        'from aitable_ros.inference import tensorrt_runtime as runtime\n'
        'trt = runtime.load_tensorrt()\n'
        'try:\n'
        '    runtime.create_runtime(trt, runtime.log_of(trt))\n'
        'except runtime.InferenceError as error:\n'
        '    print(error)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'the NVIDIA driver may be too old' in done.stdout


def test_importing_the_module_imports_no_runtime():
    code = (
        'import sys; import aitable_ros.inference.tensorrt_engine;'
        'print([m for m in ("tensorrt", "pycuda", "torch", "rclpy") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'
