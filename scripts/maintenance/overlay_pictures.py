#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Make the pictures of the overlay in docs/: the real nodes on the built-in sample.

``overlay.jpg`` is one person at 640 x 480, ``overlay_two.jpg`` two people at 1280 x 720,
``overlay_posture.jpg`` somebody who sits still and then leans to the side, and ``overlay.webp`` a
film of one person who blinks and whose eyes then stay closed for two seconds. The nodes
are fed frame by frame without anything being published, so that the pictures are the same every
time. With ``--all`` further ones are written that show the limits: the first seconds, a face that
leaves the image, a tiny image.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import rclpy
from rclpy.parameter import Parameter
from skimage import data
from std_msgs.msg import Header

from aitable_ros.nodes.attention_node import AttentionNode
from aitable_ros.nodes.emotion_node import EmotionNode
from aitable_ros.nodes.face_detection_node import FaceDetectionNode
from aitable_ros.nodes.fatigue_node import FatigueNode
from aitable_ros.nodes.overlay_node import OverlayNode
from aitable_ros.nodes.posture_node import PostureNode
from aitable_ros.paths import engines_dir
from aitable_ros.perception.images.decoding import image_to_rgb
from aitable_ros.ros_support.frames.frame_hub import Frame
from aitable_ros.ros_support.frames.image_conversion import rgb_to_image
from aitable_ros.ros_support.messages.faces_with_fatigue import FacesWithFatigue
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.simulation import AstronautSequence

ROOT = Path(__file__).resolve().parents[2]
Image = npt.NDArray[np.uint8]
FPS = 30
WATCH_S = 40.0  # before the picture: a level of fatigue takes half a minute
FILM_SIZE = (480, 360)
RESAMPLING = PIL.Image.Resampling.LANCZOS
AHEAD = 10 * FPS
START_S = 1000


class Pipeline:
    """The nodes, configured but not spun."""

    def __init__(self, *, posture: bool = False) -> None:
        offline = Parameter('autostart', value=False)
        engines = Parameter('engines_dir', value=str(engines_dir()))
        self.faces = FaceDetectionNode(parameter_overrides=[offline, engines])
        self.emotion = EmotionNode(parameter_overrides=[offline])
        self.fatigue = FatigueNode(parameter_overrides=[offline, engines])
        self.attention = AttentionNode(parameter_overrides=[offline])
        self.overlay = OverlayNode(parameter_overrides=[offline])
        self._nodes: tuple[ManagedNode, ...] = (
            self.faces,
            self.emotion,
            self.fatigue,
            self.attention,
            self.overlay,
        )
        self.posture: PostureNode | None = None
        if posture:
            self.posture = PostureNode(parameter_overrides=[offline, engines])
            self._nodes = (*self._nodes, self.posture)
        for node in self._nodes:
            node.trigger_configure()

    def show(self, picture: Image, index: int, draw: bool) -> Image | None:
        """Work on one frame; give the overlay if it is to be drawn."""
        header = Header(frame_id='camera_optical_frame')
        header.stamp.sec, rest = START_S + index // FPS, index % FPS
        header.stamp.nanosec = rest * 1_000_000_000 // FPS
        frame = Frame(rgb_to_image(np.ascontiguousarray(picture), header, 'rgb8'))
        for node in (self.emotion, self.fatigue):
            node.frames.add(frame)
        ((_, faces),) = self.faces.results_of(frame)
        for _, message in self.emotion.results_of(faces):
            self.overlay.found.take_emotion(message)
        both = FacesWithFatigue(faces)
        for publisher, message in self.fatigue.results_of(faces):
            if publisher.topic_name == '/fatigue':
                self.overlay.found.take_fatigue(message)
                both.take(message)
        for publisher, message in self.attention.results_of(both):
            if publisher.topic_name == '/attention':
                self.overlay.found.take_attention(message)
        if self.posture is not None:
            for _, message in self.posture.results_of(frame):
                self.overlay.found.take_posture(message)
        if not draw:
            return None
        self.overlay.frames.add(frame)
        for publisher, message in self.overlay.results_of(faces):
            if publisher.topic_name == '/overlay':
                return image_to_rgb(message)
        return None

    def close(self) -> None:
        """Free the networks."""
        for node in self._nodes:
            node.destroy_node()


def one(index: int) -> Image:
    """Give one person at 640 x 480."""
    return _frame(640, 480, index)


def two(index: int) -> Image:
    """Give two people at 1280 x 720, the second one mirrored and ten seconds ahead."""
    right = _frame(640, 720, index + AHEAD)[:, ::-1]
    return np.hstack((_frame(640, 720, index), right))


def leaning(index: int) -> Image:
    """Give a person at 640 x 480 who leans to the side after half a minute."""
    picture = data.astronaut()[:384]
    angle_deg = float(np.clip(index - 30 * FPS, 0, 14))
    turn = np.asarray(cv2.getRotationMatrix2D((210.0, 384.0), angle_deg, 640 / 512), np.float64)
    turn[:, 2] += (110.0, 96.0)
    # a little noise, as cameras have: nobody is ever perfectly still
    noise = np.random.default_rng(index).normal(0.0, 2.0, (480, 640, 3))
    turned = cv2.warpAffine(picture, turn, (640, 480), borderMode=cv2.BORDER_REPLICATE)
    return np.clip(turned + noise, 0, 255).astype(np.uint8)


def leaving(index: int) -> Image:
    """Give a person who slides out of a 640 x 480 image."""
    picture = _frame(640, 480, index)
    return np.roll(picture, min(2 * index, 270), axis=1)


def tiny(index: int) -> Image:
    """Give a thumbnail."""
    return np.asarray(cv2.resize(_frame(640, 480, index), (160, 120), None, 0, 0, cv2.INTER_AREA))


_SEQUENCES: dict[tuple[int, int], AstronautSequence] = {}


def _frame(width: int, height: int, index: int) -> Image:
    sequence = _SEQUENCES.setdefault((width, height), AstronautSequence(width, height, FPS, 120.0))
    return sequence.frame(index)


def make(
    source: Callable[[int], Image],
    until_s: float,
    path: Path,
    *,
    watch_s: float = WATCH_S,
    posture: bool = False,
    quality: int = 88,
) -> None:
    """Run the nodes up to this second of the sample and write the last overlay."""
    pipeline = Pipeline(posture=posture)
    last = round(until_s * FPS)
    try:
        for index in range(max(last - round(watch_s * FPS), 0), last):
            pipeline.show(source(index), index, draw=False)
        picture = pipeline.show(source(last), last, draw=True)
    finally:
        pipeline.close()
    assert picture is not None
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, quality]):
        raise OSError(f'cannot write {path}')
    print(f'{path}: {picture.shape[1]} x {picture.shape[0]}, second {until_s:g} of the sample')


def make_film(from_s: float, until_s: float, path: Path, *, quality: int = 75) -> None:
    """Write the overlays between these seconds of the sample, every third of them, as WebP."""
    pipeline = Pipeline()
    every = 3
    pictures = []
    try:
        for index in range(max(round((from_s - WATCH_S) * FPS), 0), round(until_s * FPS)):
            drawn = index >= from_s * FPS and index % every == 0
            picture = pipeline.show(one(index), index, draw=drawn)
            if picture is not None:
                pictures.append(PIL.Image.fromarray(picture).resize(FILM_SIZE, RESAMPLING))
    finally:
        pipeline.close()
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=1000 * every // FPS,
        loop=0,
        quality=quality,
        method=6,
    )
    print(f'{path}: {len(pictures)} pictures, {path.stat().st_size} bytes')


def main() -> None:
    parser = argparse.ArgumentParser(description='make the pictures of the overlay in docs/')
    parser.add_argument('--out', type=Path, default=ROOT / 'docs')
    parser.add_argument('--all', action='store_true', help='write those that show limits, too')
    options = parser.parse_args()
    rclpy.init()
    try:
        make(one, 51.7, options.out / 'overlay.jpg')
        make(two, 41.7, options.out / 'overlay_two.jpg')
        make(leaning, 40.0, options.out / 'overlay_posture.jpg', posture=True)
        make_film(29.0, 35.0, options.out / 'overlay.webp')
        if options.all:
            make(one, 51.7, options.out / 'first_seconds.jpg', watch_s=2.0)
            make(leaving, 3.5, options.out / 'leaving.jpg')
            make(tiny, 3.5, options.out / 'tiny.jpg')
    finally:
        rclpy.shutdown()


if __name__ == '__main__':
    main()
