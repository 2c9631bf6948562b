# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmark feeds the networks, and what they should answer."""

from __future__ import annotations

import importlib
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.tools.benchmark.timing import joined

CROPS = 8
"""Images that show the face (or body), each placed and lit a little differently."""

NOISE_IMAGES = 2
"""Images of noise; a black and a white one come on top."""

# Where a network looks in scikit-image's portrait of 512x512: centre x, centre y and side in
# pixels, from what FaceMesh and BlazePose find there (face 94 x 103) and the regions that
# aitable.perception cuts out (1.5 times the face; 1.25 times the circle around the whole body,
# most of which lies below the picture).
_FACE_PX = (225.0, 124.0, 155.0)
_REGIONS_PX: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        'face_detection': (225.0, 200.0, 340.0),
        'face_detection_full': (225.0, 200.0, 340.0),
        'face_detection_back': (225.0, 200.0, 340.0),
        'pose_detection': (256.0, 256.0, 480.0),
        'pose_landmark': (190.0, 530.0, 1280.0),
    }
)
_SHIFT = 0.06  # of the side, to either direction
_SCALE = (0.85, 1.15)
_BRIGHTNESS = (0.5, 1.2)


class BenchmarkInputsError(RuntimeError):
    """Inputs or references cannot be had; the message says why."""


@dataclass(frozen=True)
class Cases:
    """
    Images for one network, and its answers.

    :param images: uint8 (K, H, W, 3) RGB; the first ``crops`` show what the network is for.
    :param crops: their number; the rest is noise, black and white.
    :param expected: float32 (K, ...) by output; empty when there is no reference.
    :param reference: what gave the expected answers, for people.
    """

    images: npt.NDArray[np.uint8]
    crops: int
    expected: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    reference: str = ''

    def batches(self, size: int) -> list[npt.NDArray[np.uint8]]:
        """
        Return all images in batches of one size.

        :returns: arrays (size, H, W, 3); the last batch goes on with the first images.
        """
        count = len(self.images)
        return [
            np.ascontiguousarray(self.images[np.arange(start, start + size) % count])
            for start in range(0, count, size)
        ]


def make_cases(spec: ModelSpec, seed: int = 0) -> Cases:
    """
    Make images for a network: crops of a real face, noise, black and white.

    Without scikit-image, whose picture it takes, there are no crops.

    :param spec: the network; it has one image input.
    :param seed: for the crops' places and the noise.
    """
    height, width, channels = spec.inputs[0].shape[1:]
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (NOISE_IMAGES, height, width, 3), np.uint8)
    try:
        picture = importlib.import_module('skimage.data').astronaut()
    except ImportError:
        crops: list[npt.NDArray[np.uint8]] = []
    else:
        crops = [_crop(picture, spec.name, (height, width), rng) for _ in range(CROPS)]
    flat = [np.full((height, width, 3), level, np.uint8) for level in (0, 255)]
    images = np.stack([*crops, *noise, *flat])
    if channels == 1:  # luma of ITU-R BT.601
        images = (images @ (0.299, 0.587, 0.114)).round().astype(np.uint8)[..., None]
    return Cases(images, len(crops))


def _crop(
    picture: npt.NDArray[np.uint8], name: str, size: tuple[int, int], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Cut a region of the network out of the picture, in one of many ways."""
    from skimage.transform import AffineTransform, warp

    x, y, side = _REGIONS_PX.get(name, _FACE_PX)
    x, y = (float(v + side * rng.uniform(-_SHIFT, _SHIFT)) for v in (x, y))
    side *= rng.uniform(*_SCALE)
    steps = np.array([side / size[1], side / size[0]])
    into = AffineTransform(scale=steps, translation=(x, y) + (steps - side - 1) / 2)
    pixels = warp(picture, into, output_shape=size, mode='edge', preserve_range=True)
    return np.clip(pixels * rng.uniform(*_BRIGHTNESS), 0, 255).round().astype(np.uint8)


def with_reference(cases: Cases, engine: Engine, reference: str) -> Cases:
    """
    Return the cases with the answers that an engine gives, one image at a time.

    :param cases: the images.
    :param engine: its outputs are what others are compared with.
    :param reference: what it is, for people.
    """
    name = engine.inputs[0].name
    answers = [engine.infer({name: image[None]}) for image in cases.images]
    return replace(cases, expected=joined(answers), reference=reference)


def compare(
    cases: Cases, answers: Mapping[str, npt.NDArray], rows: slice = slice(None)
) -> dict[str, Any] | None:
    """
    Tell how far answers are from the expected ones, at worst.

    :param cases: the images and what is expected.
    :param answers: (K, ...) by output, for all images.
    :param rows: which images to look at.
    :returns: ``output``: the one that is furthest off, relative to its range; ``absolute``: by
        how much, in its own unit; ``relative``: the same as a part of the range that the expected
        values, and zero, span on the same images. The latter two are None where an answer is not
        finite (JSON has no infinity). None where nothing is expected, or no image is among these
        rows.
    """
    found: list[tuple[float, float, str]] = []
    for name, expected in cases.expected.items():
        if not len(expected[rows]):
            return None
        absolute = float(np.abs(answers[name][rows].astype(np.float64) - expected[rows]).max())
        absolute = absolute if math.isfinite(absolute) else math.inf
        extent = float(expected[rows].max(initial=0.0) - expected[rows].min(initial=0.0)) or 1.0
        found.append((absolute / extent, absolute, name))
    if not found:
        return None
    relative, absolute, name = max(found)
    if math.isinf(absolute):
        return {'output': name, 'absolute': None, 'relative': None}
    return {'output': name, 'absolute': absolute, 'relative': relative}


def save_cases(path: Path, cases: Mapping[str, Cases]) -> None:
    """
    Write images and expected answers to a file, for a machine that cannot make them.

    :param path: an .npz file.
    :param cases: by model.
    :raises OSError: when it cannot be written.
    """
    arrays: dict[str, Any] = {}
    for name, case in cases.items():
        arrays[f'{name}/images'] = case.images
        arrays[f'{name}/crops'] = np.array(case.crops)
        arrays[f'{name}/reference'] = np.array(case.reference)
        for output, values in case.expected.items():
            arrays[f'{name}/expected/{output}'] = values
    with path.open('wb') as file:  # savez would add a suffix to a name without one
        np.savez_compressed(file, **arrays)


def load_cases(path: Path, spec: ModelSpec) -> Cases | None:
    """
    Read what :func:`save_cases` wrote for one network.

    :param path: the file.
    :param spec: the network.
    :returns: None when the file has nothing for it.
    :raises BenchmarkInputsError: when the file is no such file, or made for other tensors.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            if f'{spec.name}/images' not in content:
                return None
            images = content[f'{spec.name}/images']
            expected = {o.name: content[f'{spec.name}/expected/{o.name}'] for o in spec.outputs}
            crops = int(content[f'{spec.name}/crops'])
            reference = str(content[f'{spec.name}/reference'])
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise BenchmarkInputsError(f'{path}: no recorded reference: {error}') from error
    pairs = [(spec.inputs[0], images), *((o, expected[o.name]) for o in spec.outputs)]
    for tensor, array in pairs:
        wrong = array.dtype != tensor.dtype or not tensor.accepts(array.shape)
        if wrong or len(array) != len(images) or not 0 <= crops <= len(images):
            raise BenchmarkInputsError(
                f'{path}: recorded for another {spec.name}: expected {tensor}, it has'
                f' {array.dtype.name}{list(array.shape)}'
            )
    return Cases(images, crops, expected, reference)
