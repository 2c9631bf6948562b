# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the perception tests share: the two face networks, a scripted engine, pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from skimage import data

from aitable_ros.inference.engine import Engine
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import load_engine
from aitable_ros.model_zoo.catalog import CONTRACTS

Outputs = Mapping[str, npt.NDArray]


class ScriptedEngine(Engine):
    """Answers every call with the same outputs; keeps the images it was given."""

    backend = 'scripted'

    def __init__(self, spec: ModelSpec, answer: Callable[[npt.NDArray], Outputs]) -> None:
        super().__init__(spec, Path('none'))
        self.answer = answer
        self.images: list[npt.NDArray] = []

    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        self.images.append(inputs['image'].copy())
        return dict(self.answer(inputs['image']))

    def _close(self) -> None:
        pass


@pytest.fixture
def scripted_engine() -> Callable[[str, Callable[[npt.NDArray], Outputs]], ScriptedEngine]:
    """Make an engine of the named model that answers what the function says."""
    return lambda name, answer: ScriptedEngine(CONTRACTS[name], answer)


@pytest.fixture(scope='session')
def detection_engine(catalog: dict[str, ModelSpec], engines_dir: Path) -> Iterator[Engine]:
    with load_engine(catalog['face_detection'], engines_dir=engines_dir).engine as engine:
        yield engine


@pytest.fixture(scope='session')
def mesh_engine(catalog: dict[str, ModelSpec], engines_dir: Path) -> Iterator[Engine]:
    with load_engine(catalog['face_attention'], engines_dir=engines_dir).engine as engine:
        yield engine


@pytest.fixture(scope='session')
def astronaut() -> npt.NDArray[np.uint8]:
    """One face of about 95 pixels in 512x512; her eyes are near (205, 103) and (246, 106)."""
    image = np.ascontiguousarray(data.astronaut())
    image.flags.writeable = False
    return image


@pytest.fixture(scope='session')
def place_astronaut(
    astronaut: npt.NDArray[np.uint8],
) -> Callable[..., npt.NDArray[np.uint8]]:
    """Draw the picture so that the face's middle is at x, y, scaled and turned."""

    def place(
        x: float,
        y: float,
        scale: float = 1.0,
        degrees: float = 0.0,
        size: tuple[int, int] = (640, 480),
    ) -> npt.NDArray[np.uint8]:
        matrix = cv2.getRotationMatrix2D((225.0, 120.0), degrees, scale)
        matrix[:, 2] += (x - 225.0, y - 120.0)
        return cv2.warpAffine(astronaut, matrix, size, borderMode=cv2.BORDER_REPLICATE)

    return place


@pytest.fixture(scope='session')
def paste_head(
    astronaut: npt.NDArray[np.uint8],
) -> Callable[..., npt.NDArray[np.uint8]]:
    """Draw the head alone onto an image, over what is there, its middle at x, y."""
    mask = np.zeros(astronaut.shape[:2], dtype=np.float32)
    cv2.ellipse(mask, (225, 105), (78, 105), 0.0, 0.0, 360.0, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 4.0)

    def paste(
        image: npt.NDArray[np.uint8], x: float, y: float, *, mirrored: bool = False
    ) -> npt.NDArray[np.uint8]:
        scale, side = 1.2, 280
        left, upper = int(x) - side // 2, int(y) - side // 2
        flip = -1.0 if mirrored else 1.0
        matrix = np.array(
            (
                (flip * scale, 0.0, x - left - flip * scale * 225.0),
                (0.0, scale, y - upper - scale * 110.0),
            )
        )
        head = cv2.warpAffine(astronaut, matrix, (side, side))
        alpha = cv2.warpAffine(mask, matrix, (side, side))[..., None]
        inside = np.s_[
            max(-upper, 0) : image.shape[0] - upper, max(-left, 0) : image.shape[1] - left
        ]
        image = image.copy()
        below = image[max(upper, 0) : upper + side, max(left, 0) : left + side]
        below[:] = below * (1.0 - alpha[inside]) + head[inside] * alpha[inside]
        return image

    return paste
