# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A picture, or a folder of pictures, as a frame source."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.images.decoding import DEFAULT_MAX_PIXELS, to_8_bits
from aitable_ros.perception.images.headers import HeaderError, is_cut_short, read_header
from aitable_ros.sources.frame_source import (
    DEFAULT_FPS,
    FrameSource,
    Item,
    SourceError,
    check_readable,
    check_request,
    resized,
)

PICTURE_SUFFIXES = frozenset(
    {'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'}
)
"""Suffixes, in lower case, by which files are taken for pictures."""

MAX_PICTURE_BYTES = 8 * DEFAULT_MAX_PIXELS
"""Larger files are refused: the largest picture that is accepted has 6 bytes per pixel."""

_WHITE_8, _WHITE_16 = 255, 65535

_logger = logging.getLogger(__name__)


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """
    Read a picture file, upright as its EXIF orientation says.

    :returns: (H, W, 3) uint8 RGB; alpha is dropped. Of 16 bits those that are in use become 8, of
        PGM and PPM files those that the header tells.
    :raises SourceError: when the file cannot be read or decoded, ends before its picture does, or
        has more than :data:`DEFAULT_MAX_PIXELS` pixels, before those are decoded.
    """
    check_readable(path)
    try:
        size = path.stat().st_size
        if size > MAX_PICTURE_BYTES:
            raise SourceError(f'{path} is too large for a picture: {size / 1e6:.0f} MB')
        data = path.read_bytes()
        header = read_header(data)
        if header.width * header.height > DEFAULT_MAX_PIXELS:
            raise SourceError(
                f'{path} is too large: {header.width}x{header.height} pixels are more than the'
                f' {DEFAULT_MAX_PIXELS} allowed'
            )
        if is_cut_short(data):
            raise SourceError(f'{path} is damaged: the file ends before the picture does')
        coded = np.frombuffer(data, np.uint8)
        picture: Any = cv2.imdecode(coded, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except (OSError, HeaderError, MemoryError, cv2.error) as error:
        raise SourceError(f'{path} cannot be read as a picture: {error}') from error
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise SourceError(f'{path} cannot be read as a picture: unknown format, or damaged')
    if header.white not in (0, _WHITE_8, _WHITE_16):  # which OpenCV does not look at
        picture = cv2.convertScaleAbs(picture, alpha=_WHITE_8 / header.white)
    elif picture.dtype == np.uint16:
        picture = to_8_bits(picture)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def list_pictures(folder: Path) -> list[Path]:
    """
    List the pictures in a folder (not in those below it), img2 before img10.

    :raises SourceError: when the folder cannot be listed or has none.
    """
    try:
        paths = [p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES]
    except OSError as error:
        raise SourceError(f'{folder} cannot be listed: {error.strerror or error}') from error
    paths = [p for p in paths if p.is_file() and not p.name.startswith('.')]
    if not paths:
        raise SourceError(f'{folder} has no pictures ({", ".join(sorted(PICTURE_SUFFIXES))})')
    return sorted(paths, key=_natural)


class PictureSource(FrameSource):
    """
    Pictures, one after the other.

    Pictures that cannot be read are left out, each with one logged warning. A single picture
    is read once only.

    :param paths: the files, in order; at least one.
    :param name: what they are, for people.
    :param width: scale to this width; None: in proportion to the height, or not at all.
    :param height: scale to this height; None: in proportion to the width, or not at all.
    :param fps: frames per second; None: 30.
    :param loop: start again at the end.
    :raises SourceError: when none of the pictures can be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        name: str,
        *,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        loop: bool = True,
    ) -> None:
        check_request(width, height, fps)
        if not paths:
            raise SourceError(f'{name} has no picture')
        self._paths = list(paths)
        self._only = len(self._paths) == 1
        self._wish = (width, height)
        self._loop = loop
        self._at = 0
        # Read ahead: shows at once whether there is anything, and how large.
        self._ahead = self._load(name)
        if self._ahead is None:
            raise SourceError(f'{name}: none of the pictures can be read')
        image = self._ahead[0]
        super().__init__(name, (image.shape[1], image.shape[0]), fps or DEFAULT_FPS)

    def _next(self, stopping: threading.Event | None) -> Item | None:
        if self._only and self._loop:
            current = self._ahead
        else:
            current, self._ahead = self._ahead or self._load(self.name), None
        if current is None:
            return None
        return current[0], self._index / self.fps, current[1]

    def _load(self, name: str) -> tuple[npt.NDArray[np.uint8], Path] | None:
        """Read the next picture that can be read; None at the end."""
        while True:
            if self._at == len(self._paths):
                if not self._loop:
                    return None
                self._at = 0
            path = self._paths[self._at]
            try:
                image = resized(read_picture(path), *self._wish)
            except SourceError as error:
                if self._only:
                    raise
                _logger.warning('left out: %s', error)
                del self._paths[self._at]
                if not self._paths:
                    raise SourceError(f'{name}: none of the pictures can be read') from error
            else:
                self._at += 1
                image.flags.writeable = False
                return image, path


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r'([0-9]+)', path.name.casefold())
    return [(int(p), '') if p.isdecimal() else (0, p) for p in parts], path.name
