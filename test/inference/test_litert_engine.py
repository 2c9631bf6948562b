# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import importlib.machinery
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from aitable_ros.inference.engine import DYNAMIC, InferenceError, TensorSpec
from aitable_ros.inference.litert_engine import LitertEngine
from aitable_ros.model_zoo.catalog import CONTRACTS, load_catalog

pytestmark = pytest.mark.models

MODELS = tuple(name for name, spec in load_catalog().items() if 'litert' in spec.chain)


def _images(name: str, count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    shape = (count, *CONTRACTS[name].inputs[0].shape[1:])
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _load(name: str, engines_dir: Path, **options: int) -> LitertEngine:
    return LitertEngine(CONTRACTS[name], engines_dir / f'{name}.tflite', **options)


def _reference(name: str, path: Path, image: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray]:
    """Run one image through the runtime's own interface, scaled in double precision."""
    from ai_edge_litert.interpreter import Interpreter

    spec = CONTRACTS[name]
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    scaled = (image.astype(float) * spec.scale + spec.offset).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]['index'], scaled[None])
    interpreter.invoke()
    shapes = {output.name: output.shape[1:] for output in spec.outputs}
    return {
        canonical: interpreter.get_tensor(detail['index']).reshape(shapes[canonical])
        for detail in interpreter.get_output_details()
        for canonical in [spec.tflite_outputs.get(detail['name'])]
        if canonical is not None  # the file may give more, as a segmentation mask
    }


@pytest.mark.parametrize('name', MODELS)
def test_outputs_are_those_of_the_network_for_each_image_of_the_batch(
    name: str, engines_dir: Path
) -> None:
    images = _images(name, 3)
    with _load(name, engines_dir) as engine:
        outputs = engine.infer({'image': images})
    assert [*outputs] == [output.name for output in CONTRACTS[name].outputs]
    for index, image in enumerate(images):
        for tensor, expected in _reference(name, engine.path, image).items():
            # LiteRT rounds what meets fer's weights to eight bits: a pixel's last digit counts
            limit = 0.01 if name == 'fer' else 1e-3
            np.testing.assert_allclose(outputs[tensor][index], expected, rtol=1e-4, atol=limit)


def test_the_arrays_belong_to_the_caller(engines_dir: Path) -> None:
    with _load('face_mesh', engines_dir) as engine:
        first = engine.infer({'image': _images('face_mesh', 1, seed=1)})
        kept = {name: array.copy() for name, array in first.items()}
        second = engine.infer({'image': _images('face_mesh', 1, seed=2)})
    for name, array in first.items():
        assert array.flags.writeable
        np.testing.assert_array_equal(array, kept[name])
        assert not np.array_equal(array, second[name])


def test_any_memory_layout_is_read_right_and_left_unchanged(engines_dir: Path) -> None:
    large = _images('face_mesh', 1).repeat(2, axis=1).repeat(2, axis=2)
    strided = large[:, ::2, ::-2]
    strided.flags.writeable = False
    before = strided.copy()
    with _load('face_mesh', engines_dir) as engine:
        got = engine.infer({'image': strided})
        expected = engine.infer({'image': np.ascontiguousarray(strided)})
    np.testing.assert_array_equal(got['landmarks'], expected['landmarks'])
    np.testing.assert_array_equal(strided, before)


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((1, 192, 192, 3), np.float32),
        np.zeros((192, 192, 3), np.uint8),
        np.zeros((0, 192, 192, 3), np.uint8),
        np.zeros((1, 3, 192, 192), np.uint8),
    ],
    ids=lambda array: f'{array.dtype}{array.shape}',
)
def test_a_wrong_input_is_refused_and_the_engine_lives_on(
    image: npt.NDArray, engines_dir: Path
) -> None:
    with _load('face_mesh', engines_dir) as engine:
        with pytest.raises(InferenceError, match=r'input image uint8\[N,192,192,3\]: got'):
            engine.infer({'image': image})
        engine.infer({'image': _images('face_mesh', 1)})


def test_a_failure_while_scaling_does_not_pin_the_interpreter(engines_dir: Path) -> None:
    with _load('face_mesh', engines_dir) as engine:
        good = _images('face_mesh', 1)
        with pytest.raises(ValueError, match='broadcast') as caught:
            engine._fill(good[0][:5])
        del caught  # its traceback holds the view of the input buffer
        engine.infer({'image': good})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match=r'face_mesh\.tflite cannot be read: No such file'):
        _load('face_mesh', tmp_path)
    (tmp_path / 'face_mesh.tflite').mkdir()
    with pytest.raises(InferenceError, match=r'cannot be read: Is a directory'):
        _load('face_mesh', tmp_path)


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'TFL3',
        b'\x1c\0\0\0TFL',
        b'<html>404</html>' * 99,
        bytes(100_000),
        b'PK\x03\x04TFL2' + bytes(1000),
    ],
    ids=['empty', 'short', 'cut', 'html', 'zeros', 'identifier'],
)
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / 'face_mesh.tflite').write_bytes(content)
    with pytest.raises(InferenceError, match=r'face_mesh\.tflite is not a TFLite file: expected'):
        _load('face_mesh', tmp_path)


@pytest.mark.parametrize('part', [0.00001, 0.001, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(part: float, engines_dir: Path, tmp_path: Path) -> None:
    content = (engines_dir / 'face_mesh.tflite').read_bytes()
    (tmp_path / 'face_mesh.tflite').write_bytes(content[: int(part * len(content))])
    with pytest.raises(InferenceError, match=r'face_mesh\.tflite is not a (TFLite|usable)'):
        _load('face_mesh', tmp_path)


def test_flipped_bytes_never_crash_the_process(engines_dir: Path, tmp_path: Path) -> None:
    script = """
import random, sys
from pathlib import Path
import numpy as np
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.litert_engine import LitertEngine
from aitable_ros.model_zoo.catalog import CONTRACTS
good, bad = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
refused = 0
for seed in range(40):
    random.seed(seed)
    content = bytearray(good)
    for _ in range(random.choice([1, 10, 100])):  # the graph's tables are at the end of the file
        content[len(content) - 1 - random.randrange(40_000)] = random.randrange(256)
    bad.write_bytes(content)
    try:
        with LitertEngine(CONTRACTS['face_detection'], bad) as engine:
            engine.infer({'image': np.zeros((1, 128, 128, 3), np.uint8)})
    except InferenceError:
        refused += 1
print(refused)
"""
    files = [engines_dir / 'face_detection.tflite', tmp_path / 'bad.tflite']
    result = subprocess.run(
        [sys.executable, '-c', script, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert int(result.stdout) > 10


def test_the_file_of_another_network_is_refused(engines_dir: Path) -> None:
    for name, other in [('face_mesh', 'face_detection'), ('face_detection', 'face_mesh')]:
        with pytest.raises(InferenceError, match=r'input image .*: expected float32\[1,') as got:
            LitertEngine(CONTRACTS[name], engines_dir / f'{other}.tflite')
        assert f'{other}.tflite' in str(got.value)


@pytest.mark.parametrize(
    'output',
    [
        TensorSpec('landmarks', (DYNAMIC, 478, 3), np.dtype(np.float32)),
        TensorSpec('blendshapes', (DYNAMIC, 52), np.dtype(np.float32)),
    ],
    ids=str,
)
def test_outputs_that_the_file_lacks_are_named(output: TensorSpec, engines_dir: Path) -> None:
    spec = dataclasses.replace(CONTRACTS['face_mesh'], outputs=(output,))
    with pytest.raises(InferenceError, match=rf'output {output.name} .*: conv2d_21 float32\[1'):
        LitertEngine(spec, engines_dir / 'face_mesh.tflite')


def test_threads_must_be_positive(engines_dir: Path) -> None:
    with pytest.raises(InferenceError, match='at least 1 thread, got 0'):
        _load('face_mesh', engines_dir, threads=0)


def test_without_a_runtime_the_message_tells_how_to_install_one(
    engines_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('ai_edge_litert', 'tflite_runtime'):
        for module in [m for m in sys.modules if m.partition('.')[0] == name]:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, 'path', [])
    monkeypatch.setattr(sys, 'path_importer_cache', {})
    with pytest.raises(InferenceError, match='pip install ai-edge-litert'):
        _load('face_mesh', engines_dir)


def test_the_older_runtime_package_serves_too(
    engines_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_edge_litert import interpreter

    monkeypatch.setitem(sys.modules, 'ai_edge_litert.interpreter', None)  # installed, broken
    with pytest.raises(InferenceError, match=r'ai_edge_litert\.interpreter cannot be imported'):
        _load('face_mesh', engines_dir)
    module = types.ModuleType('tflite_runtime')
    module.__spec__ = importlib.machinery.ModuleSpec('tflite_runtime', None)
    monkeypatch.setitem(sys.modules, 'tflite_runtime', module)
    monkeypatch.setitem(sys.modules, 'tflite_runtime.interpreter', interpreter)
    with _load('face_mesh', engines_dir) as engine:
        engine.infer({'image': _images('face_mesh', 1)})


def test_nothing_but_other_people_s_lines_reaches_stdout_and_stderr(engines_dir: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from aitable_ros.inference import litert_engine
from aitable_ros.model_zoo.catalog import CONTRACTS
def load(name):
    return litert_engine.LitertEngine(CONTRACTS[name], Path(sys.argv[1], name + '.tflite'))
with litert_engine._without_noise():
    os.write(2, b'a line of another thread\\n')
with load('face_mesh'), load('face_detection'):
    os.write(2, b'a later line\\n')
"""
    result = subprocess.run(
        [sys.executable, '-c', script, str(engines_dir)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ''
    assert result.stderr == 'a line of another thread\na later line\n'
