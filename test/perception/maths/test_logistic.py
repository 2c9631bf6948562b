# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Log-odds and probabilities, as SciPy has them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from aitable_ros.perception.maths.logistic import expit, expit_of, logit


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_as_scipys(dtype):
    x = np.array([-np.inf, -1000, -40, -1.5, 0, 0.25, 40, 1000, np.inf, np.nan], dtype)
    got = expit(x)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, special.expit(x), rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize('x', [-np.inf, -1000, -40, -1.5, 0, 0.25, 40, 1000, np.inf, np.nan])
def test_of_one_number(x):
    assert expit_of(x) == pytest.approx(special.expit(x), abs=1e-300, nan_ok=True)


@pytest.mark.parametrize('probability', [0.0, 0.25, 0.5, 0.999, 1.0])
def test_and_back(probability):
    assert logit(probability) == pytest.approx(special.logit(probability))
