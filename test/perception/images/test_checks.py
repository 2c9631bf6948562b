# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Arrays that are not what they should be are refused, with what came."""

from __future__ import annotations

import re

import numpy as np
import pytest

from aitable_ros.perception.images.checks import check_float32, check_image


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((4, 4), dtype=np.uint8),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((4, 4, 3), dtype=np.float32),
        np.zeros((0, 4, 3), dtype=np.uint8),
        None,
    ],
)
def test_what_is_not_an_rgb_image_is_refused(image):
    with pytest.raises(ValueError, match=r'expected an image uint8\[H,W,3\]'):
        check_image(image)


@pytest.mark.parametrize(
    ('array', 'got'),
    [
        (np.zeros((6, 3), np.float32), 'float32(6, 3)'),
        (np.zeros((6, 2)), 'float64(6, 2)'),
        (np.zeros(12, np.float32), 'float32(12,)'),
    ],
)
def test_another_shape_or_type_is_refused(array, got):
    check_float32('points_px', np.zeros((6, 2), np.float32), (6, 2))
    complaint = f'points_px: expected float32[6,2], got {got}'
    with pytest.raises(ValueError, match=re.escape(complaint)):
        check_float32('points_px', array, (6, 2))
