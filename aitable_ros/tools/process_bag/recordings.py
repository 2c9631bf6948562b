# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What process_bag reads: bags, and videos as if they were bags."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from aitable_ros.bags import BagError, BagMessage, BagReader, BagTopic, TypeDefinition
from aitable_ros.bags.definitions import find_definition
from aitable_ros.bags.reading import IMAGE, Recording
from aitable_ros.bags.sample import ImageMessages, SampleBag
from aitable_ros.sources import SourceError
from aitable_ros.tools.analyze.inputs import VideoInput

VIDEO_SUFFIXES = ('.mp4', '.mov', '.m4v', '.mkv', '.webm', '.avi', '.flv')
VIDEO_TOPIC = '/image_raw'


def is_video(path: Path) -> bool:
    """Tell whether a file is a video, by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


class VideoRecording:
    """
    A video as a bag with one topic of raw images.

    Stamps begin at 0: a video has no date. Use it as a context manager.

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.storage = 'mcap'
        self.others: tuple[str, ...] = ()
        self.losses: tuple[str, ...] = ()
        self.start_ns = self.end_ns = 0
        self._video = VideoInput(str(path), path)
        self.topics: tuple[BagTopic, ...] = ()

    @property
    def images(self) -> tuple[BagTopic, ...]:
        """The topic."""
        return self.topics

    def topic(self, name: str) -> BagTopic | None:
        """Return the topic of this name, or None."""
        return next((topic for topic in self.topics if topic.name == name), None)

    def definition(self, topic: BagTopic) -> TypeDefinition | None:
        """Give the definition of its type."""
        return find_definition(topic.type_name)

    def messages(
        self,
        topics: Collection[BagTopic] | None = None,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[BagMessage]:
        """
        Give the frames.

        :raises BagError: when the file cannot be read.
        """
        (topic,) = self.topics
        if topics is not None and topic not in topics:
            return
        messages = ImageMessages(SampleBag(frame_id=self.path.stem))
        came = False
        try:
            for shot in self._video.shots():
                stamp_ns = round(shot.stamp_s * 1e9)
                came = True
                if stop_ns is not None and stamp_ns >= stop_ns:
                    return
                if start_ns is None or stamp_ns >= start_ns:
                    yield BagMessage(topic, stamp_ns, messages.make(IMAGE, stamp_ns, shot.image))
        except SourceError as error:
            if not came:
                raise BagError(str(error)) from error
            self.losses = (str(error),)

    def __enter__(self) -> VideoRecording:
        if not self.path.is_file():
            raise BagError(f'{self.path}: no such video')
        try:
            # more than it has, where it only estimates
            announced = max(1, self._video.announced)
        except SourceError as error:
            raise BagError(str(error)) from error
        self.topics = (BagTopic(VIDEO_TOPIC, IMAGE, announced),)
        return self

    def __exit__(self, *error: object) -> None:
        pass


def open_recording(path: Path) -> Recording:
    """Give what reads a path, not opened yet."""
    return VideoRecording(path) if is_video(path) else BagReader(path)
