# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
What the tests of TensorRT engines share: a GPU that is played.

PyCUDA, the CUDA driver and TensorRT are played by objects that keep their rules: memory and
streams only under a current context, contexts pushed and popped per thread, refusals told in the
log and nowhere else, 8.x giving a profile to one context at a time. The names of TensorRT's API
are checked against its real bindings in test_tensorrt_api.py.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
import sys
import threading
import types
from dataclasses import dataclass, field

import numpy as np
import pytest

from aitable_ros.inference.engine import TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt import cuda
from aitable_ros.inference.tensorrt import runtime as tensorrt_runtime

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
