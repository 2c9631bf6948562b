# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What only happens with TensorRT and a GPU, with an engine that stands for one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt import cuda
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.tools.benchmark import memory as benchmark_memory
from aitable_ros.tools.benchmark import report as benchmark_report
from aitable_ros.tools.benchmark import runners as benchmark_runners
from aitable_ros.tools.benchmark.runners import Opening

DETECTION = CONTRACTS['face_detection']
PLAN = b'the engine'


class TensorRtEngine:
    max_batch = 2
    tensorrt_version = '10.3.0'
    uses_cuda_graph = True
    device_memory_bytes = 1000

    def __init__(self) -> None:
        self.replayed: list[int] = []
        self.closed = False

    def infer(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {'boxes': inputs['image']}

    def replay(self, batch: int) -> None:
        self.replayed.append(batch)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What was asked for, and the engine that was given."""
    found = SimpleNamespace(engine=TensorRtEngine(), spec=None, backend='')

    def load_engine(
        spec: ModelSpec, backend: str, *, engines_dir: Path, threads: int
    ) -> SimpleNamespace:
        found.spec, found.backend = spec, backend
        return SimpleNamespace(engine=found.engine, path=engines_dir / f'{spec.name}.engine')

    (tmp_path / 'face_detection.engine').write_bytes(PLAN)
    monkeypatch.setattr(benchmark_runners, 'load_engine', load_engine)
    return found


def test_what_tensorrt_tells_of_itself_goes_into_the_report(
    loaded: SimpleNamespace, tmp_path: Path
) -> None:
    runner = Opening(DETECTION.name, 'tensorrt', str(tmp_path)).open()
    assert (loaded.backend, loaded.spec) == ('tensorrt', DETECTION)
    assert runner.details == {
        'file': str(tmp_path / 'face_detection.engine'),
        'tensorrt_version': '10.3.0',
        'uses_cuda_graph': True,
        'max_batch': 2,
        'device_memory_bytes': 1000,
    }
    images = np.zeros((1, 128, 128, 3), np.uint8)
    assert runner.infer(images)['boxes'] is images
    assert runner.infer_s(images) > 0
    runner.close()
    assert loaded.engine.closed


def test_the_device_alone_is_timed_where_a_batch_runs_in_one_piece(
    loaded: SimpleNamespace, tmp_path: Path
) -> None:
    runner = Opening(DETECTION.name, 'tensorrt', str(tmp_path)).open()
    seconds = [runner.device_s(batch) for batch in (1, 2, 3)]
    assert [value is None for value in seconds] == [False, False, True]
    assert loaded.engine.replayed == [1, 2]


def test_code_is_allowed_for_that_file_alone_and_memory_mapped_when_asked_for(
    loaded: SimpleNamespace, tmp_path: Path
) -> None:
    Opening(DETECTION.name, 'tensorrt', str(tmp_path), 1, True, True).open()
    assert loaded.spec.host_code_sha256 == hashlib.sha256(PLAN).hexdigest()
    assert loaded.spec.mapped_memory
    Opening(DETECTION.name, 'litert', str(tmp_path), 1, True, True).open()
    assert loaded.spec == DETECTION


def test_the_gpu_is_named_and_its_memory_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    device = SimpleNamespace(name='Orin', memory_bytes=lambda: (3, 10))
    monkeypatch.setattr(cuda, 'open_device', lambda: device)
    assert benchmark_report.describe_environment(1)['gpu'] == 'Orin'
    assert benchmark_memory._memory('tensorrt')['gpu_bytes'] == 7
    assert 'gpu_bytes' not in benchmark_memory._memory('litert')


def test_without_pycuda_pytorch_is_asked_for_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise InferenceError('module pycuda is not installed')

    monkeypatch.setattr(cuda, 'open_device', missing)
    assert 'gpu' not in benchmark_report.describe_environment(1)
    there = SimpleNamespace(is_available=lambda: True, mem_get_info=lambda: (4, 10))
    monkeypatch.setitem(benchmark_memory.sys.modules, 'torch', SimpleNamespace(cuda=there))
    assert benchmark_memory._memory('torch fp16 graph')['gpu_bytes'] == 6
    there.is_available = lambda: False
    assert 'gpu_bytes' not in benchmark_memory._memory('torch fp32')
