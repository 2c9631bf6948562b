# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The TensorRT engine on a real GPU: ``pytest -m gpu``.

Takes ``face_mesh.engine``, as ``build_engines`` makes it, and ``face_mesh.onnx`` from the engines
folder, or from the one that AITABLE_TEST_ENGINES names. Plans with host code are loaded if
AITABLE_TEST_HOST_CODE is 1. ``benchmark`` measures times and endurance.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from warped import some_maps, warp

from aitable_ros import paths
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
from aitable_ros.inference.tensorrt.engine import TensorRtEngine
from aitable_ros.inference.tensorrt.engine_group import EngineGroup
from aitable_ros.inference.tensorrt.runtime import load_tensorrt
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.tools.benchmark.inputs import make_cases

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


def test_landmarks_on_faces_are_within_half_a_pixel_of_fp32(engine, engines_dir):
    cases = make_cases(SPEC)
    if not cases.crops:
        pytest.skip('scikit-image is not installed')
    faces = {'image': cases.images[: cases.crops]}
    with OnnxRuntimeEngine(SPEC, engines_dir / 'face_mesh.onnx') as reference:
        want = reference.infer(faces)
    error_px = np.linalg.norm(
        (engine.infer(faces)['landmarks'] - want['landmarks'])[..., :2], axis=-1
    )
    assert np.percentile(error_px, 99) < 0.5


def test_misuse_is_refused_and_the_engine_lives_on(engine):
    image = images(1)
    want = engine.infer({'image': image})
    for inputs in ({'image': image / 255}, {'image': image[:, 1:]}, {'picture': image}, {}):
        with pytest.raises(InferenceError, match='face_mesh on tensorrt'):
            engine.infer(inputs)
    refused = []

    def elsewhere():
        for call in (lambda: engine.infer({'image': image}), engine.close):
            try:
                call()
            except InferenceError as error:
                refused.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(refused) == 2
    got = engine.infer({'image': image})
    assert all((got[name] == want[name]).all() for name in want)
    engine.close()
    engine.close()
    with pytest.raises(InferenceError, match='used after close'):
        engine.infer({'image': image})


def test_a_device_that_is_not_there_is_named(path):
    with pytest.raises(InferenceError, match='no CUDA device 77: this machine has'):
        TensorRtEngine(SPEC, path, device=77, allow_host_code=HOST_CODE)


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


@pytest.mark.parametrize('cuda_graph', [True, False])
def test_crops_cut_on_the_gpu_are_those_of_opencv(path, cuda_graph):
    picture = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    how = {'cuda_graph': cuda_graph, 'allow_host_code': HOST_CODE}
    with TensorRtEngine(SPEC, path, gpu_crops=True, **how) as engine:
        shape = (192, 192)
        for count, replicate in ((1, True), (2, False), (5, True)):
            maps = some_maps(count, shape[1], picture.shape[:2], seed=count)
            crops = warp(picture, maps, shape, replicate=replicate)
            want = engine.infer({'image': crops})
            got = engine.infer_crops(picture, maps, replicate=replicate)
            for name in want:
                np.testing.assert_array_equal(got[name], want[name])
            in_the_input = np.empty_like(crops[-engine.max_batch :][:1])
            memory = engine._memory.blocks[0]
            with engine.device as device:
                device.driver.memcpy_dtoh(in_the_input, memory.address)
            last = crops[(count - 1) // engine.max_batch * engine.max_batch]
            np.testing.assert_array_equal(in_the_input[0], last)


def test_engines_launched_together_answer_as_alone(path):
    how = {'allow_host_code': HOST_CODE}
    with (
        TensorRtEngine(SPEC, path, **how) as first,
        TensorRtEngine(SPEC, path, **how) as second,
        EngineGroup((first, second)) as group,
    ):
        for seed in range(20):
            given = [{'image': images(1, seed)}, {'image': images(1, 100 + seed)}]
            for got, inputs in zip(group.infer(given), given):
                want = first.infer(inputs)
                for name in want:
                    np.testing.assert_array_equal(got[name], want[name])
        assert group.uses_cuda_graph


@pytest.mark.parametrize('beside', ['alone', 'beside PyTorch'])
def test_threads_with_an_engine_each_do_not_disturb_one_another(path, beside):
    failures = []

    def work(seed):
        try:
            for _ in range(3):  # opened anew, so that graphs are recorded beside the others
                with TensorRtEngine(SPEC, path, allow_host_code=HOST_CODE) as engine:
                    frame = {'image': images(1, seed)}
                    want = engine.infer(frame)
                    for _ in range(200):
                        got = engine.infer(frame)
                        if not all((got[name] == want[name]).all() for name in got):
                            failures.append(f'{seed}: other results')
        except Exception as error:
            failures.append(f'{seed}: {error!r}')

    multiply = _pytorch_product() if beside == 'beside PyTorch' else None
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    while multiply and any(thread.is_alive() for thread in threads):
        if not multiply():
            failures.append('PyTorch: another result')
    for thread in threads:
        thread.join()
    assert not failures


def _pytorch_product():
    """Return a function that multiplies on PyTorch's stream and tells whether it was right."""
    torch = pytest.importorskip('torch')
    if not torch.cuda.is_available():
        pytest.skip('PyTorch sees no GPU')
    data = torch.rand(512, 512, device='cuda')
    want = data @ data

    def multiply():
        block = torch.empty(2**22, device='cuda')  # allocating must not break a recording
        same = torch.equal(data @ data, want)
        del block
        torch.cuda.empty_cache()
        return same

    return multiply


def test_pytorch_works_beside_it_in_the_same_thread(engine):
    multiply = _pytorch_product()
    answer = engine.infer({'image': images(1)})
    assert multiply()
    again = engine.infer({'image': images(1)})
    np.testing.assert_array_equal(answer['landmarks'], again['landmarks'])


def test_what_is_no_whole_plan_is_refused(path, tmp_path):
    plan = path.read_bytes()
    contents = {
        'is empty': [b''],
        'truncated': [plan[: len(plan) // 2], plan[:-1], plan[:64]],
        'damaged or not a TensorRT plan': [b'<html></html>' * 50, b'abcd' + plan[4:]],
    }
    file = tmp_path / 'face_mesh.engine'
    for told, wrong in contents.items():
        for content in wrong:
            file.write_bytes(content)
            done = _process('open_it()', file)  # TensorRT might take the process down
            assert done.returncode == 1, done.stderr[-300:]
            assert 'InferenceError' in done.stderr
            assert told in done.stderr


def test_another_network_is_refused(path):
    with pytest.raises(InferenceError, match='not this network: .*boxes'):
        TensorRtEngine(CONTRACTS['face_detection'], path, allow_host_code=HOST_CODE)


_OPEN = """
import sys, threading
from pathlib import Path
import numpy as np
from aitable_ros.inference.tensorrt.cuda import open_device
from aitable_ros.inference.tensorrt.engine import TensorRtEngine
from aitable_ros.model_zoo.catalog import CONTRACTS
IMAGE = {"image": np.zeros((1, 192, 192, 3), np.uint8)}
KEPT = []  # engines that nobody closes
def open_it():
    allowed, spec = sys.argv[2] == "True", CONTRACTS["face_mesh"]
    KEPT.append(TensorRtEngine(spec, Path(sys.argv[1]), allow_host_code=allowed))
    KEPT[-1].infer(IMAGE)
    return KEPT[-1]
def in_a_thread(daemon):
    ready = threading.Event()
    def work():
        engine = open_it()
        ready.set()
        while daemon:
            engine.infer(IMAGE)
    threading.Thread(target=work, daemon=daemon).start()
    ready.wait()
"""


def _process(code, path):
    return subprocess.run(
        [sys.executable, '-c', _OPEN + code, str(path), str(HOST_CODE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize(
    ('code', 'status'),
    [
        ('open_it().close()', 0),
        ('open_it()', 0),
        ('open_it(); 1 / 0', 1),
        ('with open_it(): 1 / 0', 1),
        ('open_it(); open_device().__enter__(); 1 / 0', 1),
        ('in_a_thread(daemon=False); 1 / 0', 1),
        ('in_a_thread(daemon=True); 1 / 0', 1),
    ],
)
def test_a_process_ends_cleanly_whatever_it_left_open(path, code, status):
    done = _process(code, path)
    assert done.returncode == status, done.stderr
    assert ('ZeroDivisionError' in done.stderr) == bool(status)
    assert 'PyCUDA' not in done.stderr
    assert 'terminate' not in done.stderr
