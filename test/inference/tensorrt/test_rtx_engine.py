# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What TensorRT-RTX does differently, on a GPU that is played; its names, in the real bindings."""

from __future__ import annotations

import ast
import enum
import inspect
import subprocess
import sys
import types

import pytest
from tensorrt_fixtures import NEW_API, PLAN, SPEC, TensorRt, assert_right, images

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt import rtx_engine, runtime
from aitable_ros.inference.tensorrt.rtx_engine import TensorRtRtxEngine


class Cache:
    """A runtime cache: what was compiled, by the sizes of batches."""

    def __init__(self):
        self.kernels = b''

    def deserialize(self, content):
        if not content.startswith(b'cache '):
            return False
        self.kernels = content
        return True

    def serialize(self):
        return self.kernels


class Config:
    def __init__(self, made):
        made.append(self)
        self.cache = None

    def set_execution_context_allocation_strategy(self, strategy):
        self.allocation = strategy

    def create_runtime_cache(self):
        return Cache()

    def set_runtime_cache(self, cache):
        self.cache = cache


@pytest.fixture
def played(gpu, monkeypatch):
    """TensorRT-RTX, where compiling the kernels of a context puts them into the cache."""
    trt = TensorRt(gpu, NEW_API)
    module = trt.module
    module.CudaGraphStrategy = enum.Enum('G', ('DISABLED', 'WHOLE_GRAPH_CAPTURE'))
    module.DynamicShapesKernelSpecializationStrategy = enum.Enum('S', ('LAZY', 'EAGER'))
    trt.configs = []
    deserialize = module.Runtime.deserialize_cuda_engine

    def create_execution_context(engine, runtime_config):
        context = engine.make_context(runtime_config.allocation)
        if context is not None and not runtime_config.cache.kernels:
            runtime_config.cache.kernels = b'cache of kernels'
            gpu.calls.append('compiling')
        return context

    methods = {
        'create_runtime_config': lambda engine: Config(trt.configs),
        'create_execution_context': create_execution_context,
    }

    def deserialize_cuda_engine(self, content):
        engine = deserialize(self, content)
        if engine is not None:
            engine.__class__ = type('RtxEngine', (type(engine),), methods)
        return engine

    module.Runtime.deserialize_cuda_engine = deserialize_cuda_engine
    monkeypatch.setitem(sys.modules, 'tensorrt_rtx', module)
    return trt


@pytest.fixture
def engine_path(tmp_path):
    path = tmp_path / 'toy.rtx'
    path.write_bytes(PLAN)
    return path


@pytest.mark.parametrize('cuda_graph', [True, False])
def test_it_records_its_graphs_itself(gpu, played, engine_path, cuda_graph):
    with TensorRtRtxEngine(SPEC, engine_path, cuda_graph=cuda_graph) as engine:
        assert (engine.backend, engine.uses_cuda_graph) == ('tensorrt_rtx', cuda_graph)
        for count in (1, 4, 2, 7):
            assert_right(engine, images(count))
        assert 'graph' not in gpu.live
        (config,) = played.configs
        assert config.allocation == 'USER_MANAGED'
        assert config.cuda_graph_strategy.name == (
            'WHOLE_GRAPH_CAPTURE' if cuda_graph else 'DISABLED'
        )
        assert config.dynamic_shapes_kernel_specialization_strategy.name == 'EAGER'
    assert not gpu.live


def test_kernels_are_compiled_once_and_kept_beside_the_engine(gpu, played, engine_path):
    cache = engine_path.with_name('toy.rtx.cache')
    TensorRtRtxEngine(SPEC, engine_path).close()
    assert cache.read_bytes() == b'cache of kernels'
    TensorRtRtxEngine(SPEC, engine_path).close()
    assert gpu.calls.count('compiling') == 1
    cache.write_bytes(b'of another driver')
    TensorRtRtxEngine(SPEC, engine_path).close()
    assert gpu.calls.count('compiling') == 2
    assert cache.read_bytes() == b'cache of kernels'
    assert sorted(engine_path.parent.iterdir()) == [engine_path, cache]


@pytest.mark.parametrize('step', ['write_bytes', 'replace'])
def test_a_folder_that_cannot_be_written_is_no_obstacle(
    gpu, played, engine_path, monkeypatch, step
):
    def refuse(self, other):
        raise PermissionError('Permission denied')

    monkeypatch.setattr(rtx_engine.Path, step, refuse)
    with TensorRtRtxEngine(SPEC, engine_path) as engine:
        assert_right(engine, images(1))
    assert [path.name for path in engine_path.parent.iterdir()] == ['toy.rtx']
    assert not gpu.live


@pytest.mark.parametrize('step', ['context', 'execute', 'Stream'])
def test_what_fails_leaves_nothing(gpu, played, engine_path, step):
    gpu.fail_at = {step: (1,)}
    with pytest.raises(InferenceError):
        TensorRtRtxEngine(SPEC, engine_path)
    assert not gpu.live


class TestReal:
    """The real bindings, which import without a GPU."""

    @pytest.fixture
    def rtx(self):
        return pytest.importorskip(
            'tensorrt_rtx_bindings', reason='needs TensorRT-RTX: scripts/test.sh --optional'
        )

    def test_every_name_exists(self, rtx):
        owners = {'trt': rtx, 'engine': rtx.ICudaEngine, 'config': rtx.IRuntimeConfig}
        owners |= {'cache': rtx.IRuntimeCache, 'graphs': rtx.CudaGraphStrategy}
        owners['shapes'] = rtx.DynamicShapesKernelSpecializationStrategy
        used = {
            (node.value.id, node.attr)
            for node in ast.walk(ast.parse(inspect.getsource(rtx_engine)))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        used = {(owner, name) for owner, name in used if owner in owners}
        assert len(used) >= 10
        for owner, name in used:
            assert hasattr(owners[owner], name), f'{owner}.{name}'

    @pytest.mark.parametrize(
        ('plan', 'told'),
        [
            (b'x' * 100, 'the file is damaged or not a TensorRT plan'),
            (b'vtrt' + bytes(100), 'the file is truncated or damaged'),
        ],
    )
    def test_what_it_refuses_is_explained(self, rtx, plan, told):
        code = (
            'import sys\n'
            'from aitable_ros.inference.tensorrt import runtime\n'
            'trt = runtime.load_tensorrt(runtime.RTX_MODULES)\n'
            'log = runtime.log_of(trt)\n'
            'made = runtime.create_runtime(trt, log)\n'
            f'assert made.deserialize_cuda_engine({plan!r}) is None\n'
            f'print(runtime.explain_refusal({plan!r}, log.quote(0)))\n'
        )
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert told in done.stdout

    def test_the_module_is_found_by_either_name(self, rtx, monkeypatch):
        monkeypatch.setitem(sys.modules, 'tensorrt_rtx', None)
        assert runtime.load_tensorrt(runtime.RTX_MODULES) is rtx
        monkeypatch.setitem(sys.modules, 'tensorrt_rtx_bindings', types.ModuleType('x'))
        with pytest.raises(InferenceError, match='it has no Runtime'):
            runtime.load_tensorrt(runtime.RTX_MODULES)
