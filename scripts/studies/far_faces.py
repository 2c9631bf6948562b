#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Print which share of small faces each detector finds, and what it finds where nobody is.

    source scripts/ros_env.sh
    python3 scripts/studies/far_faces.py PEOPLE [--empty FOLDER]

PEOPLE is a folder of pictures of people and a background.jpg without. The faces of 90 pixels and
more, and scikit-image's astronaut, are pasted one by one into three backgrounds of 640 x 480, at
sizes of 20 to 200 pixels and tilted by up to 45 degrees, and looked for as `analyze` does. A
face's size is the width of its landmarks; it is found where a face is reported within 0.4 of it,
0.6 to 1.6 times as wide.
FOLDER has pictures without people: those of docs/empty_pictures.csv as FOLDER/owner/name/path;
they and some of scikit-image's are looked at as they are and shrunk to 640 pixels.
"""

from __future__ import annotations

import argparse
import csv
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from skimage import data

from aitable_ros.model_zoo.loading import loader
from aitable_ros.perception.faces.observer import DETECTORS, FaceObserver, FaceSettings
from aitable_ros.perception.faces.pipeline_settings import PipelineSettings
from aitable_ros.sources.picture_source import read_picture

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 640, 480
SIZES_PX = (20, 24, 30, 40, 60, 80, 120, 200)
TILTS_DEG = (-45.0, -20.0, 0.0, 20.0, 45.0)
LEAST_PX = 90
EMPTY = (
    *('brick', 'chelsea', 'clock', 'coffee', 'grass', 'gravel', 'hubble_deep_field', 'moon'),
    *('page', 'rocket'),
)
"""Pictures of scikit-image without people."""

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Head:
    """A real face in full: where it is cut out of, its middle there, and its width."""

    picture: Image
    middle_px: tuple[float, float]
    width_px: float

    def paste(self, onto: Image, width_px: float, tilt_deg: float, x: float, y: float) -> Image:
        """Draw the head onto an image, as wide as that, its middle at x, y."""
        reach = 1.6 * self.width_px
        corners = np.clip(
            np.array([self.middle_px]) + np.array([[-reach], [reach]]),
            0,
            self.picture.shape[1::-1],
        ).astype(int)
        (left, upper), (right, lower) = corners.tolist()
        cut = self.picture[upper:lower, left:right]
        scale = width_px / self.width_px
        middle = np.array(self.middle_px) - (left, upper)
        while scale < 0.5:  # as a camera does: every pixel of the original counts
            half = cv2.resize(cut, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            cut = np.asarray(half, np.uint8)
            scale, middle = 2 * scale, middle / 2 - 0.25
        wide = width_px / scale
        cx, cy = middle.tolist()
        mask = np.zeros(cut.shape[:2], np.float32)
        axes = (round(0.72 * wide), round(0.95 * wide))
        cv2.ellipse(mask, (round(cx), round(cy - 0.1 * wide)), axes, 0, 0, 360, 1.0, -1)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.06 * wide), np.float32)
        matrix = cv2.getRotationMatrix2D((cx, cy), tilt_deg, scale)
        matrix[:, 2] += (x - cx, y - cy)
        size = onto.shape[1::-1]
        drawn = cv2.warpAffine(cut, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        share = cv2.warpAffine(mask, matrix, size)[..., None]
        return np.asarray(onto * (1 - share) + drawn * share, np.uint8)


def load(detector: str, **settings: float) -> FaceObserver:
    """Load what looks for faces."""
    values = {'backend': 'auto', 'engines_dir': '', 'models_file': '', 'threads': 1}
    pipeline = PipelineSettings(**{'max_faces': 16, **settings})  # type: ignore[arg-type]
    return FaceObserver.load(
        loader(values, logging.getLogger()), FaceSettings(pipeline=pipeline), detector=detector
    )


def heads(folder: Path, observer: FaceObserver) -> list[Head]:
    """Give the faces of the pictures of a folder, and the astronaut's."""
    pictures = [read_picture(path) for path in sorted(folder.glob('*.jpg'))]
    return [
        Head(picture, (float(x + w / 2), float(y + h / 2)), float(w))
        for picture in [*pictures, data.astronaut()]
        for x, y, w, h in (face.xywh_px for face in observer.observe_still(picture).faces)
        if w >= LEAST_PX
    ]


def backgrounds(folder: Path) -> list[Image]:
    """Give pictures without people."""
    return [
        np.asarray(cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
        for picture in (data.coffee(), data.rocket(), read_picture(folder / 'background.jpg'))
    ]


def composites(
    people: Sequence[Head], onto: Sequence[Image], width_px: float, seed: int
) -> Iterator[tuple[Image, float, float]]:
    """Give images of one face each, and where its middle is."""
    random = np.random.default_rng(seed)
    margin = 0.75 * width_px + 4
    for head in people:
        for tilt in TILTS_DEG:
            for background in onto:
                x = random.uniform(margin, WIDTH - margin)
                y = random.uniform(margin, HEIGHT - margin)
                yield head.paste(background, width_px, tilt, x, y), x, y


def is_found(boxes: Sequence[npt.NDArray], width_px: float, x: float, y: float) -> bool:
    """Tell whether a box is that of the face."""
    return any(
        math.dist((bx + w / 2, by + h / 2), (x, y)) < 0.4 * width_px and 0.6 < w / width_px < 1.6
        for bx, by, w, h in boxes
    )


def empty_pictures(folder: Path) -> Iterator[tuple[str, Image]]:
    """Give the pictures without people, in full and shrunk."""
    pictures = {name: getattr(data, name)() for name in EMPTY}
    with (ROOT / 'docs' / 'empty_pictures.csv').open(encoding='utf-8') as file:
        for row in csv.DictReader(file):
            pictures[row['path']] = read_picture(folder / row['repository'] / row['path'])
    for name, picture in pictures.items():
        if picture.ndim == 2:
            picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
        yield name, picture
        scale = WIDTH / max(picture.shape)
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        yield f'{name} ({WIDTH} px)', small


def main() -> int:
    """Run the study; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('people', type=Path)
    parser.add_argument('--empty', type=Path)
    parser.add_argument('--min-face-px', type=float, default=14.0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    observers = {
        name: load(name, min_face_px=options.min_face_px) for name in DETECTORS if name != 'back'
    }
    people = heads(options.people, observers['auto'])
    onto = backgrounds(options.people)
    count = len(people) * len(TILTS_DEG) * len(onto)
    print(f'{len(people)} faces, {count} images of each size; found, of 1 (besides)')
    print('| face px | ' + ' | '.join(observers) + ' |\n|---' * 1 + '|---' * len(observers) + '|')
    for width_px in SIZES_PX:
        hits, besides = dict.fromkeys(observers, 0), dict.fromkeys(observers, 0)
        for image, x, y in composites(people, onto, width_px, width_px):
            for name, observer in observers.items():
                boxes = [face.xywh_px for face in observer.observe_still(image).faces]
                hit = is_found(boxes, width_px, x, y)
                hits[name] += hit
                besides[name] += len(boxes) - hit
        cells = (f'{hits[name] / count:.3f} ({besides[name]})' for name in observers)
        print(f'| {width_px} | ' + ' | '.join(cells) + ' |', flush=True)
    if options.empty is not None:
        for name, picture in empty_pictures(options.empty):
            for detector, observer in observers.items():
                for face in observer.observe_still(picture).faces:
                    box = face.xywh_px.round().tolist()
                    print(f'{name}: {detector} found {box}, score {face.confidence:.2f}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
