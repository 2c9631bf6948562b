# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What ``analyze`` reads: pictures, videos, cameras, the sample, and bags."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.head.calibration import Calibration
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.sources import PICTURE_SUFFIXES, SourceError, open_source
from aitable_ros.sources.capture import Capture, open_video_capture
from aitable_ros.sources.containers import is_damaged
from aitable_ros.sources.picture_source import list_pictures, read_picture
from aitable_ros.sources.video_source import VideoSource

BAG_SUFFIXES = ('.mcap', '.db3')


@dataclass(frozen=True, eq=False)
class Shot:
    """
    One image.

    :param image: (H, W, 3) uint8 RGB.
    :param stamp_s: its time [s]: in a video or from a camera since the first frame, in a bag the
        header's.
    :param frame: its number in the stream; None: a picture.
    :param intrinsics: the camera's calibration, if there is one.
    :param frame_id: the camera, in a bag.
    """

    image: npt.NDArray[np.uint8]
    stamp_s: float
    frame: int | None = None
    intrinsics: CameraIntrinsics | None = None
    frame_id: str = ''


class Input(ABC):
    """
    One thing to analyze.

    :param name: as the user wrote it; of a picture in a folder, the folder as written and the
        file's name.
    :param path: where it is; None: a camera or the sample.
    """

    is_stream = True
    """Whether the images belong together; False: a picture."""

    def __init__(self, name: str, path: Path | None = None) -> None:
        self.name, self.path = name, path

    @property
    def live(self) -> bool:
        """Whether it ends with Ctrl-C alone."""
        return False

    @property
    def stem(self) -> str:
        """How files that are written about it begin."""
        return self.path.stem if self.path else Path(self.name).name

    @property
    def announced(self) -> int:
        """How many images it says it has; 0: unknown."""
        return 0

    @abstractmethod
    def shots(self) -> Iterator[Shot]:
        """
        Give the images.

        :raises SourceError: when it cannot be read, or, at the end, not in full.
        """


class PictureInput(Input):
    """A picture file."""

    is_stream = False

    @property
    def announced(self) -> int:
        """One."""
        return 1

    def shots(self) -> Iterator[Shot]:
        """Give the picture."""
        assert self.path is not None
        yield Shot(read_picture(self.path), 0.0)


class VideoInput(Input):
    """A video file."""

    @property
    def announced(self) -> int:
        """How many frames the file says it has."""
        capture = open_video_capture(str(self.path))
        try:
            return _frame_count(capture)
        finally:
            capture.release()

    def shots(self) -> Iterator[Shot]:
        """Give the frames."""
        assert self.path is not None
        announced = 0

        def open_counted(path: str) -> Capture:
            nonlocal announced
            capture = open_video_capture(path)
            announced = _frame_count(capture)
            return capture

        read = 0
        with VideoSource(self.path, loop=False, capture_factory=open_counted) as source:
            while (frame := source.read()) is not None:
                read += 1
                yield Shot(frame.image, frame.time_s, frame.index)
        if self.path.is_file() and is_damaged(self.path, read, announced):
            raise SourceError(
                f'{self.name} is damaged: {read} of the {announced} frames that it announces came'
            )


class StreamInput(Input):
    """A camera, or the built-in sample."""

    @property
    def live(self) -> bool:
        """Whether it is a camera."""
        return self.name != 'sample'

    def shots(self) -> Iterator[Shot]:
        """Give the frames."""
        with open_source(self.name, loop=False) as source:
            while (frame := source.read()) is not None:
                yield Shot(frame.image, frame.time_s, frame.index)


class BagInput(Input):
    """
    A recorded bag.

    :param image_topic: topic of the images; empty: see
        :func:`~aitable_ros.bags.topics.choose_images`.
    """

    def __init__(self, name: str, path: Path, image_topic: str = '') -> None:
        super().__init__(name, path)
        self._image_topic = image_topic

    @property
    def announced(self) -> int:
        """How many images were recorded."""
        from aitable_ros.bags import BagError, BagReader
        from aitable_ros.bags.topics import choose_images

        try:
            with BagReader(self._place) as bag:
                images = choose_images(bag, self._image_topic)
                return images.count if images else 0
        except BagError:  # which is told when its images are wanted
            return 0

    def shots(self) -> Iterator[Shot]:
        """Give the images, in the order in which they were recorded."""
        from aitable_ros.bags import BagReader
        from aitable_ros.bags.images import images_of, require_images
        from aitable_ros.bags.topics import choose_camera_info, choose_images

        calibration = Calibration()
        refused, why, index = 0, '', -1
        with _bag_errors(), BagReader(self._place) as bag:
            images = require_images(bag, choose_images(bag, self._image_topic))
            for one in images_of(bag, images, choose_camera_info(bag, images, '')):
                index += 1
                if one.image is None:
                    refused, why = refused + 1, why or one.problem
                    continue
                if one.camera_info is not None:
                    calibration.take(one.camera_info)
                height, width = one.image.shape[:2]
                intrinsics = calibration.for_size((width, height))
                yield Shot(one.image, one.stamp_ns * 1e-9, index, intrinsics, one.frame_id)
            problems = list(bag.losses)
        if refused:
            problems.append(f'{self.name}: {refused} of {index + 1} images were refused: {why}')
        if problems:
            raise SourceError('; '.join(problems))

    @property
    def _place(self) -> Path:
        assert self.path is not None
        return self.path


def find_inputs(
    names: Sequence[str],
    image_topic: str,
    *,
    say: Callable[[str], None],
    fail: Callable[[str], None],
) -> Iterator[Input]:
    """
    Turn what the user named into inputs.

    :param image_topic: for bags; empty: chosen.
    :param say: told of folders without pictures.
    :param fail: told of what is not there.
    """
    for name in names:
        path = Path(name)
        try:
            if name == 'sample' or name.isdecimal():  # files of these names are meant by ./sample
                yield StreamInput(name)
            elif is_bag(path):
                yield BagInput(name, path, image_topic)
            elif path.is_dir():
                for picture in list_pictures(path):
                    yield PictureInput(str(Path(name) / picture.name), picture)
            elif path.is_file():
                is_picture = path.suffix.lower() in PICTURE_SUFFIXES
                yield (PictureInput if is_picture else VideoInput)(name, path)
            elif name.startswith('/dev/'):
                yield StreamInput(name)
            elif path.exists():
                yield VideoInput(name, path)
            else:
                fail(f'{name} does not exist')
        except SourceError as error:
            say(str(error))


def is_bag(path: Path) -> bool:
    """Tell whether this is a bag: a folder with metadata.yaml, or a file of a bag."""
    if path.is_dir():
        return (path / 'metadata.yaml').is_file()
    return path.suffix in BAG_SUFFIXES and path.exists()


@contextmanager
def _bag_errors() -> Iterator[None]:
    """Turn what a bag that cannot be read raises into a SourceError."""
    from aitable_ros.bags import BagError

    try:
        yield
    except BagError as error:
        raise SourceError(str(error)) from error


def _frame_count(capture: Capture) -> int:
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if math.isfinite(count) and 0 < count < 1e9 else 0
