# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What single-shot detectors find: how boxes overlap, and which of them are one object."""

from __future__ import annotations

import numpy as np

from aitable_ros.perception.images.ssd import iou_matrix, weighted_nms


def test_nms_chains_do_not_merge_what_does_not_overlap_the_best():
    # b overlaps a and c, but a and c do not overlap: two results, b goes with the best, a.
    vectors = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [10, 0, 10, 10]], dtype=float)
    merged = weighted_nms(np.array([0.9, 0.6, 0.8]), vectors, 0.3)
    assert [score for score, _ in merged] == [0.9, 0.8]
    np.testing.assert_allclose(merged[0][1], (0.6 * 5 / 1.5, 0, 10, 10))
    np.testing.assert_allclose(merged[1][1], vectors[2])


def test_iou():
    a = np.array([[0, 0, 2, 2], [0, 0, 0, 0]], dtype=float)
    b = np.array([[0, 0, 2, 2], [1, 1, 2, 2], [5, 5, 1, 1], [0, 0, 0, 0]], dtype=float)
    np.testing.assert_allclose(iou_matrix(a, b), [[1, 1 / 7, 0, 0], [0, 0, 0, 0]])
