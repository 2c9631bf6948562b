# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Engines built by our own tool, on a real GPU with a TensorRT that can build.

AITABLE_BUILD_OPTIONS in the environment is added to the command line, for example
``--tactic-sources EDGE_MASK_CONVOLUTIONS,JIT_CONVOLUTIONS`` where cuDNN is missing.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
from aitable_ros.inference.selection import load_engine
from aitable_ros.inference.tensorrt.engine import TensorRtEngine
from aitable_ros.inference.tensorrt.gate import absence, local_gpu
from aitable_ros.inference.tensorrt.runtime import load_tensorrt
from aitable_ros.inference.tensorrt.sidecar import read_sidecar
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.engine_building.half_precision import probe_images
from aitable_ros.regular_files import file_sha256
from aitable_ros.tools.build_engines import command as build_engines

MODELS = (
    *('face_detection', 'face_detection_full', 'face_detection_back'),
    *('face_mesh', 'face_attention', 'fer'),
)
OPTIONS = shlex.split(os.environ.get('AITABLE_BUILD_OPTIONS', ''))
LOGITS = {
    **dict.fromkeys(('face_detection', 'face_detection_full', 'face_detection_back'), 'scores'),
    **{'face_mesh': 'presence', 'face_attention': 'presence'},
}
# of the largest value: on plain pictures BlazeFace's values are far beyond those on faces, and
# what FP16's 11 bits lose adds up over its layers
TOLERANCE = 0.05


def _why_not() -> str:
    if reason := absence():
        return reason
    try:
        return '' if hasattr(load_tensorrt(), 'Builder') else 'TensorRT cannot build here'
    except InferenceError as error:
        return str(error)


pytestmark = [
    pytest.mark.gpu,
    pytest.mark.models,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(_why_not()), reason=_why_not() or 'runs'),
]


def _build(folder: Path, *arguments: str) -> int:
    return build_engines.main([*arguments, '--engines-dir', str(folder), *OPTIONS])


@pytest.fixture(scope='module')
def built(engines_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engines folder with an FP16 engine of every model, built fast rather than well."""
    folder = tmp_path_factory.mktemp('engines')
    for name in MODELS:
        for suffix in ('tflite', 'onnx', 'json'):
            # face_attention has an original, too
            for path in engines_dir.glob(f'{name}*.{suffix}'):
                shutil.copyfile(path, folder / path.name)
    assert _build(folder, *MODELS, '--optimization-level', '0', '--max-batch', '4') == 0
    return folder


def _pictures(name: str) -> npt.NDArray[np.uint8]:
    return np.concatenate(probe_images(CONTRACTS[name].inputs[0].shape[1:]))


@pytest.mark.parametrize('name', MODELS)
def test_fp16_engines_agree_with_onnx_runtime(built: Path, name: str) -> None:
    pictures = _pictures(name)
    with OnnxRuntimeEngine(CONTRACTS[name], built / f'{name}.onnx') as reference:
        want = reference.infer({'image': pictures})
    with TensorRtEngine(CONTRACTS[name], built / f'{name}.engine') as engine:
        assert engine.max_batch == 4
        one_by_one = [engine.infer({'image': picture[None]}) for picture in pictures]
        together = engine.infer({'image': pictures})
    for output, expected in want.items():
        got = np.concatenate([result[output] for result in one_by_one])
        assert np.isfinite(got).all()
        for index, values in enumerate(expected):
            limit = TOLERANCE * np.abs(values).max()
            np.testing.assert_allclose(got[index], values, rtol=0, atol=limit)
            np.testing.assert_allclose(together[output][index], values, rtol=0, atol=limit)
    if name in LOGITS:
        got = np.concatenate([result[LOGITS[name]] for result in one_by_one])
        flipped = (got > 0) != (want[LOGITS[name]] > 0)
        assert not flipped[np.abs(want[LOGITS[name]]) > 1].any()


def test_the_engine_of_emonet_agrees_with_onnx_runtime(engines_dir: Path, tmp_path: Path) -> None:
    if not (engines_dir / 'emonet.onnx').is_file():
        pytest.skip('no emonet.onnx: fetch_models emonet')
    shutil.copyfile(engines_dir / 'emonet.onnx', tmp_path / 'emonet.onnx')
    assert _build(tmp_path, 'emonet', '--optimization-level', '0', '--max-batch', '4') == 0
    pictures = np.random.default_rng(0).integers(60, 200, (4, 8, 8, 3), np.uint8)
    pictures = np.repeat(np.repeat(pictures, 32, axis=1), 32, axis=2)
    with OnnxRuntimeEngine(CONTRACTS['emonet'], tmp_path / 'emonet.onnx') as reference:
        want = reference.infer({'image': pictures})
    with TensorRtEngine(CONTRACTS['emonet'], tmp_path / 'emonet.engine') as engine:
        assert engine.max_batch == 4
        got = engine.infer({'image': pictures})
    for output, expected in want.items():
        limit = TOLERANCE * np.abs(expected).max()
        np.testing.assert_allclose(got[output], expected, rtol=0, atol=limit)


@pytest.mark.parametrize('name', MODELS)
def test_the_record_says_what_was_built(built: Path, name: str) -> None:
    record = read_sidecar(built / f'{name}.engine')
    assert record is not None
    assert record.engine_sha256 == file_sha256(built / f'{name}.engine')
    assert (record.gpu, record.tensorrt) == (local_gpu(), load_tensorrt().__version__)
    assert (record.precision, record.inputs) == ('fp16', (str(CONTRACTS[name].inputs[0]),))
    assert record.build_seconds > 0
    assert record.fp32_layers


def test_a_second_build_finds_nothing_to_do(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (built / 'face_mesh.engine').stat().st_mtime_ns
    arguments = ('face_mesh', '--optimization-level', '0', '--max-batch', '4')
    assert _build(built, *arguments) == 0
    assert 'is up to date' in capsys.readouterr().out
    assert (built / 'face_mesh.engine').stat().st_mtime_ns == before


def test_auto_takes_it_and_says_why_when_it_is_damaged(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / 'e'))
    spec = dataclasses.replace(CONTRACTS['face_mesh'], chain=('tensorrt', 'onnxruntime'))
    chosen = load_engine(spec, engines_dir=folder)
    assert (chosen.backend, chosen.skipped) == ('tensorrt', ())
    chosen.engine.close()
    engine = folder / 'face_mesh.engine'
    engine.write_bytes(engine.read_bytes()[:-1000])
    chosen = load_engine(spec, engines_dir=folder)
    assert chosen.backend == 'onnxruntime'
    assert 'is truncated' in chosen.skipped[0].reason
    assert 'tools.build_engines face_mesh' in chosen.skipped[0].reason
    chosen.engine.close()


def test_the_engine_of_another_model_is_refused(built: Path, tmp_path: Path) -> None:
    shutil.copyfile(built / 'face_attention.engine', tmp_path / 'face_mesh.engine')
    with pytest.raises(InferenceError, match=r'not this network.*build_engines face_mesh'):
        load_engine(CONTRACTS['face_mesh'], 'tensorrt', engines_dir=tmp_path)


def test_a_version_compatible_engine_runs_only_when_exactly_it_is_allowed(
    built: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(built, tmp_path / 'e'))
    arguments = ('face_detection', '--optimization-level', '0', '--max-batch', '1')
    assert _build(folder, *arguments, '--version-compatible') == 0
    spec = CONTRACTS['face_detection']
    with pytest.raises(InferenceError, match=r'carries code .* host_code_sha256'):
        load_engine(spec, 'tensorrt', engines_dir=folder)
    wrong = dataclasses.replace(spec, host_code_sha256='0' * 64)
    with pytest.raises(InferenceError, match='carries code'):
        load_engine(wrong, 'tensorrt', engines_dir=folder)
    sha256 = file_sha256(folder / 'face_detection.engine')
    allowed = dataclasses.replace(spec, host_code_sha256=sha256)
    load_engine(allowed, 'tensorrt', engines_dir=folder).engine.close()


def test_int8_is_calibrated_on_pictures(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / 'e'))
    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    np.save(pictures / 'probes.npy', np.repeat(_pictures('face_mesh'), 4, axis=0))
    arguments = ('face_mesh', '--optimization-level', '0', '--max-batch', '1')
    int8 = ('--precision', 'int8', '--calibration-images', str(pictures))
    assert _build(folder, *arguments, *int8) == 0
    record = read_sidecar(folder / 'face_mesh.engine')
    assert record is not None
    assert record.precision == 'int8'
    with TensorRtEngine(CONTRACTS['face_mesh'], folder / 'face_mesh.engine') as engine:
        outputs = engine.infer({'image': _pictures('face_mesh')[:1]})
    assert all(np.isfinite(values).all() for values in outputs.values())
