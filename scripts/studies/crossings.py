#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Print how often two people who cross five times exchange or lose their ids.

    source scripts/ros_env.sh
    python3 scripts/studies/crossings.py [--video VIDEO] [--root ANOTHER_CHECKOUT]

Two heads swing past each other, one in front of the other by turns, at 30 Hz in 640 x 480: made of
scikit-image's astronaut and her mirror image, and with VIDEO of the face in that video (where it
is in the first image), which goes on moving while it is carried along, and the astronaut. In some
one is gone for two seconds after each crossing; in some four further people sit around. A switch
is a face that has another id than the same person had before.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from skimage import data

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT, RATE_HZ = 640, 480, 30.0
CROSSINGS = 5

Image = npt.NDArray[np.uint8]
Cut = tuple[Image, npt.NDArray[np.float32]]
"""A picture of 240 x 240 with a face of about 100 pixels in its middle, and its mask."""


def rgb(frame: Any) -> Image:
    """Give a frame of a video as RGB."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)


def cut(picture: Image, middle: tuple[float, float], width_px: float) -> Cut:
    """Cut a head out."""
    scale = 100.0 / width_px
    matrix = np.array(
        ((scale, 0.0, 120 - scale * middle[0]), (0.0, scale, 120 - scale * middle[1]))
    )
    mask = np.zeros((240, 240), np.float32)
    cv2.ellipse(mask, (120, 108), (75, 98), 0.0, 0.0, 360.0, 1.0, -1)
    head = cv2.warpAffine(picture, matrix, (240, 240), borderMode=cv2.BORDER_REPLICATE)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), 4.0), np.float32)
    return np.asarray(head, np.uint8), soft


def paste(image: npt.NDArray[np.float32], head: Cut, x: float, y: float, width_px: float) -> None:
    """Draw a head onto an image, in place."""
    scale = width_px / 100.0
    matrix = np.array(((scale, 0.0, x - 120 * scale), (0.0, scale, y - 120 * scale)))
    share = cv2.warpAffine(head[1], matrix, (WIDTH, HEIGHT))[..., None]
    image += share * (cv2.warpAffine(head[0], matrix, (WIDTH, HEIGHT)) - image)


def astronaut() -> Iterator[Cut]:
    """Give the astronaut's head for ever."""
    head = cut(data.astronaut(), (225.0, 115.0), 92.0)
    while True:
        yield head


def mirrored(heads: Iterator[Cut]) -> Iterator[Cut]:
    """Turn heads into somebody else's."""
    for picture, mask in heads:
        yield np.ascontiguousarray(picture[:, ::-1]), mask


def filmed(path: Path, middle: tuple[float, float], width_px: float) -> Iterator[Cut]:
    """Give the head in a video, forwards and backwards for ever."""
    capture, heads = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = capture.read()
        if not there:
            break
        heads.append(cut(rgb(frame), middle, width_px))
    while True:
        yield from heads
        yield from heads[-2:0:-1]


def scene(
    pair: tuple[Iterator[Cut], Iterator[Cut]],
    speed_px_s: float,
    width_px: float,
    *,
    leaves: bool,
    crowd: bool,
) -> Iterator[tuple[Image, dict[str, float]]]:
    """Give the images, and where who is to be seen."""
    reach = 200.0
    once_s = 2 * reach / speed_px_s
    heads = astronaut()
    for i in range(round((CROSSINGS * once_s + 1.0) * RATE_HZ)):
        now = min(i / RATE_HZ / once_s, CROSSINGS)
        number = min(int(now), CROSSINGS - 1)
        way = 2 * abs((now + 1) % 2 - 1) - 1  # between 1 and -1
        places = {'first': 320 - reach * way, 'second': 320 + reach * way}
        since_s = (now - number) * once_s
        if leaves and number and since_s < min(2.0, 0.3 * once_s):
            del places['second' if number % 2 else 'first']
        image = np.full((HEIGHT, WIDTH, 3), 110, np.float32)
        if crowd:
            for k in range(4):
                paste(image, next(heads), 80 + 160 * k, 90, 70.0)
        both = {'first': next(pair[0]), 'second': next(pair[1])}
        y = 320.0 if crowd else 240.0
        for name in sorted(places, reverse=bool(number % 2)):
            paste(image, both[name], places[name], y, width_px)
        apart = abs(places.get('first', 0.0) - places.get('second', 640.0)) > 1.2 * width_px
        yield image.astype(np.uint8), {k: x for k, x in places.items() if apart}


def switches(observer: object, images: Iterator[tuple[Image, dict[str, float]]]) -> str:
    """Count how often somebody's id is another one than before, and the share of images seen."""
    ids: dict[str, list[str]] = {}
    wanted = found = 0
    for i, (image, places) in enumerate(images):
        seen = observer.observe(image, 1.0 + i / RATE_HZ)  # type: ignore[attr-defined]
        faces = [*seen.faces, *getattr(seen, 'waiting', ())]
        for name, x in places.items():
            wanted += 1
            near = [
                face
                for face in faces
                if abs(face.xywh_px[0] + face.xywh_px[2] / 2 - x) < 0.5 * face.xywh_px[2]
                and face.xywh_px[1] > 150
            ]
            if near:
                found += 1
                ids.setdefault(name, []).append(near[0].face_id)
    count = sum(a != b for names in ids.values() for a, b in pairwise(names))
    exchanged = len({name[0] for name in ids.values()} & {name[-1] for name in ids.values()}) != 2
    return f'{count}{", exchanged" if exchanged and count else ""} ({found / wanted:.2f} seen)'


def main() -> int:
    """Run the study; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--video', type=Path)
    parser.add_argument('--root', type=Path, default=ROOT, help='the checkout that runs')
    options = parser.parse_args()
    sys.path.insert(0, str(options.root.resolve()))
    from aitable_ros.model_zoo.loading import loader
    from aitable_ros.perception.faces import observer as faces
    from aitable_ros.perception.faces import pipeline

    cv2.setNumThreads(1)
    values = {'backend': 'auto', 'models_file': '', 'threads': 1}
    values['engines_dir'] = str(ROOT / 'engines')

    def load() -> faces.FaceObserver:
        settings = faces.FaceSettings(pipeline=pipeline.PipelineSettings(max_faces=8))
        return faces.FaceObserver.load(loader(values, logging.getLogger()), settings)

    pairs = {'astronaut': lambda: (astronaut(), mirrored(astronaut()))}
    if options.video is not None:
        there, first = cv2.VideoCapture(str(options.video)).read()
        assert there, f'{options.video} cannot be read'
        (face, *_) = load().observe_still(rgb(first)).faces
        x, y, width, height = face.xywh_px.tolist()
        middle = (x + width / 2, y + height / 2)
        pairs['video'] = lambda: (filmed(options.video, middle, width), mirrored(astronaut()))
    print('| who | face px | speed px/s | | id switches |\n|---|---|---|---|---|')
    for name, pair in pairs.items():
        for width_px, speed_px_s, leaves, crowd in (
            *((110.0, speed, False, False) for speed in (60.0, 150.0, 300.0)),
            (110.0, 150.0, True, False),
            (110.0, 150.0, False, True),
            *((50.0, speed, False, False) for speed in (60.0, 150.0)),
        ):
            observer = load()
            images = scene(pair(), speed_px_s, width_px, leaves=leaves, crowd=crowd)
            said = 'one leaves' if leaves else 'four others' if crowd else ''
            counted = switches(observer, images)
            observer.close()
            row = f'{name} | {width_px:.0f} | {speed_px_s:.0f} | {said} | {counted}'
            print(f'| {row} |', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
