# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What OpenCV does not tell of a video file: whether it is whole, and whether it is mirrored."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from aitable_ros.sources.capture import open_video_capture

_FEW = 0.95
"""A file that gives fewer of its frames than this is damaged; some encoders count one or two more
than there are."""

_EBML = b'\x1a\x45\xdf\xa3'
_EBML_PARENTS = (0x18538067, 0x1F43B675)  # segment, cluster
_FLV = b'FLV'
_RIFF = b'RIFF'
_MOVIE, _FRAGMENT = b'moov', b'moof'
_MAX_BOXES = 100_000
_FFMPEG_OPTIONS = 'OPENCV_FFMPEG_CAPTURE_OPTIONS'

Turn = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]
"""Turns a frame as it is stored into one as it is to be seen."""


def is_damaged(path: Path, decoded: int, announced: int) -> bool:
    """
    Tell whether frames are lost, once a file was decoded to its end.

    What a container announces can be more than there is in a whole file. Only AVI and MP4 count
    their frames, and MP4 those, too, that an edit list leaves out (as trimming without encoding
    anew does). Of the others, MP4 in fragments among them, the number is estimated from the
    rate: Matroska, WebM, FLV and fragments tell by their structure whether the file ends early,
    the rest (Ogg, MPEG, ...) do not.

    :param path: the file.
    :param decoded: how many frames came.
    :param announced: how many OpenCV said there are; 0: unknown.
    """
    with path.open('rb') as file:
        head = file.read(len(_EBML))
        if head == _EBML:
            return not _is_whole_matroska(file, 0, file.seek(0, os.SEEK_END))
        if head.startswith(_FLV):
            return _flv_ends_early(file)
        size = file.seek(0, os.SEEK_END)
        boxes = {} if head == _RIFF else {kind: stop for kind, _, stop in _each_box(file, 0, size)}
    if _FRAGMENT in boxes:
        return max(boxes.values()) > size
    if head != _RIFF and _MOVIE not in boxes:
        return False
    return decoded < _FEW * announced and _count_all(path) < _FEW * announced


def mirrored(path: Path) -> Turn | None:
    """
    Tell how to show a mirrored MP4 or MOV file; OpenCV would turn it instead.

    :param path: the file.
    :returns: None: it is not mirrored, or no such file; what OpenCV does is right.
    """
    if not path.is_file():  # a pipe would block
        return None
    try:
        with path.open('rb') as file:
            matrix = _display_matrix(file)
    except (OSError, struct.error):
        return None
    if matrix is None:
        return None
    a, b, c, d = matrix  # x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12, 8.3.2)
    if a * d - b * c >= 0:
        return None
    swapped = abs(b) > abs(a)
    left, up = (c, b) if swapped else (a, d)
    step_x, step_y = (-1 if left < 0 else 1), (-1 if up < 0 else 1)

    def turn(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        upright = image.transpose(1, 0, 2) if swapped else image
        return np.ascontiguousarray(upright[::step_y, ::step_x])

    return turn


def _is_whole_matroska(
    file: BinaryIO, at: int, end: int, parents: tuple[int, ...] = _EBML_PARENTS
) -> bool:
    """
    Look whether element follows element up to the end, also within segment and clusters.

    An element is its id, its size and so many bytes (RFC 8794).
    """
    while at < end:
        file.seek(at)
        kind, size = _ebml_number(file, 4), _ebml_number(file, 8)
        if not kind or not size:
            return False
        at = file.tell()
        marker = 1 << size.bit_length() - 1
        if size == 2 * marker - 1:
            continue  # of a live recording: not known, what is in it follows
        stop = at + size - marker
        if stop > end:
            return False
        if kind in parents[:1] and not _is_whole_matroska(file, at, stop, parents[1:]):
            return False
        at = stop
    return True


def _ebml_number(file: BinaryIO, longest: int) -> int:
    """Read a number with its marker, before which zeros say how long it is; 0: there is none."""
    first = file.read(1)
    length = 9 - first[0].bit_length() if first else 9
    return 0 if length > longest else int.from_bytes(first + file.read(length - 1), 'big')


def _flv_ends_early(file: BinaryIO) -> bool:
    """A file ends with the size of its last tag, which has that of its data in it (E.3, E.4.1)."""
    end = file.seek(-4, os.SEEK_END)
    (tag,) = struct.unpack('>I', file.read(4))
    if not 11 <= tag <= end:
        return True
    file.seek(end - tag + 1)
    return int.from_bytes(file.read(3), 'big') + 11 != tag


def _count_all(path: Path) -> int:
    """Decode a file anew, with what its edit list leaves out, and count the frames."""
    with _environment(_FFMPEG_OPTIONS, 'ignore_editlist;1'):
        capture = open_video_capture(str(path))
    try:
        count = 0
        while capture.grab():
            count += 1
        return count
    finally:
        capture.release()


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _display_matrix(file: BinaryIO) -> tuple[int, int, int, int] | None:
    """Give a, b, c, d of the first video track of an MP4 or MOV file."""
    size = file.seek(0, os.SEEK_END)
    for trak in _boxes(file, 0, size, _MOVIE, b'trak'):
        handlers = [_read(file, at + 8, 4) for at, _ in _boxes(file, *trak, b'mdia', b'hdlr')]
        for at, _ in _boxes(file, *trak, b'tkhd') if b'vide' in handlers else ():
            matrix = at + (52 if _read(file, at, 1) == b'\1' else 40)
            a, b, _, c, d = struct.unpack('>5i', _read(file, matrix, 20))
            return a, b, c, d
    return None


def _boxes(
    file: BinaryIO, start: int, end: int, kind: bytes, *inner: bytes
) -> Iterator[tuple[int, int]]:
    """Find boxes by the kinds on the way to them; gives where their contents begin and end."""
    for found, content, stop in _each_box(file, start, end):
        if found == kind and inner:
            yield from _boxes(file, content, min(stop, end), *inner)
        elif found == kind:
            yield content, min(stop, end)


def _each_box(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Give the kind of each box, where its content begins and where it ends, be it beyond."""
    at = start
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        size, kind = struct.unpack('>I4s', _read(file, at, 8))
        content = at + 8
        if size == 1 and content + 8 <= end:
            (size,) = struct.unpack('>Q', _read(file, content, 8))
            content += 8
        stop = end if size == 0 else at + size  # 0: to the end
        if stop < content:
            return
        yield kind, content, stop
        at = stop


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
