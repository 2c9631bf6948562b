# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from aitable_ros.tools.benchmark.inputs import make_cases
from aitable_ros.tools.benchmark.runners import SPECS


def test_without_a_gpu_fp32_runs_and_is_its_own_reference() -> None:
    torch = pytest.importorskip('torch')
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    from aitable_ros.tools.benchmark import pytorch_peer as benchmark_torch

    assert benchmark_torch.variants() == ('torch fp32',)
    images = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    expected = benchmark_torch.reference_answers(images)
    runner = benchmark_torch.TorchRunner('torch fp32')
    answers = runner.infer(images)
    for name, values in expected.items():
        assert np.allclose(answers[name], values, 1e-3, 1e-3 * np.abs(values).max())
    assert answers['valence'].shape == (2, 1)
    assert runner.device_s(1) is None
    runner.close()
    with pytest.raises(RuntimeError, match='needs a CUDA device'):
        benchmark_torch.TorchRunner('torch fp16 graph')


@pytest.mark.gpu
@pytest.mark.parametrize('batch', [1, 3])
def test_on_a_gpu_all_variants_agree(batch: int) -> None:
    torch = pytest.importorskip('torch')
    if not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')
    from aitable_ros.tools.benchmark import pytorch_peer as benchmark_torch

    images = make_cases(SPECS['emonet']).images[:batch]
    expected = benchmark_torch.reference_answers(images)
    for variant in benchmark_torch.variants():
        runner = benchmark_torch.TorchRunner(variant)
        answers = runner.infer(images)
        again = runner.infer(images)
        for name, values in expected.items():
            extent = np.abs(values).max()
            assert np.allclose(answers[name], values, 0.05, 0.05 * extent), variant
            assert np.array_equal(answers[name], again[name])
        assert runner.device_s(batch) > 0
        runner.close()
