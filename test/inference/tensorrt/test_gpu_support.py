# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which TensorRT is known to have no kernels for which GPU, and what its refusals mean."""

from __future__ import annotations

import pytest

from aitable_ros.inference.tensorrt.gpu_support import explain_unsupported, trouble_on


@pytest.mark.parametrize(
    ('capability', 'version', 'from_pip', 'fine'),
    [
        ('8.7', '10.7.0', True, False),
        ('8.7', '10.13.3.9', True, False),
        ('8.7', '10.16.0.5', True, False),
        ('8.7', '10.16.1.11', True, True),
        ('8.7', '11.4.1', True, True),
        ('8.7', '10.3.0', False, True),  # of JetPack 6
        ('8.7', '10.13.3.9', False, False),  # of apt, for servers
        ('8.6', '10.7.0', True, True),
    ],
)
def test_orin_needs_jetpack_s_own_or_10_16_1(capability, version, from_pip, fine):
    trouble = trouble_on(capability, version, from_pip=from_pip)
    assert (trouble == '') is fine
    if not fine:
        assert trouble.startswith(f'TensorRT {version} for servers has no kernels for Orin')
        assert 'python3-libnvinfer' in trouble
        assert '10.16.1.11' in trouble


@pytest.mark.parametrize(
    ('said', 'told'),
    [
        (
            'IBuilder::buildSerializedNetwork: Error Code 9: API Usage Error (Target GPU SM 87 is'
            ' not supported by this TensorRT release.)',
            'no kernels for Orin: on a Jetson Orin use',
        ),
        ('Target GPU SM 120 is not supported by this TensorRT release.', '12.0: a newer one may'),
        ('Error Code 1: Internal Error (Unsupported SM: 0x601)', 'compute capability 6.1'),
        ('Error Code 2: OutOfMemory', ''),
    ],
)
def test_a_refusal_of_the_gpu_is_explained_with_its_cure(said, told):
    explained = explain_unsupported(said)
    assert told in explained
    assert bool(explained) is bool(told)
