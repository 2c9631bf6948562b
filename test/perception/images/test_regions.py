# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Regions of an image go to the network as crops, or the image and where they are."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from warped import warp

from aitable_ros.perception.images import regions
from aitable_ros.perception.images.regions import infer_regions
from aitable_ros.perception.images.roi import RotatedRoi

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
ROIS = [RotatedRoi(30.0, 20.0, 40.0, 0.3), RotatedRoi(70.0, 50.0, 25.0, -1.0)]


def engine(*, cuts_crops):
    """Return one that answers with the crops that it sees."""
    return SimpleNamespace(
        cuts_crops=cuts_crops,
        infer=lambda inputs: {'crops': inputs['image'].copy()},
        infer_crops=lambda image, maps, *, replicate: {
            'crops': warp(image, maps, (32, 32), replicate=replicate),
            'maps': maps,
        },
    )


@pytest.mark.parametrize('border', [cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT])
def test_an_engine_that_cuts_crops_sees_the_same(border):
    given, to_images = infer_regions(engine(cuts_crops=False), IMAGE, ROIS, 32, border=border)
    cut, same = infer_regions(engine(cuts_crops=True), IMAGE, ROIS, 32, border=border)
    np.testing.assert_array_equal(cut['crops'], given['crops'])
    np.testing.assert_array_equal(cut['maps'], to_images)
    np.testing.assert_array_equal(same, to_images)


def test_images_too_large_for_opencv_s_indices_are_cut_here(monkeypatch):
    monkeypatch.setattr(regions, 'MAX_SIDE_PX', 79)
    outputs, _ = infer_regions(engine(cuts_crops=True), IMAGE, ROIS, 32)
    assert 'maps' not in outputs
