# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Building engines, without a GPU: what TensorRT's builder is told, and what is written."""

from __future__ import annotations

import dataclasses
import errno
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorrt_builder
from onnx import TensorProto
from tensorrt_builder import VERSIONS

from aitable_ros.inference.engine import DYNAMIC, InferenceError, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt.sidecar import EngineSidecar, Gpu, read_sidecar, sidecar_path
from aitable_ros.model_zoo import files
from aitable_ros.model_zoo.conversion.onnx_graph import GraphBuilder
from aitable_ros.model_zoo.engine_building import (
    calibration,
    engine_builder,
    half_precision,
    plan_builder,
)
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
from aitable_ros.model_zoo.engine_building.plan_builder import Progress

ORIN = Gpu('Orin', '8.7', 8)
UINT8, FLOAT32 = np.dtype(np.uint8), np.dtype(np.float32)
TOY = ModelSpec(
    'toy',
    (TensorSpec('image', (DYNAMIC, 4, 4, 3), UINT8),),
    (TensorSpec('mean', (DYNAMIC, 1), FLOAT32),),
    tflite_outputs={'conv2d_1': 'mean'},
)
HEAD = ['Conv_4', 'Reshape_5']


def _toy(
    inputs: tuple[TensorSpec, ...] = TOY.inputs,
    outputs: tuple[TensorSpec, ...] = TOY.outputs,
    *,
    open_shape: bool = False,
) -> onnx.ModelProto:
    """
    Two convolutions, as far as TensorRT's part is concerned a network.

    :param open_shape: compute the output's shape in the graph, as PyTorch's exporter likes to.
    """
    builder = GraphBuilder()
    pixels = builder.node('Cast', [inputs[0].name], to=TensorProto.FLOAT)
    planes = builder.node('Transpose', [pixels], perm=[0, 3, 1, 2])
    weights = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)
    features = builder.node('Conv', [planes, builder.constant(weights)], kernel_shape=[3, 3])
    positive = builder.node('Relu', [features])
    kernel = builder.constant(np.full((1, 5, 2, 2), 0.05, np.float32))
    head = builder.node('Conv', [positive, kernel], kernel_shape=[2, 2])
    shape = builder.constant(np.array([0, 1], np.int64))
    if open_shape:
        sizes = builder.node('Shape', [head])
        batch = builder.node('Gather', [sizes, builder.constant(np.array([0], np.int64))])
        one = builder.constant(np.array([1], np.int64))
        shape = builder.node('Concat', [batch, one], axis=0)
    builder.node('Reshape', [head, shape], output=outputs[0].name)
    return builder.model(
        'toy', inputs, outputs, producer_name='t', producer_version='1', metadata={}
    )


def _large_toy() -> onnx.ModelProto:
    """One whose first convolution gives values that come near to what FP16 can hold."""
    model = _toy()
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0]) * 1000
    model.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(weights, model.graph.initializer[0].name)
    )
    return model


class Bench:
    """One machine with one TensorRT, an engines folder with toy.onnx, and what was reported."""

    def __init__(self, version: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.device = tensorrt_builder.Device()
        self.log = tensorrt_builder.Log()
        self.trt = tensorrt_builder.make(version, self.device, self.log)
        self.folder = folder
        self.lines: list[str] = []
        self.progress: list[Progress] = []
        self.install(monkeypatch)
        (folder / 'toy.onnx').write_bytes(_toy().SerializeToString())

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_builder, 'load_tensorrt', lambda: self.trt)
        monkeypatch.setattr(engine_builder, 'open_device', lambda: self.device)
        monkeypatch.setattr(engine_builder, 'local_gpu', lambda: ORIN)
        monkeypatch.setattr(plan_builder, 'log_of', lambda trt: self.log)

    @property
    def engine(self) -> Path:
        return self.folder / 'toy.engine'

    def request(self, force: bool = False, **options: Any) -> BuildRequest:
        return BuildRequest('toy', self.folder, BuildOptions(**options), TOY, force=force)

    def build(self, **options: Any) -> EngineSidecar | None:
        return build(self.request(**options), self.lines.append, self.progress.append)

    def told(self, **options: Any) -> dict[str, Any]:
        """Build, and return what the builder was told, which the plan consists of."""
        assert self.build(**options) is not None
        result: dict[str, Any] = json.loads(self.engine.read_bytes())
        return result


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench('10.3.0', tmp_path, monkeypatch)


@pytest.fixture(params=VERSIONS)
def any_bench(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    return Bench(request.param, tmp_path, monkeypatch)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with eleven pictures of the toy's size."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    images = np.random.default_rng(1).integers(0, 256, (11, 4, 4, 3), np.uint8)
    np.save(folder / 'images.npy', images)
    return folder


def _until_10(bench: Bench) -> bool:
    return hasattr(bench.trt.BuilderFlag, 'FP16')


class TestPrecision:
    @pytest.mark.parametrize(('precision', 'flags'), [('fp32', []), ('tf32', ['TF32'])])
    def test_fp32_is_all_bits_unless_tf32_is_asked_for(
        self, any_bench: Bench, precision: str, flags: list[str]
    ) -> None:
        told = any_bench.told(precision=precision)
        assert told['flags'] == flags
        assert told['held'] == []
        assert 'HALF' not in told['dtypes']

    def test_fp16_is_a_flag_until_10_and_the_graph_s_from_11_on(self, any_bench: Bench) -> None:
        told = any_bench.told(precision='fp16')
        if _until_10(any_bench):
            assert told['flags'] == ['FP16', 'OBEY_PRECISION_CONSTRAINTS']
            assert told['held'] == HEAD
            assert 'HALF' not in told['dtypes']
        else:
            assert told['flags'] == []
            assert {'HALF', 'FLOAT'} <= set(told['dtypes'])

    def test_int8_is_calibrated_until_10_and_the_graph_s_from_11_on(
        self, any_bench: Bench, pictures: Path
    ) -> None:
        told = any_bench.told(precision='int8', calibration_images=pictures, max_batch=4)
        if _until_10(any_bench):
            assert {'FP16', 'INT8', 'OBEY_PRECISION_CONSTRAINTS'} <= set(told['flags'])
            assert told['held'] == HEAD
            assert told['calibration'] == {'image': [[8, 4, 4, 3]] * 3}
            seen = np.concatenate(any_bench.device.seen)
            images = np.load(pictures / 'images.npy')
            np.testing.assert_array_equal(seen, np.concatenate([images, images[:5]]))
            assert any_bench.progress[:2] == [
                Progress('calibration', 0.5),
                Progress('calibration', 1.0),
            ]
        else:
            assert {'QuantizeLinear', 'DequantizeLinear'} <= set(told['operators'])
        assert any_bench.device.live == []  # nothing is left on the GPU

    def test_int8_of_a_static_network_is_calibrated_on_every_picture(
        self, bench: Bench, pictures: Path
    ) -> None:
        told = bench.told(precision='int8', calibration_images=pictures)
        assert 'calibration' not in told  # a profile is for what is left open
        assert [batch.shape for batch in bench.device.seen] == [(1, 4, 4, 3)] * 11
        seen = np.concatenate(bench.device.seen)
        np.testing.assert_array_equal(seen, np.load(pictures / 'images.npy'))

    @pytest.mark.parametrize('batch', [4, 16])
    @pytest.mark.parametrize('precision', ['fp16', 'int8'])
    def test_a_fixed_batch_of_the_network_s_own_is_filled(
        self, any_bench: Bench, pictures: Path, precision: str, batch: int
    ) -> None:
        inputs = (TensorSpec('image', (batch, 4, 4, 3), UINT8),)
        model = _toy(inputs, (TensorSpec('mean', (batch, 1), FLOAT32),))
        source = any_bench.folder / 'own.onnx'
        source.write_bytes(model.SerializeToString())
        options = BuildOptions(precision=precision, calibration_images=pictures)
        request = BuildRequest('own', any_bench.folder, options, None, source)
        assert build(request, any_bench.lines.append, any_bench.progress.append) is not None
        assert all(len(images) == batch for images in any_bench.device.seen)

    def test_where_values_are_large_fp32_is_kept(self, bench: Bench) -> None:
        (bench.folder / 'toy.onnx').write_bytes(_large_toy().SerializeToString())
        assert bench.told()['held'] == ['Conv_2', 'Conv_4', 'Relu_3', 'Reshape_5']
        assert any('in 4 layers: these stay in FP32' in line for line in bench.lines)

    def test_pictures_show_what_else_is_large(
        self, bench: Bench, pictures: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[np.ndarray] = []

        def look(model: onnx.ModelProto, batches: Any) -> dict[str, float]:
            seen.extend(batch['image'] for batch in batches)
            return {'Relu_3': 9000.0}

        monkeypatch.setattr(half_precision, 'large_valued_nodes', look)
        assert bench.told(calibration_images=pictures)['held'] == ['Conv_4', 'Relu_3', 'Reshape_5']
        images = np.load(pictures / 'images.npy')
        np.testing.assert_array_equal(np.concatenate(seen[-len(images) :]), images)
        assert bench.device.seen == []  # nothing is calibrated
        assert bench.build() is not None  # without them it is another engine

    def test_the_first_layers_can_be_held_too(self, any_bench: Bench) -> None:
        first = any_bench.told(fp32_first=1)
        both = any_bench.told(fp32_first=2)
        if _until_10(any_bench):
            assert first['held'] == sorted(['Cast_0', 'Transpose_1', 'Conv_2', *HEAD])
            assert both['held'] == sorted(['Relu_3', *first['held']])
        else:
            assert 'HALF' in first['dtypes']
            assert 'HALF' not in both['dtypes']

    def test_a_layer_that_must_be_held_and_is_not_found_is_an_error(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = tensorrt_builder._Network.read

        def forget(network: Any, model: onnx.ModelProto, trt: Any) -> None:
            read(network, model, trt)
            network.layers = [layer for layer in network.layers if layer.name != 'Conv_4']

        monkeypatch.setattr(tensorrt_builder._Network, 'read', forget)
        with pytest.raises(EngineBuildError, match='not to be found: Conv_4'):
            bench.build()

    def test_strongly_typed_is_possible_in_10_too(self, bench: Bench) -> None:
        told = bench.told(strongly_typed=True)
        assert told['flags'] == []
        assert told['network_flags'] == 0b11  # explicit batch, strongly typed
        assert 'HALF' in told['dtypes']

    @pytest.mark.parametrize(
        ('precision', 'lacks', 'helps'), [('fp16', 'fp16', 'fp32'), ('int8', 'int8', 'fp16')]
    )
    def test_a_gpu_that_is_slow_at_it_is_refused(
        self, bench: Bench, pictures: Path, precision: str, lacks: str, helps: str
    ) -> None:
        setattr(bench.trt.Builder, f'platform_has_fast_{lacks}', False)
        with pytest.raises(EngineBuildError, match=f'use --precision {helps}'):
            bench.build(precision=precision, calibration_images=pictures)

    def test_without_onnxruntime_the_heads_are_kept_and_it_is_said(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(*_: object) -> None:
            raise ImportError('onnxruntime')

        (bench.folder / 'toy.onnx').write_bytes(_large_toy().SerializeToString())
        monkeypatch.setattr(half_precision, 'large_valued_nodes', missing)
        assert bench.told()['held'] == HEAD
        assert any('install onnxruntime' in line for line in bench.lines)
        assert bench.build() is None
        monkeypatch.undo()
        bench.install(monkeypatch)
        assert bench.build() is not None  # once it is installed

    def test_a_network_that_is_in_fp16_already_stays_so(self, any_bench: Bench) -> None:
        model = half_precision.to_half(_toy())
        (any_bench.folder / 'toy.onnx').write_bytes(model.SerializeToString())
        told = any_bench.told()
        assert told['held'] == (['mean_cast'] if _until_10(any_bench) else [])

    def test_layers_that_compute_shapes_have_no_precision(self, bench: Bench) -> None:
        (bench.folder / 'toy.onnx').write_bytes(_toy(open_shape=True).SerializeToString())
        record = bench.build()
        assert record is not None
        assert record.fp32_layers == ('Conv_4', 'Reshape_8')
        assert json.loads(bench.engine.read_bytes())['held'] == ['Conv_4', 'Reshape_8']


class TestRefusals:
    @pytest.mark.parametrize(
        ('version', 'options', 'told'),
        [
            ('8.5.3', {'version_compatible': True}, '8.5.3 cannot build version-compatible plans'),
            ('8.5.3', {'optimization_level': 2}, '8.5.3 has no optimization levels'),
            ('8.5.3', {'strongly_typed': True}, '8.5.3 has no strongly typed networks'),
            ('8.6.0', {'strongly_typed': True}, '8.6.0 has no strongly typed networks'),
            ('8.6.0', {'tactic_sources': ('CUDNN', 'X')}, 'no tactic source X; it has CUDNN, JIT'),
        ],
    )
    def test_what_a_version_cannot(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        version: str,
        options: dict[str, Any],
        told: str,
    ) -> None:
        bench = Bench(version, tmp_path, monkeypatch)
        with pytest.raises(EngineBuildError, match=told):
            bench.build(**options)
        assert not bench.engine.exists()

    @pytest.mark.parametrize('version', ['8.6.0', '10.3.0', '11.4.0'])
    def test_what_later_ones_can(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
    ) -> None:
        bench = Bench(version, tmp_path, monkeypatch)
        told = bench.told(version_compatible=True, optimization_level=1, workspace_mib=64)
        assert 'VERSION_COMPATIBLE' in told['flags']
        assert (told['level'], told['WORKSPACE']) == (1, 64 * 2**20)

    def test_the_lean_runtime_cannot_build(self, bench: Bench) -> None:
        del bench.trt.Builder
        with pytest.raises(EngineBuildError, match='is the lean runtime'):
            bench.build()

    def test_no_gpu_or_no_tensorrt(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> None:
            raise InferenceError('no CUDA device can be used')

        monkeypatch.setattr(engine_builder, 'open_device', fail)
        with pytest.raises(EngineBuildError, match='no CUDA device can be used'):
            bench.build()

    def test_a_driver_that_is_too_old(self, bench: Bench) -> None:
        def null(logger: object) -> None:
            bench.log.warning('CUDA initialization failure with error: 35')
            raise TypeError('pybind11::init(): factory function returned nullptr')

        bench.trt.Builder = null
        with pytest.raises(
            EngineBuildError, match=r'10\.3\.0 does not start; .* driver .* too old.* error: 35$'
        ):
            bench.build()
        assert bench.device.entered == 0

    def test_what_the_parser_does_not_take(self, bench: Bench) -> None:
        bench.trt.parser_errors = ['In node 7 (importX):\n no such operator', 'another']
        with pytest.raises(
            EngineBuildError, match=r'does not take the network: In node 7 .* operator; another$'
        ):
            bench.build()

    @pytest.mark.parametrize(
        ('said', 'told'),
        [
            ('Requested size was 900 bytes: could not be allocated', 'not enough memory: close'),
            ('Error Code 2: OutOfMemory', 'not enough memory: close other programs'),
            ('Could not find any implementation for node', 'could not build the engine: Could'),
        ],
    )
    def test_what_fails_while_building(self, bench: Bench, said: str, told: str) -> None:
        bench.engine.write_bytes(b'the one that was there')
        bench.trt.refuses_build = said
        with pytest.raises(EngineBuildError, match=told):
            bench.build()
        assert bench.engine.read_bytes() == b'the one that was there'

    def test_memory_that_the_calibrator_does_not_get(self, bench: Bench, pictures: Path) -> None:
        def full(nbytes: int) -> None:
            raise tensorrt_builder.CudaMemoryError('cuMemAlloc failed: out of memory')

        bench.device.driver.mem_alloc = full
        with pytest.raises(EngineBuildError, match='not enough memory: cuMemAlloc'):
            bench.build(precision='int8', calibration_images=pictures)
        assert bench.device.entered == 0


class TestSource:
    def test_a_file_that_is_missing_or_not_onnx(self, bench: Bench) -> None:
        (bench.folder / 'toy.onnx').write_bytes(b'no onnx')
        with pytest.raises(EngineBuildError, match=r'toy\.onnx is not ONNX'):
            bench.build()
        (bench.folder / 'toy.onnx').unlink()
        with pytest.raises(EngineBuildError, match=r'toy\.onnx is missing .*fetch_models toy'):
            bench.build()

    def test_weights_in_a_file_beside_it_are_put_in(self, bench: Bench) -> None:
        inside = bench.told()
        path = bench.folder / 'toy.onnx'
        onnx.save_model(
            _toy(), path, save_as_external_data=True, location='toy.data', size_threshold=0
        )
        assert bench.told() == inside
        (_, prepared) = bench.request().prepare(typed=False, report=bench.lines.append)
        (bench.folder / 'toy.data').unlink()
        onnx.checker.check_model(prepared.model)
        with pytest.raises(
            EngineBuildError, match=r'toy\.onnx keeps its weights in files beside it, which'
        ):
            bench.build()

    def test_one_without_inputs_is_refused(self, bench: Bench) -> None:
        model = _toy()
        kept = onnx.helper.make_node('Constant', [], ['mean'], value_float=1.0)
        del model.graph.node[:], model.graph.input[:]
        model.graph.node.append(kept)
        (bench.folder / 'toy.onnx').write_bytes(model.SerializeToString())
        with pytest.raises(EngineBuildError, match=r'toy\.onnx has no inputs'):
            bench.build()

    def test_another_network(self, bench: Bench) -> None:
        outputs = (TensorSpec('sum', (DYNAMIC, 1), FLOAT32),)
        (bench.folder / 'toy.onnx').write_bytes(_toy(outputs=outputs).SerializeToString())
        with pytest.raises(
            EngineBuildError, match=r'is not toy: output mean .* is missing, the file has sum'
        ):
            bench.build()

    def test_the_tflite_name_of_an_output_will_do(self, bench: Bench) -> None:
        outputs = (TensorSpec('conv2d_1', (DYNAMIC, 1), FLOAT32),)
        (bench.folder / 'toy.onnx').write_bytes(_toy(outputs=outputs).SerializeToString())
        assert bench.build() is not None

    def test_an_open_picture_size_is_refused(self, bench: Bench) -> None:
        model = _toy()
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = 'H'
        (bench.folder / 'toy.onnx').write_bytes(model.SerializeToString())
        with pytest.raises(EngineBuildError, match='only the batch may be left open'):
            bench.build()

    def test_a_user_s_own_network_needs_no_contract(self, bench: Bench) -> None:
        source = bench.folder / 'yolo.onnx'
        source.write_bytes(_toy().SerializeToString())
        request = BuildRequest('own', bench.folder, BuildOptions(), None, source)
        record = build(request, bench.lines.append, bench.progress.append)
        assert record is not None
        assert (record.model, record.onnx_source) == ('own', str(source))

    def test_nodes_without_names_get_some(self, bench: Bench) -> None:
        model = _toy()
        for node in model.graph.node:
            node.name = ''
        (bench.folder / 'toy.onnx').write_bytes(model.SerializeToString())
        assert bench.told()['held'] == ['Conv_unnamed_4', 'Reshape_unnamed_5']


class TestBatches:
    def test_one_makes_the_network_static(self, any_bench: Bench) -> None:
        told = any_bench.told(max_batch=1)
        assert told['inputs'] == {'image': [1, 4, 4, 3]}
        assert told['profiles'] == []

    def test_more_get_a_profile_beside_that_for_one(self, any_bench: Bench) -> None:
        told = any_bench.told(max_batch=4)
        assert told['inputs'] == {'image': [-1, 4, 4, 3]}
        assert told['profiles'] == [
            {'image': [[1, 4, 4, 3], [1, 4, 4, 3], [1, 4, 4, 3]]},
            {'image': [[1, 4, 4, 3], [4, 4, 4, 3], [4, 4, 4, 3]]},
        ]


class TestWhatIsWritten:
    def test_the_record_says_it_all(self, bench: Bench) -> None:
        record = bench.build(max_batch=4, workspace_mib=64)
        assert record == read_sidecar(bench.engine)
        assert record is not None
        assert (record.model, record.tensorrt, record.gpu) == ('toy', '10.3.0', ORIN)
        assert (record.precision, record.batches) == ('fp16', ((1, 1, 1), (1, 4, 4)))
        assert (record.inputs, record.outputs) == (
            ('image uint8[N,4,4,3]',),
            ('mean float32[N,1]',),
        )
        assert record.flags == ('FP16', 'OBEY_PRECISION_CONSTRAINTS')
        assert list(record.fp32_layers) == HEAD
        assert record.options['workspace_mib'] == 64
        assert record.engine_size == bench.engine.stat().st_size
        assert record.onnx_sha256 == files.sha256_of(bench.folder / 'toy.onnx')

    def test_the_same_again_is_nothing_to_do(self, bench: Bench) -> None:
        assert bench.build() is not None
        before = bench.engine.stat().st_mtime_ns
        assert bench.build() is None
        assert bench.engine.stat().st_mtime_ns == before
        assert bench.build(force=True) is not None
        assert bench.engine.stat().st_mtime_ns > before

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
    def test_a_spoilt_one_is_built_again(self, bench: Bench, spoil: Any) -> None:
        bench.build()
        content = bench.engine.read_bytes()
        spoil(bench.engine)
        assert bench.build() is not None
        assert bench.engine.read_bytes() == content

    def test_another_onnx_file_is_another_engine(self, bench: Bench) -> None:
        bench.build()
        model = _toy()
        model.producer_version = '2'
        (bench.folder / 'toy.onnx').write_bytes(model.SerializeToString())
        assert bench.build() is not None

    def test_other_pictures_are_another_engine(self, bench: Bench, pictures: Path) -> None:
        options = {'precision': 'int8', 'calibration_images': pictures}
        assert bench.build(**options) is not None
        assert bench.build(**options) is None
        elsewhere = pictures.rename(pictures.with_name('moved'))
        assert bench.build(precision='int8', calibration_images=elsewhere) is None
        np.save(elsewhere / 'more.npy', np.zeros((4, 4, 3), np.uint8))
        assert bench.build(precision='int8', calibration_images=elsewhere) is not None

    @pytest.mark.parametrize('room', [0, 1])
    def test_a_full_disk_leaves_the_old_engine_with_its_record_and_one_line(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, room: int
    ) -> None:
        bench.build()
        before = bench.engine.read_bytes(), read_sidecar(bench.engine)
        synced: list[int] = []

        def full(descriptor: int) -> None:
            synced.append(descriptor)
            if len(synced) > room:
                raise OSError(errno.ENOSPC, 'No space left on device')

        monkeypatch.setattr(files.os, 'fsync', full)
        with pytest.raises(
            EngineBuildError, match=r'toy\.engine \(.* MB\) cannot be written: No space left'
        ):
            bench.build(force=True)
        monkeypatch.undo()
        assert (bench.engine.read_bytes(), read_sidecar(bench.engine)) == before
        assert not list(bench.folder.glob('.*.tmp'))

    def test_a_folder_that_cannot_be_written_is_one_line(self, bench: Bench) -> None:
        (bench.folder / 'engines').write_text('a file')
        request = dataclasses.replace(
            bench.request(),
            engines_dir=bench.folder / 'engines',
            onnx_file=bench.folder / 'toy.onnx',
        )
        with pytest.raises(EngineBuildError, match=r'toy\.engine .* cannot be written'):
            build(request, bench.lines.append, bench.progress.append)


class TestKey:
    BASE: tuple[Any, ...] = ('o', '10.3.0', ORIN, BuildOptions(), ((1, 1, 1),), '', ())

    def test_is_the_same_for_the_same(self) -> None:
        assert engine_key(*self.BASE) == engine_key(*self.BASE)

    @pytest.mark.parametrize(
        ('position', 'value'),
        [
            (0, 'p'),
            (1, '10.3.1'),
            (2, dataclasses.replace(ORIN, multiprocessors=4)),
            (3, BuildOptions(precision='fp32')),
            (3, BuildOptions(precision='tf32')),
            (3, BuildOptions(fp32_first=1)),
            (3, BuildOptions(form='dense')),
            (3, BuildOptions(workspace_mib=64)),
            (3, BuildOptions(optimization_level=0)),
            (3, BuildOptions(version_compatible=True)),
            (3, BuildOptions(strongly_typed=True)),
            (3, BuildOptions(float_input=True)),
            (3, BuildOptions(tactic_sources=('CUDNN',))),
            (4, ((1, 1, 1), (1, 4, 4))),
            (5, 'i'),
            (6, ('Conv_1',)),
        ],
    )
    def test_differs_with_everything_that_matters(self, position: int, value: Any) -> None:
        changed = [*self.BASE]
        changed[position] = value
        assert engine_key(*changed) != engine_key(*self.BASE)

    def test_is_the_same_wherever_the_pictures_lie(self) -> None:
        changed = [*self.BASE]
        changed[3] = BuildOptions(calibration_images=Path('elsewhere'))
        assert engine_key(*changed) == engine_key(*self.BASE)


class TestTimingCache:
    def test_is_kept_for_this_tensorrt_and_gpu(self, any_bench: Bench) -> None:
        path = timing_cache_path(any_bench.folder, any_bench.trt.__version__, ORIN)
        assert path.name == f'timing-{any_bench.trt.__version__}-orin-8.cache'
        any_bench.build()
        assert path.read_bytes() == b'+'
        any_bench.build(force=True)
        assert path.read_bytes() == b'++'

    def test_a_damaged_one_is_started_anew(self, bench: Bench) -> None:
        path = timing_cache_path(bench.folder, '10.3.0', ORIN)
        path.write_bytes(b'damaged')
        assert bench.build() is not None
        assert path.read_bytes() == b'+'


class TestProgress:
    def test_is_that_of_the_outermost_phase(self, any_bench: Bench) -> None:
        any_bench.build()
        if not hasattr(any_bench.trt, 'IProgressMonitor'):
            assert any_bench.progress == []
            return
        assert any_bench.progress == [
            Progress('Building', 0.0),
            Progress('Building', 0.5),
            Progress('Building', 1.0),
        ]


class TestTrtexec:
    def test_says_the_same_as_the_builder_is_told(self, bench: Bench) -> None:
        request = bench.request(
            max_batch=4, workspace_mib=64, optimization_level=1, version_compatible=True
        )
        _, prepared = request.prepare(typed=False, report=bench.lines.append)
        batches = batch_profiles(request.options, dynamic=True)
        words = trtexec_command('toy', prepared, request.options, batches).split()
        assert words == [
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

    def test_of_a_typed_graph_leaves_precision_to_it(self, bench: Bench) -> None:
        request = bench.request(strongly_typed=True)
        _, prepared = request.prepare(typed=True, report=bench.lines.append)
        words = trtexec_command('toy', prepared, request.options, ()).split()
        assert words[3:] == ['--stronglyTyped', '--noTF32']

    def test_uses_only_the_tactic_sources_that_are_named(self, bench: Bench) -> None:
        request = bench.request(tactic_sources=('JIT_CONVOLUTIONS',))
        _, prepared = request.prepare(typed=True, report=bench.lines.append)
        words = trtexec_command('toy', prepared, request.options, ()).split()
        others = '-CUBLAS,-CUBLAS_LT,-CUDNN,-EDGE_MASK_CONVOLUTIONS'
        assert words[-1] == f'--tacticSources={others},+JIT_CONVOLUTIONS'

    def test_can_be_given_to_a_shell(self, bench: Bench) -> None:
        model = _toy()
        model.graph.node[-1].name = 'head;out (1)'
        (bench.folder / 'toy.onnx').write_bytes(model.SerializeToString())
        request = bench.request()
        _, prepared = request.prepare(typed=False, report=bench.lines.append)
        command = trtexec_command('toy', prepared, request.options, ())
        assert '--layerPrecisions=Conv_4:fp32,head;out (1):fp32' in shlex.split(command)


class TestQuantizing:
    def test_puts_pairs_around_what_is_not_kept(self) -> None:
        images = np.random.default_rng(0).integers(0, 256, (16, 4, 4, 3), np.uint8)
        model = _toy()
        quantized = calibration.quantize(model, images, keep={'Conv_4', 'Reshape_5'})
        producers = {node.output[0]: node.op_type for node in quantized.graph.node}
        by_name = {node.name: node for node in quantized.graph.node}
        inputs = [producers.get(name) for name in by_name['Conv_2'].input[:2]]
        assert inputs == ['DequantizeLinear', 'DequantizeLinear']
        assert producers[by_name['Conv_4'].input[0]] == 'Relu'
        import onnxruntime

        want, got = (
            onnxruntime.InferenceSession(
                m.SerializeToString(), providers=['CPUExecutionProvider']
            ).run(None, {'image': images})[0]
            for m in (model, quantized)
        )
        assert 0 < np.abs(got - want).max() < 0.05 * np.abs(want).max()
