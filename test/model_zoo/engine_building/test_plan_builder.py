# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What TensorRT's builder is told, by version, and what it refuses: without a GPU."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from tensorrt_builder import VERSIONS, Bench
from tensorrt_fixtures import CudaError, CudaMemoryError
from toy_network import HEAD, toy

from aitable_ros.model_zoo.engine_building import half_precision
from aitable_ros.model_zoo.engine_building.build_options import EngineBuildError
from aitable_ros.model_zoo.engine_building.plan_builder import Progress


@pytest.fixture(params=['10.3.0'])
def bench(request, gpu, tmp_path, monkeypatch):
    return Bench(request.param, gpu, tmp_path, monkeypatch)


every_version = pytest.mark.parametrize('bench', VERSIONS, indirect=True)


def version(*names):
    return pytest.mark.parametrize('bench', names, indirect=True)


def _until_10(bench):
    return hasattr(bench.trt.BuilderFlag, 'FP16')


@pytest.fixture
def pictures(tmp_path):
    """A folder with eleven pictures of the toy's size."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    images = np.random.default_rng(1).integers(0, 256, (11, 4, 4, 3), np.uint8)
    np.save(folder / 'images.npy', images)
    return folder


class TestPrecision:
    @every_version
    def test_is_flags_until_10_and_the_graph_s_from_11_on(self, bench):
        until_10 = _until_10(bench)
        fp16 = ['FP16', 'OBEY_PRECISION_CONSTRAINTS'] if until_10 else []
        for precision, flags in (('fp32', []), ('tf32', ['TF32']), ('fp16', fp16)):
            told = bench.told(precision=precision)
            assert told['flags'] == flags
            assert told['held'] == (HEAD if precision == 'fp16' and until_10 else [])
            assert ('HALF' in told['dtypes']) == (precision == 'fp16' and not until_10)

    @every_version
    def test_int8_is_calibrated_until_10_and_the_graph_s_from_11_on(self, bench, pictures):
        told = bench.told(precision='int8', calibration_images=pictures, max_batch=4)
        if _until_10(bench):
            assert {'FP16', 'INT8', 'OBEY_PRECISION_CONSTRAINTS'} <= set(told['flags'])
            assert told['held'] == HEAD
            assert told['calibration'] == [[8, 4, 4, 3]] * 3
            images = np.load(pictures / 'images.npy')
            seen = np.concatenate(bench.gpu.seen)
            np.testing.assert_array_equal(seen, np.concatenate([images, images[:5]]))
            half = [Progress('calibration', 0.5), Progress('calibration', 1.0)]
            assert bench.progress[:2] == half
        else:
            assert {'QUANTIZE', 'DEQUANTIZE'} <= set(told['layers'])
        assert bench.gpu.live == []  # nothing is left on the GPU

    def test_int8_of_a_static_network_is_calibrated_on_every_picture(self, bench, pictures):
        told = bench.told(precision='int8', calibration_images=pictures)
        assert 'calibration' not in told  # a profile is for what is left open
        assert [batch.shape for batch in bench.gpu.seen] == [(1, 4, 4, 3)] * 11

    @pytest.mark.parametrize('batch', [4, 16])
    def test_a_fixed_batch_of_the_network_s_own_is_filled(self, bench, pictures, batch):
        bench.write(toy(batch))
        options = {'precision': 'int8', 'calibration_images': pictures}
        assert bench.build(spec=None, **options) is not None
        assert {len(images) for images in bench.gpu.seen} == {batch}

    def test_where_values_are_large_fp32_is_kept(self, bench):
        bench.write(toy(scale=1000.0))
        assert bench.told()['held'] == ['Conv_2', 'Conv_4', 'Relu_3', 'Reshape_5']
        assert any('in 4 layers: these stay in FP32' in line for line in bench.lines)

    def test_pictures_show_what_else_is_large(self, bench, pictures, monkeypatch):
        seen = []

        def look(model, batches):
            seen.extend(batch['image'] for batch in batches)
            return {'Relu_3': 9000.0}

        monkeypatch.setattr(half_precision, 'large_valued_nodes', look)
        assert bench.told(calibration_images=pictures)['held'] == ['Conv_4', 'Relu_3', 'Reshape_5']
        images = np.load(pictures / 'images.npy')
        np.testing.assert_array_equal(np.concatenate(seen[-len(images) :]), images)
        assert bench.gpu.seen == []  # nothing is calibrated

    def test_without_onnxruntime_the_heads_are_kept_and_it_is_said(self, bench, monkeypatch):
        def missing(*_):
            raise ImportError('onnxruntime')

        bench.write(toy(scale=1000.0))
        with monkeypatch.context() as patch:
            patch.setattr(half_precision, 'large_valued_nodes', missing)
            assert bench.told()['held'] == HEAD
            assert any('install onnxruntime' in line for line in bench.lines)
            assert bench.build() is None
        assert bench.build() is not None  # once it is installed

    @version('10.3.0', '11.4.0')
    def test_the_first_layers_can_be_held_too(self, bench):
        first, both = bench.told(fp32_first=1), bench.told(fp32_first=2)
        if _until_10(bench):
            assert first['held'] == sorted(['Cast_0', 'Transpose_1', 'Conv_2', *HEAD])
            assert both['held'] == sorted(['Relu_3', *first['held']])
        else:
            assert 'HALF' in first['dtypes']
            assert 'HALF' not in both['dtypes']

    def test_strongly_typed_is_possible_in_10_too(self, bench):
        told = bench.told(strongly_typed=True)
        assert told['flags'] == []
        assert told['network_flags'] == 0b11  # explicit batch, strongly typed
        assert 'HALF' in told['dtypes']

    def test_layers_that_compute_shapes_have_no_precision(self, bench):
        bench.write(toy(open_shape=True))
        assert bench.told()['held'] == ['Conv_4', 'Reshape_8']

    def test_nodes_without_names_get_some(self, bench):
        model = toy()
        for node in model.graph.node:
            node.name = ''
        bench.write(model)
        assert bench.told()['held'] == ['Conv_unnamed_4', 'Reshape_unnamed_5']


class TestRefusals:
    @pytest.mark.parametrize(
        ('bench', 'options', 'told'),
        [
            ('8.5.3', {'version_compatible': True}, '8.5.3 cannot build version-compatible plans'),
            ('8.5.3', {'optimization_level': 2}, '8.5.3 has no optimization levels'),
            ('8.5.3', {'strongly_typed': True}, '8.5.3 has no strongly typed networks'),
            ('8.6.0', {'strongly_typed': True}, '8.6.0 has no strongly typed networks'),
            (
                '8.6.0',
                {'tactic_sources': ('JIT_CONVOLUTIONS', 'X')},
                'no tactic source X; it has EDGE_MASK_CONVOLUTIONS, JIT',
            ),
        ],
        indirect=['bench'],
    )
    def test_what_a_version_cannot(self, bench, options, told):
        with pytest.raises(EngineBuildError, match=told):
            bench.build(**options)
        assert not bench.engine.exists()

    @version('8.6.0', '10.3.0', '11.4.0')
    def test_what_later_ones_can(self, bench):
        told = bench.told(
            version_compatible=True,
            optimization_level=1,
            workspace_mib=64,
            tactic_sources=('EDGE_MASK_CONVOLUTIONS', 'JIT_CONVOLUTIONS'),
        )
        assert 'VERSION_COMPATIBLE' in told['flags']
        assert (told['level'], told['workspace']) == (1, 64 * 2**20)

    def test_the_lean_runtime_cannot_build(self, bench):
        del bench.trt.Builder
        with pytest.raises(EngineBuildError, match='is the lean runtime'):
            bench.build()

    @pytest.mark.parametrize(
        ('precision', 'lacks', 'helps'), [('fp16', 'fp16', 'fp32'), ('int8', 'int8', 'fp16')]
    )
    def test_a_gpu_that_is_slow_at_it(self, bench, pictures, precision, lacks, helps):
        setattr(bench.trt.Builder, f'platform_has_fast_{lacks}', False)
        with pytest.raises(EngineBuildError, match=f'use --precision {helps}'):
            bench.build(precision=precision, calibration_images=pictures)

    def test_a_driver_that_is_too_old(self, bench):
        def null(logger):
            bench.say('CUDA initialization failure with error: 35', 'WARNING')
            raise TypeError('pybind11::init(): factory function returned nullptr')

        bench.trt.Builder = null
        with pytest.raises(
            EngineBuildError, match=r'10\.3\.0 does not start; .* driver .* too old.* error: 35$'
        ):
            bench.build()

    def test_what_the_parser_does_not_take(self, bench):
        model = toy()
        model.graph.node[3].op_type, model.graph.node[3].domain = 'Conjecture', 'com.example'
        model.opset_import.append(onnx.helper.make_opsetid('com.example', 1))
        bench.write(model)
        with pytest.raises(
            EngineBuildError, match=r'10\.3\.0 does not take the network: .*Relu_3.*Conjecture'
        ):
            bench.build(precision='fp32')

    def test_a_layer_that_must_be_held_and_is_not_found(self, bench):
        bench.trt.loses_layer = 'Conv_4'
        with pytest.raises(EngineBuildError, match='not to be found: Conv_4'):
            bench.build()

    @pytest.mark.parametrize(
        ('said', 'told'),
        [
            ('Requested size was 900 bytes: could not be allocated', 'not enough memory: close'),
            ('Error Code 2: OutOfMemory', 'not enough memory: close other programs'),
            (
                'Error Code 9: API Usage Error (Target GPU SM 87 is not supported by this TensorRT'
                ' release.)',
                r'no kernels for Orin: .*10\.16\.1\.11.*\[TensorRT: Error Code 9: API Usage',
            ),
            (
                'Could not find any implementation for node',
                'could not build the engine: TensorRT: Could',
            ),
        ],
    )
    def test_what_fails_while_building_leaves_the_old_engine(self, bench, said, told):
        bench.engine.write_bytes(b'the one that was there')
        bench.trt.refuses_build = said
        with pytest.raises(EngineBuildError, match=told):
            bench.build()
        assert bench.engine.read_bytes() == b'the one that was there'

    @pytest.mark.parametrize(
        ('error', 'told'),
        [
            (CudaMemoryError('cuMemAlloc failed: out of memory'), 'not enough memory: cuMemAlloc'),
            (
                CudaError('the device is lost'),
                r'CUDA device 0 \(Toy GPU\) failed: the device is lost',
            ),
        ],
    )
    def test_a_device_that_fails(self, bench, pictures, error, told):
        def fail(nbytes):
            raise error

        bench.gpu.driver.mem_alloc = fail
        with pytest.raises(EngineBuildError, match=told):
            bench.build(precision='int8', calibration_images=pictures)


@every_version
def test_one_picture_makes_the_network_static_and_more_get_a_profile_beside(bench):
    one, four = bench.told(max_batch=1), bench.told(max_batch=4)
    assert (one['input'], one['profiles']) == ([1, 4, 4, 3], [])
    assert four['input'] == [-1, 4, 4, 3]
    low, high = [1, 4, 4, 3], [4, 4, 4, 3]
    assert four['profiles'] == [[low, low, low], [low, high, high]]


@version('8.5.3', '8.6.0', '11.4.0')
def test_layers_may_run_side_by_side_where_tensorrt_knows_how(bench):
    told = bench.told(aux_streams=2)
    assert told['aux_streams'] == (None if told['level'] is None else 2)


def test_progress_is_that_of_the_outermost_phase(bench):
    bench.build()
    phases = {progress.phase for progress in bench.progress}
    assert phases == {'Building engine'}
    done = [progress.done for progress in bench.progress]
    assert (done[0], done[-1], len(done) > 3) == (0.0, 1.0, True)
    assert done == sorted(done)
