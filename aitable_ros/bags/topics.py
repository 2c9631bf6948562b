# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag hold the images and their calibration."""

from __future__ import annotations

from aitable_ros.bags.errors import BagError
from aitable_ros.bags.reading import CAMERA_INFO, BagTopic, Recording

DEFAULT_IMAGE_TOPICS = ('/image_raw', '/image_raw/compressed')
"""Taken where a bag has several topics of images and none was named."""


def choose_images(bag: Recording, name: str) -> BagTopic | None:
    """
    Choose the topic of the images.

    :param bag: the bag.
    :param name: the topic that was asked for; empty: the only one, else the first of
        :data:`DEFAULT_IMAGE_TOPICS`.
    :returns: the topic, or None where none was asked for and there is none.
    :raises BagError: when it is not there, holds something else, or there are several; the
        message lists those that there are.
    """
    images = [topic for topic in bag.images if topic.count]
    listing = ', '.join(f'{topic.name} ({topic.type_name.rpartition("/")[2]})' for topic in images)
    if name:
        topic = bag.topic(name)
        if topic is not None and topic.is_image and topic.count:
            return topic
        if topic is None:
            problem = f'there is no topic {name}'
        elif topic.is_image:
            problem = f'there is no message on {name}'
        else:
            problem = f'{name} holds {topic.type_name}, not images'
        raise BagError(f'{bag.path}: {problem}; topics of images: {listing or "none"}')
    if len(images) <= 1:
        return images[0] if images else None
    for default in DEFAULT_IMAGE_TOPICS:
        for topic in images:
            if topic.name == default:
                return topic
    raise BagError(f'{bag.path}: choose the images with --image-topic: {listing}')


def choose_camera_info(
    bag: Recording, images: BagTopic | None, name: str | None
) -> BagTopic | None:
    """
    Choose the topic of the calibration that belongs to the images.

    :param bag: the bag.
    :param images: topic of the images.
    :param name: the topic that was asked for; empty: ``camera_info`` beside the images; None: do
        without.
    :returns: the topic, or None where none was asked for and there is none.
    :raises BagError: when there is no calibration on the topic that was asked for; the message
        lists those that there are.
    """
    if name is None:
        return None
    if not name:
        if images is None:
            return None
        base = images.name.removesuffix('/compressed')
        topic = bag.topic(f'{base.rpartition("/")[0]}/camera_info')
        return topic if topic is not None and topic.type_name == CAMERA_INFO else None
    topic = bag.topic(name)
    if topic is None or topic.type_name != CAMERA_INFO:
        there = ', '.join(t.name for t in bag.topics if t.type_name == CAMERA_INFO)
        raise BagError(f'{bag.path}: no {CAMERA_INFO} on {name}; there is: {there or "none"}')
    return topic
