# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whole videos are not called damaged, damaged ones are; mirrored ones are shown as meant."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from aitable_ros.sources import VideoSource
from aitable_ros.sources.containers import is_damaged, mirrored

FRAMES = 60
CODECS = {'.mp4': 'mp4v', '.mov': 'mp4v', '.avi': 'MJPG', '.mkv': 'VP80', '.webm': 'VP80'}
CODECS |= {'.flv': 'FLV1'}


@pytest.fixture(scope='module')
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video in each container, with red in the upper left; not to be written to."""
    folder = tmp_path_factory.mktemp('videos')
    rng = np.random.default_rng(0)
    for suffix, codec in CODECS.items():
        code = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(str(folder / f'video{suffix}'), code, 30.0, (160, 120))
        for _ in range(FRAMES):
            frame = rng.integers(0, 60, (120, 160, 3)).astype(np.uint8)
            frame[10:40, 10:40] = (0, 0, 255)
            writer.write(frame)
        writer.release()
    return folder


def count(path: Path) -> tuple[int, int]:
    """How many frames there are, and how many OpenCV announces."""
    capture = cv2.VideoCapture(str(path))
    announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    decoded = 0
    while capture.grab():
        decoded += 1
    return decoded, announced


def changed(videos: Path, tmp_path: Path, suffix: str, *changes: tuple[int, bytes]) -> Path:
    data = bytearray((videos / f'video{suffix}').read_bytes())
    for at, new in changes:
        data[at : at + len(new)] = new
    path = tmp_path / f'changed{suffix}'
    path.write_bytes(data)
    return path


def after(videos: Path, suffix: str, mark: bytes) -> int:
    return (videos / f'video{suffix}').read_bytes().index(mark) + len(mark)


class TestWhole:
    @pytest.mark.parametrize('suffix', CODECS)
    def test_as_written(self, videos: Path, suffix: str) -> None:
        path = videos / f'video{suffix}'
        assert count(path) == (FRAMES, FRAMES)
        assert not is_damaged(path, FRAMES, FRAMES)

    @pytest.mark.parametrize('suffix', ['.mp4', '.mov'])
    @pytest.mark.parametrize('begin', [0, 10_000])
    def test_trimmed_by_its_edit_list(
        self, videos: Path, tmp_path: Path, suffix: str, begin: int
    ) -> None:
        """As trimming without encoding anew does."""
        at = after(videos, suffix, b'elst') + 8  # version, flags and number of entries
        path = changed(videos, tmp_path, suffix, (at, struct.pack('>II', 1000, begin)))
        decoded, announced = count(path)
        assert (decoded, announced) == (30, FRAMES)
        before = dict(os.environ)
        assert not is_damaged(path, decoded, announced)
        assert dict(os.environ) == before

    @pytest.mark.parametrize('suffix', ['.mkv', '.webm'])
    def test_number_of_frames_that_is_estimated(
        self, videos: Path, tmp_path: Path, suffix: str
    ) -> None:
        """As at a variable rate."""
        at = after(videos, suffix, b'\x44\x89\x88')  # the duration
        path = changed(videos, tmp_path, suffix, (at, struct.pack('>d', 4000.0)))
        assert count(path) == (FRAMES, 2 * FRAMES)
        assert not is_damaged(path, FRAMES, 2 * FRAMES)

    def test_number_of_frames_that_flash_estimates(self, videos: Path, tmp_path: Path) -> None:
        at = after(videos, '.flv', b'duration') + 1
        path = changed(videos, tmp_path, '.flv', (at, struct.pack('>d', 4.0)))
        assert count(path) == (FRAMES, 2 * FRAMES)
        assert not is_damaged(path, FRAMES, 2 * FRAMES)

    def test_number_of_frames_of_fragments_is_estimated(
        self, videos: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / 'x.mp4'
        path.write_bytes((videos / 'video.mp4').read_bytes() + b'\0\0\0\x08moof\0\0\0\x0cmdat1234')
        assert not is_damaged(path, FRAMES, 2 * FRAMES)
        path.write_bytes(path.read_bytes()[:-1])
        assert is_damaged(path, FRAMES, 2 * FRAMES)

    def test_number_of_frames_that_is_estimated_by_an_unknown_container(
        self, tmp_path: Path
    ) -> None:
        for content in (b'OggS' + bytes(100), b'\0\0\0\x01abcd\0', b''):
            (tmp_path / 'x.ogv').write_bytes(content)
            assert not is_damaged(tmp_path / 'x.ogv', FRAMES, 2 * FRAMES)

    @pytest.mark.parametrize('suffix', ['.mkv', '.webm'])
    def test_live_recording_knows_no_sizes(
        self, videos: Path, tmp_path: Path, suffix: str
    ) -> None:
        at = after(videos, suffix, b'\x18\x53\x80\x67')  # the segment
        path = changed(videos, tmp_path, suffix, (at, b'\x01' + 7 * b'\xff'))
        assert not is_damaged(path, FRAMES, 0)
        path.write_bytes(path.read_bytes()[:-2000])
        assert is_damaged(path, FRAMES, 0)


class TestDamaged:
    @pytest.mark.parametrize('suffix', ['.avi', '.mkv', '.webm', '.flv'])
    def test_cut_short(self, videos: Path, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f'cut{suffix}'
        data = (videos / f'video{suffix}').read_bytes()
        path.write_bytes(data[: len(data) * 6 // 10])
        assert is_damaged(path, *count(path))

    @pytest.mark.parametrize('suffix', ['.mp4', '.avi', '.mkv', '.webm'])
    def test_overwritten_in_the_middle(self, videos: Path, tmp_path: Path, suffix: str) -> None:
        half = (videos / f'video{suffix}').stat().st_size // 2
        path = changed(videos, tmp_path, suffix, (half, bytes(half // 2)))
        assert is_damaged(path, *count(path))

    @pytest.mark.parametrize('head', [b'\x1a\x45\xdf\xa3', b'FLV\1', b'FLV' + bytes(9)])
    def test_only_a_head(self, tmp_path: Path, head: bytes) -> None:
        path = tmp_path / 'head'
        path.write_bytes(head)
        assert is_damaged(path, 0, 0)


class TestMirrored:
    # a, b, c, d of the matrix: where the red comes to lie
    @pytest.mark.parametrize(
        ('matrix', 'corner'),
        [
            ((1, 0, 0, 1), 'upper left'),
            ((-1, 0, 0, 1), 'upper right'),
            ((1, 0, 0, -1), 'lower left'),
            ((-1, 0, 0, -1), 'lower right'),
            ((0, 1, -1, 0), 'upper right, on its side'),
            ((0, -1, 1, 0), 'lower left, on its side'),
            ((0, 1, 1, 0), 'upper left, on its side'),
            ((0, -1, -1, 0), 'lower right, on its side'),
        ],
    )
    @pytest.mark.parametrize('suffix', ['.mp4', '.mov'])
    def test_display_matrix(
        self, videos: Path, tmp_path: Path, suffix: str, matrix, corner: str
    ) -> None:
        a, b, c, d = (value << 16 for value in matrix)
        at = after(videos, suffix, b'tkhd') + 40
        path = changed(
            videos, tmp_path, suffix, (at, struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30))
        )
        with VideoSource(path) as source:
            image = source.read().image
            assert source.size == (image.shape[1], image.shape[0])
        red = (image[:, :, 0] > 180) & (image[:, :, 2] < 100)
        y, x = (np.mean(places) for places in np.nonzero(red))
        height, width = red.shape
        seen = f'{"lower" if y > height / 2 else "upper"} {"right" if x > width / 2 else "left"}'
        assert seen + (', on its side' if height > width else '') == corner

    @pytest.mark.parametrize('suffix', CODECS)
    def test_as_written(self, videos: Path, suffix: str) -> None:
        assert mirrored(videos / f'video{suffix}') is None

    def test_hostile_boxes(self, tmp_path: Path) -> None:
        path = tmp_path / 'x.mp4'
        for data in (
            b'',
            b'\0\0\0\x08free' * 10**5,
            b'\0\0\0\0moov' * 1000,
            b'\0\0\0\x01moov' + bytes(8),
            b'\xff\xff\xff\xffmoov\xff\xff\xff\xfftrak\0\0\0\x20tkhd',
        ):
            path.write_bytes(data)
            assert mirrored(path) is None
