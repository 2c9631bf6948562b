# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Building engines, without a GPU: when there is something to do, and what is written."""

from __future__ import annotations

import dataclasses
import errno
import shlex
from pathlib import Path

import numpy as np
import pytest
from tensorrt_builder import ORIN, Bench
from toy_network import toy

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt.sidecar import read_sidecar, sidecar_path
from aitable_ros.model_zoo import files
from aitable_ros.model_zoo.engine_building import engine_builder
from aitable_ros.model_zoo.engine_building.build_options import (
    BuildOptions,
    EngineBuildError,
    batch_profiles,
)
from aitable_ros.model_zoo.engine_building.engine_builder import (
    BuildRequest,
    build,
    engine_key,
    timing_cache_path,
    trtexec_command,
)


@pytest.fixture
def bench(gpu, tmp_path, monkeypatch):
    return Bench('10.3.0', gpu, tmp_path, monkeypatch)


class TestRefusals:
    def test_no_gpu_or_no_tensorrt(self, bench, monkeypatch):
        def fail():
            raise InferenceError('no CUDA device can be used')

        monkeypatch.setattr(engine_builder, 'open_device', fail)
        with pytest.raises(EngineBuildError, match='no CUDA device can be used'):
            bench.build()

    def test_a_tensorrt_without_kernels_for_this_gpu(self, bench):
        bench.trt.__version__ = '10.13.3.9'
        with pytest.raises(EngineBuildError, match=r'10\.13\.3\.9 for servers has no kernels'):
            bench.build()

    def test_another_network(self, bench):
        bench.write(toy(output='sum'))
        with pytest.raises(
            EngineBuildError,
            match=r'is not this network: output mean .* is missing, the file has sum',
        ):
            bench.build()

    @pytest.mark.parametrize('room', [0, 1])
    def test_a_full_disk_leaves_the_old_engine_with_its_record(self, bench, monkeypatch, room):
        bench.build()
        before = bench.engine.read_bytes(), read_sidecar(bench.engine)
        synced = []

        def full(descriptor):
            synced.append(descriptor)
            if len(synced) > room:
                raise OSError(errno.ENOSPC, 'No space left on device')

        monkeypatch.setattr(files.os, 'fsync', full)
        with pytest.raises(
            EngineBuildError, match=r'toy\.engine \(.* MB\) cannot be written: No space left'
        ):
            bench.build(force=True)
        assert (bench.engine.read_bytes(), read_sidecar(bench.engine)) == before
        assert not list(bench.folder.glob('.*.tmp'))

    def test_a_folder_that_cannot_be_written_is_one_line(self, bench):
        (bench.folder / 'engines').write_text('a file')
        request = dataclasses.replace(
            bench.request(),
            engines_dir=bench.folder / 'engines',
            onnx_file=bench.folder / 'toy.onnx',
        )
        with pytest.raises(EngineBuildError, match=r'toy\.engine .* cannot be written'):
            build(request, bench.lines.append, bench.progress.append)


class TestWhatIsWritten:
    def test_the_tflite_name_of_an_output_will_do(self, bench):
        bench.write(toy(output='conv2d_1'))
        assert bench.build() is not None

    def test_a_user_s_own_network_needs_no_contract(self, bench):
        source = bench.folder / 'yolo.onnx'
        source.write_bytes(toy().SerializeToString())
        request = BuildRequest('own', bench.folder, BuildOptions(), None, source)
        record = build(request, bench.lines.append, bench.progress.append)
        assert (record.model, record.onnx_source) == ('own', str(source))

    @pytest.mark.parametrize(
        'spoil',
        [
            lambda engine: engine.unlink(),
            lambda engine: engine.write_bytes(engine.read_bytes()[:-1]),
            lambda engine: engine.write_bytes(b'x' + engine.read_bytes()[1:]),
            lambda engine: sidecar_path(engine).unlink(),
            lambda engine: sidecar_path(engine).write_text('{}'),
        ],
    )
    def test_a_spoilt_one_is_built_again(self, bench, spoil):
        bench.build()
        content = bench.engine.read_bytes()
        spoil(bench.engine)
        assert bench.build() is not None
        assert bench.engine.read_bytes() == content

    def test_another_network_or_other_pictures_are_another_engine(self, bench):
        pictures = bench.folder / 'pictures'
        pictures.mkdir()
        np.save(pictures / 'images.npy', np.zeros((2, 4, 4, 3), np.uint8))
        options = {'precision': 'int8', 'calibration_images': pictures}
        assert bench.build(**options) is not None
        options['calibration_images'] = pictures.rename(pictures.with_name('moved'))
        assert bench.build(**options) is None
        np.save(options['calibration_images'] / 'more.npy', np.zeros((4, 4, 3), np.uint8))
        assert bench.build(**options) is not None
        bench.write(toy(scale=0.5))
        assert bench.build(**options) is not None

    def test_kernel_times_are_kept_for_this_tensorrt_and_gpu(self, bench):
        path = timing_cache_path(bench.folder, '10.3.0', ORIN)
        assert path.name == 'timing-10.3.0-orin-8.cache'
        path.write_bytes(b'damaged')  # is started anew
        for content in (b'+', b'++'):
            bench.build(force=True)
            assert path.read_bytes() == content


OTHER_OPTIONS = {
    'precision': 'fp32',
    'fp32_first': 1,
    'form': 'dense',
    'workspace_mib': 64,
    'optimization_level': 0,
    'aux_streams': 2,
    'version_compatible': True,
    'strongly_typed': True,
    'tactic_sources': ('CUDNN',),
}


def test_the_key_differs_with_everything_that_matters():
    base = ('o', '10.3.0', ORIN, BuildOptions(), ((1, 1, 1),), '', ())
    other = ('p', '10.3.1', dataclasses.replace(ORIN, multiprocessors=4), None, ((1, 4, 4),), 'i')
    other = (*other, ('Conv_1',))
    changed = [(*base[:i], other[i], *base[i + 1 :]) for i in range(7) if i != 3]
    changed += [
        (*base[:3], BuildOptions(**{name: value}), *base[4:])
        for name, value in OTHER_OPTIONS.items()
    ]
    assert len({engine_key(*parts) for parts in (base, *changed)}) == len(changed) + 1
    elsewhere = (*base[:3], BuildOptions(calibration_images=Path('elsewhere')), *base[4:])
    assert engine_key(*elsewhere) == engine_key(*base)
    # max_batch is in the batches
    names = {field.name for field in dataclasses.fields(BuildOptions)}
    assert names - OTHER_OPTIONS.keys() == {'max_batch', 'calibration_images'}


class TestTrtexec:
    def command(self, bench, *, typed=False, batches=(), **options):
        request = bench.request(**options)
        _, prepared = request.prepare(typed=typed, report=bench.lines.append)
        return trtexec_command('toy', prepared, request.options, batches)

    def test_says_the_same_as_the_builder_is_told(self, bench):
        batches = batch_profiles(BuildOptions(max_batch=4), dynamic=True)
        options = {'workspace_mib': 64, 'optimization_level': 1, 'version_compatible': True}
        assert self.command(bench, batches=batches, **options).split() == [
            *('trtexec', '--onnx=toy.onnx', '--saveEngine=toy.engine', '--fp16'),
            '--precisionConstraints=obey',
            '--layerPrecisions=Conv_4:fp32,Reshape_5:fp32',
            '--layerOutputTypes=Conv_4:fp32,Reshape_5:fp32',
            '--noTF32',
            '--profile=0',
            *('--minShapes=image:1x4x4x3', '--optShapes=image:1x4x4x3'),
            *('--maxShapes=image:1x4x4x3', '--profile=1'),
            *('--minShapes=image:1x4x4x3', '--optShapes=image:4x4x4x3'),
            *('--maxShapes=image:4x4x4x3', '--memPoolSize=workspace:64'),
            *('--builderOptimizationLevel=1', '--versionCompatible'),
        ]

    def test_of_a_typed_graph_leaves_precision_to_it_and_names_tactic_sources(self, bench):
        words = self.command(bench, typed=True, tactic_sources=('JIT_CONVOLUTIONS',)).split()
        others = '-CUBLAS,-CUBLAS_LT,-CUDNN,-EDGE_MASK_CONVOLUTIONS'
        tactics = f'--tacticSources={others},+JIT_CONVOLUTIONS'
        assert words[3:] == ['--stronglyTyped', '--noTF32', tactics]

    def test_can_be_given_to_a_shell(self, bench):
        model = toy()
        model.graph.node[-1].name = 'head;out (1)'
        bench.write(model)
        words = shlex.split(self.command(bench))
        assert '--layerPrecisions=Conv_4:fp32,head;out (1):fp32' in words
