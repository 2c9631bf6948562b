# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
A GPU, a driver and a TensorRT that are played, for what real ones do not do when asked.

They fail at a chosen step, run out of memory, refuse a plan, and count what is not freed yet.
Memory and streams need a current context; contexts are pushed and popped per thread; 8.x gives a
profile to one context at a time. What works is for test/gpu, on a real GPU; the names of
TensorRT's API are compared with its real bindings in test_tensorrt_api.py.
"""

from __future__ import annotations

import ctypes
import dataclasses
import enum
import hashlib
import sys
import threading
import types

import numpy as np
import pytest
from warped import warp

from aitable_ros.inference.engine import TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt import (
    crops,
    cuda,
)
from aitable_ros.inference.tensorrt import (
    runtime as tensorrt_runtime,
)
from aitable_ros.inference.tensorrt import (
    sidecar as engine_sidecar,
)

OLD_API, NEW_API = '8.5.3', '11.4.0'
both_apis = pytest.mark.parametrize('trt', [OLD_API, NEW_API], indirect=True)

SPEC = ModelSpec(
    name='toy',
    inputs=(TensorSpec('image', (-1, 4, 6, 3), np.dtype(np.uint8)),),
    outputs=(TensorSpec('sums', (-1, 4, 3), np.dtype(np.float32)),),
    scale=2.0 / 255.0,
    offset=-1.0,
    tflite_outputs={'conv2d_1': 'sums'},
)


def toy_network(image):
    """Return what the toy network makes of (N, 4, 6, 3) images."""
    return image.astype(np.float32).sum(axis=2)


class CudaError(Exception):
    pass


class CudaMemoryError(CudaError):
    pass


class Held:
    """Something on the GPU, counted until it is freed."""

    def __init__(self, gpu, kind):
        gpu.step(kind)
        gpu.require_context()
        self.gpu, self.kind = gpu, kind
        gpu.live.append(kind)

    def free(self):
        self.gpu.require_context()
        self.gpu.live.remove(self.kind)
        self.gpu.freed.append(self.kind)


class FreedWithoutReference(Held):
    def __del__(self):
        if hasattr(self, 'kind'):
            self.free()


class Memory(Held):
    """A block on the GPU or of pinned host memory."""

    def __init__(self, gpu, kind, nbytes):
        if nbytes > gpu.free_bytes:
            raise CudaMemoryError('cuMemAlloc failed: out of memory')
        super().__init__(gpu, kind)
        self.nbytes = nbytes
        self.bytes = (ctypes.c_uint8 * nbytes)(*[0xCD] * nbytes)
        self.__array_interface__ = {
            'data': (ctypes.addressof(self.bytes), False),
            'shape': (nbytes,),
            'typestr': '|u1',
            'version': 3,
        }

    def __int__(self):
        return ctypes.addressof(self.bytes)

    get_device_pointer = __int__


class Stream(FreedWithoutReference):
    def __init__(self, gpu, flags):
        super().__init__(gpu, 'Stream')
        assert flags == cuda.NON_BLOCKING
        self.handle = 77000 + len(gpu.recordings)
        gpu.recordings[self.handle] = None

    def synchronize(self):
        self.gpu.require_context()
        assert self.gpu.recordings[self.handle] is None, 'waiting breaks a capture'

    def wait_for_event(self, event):
        self.gpu.require_context()
        if self.gpu.recordings[self.handle] is None:  # it joins a capture
            self.gpu.recordings[self.handle] = event.recording


class Event:
    def __init__(self, gpu, flags):
        assert flags == 2
        self.gpu, self.recording = gpu, None

    def record(self, stream):
        self.gpu.require_context()
        self.recording = self.gpu.recordings[stream.handle]


class CropModule:
    """The kernel that cuts crops out, as :func:`warped.warp` does it."""

    def __init__(self, gpu):
        self.gpu = gpu

    def get_function(self, name):
        assert name == 'cut'
        return self

    def prepare(self, types):
        assert types == 'PiiiPPiii'

    def prepared_async_call(self, grid, block, stream, *arguments):
        rows, width, height, first, maps, out, columns, lines, replicate = arguments
        count = grid[2]
        assert grid[0] * block[0] >= columns
        assert grid[1] * block[1] >= lines

        def work():
            def array(address, dtype, *shape):
                size = int(np.prod(shape)) * np.dtype(dtype).itemsize
                memory = (ctypes.c_uint8 * size).from_address(address)
                return np.frombuffer(memory, dtype).reshape(shape)

            found = array(maps, np.float64, count, 2, 3)
            needed = crops.rows_needed(found, (lines, columns), height)
            assert needed.start == first
            image = np.zeros((height, width, 3), np.uint8)
            image[needed] = array(rows, np.uint8, needed.stop - first, width, 3)
            made = array(out, np.uint8, count, lines, columns, 3)
            made[:] = warp(image, found, (lines, columns), replicate=bool(replicate))

        self.gpu.do(stream.handle, work)


class Gpu:
    """``fail_at``: by the name of a step, which of its calls (1, 2, ...) fail."""

    def __init__(self):
        self.live, self.freed, self.calls = [], [], []
        self.recordings, self.graphs = {}, {}
        self.seen, self.copies = [], 0
        self.free_bytes = 2**20
        self.fail_at = {}
        self.local = threading.local()

    @property
    def stack(self):
        return self.local.__dict__.setdefault('stack', [])

    def require_context(self):
        if not self.stack:
            raise CudaError('invalid device context')

    def fails(self, name):
        self.calls.append(name)
        return self.calls.count(name) in self.fail_at.get(name, ())

    def step(self, name):
        if self.fails(name):
            raise CudaError(f'{name} failed')

    def do(self, handle, work):
        self.require_context()
        recording = self.recordings[handle]
        work() if recording is None else recording.append(work)

    def make_driver(self):
        """Return what ``pycuda.driver`` is to the code."""
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
            count = staticmethod(lambda: 1)

            def __init__(self, ordinal):
                self.name = lambda: 'Toy GPU'
                self.compute_capability = lambda: (8, 7)
                self.retain_primary_context = Context

        def pagelocked_empty(nbytes, dtype, mem_flags):
            return np.asarray(Memory(gpu, {0: 'pinned', 2: 'mapped'}[mem_flags], nbytes))

        def copy_now(memory, array):
            gpu.require_context()
            assert array.nbytes == memory.nbytes
            gpu.seen.append(array.copy())

        def copy(stream, target, source, nbytes):
            gpu.copies += 1
            gpu.do(stream.handle, lambda: ctypes.memmove(target, source, nbytes))

        driver = types.ModuleType('pycuda.driver')
        driver.Error, driver.MemoryError = CudaError, CudaMemoryError
        driver.init = lambda: gpu.step('init')
        driver.Context, driver.Device = Context, Device
        driver.Stream = lambda flags: Stream(gpu, flags)
        driver.mem_alloc = lambda nbytes: Memory(gpu, 'device', nbytes)
        driver.mem_get_info = lambda: (gpu.free_bytes, 2**20)
        driver.pagelocked_empty = pagelocked_empty
        driver.host_alloc_flags = types.SimpleNamespace(DEVICEMAP=2)
        driver.event_flags = types.SimpleNamespace(DISABLE_TIMING=2)
        driver.Event = lambda flags: Event(gpu, flags)
        driver.module_from_buffer = lambda code: CropModule(gpu)
        driver.memcpy_htod = copy_now
        driver.memcpy_htod_async = lambda to, host, s: copy(
            s, int(to), host.ctypes.data, host.nbytes
        )
        driver.memcpy_dtoh_async = lambda host, at, s: copy(s, host.ctypes.data, at, host.nbytes)
        return driver


class Library:
    """The functions for graphs of libcuda.so.1."""

    def __init__(self, gpu):
        self.gpu = gpu

    def __getattr__(self, name):
        work = getattr(Library, f'_{name}')

        def call(*arguments):
            self.gpu.require_context()
            failed = self.gpu.fails(name)
            if failed and name == 'cuStreamEndCapture':  # it ends all the same
                self.gpu.recordings[arguments[0].value] = None
            return 901 if failed else work(self.gpu, *arguments) or 0

        return call

    def cuGetErrorString(self, code, name):  # noqa: N802
        name._obj.value = b'CUDA_ERROR_STREAM_CAPTURE_INVALIDATED'
        return 0

    def _cuStreamBeginCapture_v2(gpu, stream, mode):  # noqa: N802, N805
        gpu.recordings[stream.value] = []

    def _cuStreamEndCapture(gpu, stream, graph):  # noqa: N802, N805
        graph._obj.value = 5000 + len(gpu.graphs)
        recording = gpu.graphs[graph._obj.value] = gpu.recordings[stream.value]
        for handle, other in gpu.recordings.items():
            if other is recording:
                gpu.recordings[handle] = None
        gpu.live.append('graph')

    def _cuGraphInstantiateWithFlags(gpu, executable, graph, flags):  # noqa: N802, N805
        executable._obj.value = 9000 + len(gpu.graphs)
        gpu.graphs[executable._obj.value] = list(gpu.graphs[graph.value])
        gpu.live.append('executable')

    def _cuGraphLaunch(gpu, executable, stream):  # noqa: N802, N805
        for work in gpu.graphs[executable.value]:
            work()

    def _cuGraphExecDestroy(gpu, executable):  # noqa: N802, N805
        gpu.graphs[executable.value] = None
        gpu.live.remove('executable')
        gpu.freed.append('executable')

    def _cuGraphDestroy(gpu, graph):  # noqa: N802, N805
        gpu.graphs[graph.value].clear()
        gpu.live.remove('graph')


@dataclasses.dataclass
class Plan:
    """What the one engine file that is not refused holds."""

    tensors: dict = dataclasses.field(
        default_factory=lambda: {
            'image': ('in', 'UINT8', (-1, 4, 6, 3)),
            'sums': ('out', 'FLOAT', (-1, 4, 3)),
        }
    )
    batches: list = dataclasses.field(default_factory=lambda: [(1, 1, 4)])
    host_code: bool = False
    workspace: int = 1000
    network: object = staticmethod(toy_network)
    implicit_batch: bool = False


PLAN = b'ftrt' + bytes(20) + bytes((10, 3, 0, 26)) + b'weights'
ORIN = engine_sidecar.Gpu('Orin', '8.7', 8)


def sidecar(**changes):
    """Return the record of :data:`PLAN`."""
    record = engine_sidecar.EngineSidecar(
        model='toy',
        key='k',
        engine_sha256=hashlib.sha256(PLAN).hexdigest(),
        engine_size=len(PLAN),
        onnx_sha256='o',
        onnx_source='toy.onnx',
        tensorrt='10.3.0',
        gpu=ORIN,
        precision='fp16',
        inputs=('image uint8[N,4,6,3]',),
        outputs=('sums float32[N,4,3]',),
        batches=((1, 1, 1), (1, 4, 4)),
        options={'workspace_mib': None},
        flags=('FP16',),
        fp32_layers=('Conv_5',),
        build_seconds=12.5,
        built_at='2026-01-01T00:00:00+00:00',
    )
    return dataclasses.replace(record, **changes)


class Speaker:
    """Gives TensorRT's module an ILogger, and speaks through the one that was made of it."""

    def __init__(self, module):
        self.loggers = loggers = []

        class ILogger:
            Severity = enum.Enum('Severity', ('INTERNAL_ERROR', 'ERROR', 'WARNING', 'VERBOSE'))

            def __init__(self):
                loggers.append(self)

        self.module = module
        module.ILogger = ILogger

    def say(self, text, severity='ERROR'):
        self.loggers[-1].log(self.module.ILogger.Severity[severity], text)


class TensorRt(Speaker):
    """A TensorRT of the old or the new API; engine files but :data:`PLAN` are refused."""

    def __init__(self, gpu, version):
        super().__init__(types.ModuleType('tensorrt'))
        self.gpu, self.version = gpu, version
        self.plan = Plan()
        self.refusal = 'Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.'
        self.driver_too_old = False
        self.broken_runtimes_freed = 0
        self.fill_module()

    def fails(self, name):
        if failed := self.gpu.fails(name):
            self.say(f'{name} is refused')
        return failed

    def fill_module(self):
        trt, module = self, self.module
        is_new = self.version == NEW_API
        module.__version__ = self.version
        module.TensorIOMode = enum.Enum('TensorIOMode', ('INPUT', 'OUTPUT'))

        class BrokenRuntime:
            def __del__(self):
                trt.broken_runtimes_freed += 1

        class Runtime(FreedWithoutReference):
            engine_host_code_allowed = False

            def __new__(cls, logger):
                if trt.driver_too_old:
                    trt.say('CUDA initialization failure with error: 35', 'WARNING')
                    return BrokenRuntime()
                return super().__new__(cls)

            def __init__(self, logger):
                super().__init__(trt.gpu, 'runtime')

            def deserialize_cuda_engine(self, content):
                if content != PLAN:
                    trt.say(trt.refusal)
                elif trt.plan.host_code and not self.engine_host_code_allowed:
                    trt.say('IRuntime::getEngineHostCodeAllowed() is false.')
                else:
                    return (NewEngine if is_new else OldEngine)(self)
                return None

        class Engine(FreedWithoutReference):
            def __init__(self, runtime):
                super().__init__(trt.gpu, 'engine')
                self.runtime, self.claimed_profiles = runtime, set()
                self.num_io_tensors = len(trt.plan.tensors)
                self.num_optimization_profiles = len(trt.plan.batches)

            def make_context(self, strategy):
                return None if trt.fails('context') else ExecutionContext(self)

            def get_tensor_name(self, index):
                return tuple(trt.plan.tensors)[index]

            def get_tensor_mode(self, name):
                is_input = trt.plan.tensors[name][0] == 'in'
                return module.TensorIOMode['INPUT' if is_input else 'OUTPUT']

            def get_tensor_dtype(self, name):
                return types.SimpleNamespace(name=trt.plan.tensors[name][1])

            def get_tensor_shape(self, name):
                return list(trt.plan.tensors[name][2])

            def is_shape_inference_io(self, name):
                return trt.gpu.fails('is_shape')

            def get_tensor_vectorized_dim(self, name):
                return 1 if trt.gpu.fails('vectorized') else -1

            def get_tensor_profile_shape(self, name, profile):
                rows = trt.plan.tensors[name][2][1:]
                return [(batch, *rows) for batch in trt.plan.batches[profile]]

        class NewEngine(Engine):
            create_execution_context = Engine.make_context
            device_memory_size_v2 = property(lambda self: trt.plan.workspace)

        class OldEngine(Engine):
            device_memory_size = property(lambda self: trt.plan.workspace)
            has_implicit_batch_dimension = property(lambda self: trt.plan.implicit_batch)

            def create_execution_context_without_device_memory(self):
                return self.make_context('USER_MANAGED')

        class ExecutionContext(FreedWithoutReference):
            def __init__(self, engine):
                super().__init__(trt.gpu, 'execution')
                self.engine, self.addresses = engine, {}
                taken = 0 in engine.claimed_profiles
                self.active_optimization_profile = -1 if taken else 0
                if not is_new and not taken:
                    engine.claimed_profiles.add(0)

            def __del__(self):
                self.engine.claimed_profiles.discard(self.active_optimization_profile)
                super().__del__()

            def set_optimization_profile_async(self, profile, stream):
                if profile in self.engine.claimed_profiles:
                    trt.say(f'Profile {profile} has been chosen by another IExecutionContext')
                    return False
                self.engine.claimed_profiles.discard(self.active_optimization_profile)
                if not is_new:
                    self.engine.claimed_profiles.add(profile)
                self.active_optimization_profile = profile
                return not trt.fails('profile')

            def set_input_shape(self, name, shape):
                low, _, high = trt.plan.batches[self.active_optimization_profile]
                self.batch = shape[0]
                return low <= shape[0] <= high and not trt.fails('shape')

            def get_tensor_shape(self, name):
                rows = trt.plan.tensors[name][2][1:]
                return [self.batch, *rows, *[2] * trt.gpu.fails('output shape')]

            def set_tensor_address(self, name, address):
                self.addresses[name] = address
                return not trt.fails('address')

            def execute_async_v3(self, stream):
                trt.gpu.step('execute_async_v3')
                if trt.fails('execute') or not self.device_memory:
                    return False
                trt.gpu.do(stream, self.run)
                return True

            def array(self, name, dtype):
                shape = (self.batch, *trt.plan.tensors[name][2][1:])
                size = int(np.prod(shape)) * np.dtype(dtype).itemsize
                memory = (ctypes.c_uint8 * size).from_address(self.addresses[name])
                return np.frombuffer(memory, dtype).reshape(shape)

            def run(self):
                self.array('sums', np.float32)[:] = trt.plan.network(self.array('image', np.uint8))

        module.Runtime = Runtime
        module.IExecutionContext = ExecutionContext
        if is_new:
            strategy = types.SimpleNamespace(USER_MANAGED='USER_MANAGED')
            module.ExecutionContextAllocationStrategy = strategy


@pytest.fixture
def gpu(monkeypatch):
    played = Gpu()
    package, played.driver = types.ModuleType('pycuda'), played.make_driver()
    package.driver = played.driver
    monkeypatch.setitem(sys.modules, 'pycuda', package)
    monkeypatch.setitem(sys.modules, 'pycuda.driver', played.driver)
    monkeypatch.setattr(cuda, '_devices', {})
    monkeypatch.setattr(cuda, '_driver_library', lambda: Library(played))
    monkeypatch.setattr(crops, 'compile_kernel', lambda compute_capability: b'')
    monkeypatch.setattr(cuda.atexit, 'register', lambda function: None)
    yield played
    assert not played.stack, 'a context was left pushed'


@pytest.fixture
def trt(request, gpu, monkeypatch):
    played = TensorRt(gpu, getattr(request, 'param', NEW_API))
    for name in tensorrt_runtime.MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, 'tensorrt', played.module)
    return played


@pytest.fixture
def path(tmp_path):
    file = tmp_path / 'toy.engine'
    file.write_bytes(PLAN)
    return file


@pytest.fixture
def recorded(path):
    """The engine file, with its record beside it."""
    engine_sidecar.sidecar_path(path).write_text(sidecar().to_json())
    return path


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 6, 3), np.uint8)


def assert_right(engine, batch):
    np.testing.assert_allclose(engine.infer({'image': batch})['sums'], toy_network(batch))
