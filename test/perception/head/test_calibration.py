# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace

import pytest

from aitable_ros.perception.head import calibration as module
from aitable_ros.perception.head.calibration import Calibration
from aitable_ros.perception.head.camera import Camera

K = (600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0)


def camera_info(width=640, height=480, k=K, binning=0):
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    return SimpleNamespace(
        width=width,
        height=height,
        k=k,
        d=(),
        distortion_model='plumb_bob',
        binning_x=binning,
        binning_y=binning,
        roi=roi,
    )


def test_one_of_another_shape_is_used_no_more_until_another_comes():
    calibration = Calibration()
    calibration.take(camera_info())
    assert calibration.for_size((320, 240)) is not None
    assert calibration.for_size((640, 360)) is None
    assert 'is not a resized version of' in calibration.description
    calibration.take(camera_info())
    assert calibration.for_size((640, 480)) is None
    calibration.take(camera_info(height=360))
    assert calibration.for_size((640, 360)) is not None
    assert calibration.description == 'camera_info'


def test_images_without_pixels_are_refused_at_once():
    calibration = Calibration()
    calibration.take(camera_info(binning=1000))
    assert calibration.intrinsics is None
    assert calibration.problem.startswith('camera_info is not used: binning (1000, 1000)')


@pytest.mark.parametrize('k', [K, (0.0, *K[1:])])
def test_what_another_thread_takes_meanwhile_is_for_the_next_image(monkeypatch, k):
    calibration = Calibration()
    calibration.take(camera_info())
    first = calibration.intrinsics

    def meanwhile(*arguments):
        calibration.take(camera_info(height=360, k=k))
        return Camera.from_intrinsics(*arguments)

    monkeypatch.setattr(module, 'Camera', SimpleNamespace(from_intrinsics=meanwhile))
    assert calibration.for_size((640, 480)) is first
