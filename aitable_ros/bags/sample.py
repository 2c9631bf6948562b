# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A bag of the built-in sample sequence, for tests and for trying things out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rosbags.typesys import Stores, get_typestore

from aitable_ros.bags.definitions import find_definition
from aitable_ros.bags.errors import BagError
from aitable_ros.bags.reading import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE
from aitable_ros.bags.writing import BagTarget, BagWriter, offered_qos

LOG_DELAY_NS = 15_000_000
"""How long after its stamp an image is logged, as by a camera driver and a recorder [ns]."""

FOV_RAD = math.radians(62.2)
"""Horizontal field of view of the calibration: that of a Raspberry Pi camera v2."""

_NS = 1_000_000_000


@dataclass(frozen=True)
class SampleBag:
    """
    What a sample bag holds.

    :param seconds: its length [s].
    :param fps: images per second.
    :param size_px: width and height of the images.
    :param raw: write raw images (bgr8) on ``topic``.
    :param compressed: write JPEG images on ``topic``/compressed.
    :param camera_info: write the camera's calibration on ``camera_info`` beside ``topic``.
    :param topic: of the raw images; those of the others follow from it.
    :param frame_id: of the camera.
    :param start_ns: stamp of the first image [ns].
    :param jpeg_quality: 1 to 100.
    """

    seconds: float = 10.0
    fps: float = 15.0
    size_px: tuple[int, int] = (640, 480)
    raw: bool = False
    compressed: bool = True
    camera_info: bool = True
    topic: str = '/image_raw'
    frame_id: str = 'camera_optical_frame'
    start_ns: int = 1_700_000_000 * _NS
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        if not (0 < self.seconds < math.inf and 0 < self.fps <= 1000):
            raise BagError(f'{self.seconds} s at {self.fps} Hz: out of range')
        if not (self.raw or self.compressed):
            raise BagError('neither raw nor compressed images: nothing to write')
        if not self.topic.startswith('/') or self.topic.endswith('/'):
            raise BagError(f'topic {self.topic!r} is no absolute topic name')
        if not 1 <= self.jpeg_quality <= 100:
            raise BagError(f'JPEG quality {self.jpeg_quality}: expected 1..100')


def make_sample_bag(target: BagTarget, content: SampleBag, *, force: bool = False) -> int:
    """
    Write a bag of the built-in sample sequence.

    The same content makes the same bytes (with the same versions of OpenCV and scikit-image).

    :param target: where and how.
    :param content: what.
    :param force: replace the bag that is there.
    :returns: the number of images per topic.
    :raises BagError: when it cannot be written or scikit-image is missing.
    """
    from aitable_ros.simulation import AstronautSequence

    width, height = content.size_px
    try:
        sequence = AstronautSequence(width, height, content.fps, content.seconds)
    except (ImportError, ValueError) as error:
        raise BagError(f'built-in sample: {error}') from error
    messages = ImageMessages(content)
    camera_qos = offered_qos(reliable=False, depth=5)
    with BagWriter(target, force=force) as bag:
        topics: dict[str, Any] = {}
        wanted = (
            (CAMERA_INFO, content.topic.rpartition('/')[0] + '/camera_info', content.camera_info),
            (IMAGE, content.topic, content.raw),
            (COMPRESSED_IMAGE, content.topic + '/compressed', content.compressed),
        )
        for type_name, topic, chosen in wanted:
            definition = find_definition(type_name)
            if chosen and definition is not None:
                topics[type_name] = bag.add_topic(topic, definition, camera_qos)
        for index in range(len(sequence)):
            stamp_ns = content.start_ns + round(sequence.stamp_s(index) * _NS)
            image = sequence.frame(index)
            for type_name, topic in topics.items():
                data = messages.make(type_name, stamp_ns, image)
                bag.write(topic, stamp_ns + LOG_DELAY_NS, data)
    return len(sequence)


class ImageMessages:
    """
    Makes serialised messages without ROS, by the types that ``rosbags`` brings.

    :param content: frame and quality of the images.
    """

    def __init__(self, content: SampleBag) -> None:
        self._content = content
        self._store = get_typestore(Stores.LATEST)

    def make(self, type_name: str, stamp_ns: int, rgb: npt.NDArray[np.uint8]) -> bytes:
        """Make an image, or its calibration, of (H, W, 3) RGB."""
        fill = {
            IMAGE: self._image,
            COMPRESSED_IMAGE: self._compressed,
            CAMERA_INFO: self._camera_info,
        }[type_name]
        seconds, nanoseconds = divmod(stamp_ns, _NS)
        stamp = self._new('builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds)
        header = self._new('std_msgs/msg/Header', stamp=stamp, frame_id=self._content.frame_id)
        message = self._new(type_name, header=header, **fill(rgb))
        return bytes(self._store.serialize_cdr(message, type_name))

    def _new(self, type_name: str, **fields: Any) -> Any:
        return self._store.types[type_name](**fields)

    def _image(self, rgb: npt.NDArray[np.uint8]) -> dict[str, Any]:
        height, width = rgb.shape[:2]
        return {
            'height': height,
            'width': width,
            'encoding': 'bgr8',
            'is_bigendian': 0,
            'step': 3 * width,
            'data': np.ascontiguousarray(rgb[..., ::-1]).reshape(-1),
        }

    def _compressed(self, rgb: npt.NDArray[np.uint8]) -> dict[str, Any]:
        quality = [cv2.IMWRITE_JPEG_QUALITY, self._content.jpeg_quality]
        done, encoded = cv2.imencode('.jpg', np.ascontiguousarray(rgb[..., ::-1]), quality)
        if not done:
            raise BagError(f'JPEG encoder refused an image of {rgb.shape[1]}x{rgb.shape[0]}')
        return {
            'format': 'bgr8; jpeg compressed bgr8',
            'data': np.asarray(encoded, np.uint8).reshape(-1),
        }

    def _camera_info(self, rgb: npt.NDArray[np.uint8]) -> dict[str, Any]:
        height, width = rgb.shape[:2]
        focal_px = 0.5 * width / math.tan(0.5 * FOV_RAD)
        k = np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]])
        none = {'x_offset': 0, 'y_offset': 0, 'height': 0, 'width': 0, 'do_rectify': False}
        return {
            'height': height,
            'width': width,
            'distortion_model': 'plumb_bob',
            'd': np.zeros(5),
            'k': k.reshape(-1),
            'r': np.eye(3).reshape(-1),
            'p': np.hstack([k, np.zeros((3, 1))]).reshape(-1),
            'binning_x': 0,
            'binning_y': 0,
            'roi': self._new('sensor_msgs/msg/RegionOfInterest', **none),
        }
