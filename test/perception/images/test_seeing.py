# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What can be seen in an image: the sample's picture, darkened, blurred, overexposed, covered."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from skimage import data

from aitable_ros.perception.images.seeing import Seeing, SeeingObserver, SeeingSettings

PICTURE = cv2.resize(data.astronaut(), (640, 640), interpolation=cv2.INTER_AREA)[:480]
FACE = np.array((220.0, 80.0, 130.0, 150.0), np.float32)


def darkened(share: float) -> np.ndarray:
    return (PICTURE * share).astype(np.uint8)


def blurred(sigma_px: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(PICTURE, (0, 0), sigma_px), np.uint8)


def overexposed() -> np.ndarray:
    return np.clip(PICTURE.astype(np.float32) * 3, 0, 255).astype(np.uint8)


def covered() -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 3, PICTURE.shape)
    return np.clip(np.array((60, 20, 15)) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ('image', 'seeing'),
    [
        (PICTURE, Seeing.CLEAR),
        (darkened(0.5), Seeing.CLEAR),
        (darkened(0.1), Seeing.TOO_DARK),
        (blurred(2.0), Seeing.CLEAR),
        (blurred(8.0), Seeing.BLURRED),
        (overexposed(), Seeing.GLARE),
        (covered(), Seeing.COVERED),
        (np.zeros((480, 640, 3), np.uint8), Seeing.COVERED),
    ],
)
def test_a_picture(image, seeing) -> None:
    assert SeeingObserver().observe(image, math.nan) is seeing


def test_in_a_stream_another_state_has_to_last() -> None:
    observer, found = SeeingObserver(), []
    for i in range(60):
        image = covered() if 20 <= i < 23 or i >= 40 else PICTURE
        found.append(observer.observe(image, i / 10))
    assert set(found[:40]) == {Seeing.CLEAR}
    assert found[-1] is Seeing.COVERED
    assert found.index(Seeing.COVERED) == pytest.approx(40 + 12, abs=5)


def test_images_are_looked_at_twice_a_second() -> None:
    observer = SeeingObserver(SeeingSettings(confirm_s=0.0))
    assert observer.observe(PICTURE, 10.0) is Seeing.CLEAR
    assert observer.observe(covered(), 10.4) is Seeing.CLEAR
    assert observer.observe(covered(), 10.5) is Seeing.COVERED
    observer.reset()
    assert observer.observe(PICTURE, 10.6) is Seeing.CLEAR


class TestFaces:
    def look(self, image: np.ndarray, box=FACE) -> Seeing:
        observer = SeeingObserver()
        observer.observe(image, math.nan)
        return observer.of_face(image, 'f1', np.asarray(box, np.float32))

    def test_dark_and_bright(self) -> None:
        assert self.look(PICTURE) is Seeing.CLEAR
        assert self.look(darkened(0.1)) is Seeing.TOO_DARK
        bright = PICTURE.copy()
        bright[80:230, 220:290] = 255
        assert self.look(bright) is Seeing.GLARE

    @pytest.mark.parametrize(
        'box', [(-500, 0, 10, 10), (0, 0, 0, 0), (math.nan, 0, 9, 9), (1e30, 0, 1e30, 9)]
    )
    def test_a_box_that_is_not_in_the_picture_says_nothing(self, box) -> None:
        assert self.look(PICTURE, box) is Seeing.CLEAR

    def test_a_face_is_judged_anew_with_its_image(self) -> None:
        observer, dark = SeeingObserver(), darkened(0.1)
        observer.observe(PICTURE, 1.0)
        assert observer.of_face(PICTURE, 'f1', FACE) is Seeing.CLEAR
        observer.observe(dark, 1.1)
        assert observer.of_face(dark, 'f1', FACE) is Seeing.CLEAR
        assert observer.of_face(dark, 'f2', FACE) is Seeing.TOO_DARK
        observer.observe(dark, 1.6)
        assert observer.of_face(dark, 'f1', FACE) is Seeing.TOO_DARK
