# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The images of a bag with their calibration, without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rosbags.typesys import Stores, get_typestore

from aitable_ros.bags.errors import BagError, one_line
from aitable_ros.bags.reading import CAMERA_INFO, IMAGE_TYPES, BagReader, BagTopic, Recording
from aitable_ros.perception.images.decoding import ImageConversionError, image_to_rgb


@dataclass(frozen=True, eq=False)
class BagImage:
    """
    One image of a bag.

    :param stamp_ns: header stamp [ns].
    :param image: (H, W, 3) uint8 RGB; None: it was refused.
    :param problem: why it was refused.
    :param camera_info: the last sensor_msgs/CameraInfo before it in the bag; None: there was none.
    :param frame_id: of the header.
    """

    stamp_ns: int
    image: npt.NDArray[np.uint8] | None
    problem: str
    camera_info: Any
    frame_id: str = ''


def images_of(
    bag: BagReader, images: BagTopic, camera_info: BagTopic | None = None
) -> Iterator[BagImage]:
    """
    Give the images in the order of their log time.

    :param bag: an open bag.
    :param images: its topic of images.
    :param camera_info: its topic of the calibration; None: without.
    :raises BagError: when the bag is damaged.
    """
    store = get_typestore(Stores.LATEST)
    calibration: Any = None
    topics = [topic for topic in (images, camera_info) if topic is not None]
    for message in bag.messages(topics):
        type_name = message.topic.type_name
        assert type_name in (*IMAGE_TYPES, CAMERA_INFO)
        try:
            content: Any = store.deserialize_cdr(message.data, type_name)
        except Exception as error:  # struct, index and decoding errors of what the bag holds
            if message.topic is images:
                yield BagImage(0, None, f'cannot be read: {one_line(error)}', calibration)
            continue
        if message.topic is not images:
            calibration = content
            continue
        stamp = content.header.stamp
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        try:
            image, frame_id = image_to_rgb(content), content.header.frame_id
            yield BagImage(stamp_ns, image, '', calibration, frame_id)
        except ImageConversionError as error:
            yield BagImage(stamp_ns, None, str(error), calibration)


def require_images(bag: Recording, images: BagTopic | None) -> BagTopic:
    """
    Return the topic of images.

    :raises BagError: when there is none; the message lists what there is.
    """
    if images is None:
        topics = ', '.join(f'{t.name} ({t.type_name})' for t in bag.topics)
        raise BagError(f'{bag.path}: no images in it; its topics: {topics or "none"}')
    return images
