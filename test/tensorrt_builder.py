# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
TensorRT's real parser and builder, those of TensorRT-RTX, under the names of other versions.

Networks are parsed and plans built in earnest, without a GPU. What TensorRT until 10 had beside
that is noted down and nothing more: the flags for precision, layers that are held in FP32, the
calibrator, the timing cache. That engines of these versions run and agree is for test/gpu.
"""

from __future__ import annotations

import enum
import types

import pytest
from tensorrt_fixtures import ORIN
from toy_network import TOY, toy

from aitable_ros.inference.tensorrt.runtime import log_of
from aitable_ros.model_zoo.engine_building import engine_builder, plan_builder
from aitable_ros.model_zoo.engine_building.build_options import BuildOptions
from aitable_ros.model_zoo.engine_building.engine_builder import BuildRequest, build

rtx = pytest.importorskip(
    'tensorrt_rtx_bindings', reason='needs TensorRT-RTX: scripts/test.sh --optional'
)

NETWORK_FLAGS = {
    '8.5.3': ('EXPLICIT_BATCH',),
    '8.6.0': ('EXPLICIT_BATCH',),
    '10.3.0': ('EXPLICIT_BATCH', 'STRONGLY_TYPED'),
    '11.4.0': ('STRONGLY_TYPED',),
}
VERSIONS = tuple(NETWORK_FLAGS)
_ONLY_UNTIL_10 = ('FP16', 'INT8', 'OBEY_PRECISION_CONSTRAINTS')


class Bench:
    """One machine with one TensorRT, an engines folder with toy.onnx, and what was reported."""

    def __init__(self, version, gpu, folder, monkeypatch):
        self.gpu, self.trt = gpu, make(version, gpu)
        self.folder, self.engine = folder, folder / 'toy.engine'
        self.lines, self.progress = [], []
        monkeypatch.setattr(engine_builder, 'load_tensorrt', lambda: self.trt)
        monkeypatch.setattr(engine_builder, 'local_gpu', lambda: ORIN)
        # in one process it speaks to the first log alone
        monkeypatch.setattr(plan_builder, 'log_of', lambda trt: log_of(rtx))
        self.write(toy())

    def write(self, model):
        (self.folder / 'toy.onnx').write_bytes(model.SerializeToString())

    def request(self, force=False, spec=TOY, **options):
        return BuildRequest('toy', self.folder, BuildOptions(**options), spec, force=force)

    def build(self, **options):
        return build(self.request(**options), self.lines.append, self.progress.append)

    def told(self, **options):
        """Build, and return what the builder was told."""
        assert self.build(**options) is not None
        assert self.engine.read_bytes().startswith(b'vtrt')
        return self.trt.told

    def say(self, text, severity='ERROR'):
        log_of(rtx).logger.log(rtx.ILogger.Severity.__members__[severity], text)


class Layer:
    """A layer that the parser made; what is asked of it beside is noted down."""

    def __init__(self, real):
        self.real, self.precision, self.output_types = real, None, {}

    def __getattr__(self, name):
        return getattr(self.real, name)

    def set_output_type(self, index, dtype):
        self.output_types[index] = dtype


class Network:
    def __init__(self, real, flags, trt):
        self.real, self.flags, self._trt, self._layers = real, flags, trt, None

    def __getattr__(self, name):
        return getattr(self.real, name)

    @property
    def layers(self):
        if self._layers is None:
            found = map(self.real.get_layer, range(self.real.num_layers))
            self._layers = [Layer(one) for one in found if one.name != self._trt.loses_layer]
        return self._layers

    @property
    def num_layers(self):
        return len(self.layers)

    def get_layer(self, index):
        return self.layers[index]


def make(version, gpu):
    """Return the module, as of one version; refuses a build, or loses a layer, on demand."""
    trt = types.ModuleType('tensorrt')
    vars(trt).update({name: getattr(rtx, name) for name in dir(rtx) if name[0] != '_'})
    trt.__version__, trt.refuses_build, trt.loses_layer, trt.told = version, '', '', {}
    until_10 = not version.startswith('11')
    flags = [name for name in dir(rtx.BuilderFlag) if name.isupper()]
    if version == '8.5.3':
        flags.remove('VERSION_COMPATIBLE')
    trt.BuilderFlag = enum.Enum('BuilderFlag', [*flags, *_ONLY_UNTIL_10 * until_10], start=0)
    trt.NetworkDefinitionCreationFlag = enum.IntEnum('N', NETWORK_FLAGS[version], start=0)
    preview = ('PROFILE_SHARING_0806',) if version != '8.5.3' else ('OTHER_0805',)
    trt.PreviewFeature = enum.Enum('PreviewFeature', preview)
    if until_10:
        trt.IInt8EntropyCalibrator2 = type('IInt8EntropyCalibrator2', (), {})
    if version.startswith('8'):
        del trt.IProgressMonitor

    class Config:
        """The real configuration, and what it has no name for."""

        if version != '8.5.3':
            builder_optimization_level = property(
                lambda self: self.real.builder_optimization_level,
                lambda self, level: setattr(self.real, 'builder_optimization_level', level),
            )
            max_aux_streams = -1

        def __init__(self, real):
            vars(self).update(real=real, flags={'TF32'}, noted={}, profiles=[])
            real.set_flag(rtx.BuilderFlag.TF32)

        def __getattr__(self, name):
            return getattr(self.real, name)

        def __setattr__(self, name, value):
            if name == 'int8_calibrator':
                self.noted[name] = value
            elif name == 'progress_monitor':
                self.real.progress_monitor = value
            else:
                super().__setattr__(name, value)

        def set_flag(self, flag):
            self.flags.add(flag.name)
            # no plan for other versions is built here
            if flag.name not in (*_ONLY_UNTIL_10, 'VERSION_COMPATIBLE'):
                self.real.set_flag(getattr(rtx.BuilderFlag, flag.name))

        def clear_flag(self, flag):
            self.flags.discard(flag.name)
            self.real.clear_flag(getattr(rtx.BuilderFlag, flag.name))

        def get_flag(self, flag):
            return flag.name in self.flags

        def set_tactic_sources(self, sources):
            self.noted['tactics'] = sources
            return True

        def set_preview_feature(self, feature, on):
            self.noted[feature.name] = on

        def set_calibration_profile(self, profile):
            self.noted['calibration'] = [list(map(int, s)) for s in profile.get_shape('image')]

        def add_optimization_profile(self, profile):
            self.profiles.append([list(map(int, s)) for s in profile.get_shape('image')])
            return self.real.add_optimization_profile(profile)

        def create_timing_cache(self, content):
            return types.SimpleNamespace(content=content, serialize=lambda: content + b'+')

        def set_timing_cache(self, cache, ignore_mismatch):
            return cache.content != b'damaged'

    class Builder:
        if until_10:
            platform_has_fast_fp16 = platform_has_fast_int8 = True

        def __init__(self, logger):
            gpu.require_context()
            self.real = rtx.Builder(logger)
            self.create_optimization_profile = self.real.create_optimization_profile

        def create_builder_config(self):
            return Config(self.real.create_builder_config())

        def create_network(self, flags):
            return Network(self.real.create_network(0), flags, trt)

        def build_serialized_network(self, network, config):
            gpu.require_context()
            if trt.refuses_build:
                log_of(rtx).logger.log(rtx.ILogger.Severity.ERROR, trt.refuses_build)
                return None
            _calibrate(network, config)
            trt.told = _told(network, config)
            return self.real.build_serialized_network(network.real, config.real)

    trt.IBuilderConfig, trt.Builder = Config, Builder
    trt.OnnxParser = lambda network, logger: rtx.OnnxParser(network.real, logger)
    return trt


def _calibrate(network, config):
    calibrator = config.noted.pop('int8_calibrator', None)
    if calibrator is None:
        return
    assert calibrator.read_calibration_cache() is None
    size = calibrator.get_batch_size()
    while (pointers := calibrator.get_batch(['image'])) is not None:
        assert len(pointers) == 1
    # From a batch TensorRT takes as many as the network has, or the profile where that is open.
    batch = network.get_input(0).shape[0]
    if batch < 1:
        batch = config.noted['calibration'][1][0]
    assert size == batch


def _told(network, config):
    held = sorted(layer.name for layer in network.layers if layer.precision is not None)
    assert held == sorted(layer.name for layer in network.layers if layer.output_types)
    outputs = [one.get_output(i) for one in network.layers for i in range(one.num_outputs)]
    return {
        'network_flags': network.flags,
        'flags': sorted(config.flags),
        'held': held,
        'dtypes': sorted({output.dtype.name for output in outputs}),
        'layers': sorted({layer.type.name for layer in network.layers}),
        'input': list(network.get_input(0).shape),
        'profiles': config.profiles,
        'level': getattr(config, 'builder_optimization_level', None),
        'workspace': config.real.get_memory_pool_limit(rtx.MemoryPoolType.WORKSPACE),
        'aux_streams': getattr(config, 'max_aux_streams', None),
        **config.noted,
    }
