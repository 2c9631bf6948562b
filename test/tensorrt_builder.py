# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
TensorRT's builder, played: it refuses on demand, and has the names of a version and no others.

It parses the ONNX graph into layers and, instead of a plan, gives what it was told, as JSON. The
names are those of the bindings of 8.5.3, 8.6.0, 10.3.0 and 11.4.0. That what is built runs and
agrees is for test/gpu, on a real GPU, with the one version that is there.
"""

from __future__ import annotations

import enum
import json
import types

import numpy as np
import onnx
from onnx import TensorProto
from tensorrt_fixtures import ORIN, Speaker

from aitable_ros.inference.engine import DYNAMIC, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.conversion.onnx_graph import GraphBuilder
from aitable_ros.model_zoo.engine_building import engine_builder
from aitable_ros.model_zoo.engine_building.build_options import BuildOptions
from aitable_ros.model_zoo.engine_building.engine_builder import BuildRequest, build

_UNTIL_10 = ('FP16', 'INT8', 'OBEY_PRECISION_CONSTRAINTS', 'TF32')
BUILDER_FLAGS = {
    '8.5.3': _UNTIL_10,
    '8.6.0': (*_UNTIL_10, 'VERSION_COMPATIBLE'),
    '10.3.0': (*_UNTIL_10, 'VERSION_COMPATIBLE'),
    '11.4.0': ('TF32', 'VERSION_COMPATIBLE'),
}
NETWORK_FLAGS = {
    '8.5.3': ('EXPLICIT_BATCH',),
    '8.6.0': ('EXPLICIT_BATCH',),
    '10.3.0': ('EXPLICIT_BATCH', 'STRONGLY_TYPED'),
    '11.4.0': ('STRONGLY_TYPED',),
}
VERSIONS = tuple(BUILDER_FLAGS)

UINT8, FLOAT32 = np.dtype(np.uint8), np.dtype(np.float32)
TOY = ModelSpec(
    'toy',
    (TensorSpec('image', (DYNAMIC, 4, 4, 3), UINT8),),
    (TensorSpec('mean', (DYNAMIC, 1), FLOAT32),),
    tflite_outputs={'conv2d_1': 'mean'},
)
HEAD = ['Conv_4', 'Reshape_5']


def toy(batch=DYNAMIC, output='mean', scale=1.0, open_shape=False):
    """
    Return two convolutions, as far as TensorRT's part is concerned a network.

    :param scale: of the first one's weights; 1,000 brings its values near to FP16's end.
    :param open_shape: compute the output's shape in the graph, as PyTorch's exporter likes to.
    """
    builder = GraphBuilder()
    pixels = builder.node('Cast', ['image'], to=TensorProto.FLOAT)
    planes = builder.node('Transpose', [pixels], perm=[0, 3, 1, 2])
    weights = np.random.default_rng(0).normal(0, scale, (5, 3, 3, 3)).astype(np.float32)
    features = builder.node('Conv', [planes, builder.constant(weights)], kernel_shape=[3, 3])
    positive = builder.node('Relu', [features])
    kernel = builder.constant(np.full((1, 5, 2, 2), 0.05, np.float32))
    head = builder.node('Conv', [positive, kernel], kernel_shape=[2, 2])
    shape = builder.constant(np.array([0, 1], np.int64))
    if open_shape:
        sizes = builder.node('Shape', [head])
        first = builder.node('Gather', [sizes, builder.constant(np.array([0], np.int64))])
        one = builder.constant(np.array([1], np.int64))
        shape = builder.node('Concat', [first, one], axis=0)
    builder.node('Reshape', [head, shape], output=output)
    inputs = (TensorSpec('image', (batch, 4, 4, 3), UINT8),)
    outputs = (TensorSpec(output, (batch, 1), FLOAT32),)
    return builder.model('toy', inputs, outputs)


class Bench:
    """One machine with one TensorRT, an engines folder with toy.onnx, and what was reported."""

    def __init__(self, version, gpu, folder, monkeypatch):
        self.gpu, self.trt = gpu, make(version, gpu)
        self.folder, self.engine = folder, folder / 'toy.engine'
        self.lines, self.progress = [], []
        monkeypatch.setattr(engine_builder, 'load_tensorrt', lambda: self.trt)
        monkeypatch.setattr(engine_builder, 'local_gpu', lambda: ORIN)
        self.write(toy())

    def write(self, model):
        (self.folder / 'toy.onnx').write_bytes(model.SerializeToString())

    def request(self, force=False, spec=TOY, **options):
        return BuildRequest('toy', self.folder, BuildOptions(**options), spec, force=force)

    def build(self, **options):
        return build(self.request(**options), self.lines.append, self.progress.append)

    def told(self, **options):
        """Build, and return what the builder was told, which the plan consists of."""
        assert self.build(**options) is not None
        return json.loads(self.engine.read_bytes())


def make(version, gpu):
    """Return the module, as of one version."""
    trt = types.ModuleType('tensorrt')
    trt.__version__, trt.float32, trt.speaker = version, 'FLOAT', Speaker(trt)
    trt.BuilderFlag = enum.Enum('BuilderFlag', BUILDER_FLAGS[version], start=0)
    trt.NetworkDefinitionCreationFlag = enum.IntEnum('N', NETWORK_FLAGS[version], start=0)
    trt.TacticSource = enum.IntEnum('TacticSource', ('CUDNN', 'JIT_CONVOLUTIONS'), start=2)
    trt.MemoryPoolType = enum.Enum('MemoryPoolType', ('WORKSPACE',))
    trt.LayerType = enum.Enum('LayerType', ('CONSTANT', 'OTHER'))
    preview = ('PROFILE_SHARING_0806',) if version != '8.5.3' else ('OTHER_0805',)
    trt.PreviewFeature = enum.Enum('PreviewFeature', preview)
    trt.refuses_build, trt.parser_errors, trt.loses_layer = '', [], ''
    if hasattr(trt.BuilderFlag, 'INT8'):
        trt.IInt8EntropyCalibrator2 = type('IInt8EntropyCalibrator2', (), {})
    if version.startswith(('10', '11')):
        trt.IProgressMonitor = type('IProgressMonitor', (), {})

    class Config:
        if version != '8.5.3':
            builder_optimization_level = 3
            max_aux_streams = -1

        def __init__(self):
            self.flags, self.told, self.profiles = {'TF32'}, {}, []

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
            return cache.content != b'damaged'

    class Profile:
        def __init__(self):
            self.shapes = {}

        def set_shape(self, name, low, opt, high):
            self.shapes[name] = [list(low), list(opt), list(high)]

    class Builder:
        if not version.startswith('11'):
            platform_has_fast_fp16 = platform_has_fast_int8 = True
        create_builder_config = staticmethod(Config)
        create_optimization_profile = staticmethod(Profile)

        def __init__(self, logger):
            gpu.require_context()
            assert logger is trt.speaker.loggers[-1]

        def create_network(self, flags):
            return types.SimpleNamespace(flags=flags)

        def build_serialized_network(self, network, config):
            gpu.require_context()
            if trt.refuses_build:
                trt.speaker.say(trt.refuses_build)
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
            return _plan(network, config)

    class Parser:
        def __init__(self, network, logger):
            self.network = network
            self.num_errors = len(trt.parser_errors)
            self.get_error = lambda index: trt.parser_errors[index]

        def parse(self, content):
            _read(self.network, onnx.load_model_from_string(content), trt)
            return not trt.parser_errors

    trt.IBuilderConfig, trt.Builder, trt.OnnxParser = Config, Builder, Parser
    return trt


def _read(network, model, trt):
    values = [*onnx.shape_inference.infer_shapes(model).graph.value_info, *model.graph.output]
    elements = {value.name: value.type.tensor_type.elem_type for value in values}
    names = {TensorProto.FLOAT: 'FLOAT', TensorProto.FLOAT16: 'HALF'}
    network.layers = []
    for node in model.graph.node:
        dtypes = [names.get(elements.get(name), 'OTHER') for name in node.output]
        layer = types.SimpleNamespace(name=node.name, op_type=node.op_type, precision=None)
        layer.type = trt.LayerType['CONSTANT' if node.op_type == 'Constant' else 'OTHER']
        layer.outputs = [types.SimpleNamespace(dtype=dtype) for dtype in dtypes]
        layer.num_outputs, layer.get_output = len(dtypes), layer.outputs.__getitem__
        layer.output_types = {}
        layer.set_output_type = layer.output_types.__setitem__
        if node.name != trt.loses_layer:
            network.layers.append(layer)
    network.inputs = [
        types.SimpleNamespace(
            name=entry.name,
            shape=tuple(d.dim_value or -1 for d in entry.type.tensor_type.shape.dim),
        )
        for entry in model.graph.input
    ]
    network.num_layers, network.get_layer = len(network.layers), network.layers.__getitem__
    network.num_inputs, network.get_input = len(network.inputs), network.inputs.__getitem__


def _calibrate(network, config):
    calibrator = getattr(config, 'int8_calibrator', None)
    if calibrator is None:
        return
    assert calibrator.read_calibration_cache() is None
    size = calibrator.get_batch_size()
    while (pointers := calibrator.get_batch(['image'])) is not None:
        assert len(pointers) == 1
    # From a batch TensorRT takes as many as the network has, or the profile where that is open.
    (batch,) = {tensor.shape[0] for tensor in network.inputs}
    if batch < 1:
        batch = config.told['calibration']['image'][1][0]
    assert size == batch


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
        'aux_streams': getattr(config, 'max_aux_streams', None),
        **config.told,
    }
    return json.dumps(told).encode()
