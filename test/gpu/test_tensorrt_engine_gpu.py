# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The TensorRT engine on a real GPU: ``pytest -m gpu``.

Takes ``face_mesh.engine`` and ``face_mesh.onnx`` from the engines folder, or from the one that
AITABLE_TEST_ENGINES names. Plans with host code are loaded if AITABLE_TEST_HOST_CODE is 1.
``scripts/gpu_check.py`` measures times and endurance.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from aitable_ros import paths
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
from aitable_ros.inference.tensorrt_engine import TensorRtEngine
from aitable_ros.inference.tensorrt_runtime import load_tensorrt
from aitable_ros.model_zoo.catalog import CONTRACTS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings('ignore::DeprecationWarning'),  # names of 8.5 on 10
]

SPEC = CONTRACTS['face_mesh']
HOST_CODE = os.environ.get('AITABLE_TEST_HOST_CODE') == '1'
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def engines_dir():
    folder = os.environ.get('AITABLE_TEST_ENGINES')
    return Path(folder) if folder else paths.engines_dir()


@pytest.fixture(scope='module')
def path(engines_dir):
    pytest.importorskip('pycuda')
    try:
        load_tensorrt()
    except InferenceError as error:
        pytest.skip(str(error))
    file = engines_dir / 'face_mesh.engine'
    if not file.is_file():
        pytest.skip(f'{file} is missing')
    return file


@pytest.fixture
def engine(path):
    with TensorRtEngine(SPEC, path, allow_host_code=HOST_CODE) as engine:
        yield engine


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 192, 192, 3), np.uint8)


def test_answers_as_onnxruntime_does_in_fp32(engine, engines_dir):
    frames = np.concatenate([images(2), np.zeros_like(images(1)), np.full_like(images(1), 255)])
    got = engine.infer({'image': frames})
    with OnnxRuntimeEngine(SPEC, engines_dir / 'face_mesh.onnx') as reference:
        want = reference.infer({'image': frames})
    assert np.isfinite(got['landmarks']).all()
    # no faces, so landmarks mean little; they still stay within some pixels
    assert np.abs(got['landmarks'] - want['landmarks']).max() < 8.0
    np.testing.assert_array_equal(got['presence'] > 0.0, want['presence'] > 0.0)


def test_is_recorded_and_the_record_answers_as_the_plain_run(engine, path):
    assert engine.uses_cuda_graph
    frames = images(3)
    with TensorRtEngine(SPEC, path, cuda_graph=False, allow_host_code=HOST_CODE) as plain:
        assert not plain.uses_cuda_graph
        for frame in frames:
            got = engine.infer({'image': frame[None]})
            want = plain.infer({'image': frame[None]})
            for name in got:
                np.testing.assert_array_equal(got[name], want[name])


def test_threads_with_an_engine_each_do_not_disturb_one_another(path):
    failures = []

    def work(seed):
        with TensorRtEngine(SPEC, path, allow_host_code=HOST_CODE) as engine:
            frame = images(1, seed)
            want = engine.infer({'image': frame})
            for _ in range(200):
                got = engine.infer({'image': frame})
                if not all((got[name] == want[name]).all() for name in got):
                    failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_pytorch_works_beside_it_in_the_same_thread(engine):
    torch = pytest.importorskip('torch')
    if not torch.cuda.is_available():
        pytest.skip('PyTorch sees no GPU')
    data = torch.rand(64, 64, device='cuda')
    want = data @ data
    answer = engine.infer({'image': images(1)})
    assert torch.equal(data @ data, want)
    again = engine.infer({'image': images(1)})
    np.testing.assert_array_equal(answer['landmarks'], again['landmarks'])


def test_a_truncated_plan_is_refused(path, tmp_path):
    truncated = tmp_path / 'face_mesh.engine'
    truncated.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InferenceError, match='truncated'):
        TensorRtEngine(SPEC, truncated, allow_host_code=HOST_CODE)


def test_another_network_is_refused(path):
    with pytest.raises(InferenceError, match='not this network: .*boxes'):
        TensorRtEngine(CONTRACTS['face_detection'], path, allow_host_code=HOST_CODE)


def test_a_process_that_dies_with_an_open_engine_ends_with_status_1(path):
    code = (
        'import sys\n'
        'from pathlib import Path\n'
        'from aitable_ros.inference.tensorrt_engine import TensorRtEngine\n'
        'from aitable_ros.model_zoo.catalog import CONTRACTS\n'
        'path, host_code = Path(sys.argv[1]), sys.argv[2] == "True"\n'
        'engine = TensorRtEngine(CONTRACTS["face_mesh"], path, allow_host_code=host_code)\n'
        'raise RuntimeError("on purpose")\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code, str(path), str(HOST_CODE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert 'on purpose' in done.stderr
    assert 'PyCUDA' not in done.stderr
