# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
TensorRT's builder, played by an object that has the names of a version and no others.

It parses the ONNX graph into layers and, instead of a plan, gives what it was told, as JSON. The
names are those of the bindings of 8.5.3, 8.6.0, 10.3.0 and 11.4.0.
"""

from __future__ import annotations

import enum
import itertools
import json
import types

import onnx

BUILDER_FLAGS = {
    '8.5.3': ('FP16', 'INT8', 'OBEY_PRECISION_CONSTRAINTS', 'TF32'),
    '8.6.0': ('FP16', 'INT8', 'OBEY_PRECISION_CONSTRAINTS', 'TF32', 'VERSION_COMPATIBLE'),
    '10.3.0': ('FP16', 'INT8', 'OBEY_PRECISION_CONSTRAINTS', 'TF32', 'VERSION_COMPATIBLE'),
    '11.4.0': ('TF32', 'VERSION_COMPATIBLE'),
}
NETWORK_FLAGS = {
    '8.5.3': ('EXPLICIT_BATCH',),
    '8.6.0': ('EXPLICIT_BATCH',),
    '10.3.0': ('EXPLICIT_BATCH', 'STRONGLY_TYPED'),
    '11.4.0': ('STRONGLY_TYPED',),
}
VERSIONS = tuple(BUILDER_FLAGS)


class CudaError(Exception):
    pass


class CudaMemoryError(CudaError):
    pass


class Device:
    """The CUDA device; memory is handed out only under its context, and counted."""

    def __init__(self):
        self.entered = 0
        self.live = []
        self.seen = []
        self.driver = types.SimpleNamespace(
            Error=CudaError,
            MemoryError=CudaMemoryError,
            mem_alloc=self._allocate,
            memcpy_htod=self._copy,
        )

    def _allocate(self, nbytes):
        assert self.entered
        memory = types.SimpleNamespace(nbytes=nbytes, content=None)
        memory.free = lambda: self.live.remove(memory)
        self.live.append(memory)
        return _Pointer(memory)

    def _copy(self, pointer, array):
        assert self.entered
        assert array.nbytes == pointer.memory.nbytes
        pointer.memory.content = array.copy()
        self.seen.append(array.copy())

    def __enter__(self):
        self.entered += 1
        return self

    def __exit__(self, *_):
        self.entered -= 1

    def __str__(self):
        return 'CUDA device 0 (toy)'


class _Pointer:
    def __init__(self, memory):
        self.memory = memory

    def __int__(self):
        return id(self.memory)

    def free(self):
        self.memory.free()


class Log:
    """What :class:`aitable_ros.inference.tensorrt.runtime.TensorRtLog` is for users."""

    def __init__(self):
        self.logger = object()
        self.lines = []

    def error(self, text):
        self.lines.append(types.SimpleNamespace(text=text, is_error=True))

    def warning(self, text):
        self.lines.append(types.SimpleNamespace(text=text, is_error=False))

    def mark(self):
        return len(self.lines)

    def since(self, mark):
        return self.lines[mark:]

    def quote(self, mark):
        return ' | '.join(line.text for line in self.lines[mark:]) or 'TensorRT gave no reason'


def make(version, device, log):
    """Return the module, as of one version."""
    trt = types.SimpleNamespace(__version__=version, __name__='tensorrt', float32='FLOAT')
    modern = version.startswith(('10', '11'))
    trt.BuilderFlag = enum.Enum('BuilderFlag', BUILDER_FLAGS[version], start=0)
    trt.NetworkDefinitionCreationFlag = enum.IntEnum(
        'NetworkDefinitionCreationFlag', NETWORK_FLAGS[version], start=0
    )
    trt.TacticSource = enum.IntEnum('TacticSource', ('CUDNN', 'JIT_CONVOLUTIONS'), start=2)
    trt.MemoryPoolType = enum.Enum('MemoryPoolType', ('WORKSPACE',))
    trt.LayerType = enum.Enum('LayerType', ('CONSTANT', 'OTHER'))
    preview = ('PROFILE_SHARING_0806',) if version != '8.5.3' else ('OTHER_0805',)
    trt.PreviewFeature = enum.Enum('PreviewFeature', preview)
    trt.refuses_cache = lambda content: content == b'damaged'
    trt.refuses_build = ''
    trt.parser_errors = []
    trt.plan_extra = b''
    if hasattr(trt.BuilderFlag, 'INT8'):
        trt.IInt8EntropyCalibrator2 = type('IInt8EntropyCalibrator2', (), {})
    if modern:
        trt.IProgressMonitor = type('IProgressMonitor', (), {})

    class Config:
        if version != '8.5.3':
            builder_optimization_level = 3

        def __init__(self):
            self.flags = {'TF32'}
            self.told = {}
            self.profiles = []

        def clear_flag(self, flag):
            self.flags.discard(flag.name)

        def set_flag(self, flag):
            self.flags.add(flag.name)

        def get_flag(self, flag):
            return flag.name in self.flags

        def set_memory_pool_limit(self, pool, size):
            self.told[pool.name] = size

        def set_tactic_sources(self, sources):
            self.told['tactics'] = sources
            return True

        def set_preview_feature(self, feature, on):
            self.told[feature.name] = on

        def set_calibration_profile(self, profile):
            self.told['calibration'] = profile.shapes

        def add_optimization_profile(self, profile):
            self.profiles.append(profile.shapes)
            return len(self.profiles) - 1

        def create_timing_cache(self, content):
            return types.SimpleNamespace(content=content, serialize=lambda: content + b'+')

        def set_timing_cache(self, cache, ignore_mismatch):
            assert not ignore_mismatch
            return not trt.refuses_cache(cache.content)

    class Profile:
        def __init__(self):
            self.shapes = {}

        def set_shape(self, name, low, opt, high):
            self.shapes[name] = [list(low), list(opt), list(high)]

    class Builder:
        if not version.startswith('11'):
            platform_has_fast_fp16 = platform_has_fast_int8 = True

        def __init__(self, logger):
            assert device.entered
            assert logger is log.logger

        def create_network(self, flags):
            return _Network(flags)

        def create_builder_config(self):
            return Config()

        def create_optimization_profile(self):
            return Profile()

        def build_serialized_network(self, network, config):
            assert device.entered
            if trt.refuses_build:
                log.error(trt.refuses_build)
                return None
            _calibrate(network, config)
            monitor = getattr(config, 'progress_monitor', None)
            if monitor is not None:
                monitor.phase_start('Building', None, 2)
                monitor.phase_start('Timing', 'Building', 4)
                assert monitor.step_complete('Timing', 0) is True
                monitor.step_complete('Building', 0)
                monitor.phase_finish('Timing')
                monitor.phase_finish('Building')
            return _plan(network, config) + trt.plan_extra

    class Parser:
        def __init__(self, network, logger):
            self.network = network
            self.num_errors = len(trt.parser_errors)

        def parse(self, content):
            if trt.parser_errors:
                return False
            self.network.read(onnx.load_model_from_string(content), trt)
            return True

        def get_error(self, index):
            return trt.parser_errors[index]

    trt.IBuilderConfig, trt.Builder, trt.OnnxParser = Config, Builder, Parser
    return trt


class _Network:
    def __init__(self, flags):
        self.flags = flags
        self.layers = []

    def read(self, model, trt):
        types_of = {
            info.name: info.type.tensor_type.elem_type
            for info in onnx.shape_inference.infer_shapes(model).graph.value_info
        } | {output.name: output.type.tensor_type.elem_type for output in model.graph.output}
        self.layers = [_Layer(node, types_of, trt) for node in model.graph.node]
        self.inputs = [
            types.SimpleNamespace(
                name=entry.name,
                shape=tuple(d.dim_value or -1 for d in entry.type.tensor_type.shape.dim),
            )
            for entry in model.graph.input
        ]

    num_layers = property(lambda self: len(self.layers))
    num_inputs = property(lambda self: len(self.inputs))

    def get_layer(self, index):
        return self.layers[index]

    def get_input(self, index):
        return self.inputs[index]


class _Layer:
    def __init__(self, node, types_of, trt):
        self.name, self.op_type = node.name, node.op_type
        self.type = trt.LayerType.CONSTANT if node.op_type == 'Constant' else trt.LayerType.OTHER
        self.precision = None
        self.output_types = {}
        names = {onnx.TensorProto.FLOAT: 'FLOAT', onnx.TensorProto.FLOAT16: 'HALF'}
        self.outputs = [
            types.SimpleNamespace(dtype=names.get(types_of.get(name), 'OTHER'))
            for name in node.output
        ]

    num_outputs = property(lambda self: len(self.outputs))

    def get_output(self, index):
        return self.outputs[index]

    def set_output_type(self, index, dtype):
        self.output_types[index] = dtype


def _calibrate(network, config):
    calibrator = getattr(config, 'int8_calibrator', None)
    if calibrator is None:
        return
    assert calibrator.read_calibration_cache() is None
    sizes = [calibrator.get_batch_size()]
    for _ in itertools.count():
        pointers = calibrator.get_batch(['image'])
        if pointers is None:
            break
        assert len(pointers) == 1
    # From a batch TensorRT takes as many as the network has, or the profile where that is open.
    (batch,) = {tensor.shape[0] for tensor in network.inputs}
    if batch < 1:
        batch = config.told['calibration']['image'][1][0]
    assert set(sizes) == {batch}


def _plan(network, config):
    held = sorted(layer.name for layer in network.layers if layer.precision == 'FLOAT')
    assert held == sorted(layer.name for layer in network.layers if layer.output_types)
    told = {
        'network_flags': network.flags,
        'flags': sorted(config.flags),
        'held': held,
        'dtypes': sorted({output.dtype for layer in network.layers for output in layer.outputs}),
        'operators': sorted({layer.op_type for layer in network.layers}),
        'inputs': {tensor.name: list(tensor.shape) for tensor in network.inputs},
        'profiles': config.profiles,
        'level': getattr(config, 'builder_optimization_level', None),
        **config.told,
    }
    return json.dumps(told).encode()
