# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The one interface of all frame sources, and what they share."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.regular_files import open_regular

DEFAULT_FPS = 30.0
"""Rate of sources that have none of their own, such as pictures."""

MAX_SIDE_PX = 16384
"""Widths and heights above this are refused."""

MAX_FPS = 1000.0
"""Rates above this, in a request or in a file's header, are taken for mistakes."""


class SourceError(RuntimeError):
    """A source cannot be opened or has nothing (more) to give; the message says what to do."""


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """
    One frame.

    :param image: (H, W, 3) uint8 RGB, C-contiguous; not to be written to, since a source may
        hand out the same array again.
    :param index: 0, 1, 2, ...; goes on counting when the source starts again.
    :param time_s: seconds since the first frame; never decreases, also when the source starts
        again. Of a camera: when the frame was read, on a monotonic clock.
    :param path: the picture file that the frame was read from; None from other sources.
    """

    image: npt.NDArray[np.uint8]
    index: int
    time_s: float
    path: Path | None = None


Item: TypeAlias = 'tuple[npt.NDArray[np.uint8], float, Path | None]'
"""Image, time and file of a :class:`SourceFrame`."""


class FrameSource(ABC):
    """
    Frames, one after the other, as fast as they are read: the pace is the caller's matter.

    A source belongs to the thread that uses it. Use it as a context manager, or call
    :meth:`close`.

    Subclasses implement :meth:`_next` and :meth:`_close`.

    :param name: what the source is, for people.
    :param size: width and height of the frames in pixels; of the first one where they differ.
    :param fps: frames per second at which the source is meant to be read; a live source gives
        no more than this.
    """

    live: bool = False
    """True for a camera: :meth:`read` waits for the next frame, and time cannot be chosen."""

    def __init__(self, name: str, size: tuple[int, int], fps: float) -> None:
        self.name = name
        self.size = size
        self.fps = fps
        self._index = 0
        self._closed = False

    @property
    def description(self) -> str:
        """What is read and how: name, size and rate."""
        return f'{self.name}: {self.size[0]}x{self.size[1]} at {self.fps:g} fps'

    @property
    def connected(self) -> bool:
        """False while a camera is lost; may be asked from any thread."""
        return not self._closed

    def read(self, stopping: threading.Event | None = None) -> SourceFrame | None:
        """
        Give the next frame.

        :param stopping: an event that ends a wait for a lost camera.
        :returns: the frame; None at the end of a source that does not loop, and when a wait
            was ended by ``stopping``.
        :raises SourceError: when closed, or when nothing of the source can be read any more.
        """
        if self._closed:
            raise SourceError(f'{self.name}: read after close()')
        item = self._next(stopping)
        if item is None:
            return None
        image, time_s, path = item
        frame = SourceFrame(image, self._index, time_s, path)
        self._index += 1
        return frame

    def close(self) -> None:
        """Free the device or file; calling it again does nothing."""
        if not self._closed:
            self._closed = True
            self._close()

    @abstractmethod
    def _next(self, stopping: threading.Event | None) -> Item | None:
        """Give the next frame, or None; see :meth:`read`."""

    def _close(self) -> None:  # noqa: B027 (most sources hold nothing)
        """Free what is held; called once."""

    def __enter__(self) -> FrameSource:
        """Return the source itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the source."""
        self.close()


def check_request(width: int | None, height: int | None, fps: float | None) -> None:
    """
    Check a wish for size and rate; None means no wish.

    :raises SourceError: when a value is not positive, or above :data:`MAX_SIDE_PX` or
        :data:`MAX_FPS`.
    """
    for what, value in (('width', width), ('height', height)):
        if value is not None and not 0 < value <= MAX_SIDE_PX:
            raise SourceError(f'{what} must be 1..{MAX_SIDE_PX} pixels, got {value}')
    if fps is not None and not plausible_fps(fps):
        raise SourceError(f'fps must be above 0 and at most {MAX_FPS:g}, got {fps}')


def plausible_fps(fps: float) -> bool:
    """Tell whether a rate, for instance one read from a file's header, can be meant."""
    return 0.0 < fps <= MAX_FPS


def resized(
    image: npt.NDArray[np.uint8], width: int | None, height: int | None
) -> npt.NDArray[np.uint8]:
    """
    Scale an image to the wished size.

    :param image: (H, W, 3) uint8.
    :param width: in pixels; None: as the height demands to keep the proportions.
    :param height: in pixels; None: as the width demands. Both None: the image as it is.
    :raises SourceError: when the proportions make a side longer than :data:`MAX_SIDE_PX`.
    """
    now_height, now_width = image.shape[:2]
    if width is None and height is None:
        return image
    if width is None:
        assert height is not None
        width = max(1, round(now_width * height / now_height))
    if height is None:
        height = max(1, round(now_height * width / now_width))
    if (width, height) == (now_width, now_height):
        return image
    if max(width, height) > MAX_SIDE_PX:
        raise SourceError(
            f'{now_width}x{now_height} pixels in proportion are {width}x{height}: too many'
        )
    # Averaging when shrinking keeps thin lines such as eyelids from breaking up.
    smaller = width < now_width or height < now_height
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def check_readable(path: Path) -> None:
    """
    Check that a file is there, may be read and is not empty.

    :raises SourceError: saying what is the matter.
    """
    try:
        with open_regular(path) as file:
            if not file.read(1):
                raise SourceError(f'{path} is empty')
    except FileNotFoundError as error:
        raise SourceError(f'{path}: no such file') from error
    except OSError as error:
        raise SourceError(f'{path} cannot be read: {error.strerror or error}') from error
