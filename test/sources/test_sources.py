# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from aitable_ros.sources import (
    SampleSource,
    SourceError,
    SourceFrame,
    VideoSource,
    list_pictures,
    open_source,
    read_picture,
)

WIDTH, HEIGHT = 64, 48


def plain(colour: tuple[int, int, int], width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def write_picture(path: Path, rgb: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), rgb[:, :, ::-1])
    return path


def write_video(path: Path, frames: int, fps: float = 25.0) -> Path:
    """Write a video whose frame i has the red level 10 * i."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), fps, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for i in range(frames):
        writer.write(np.ascontiguousarray(plain((10 * i, 0, 0))[:, :, ::-1]))
    writer.release()
    return path


def levels(frames: list[SourceFrame]) -> list[int]:
    """Tell which frames of a test video these are."""
    return [round(float(f.image[:, :, 0].mean()) / 10) for f in frames]


@pytest.fixture
def video(tmp_path) -> Path:
    return write_video(tmp_path / 'clip.avi', 8)


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for name, red in (('img10.png', 100), ('img2.png', 20), ('IMG1.PNG', 10), ('a.png', 0)):
        write_picture(folder / name, plain((red, 5, 7)))
    (folder / 'notes.txt').write_text('no picture')
    (folder / '.img3.png').write_bytes(b'hidden')
    return folder


def read_all(source, limit: int = 100) -> list[SourceFrame]:
    frames = []
    while len(frames) < limit:
        frame = source.read()
        if frame is None:
            break
        frames.append(frame)
    return frames


# built-in sample


def test_sample_has_its_size_rate_and_times():
    with open_source('sample', loop=False) as source:
        assert isinstance(source, SampleSource)
        assert (source.size, source.fps, source.live) == ((640, 480), 30.0, False)
        frames = [source.read() for _ in range(3)]
    assert [f.index for f in frames] == [0, 1, 2]
    np.testing.assert_allclose([f.time_s for f in frames], [0, 1 / 30, 2 / 30])
    assert all(f.image.shape == (480, 640, 3) for f in frames)


@pytest.mark.parametrize(
    ('wish', 'size'),
    [
        ({'width': 320, 'height': 200}, (320, 200)),
        ({'width': 320}, (320, 240)),
        ({'height': 120}, (160, 120)),
    ],
)
def test_sample_of_another_size(wish, size):
    with open_source('sample', fps=10.0, **wish) as source:
        assert (source.size, source.fps) == (size, 10.0)
        assert source.read().image.shape == (size[1], size[0], 3)


class ShortSequence:
    """Stands in for the built-in sequence: 3 frames."""

    def __init__(self, width: int, height: int, fps: float) -> None:
        self._shape, self._fps, self.duration_s = (height, width, 3), fps, 3 / fps

    def __len__(self) -> int:
        return 3

    def frame(self, index: int) -> np.ndarray:
        return np.full(self._shape, index, np.uint8)

    def stamp_s(self, index: int) -> float:
        return index / self._fps


@pytest.mark.parametrize('loop', [True, False])
def test_sample_starts_again_or_ends(monkeypatch, loop):
    monkeypatch.setattr('aitable_ros.simulation.AstronautSequence', ShortSequence)
    frames = read_all(open_source('sample', fps=10.0, loop=loop), limit=7)
    expected = [0, 1, 2, 0, 1, 2, 0] if loop else [0, 1, 2]
    assert [int(f.image[0, 0, 0]) for f in frames] == expected
    assert [f.index for f in frames] == list(range(len(expected)))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(len(expected)) / 10)


# pictures


@pytest.mark.parametrize('suffix', ['.png', '.PNG', '.bmp', '.ppm'])
def test_picture_comes_out_as_rgb(tmp_path, suffix):
    rgb = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = write_picture(tmp_path / f'one{suffix}', rgb)
    with open_source(str(path), loop=False) as source:
        assert (source.size, source.fps) == ((WIDTH, HEIGHT), 30.0)
        first, second = source.read(), source.read()
    np.testing.assert_array_equal(first.image, rgb)
    assert first.path == path
    assert second is None


def test_looping_picture_is_read_once_and_given_for_ever(tmp_path):
    path = write_picture(tmp_path / 'one.png', plain((1, 2, 3)))
    source = open_source(str(path), fps=5.0)
    path.unlink()
    frames = read_all(source, limit=4)
    assert [(f.index, f.time_s) for f in frames] == [(0, 0), (1, 0.2), (2, 0.4), (3, 0.6)]
    assert not frames[0].image.flags.writeable


def test_picture_with_alpha_or_16_bits(tmp_path):
    rgb16 = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(np.uint16)
    path = tmp_path / 'deep.png'
    cv2.imwrite(str(path), rgb16[:, :, ::-1])
    np.testing.assert_array_equal(read_picture(path), rgb16 >> 8)
    cv2.imwrite(str(path), np.dstack([plain((1, 2, 3)), plain((0, 0, 0))[:, :, :1]]))
    assert (read_picture(path) == (3, 2, 1)).all()


@pytest.mark.parametrize(('suffix', 'kind'), [('.pgm', 'P5'), ('.ppm', 'P6')])
@pytest.mark.parametrize('white', [15, 255, 1023, 4095, 65535])
def test_pgm_and_ppm_are_as_bright_as_their_header_says(tmp_path, suffix, kind, white):
    levels = np.random.default_rng(1).integers(0, white + 1, (HEIGHT, WIDTH, 3))
    path = tmp_path / f'x{suffix}'
    shown = levels if kind == 'P6' else np.repeat(levels[:, :, :1], 3, axis=2)
    stored = (levels if kind == 'P6' else levels[:, :, :1]).astype('u1' if white < 256 else '>u2')
    path.write_bytes(f'{kind}\n# ours\n{WIDTH} {HEIGHT}\n{white}\n'.encode() + stored.tobytes())
    np.testing.assert_allclose(read_picture(path), shown * 255 / white, atol=1)


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
@pytest.mark.parametrize('bits', [10, 12])
def test_of_16_bits_those_that_are_in_use_count(tmp_path, suffix, bits):
    grey = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint16)
    path = tmp_path / f'infrared{suffix}'
    cv2.imwrite(str(path), grey << (bits - 8))
    np.testing.assert_array_equal(read_picture(path)[:, :, 0], grey)


def test_picture_of_float_samples(tmp_path):
    path = tmp_path / 'float.tif'
    cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 77, np.float32))
    with pytest.raises(SourceError, match='unknown format'):
        read_picture(path)


def test_very_large_file_is_refused_unread(tmp_path):
    path = tmp_path / 'large.png'
    with path.open('wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n')
        file.truncate(10 << 30)  # takes no room on the disk
    with pytest.raises(SourceError, match='large.png is too large for a picture: 10737 MB'):
        read_picture(path)


@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tif', '.webp', '.jpg', '.ppm'])
def test_picture_that_unpacks_to_too_much_is_refused_by_its_header(tmp_path, monkeypatch, suffix):
    path = write_picture(tmp_path / f'x{suffix}', plain((1, 2, 3), 900, 700))
    monkeypatch.setattr('aitable_ros.sources.picture_source.DEFAULT_MAX_PIXELS', 900 * 700 - 1)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('decoded'))
    with pytest.raises(SourceError, match='too large: 900x700 pixels are more than the 629999'):
        read_picture(path)


def test_picture_that_was_cut_off_is_refused(tmp_path):
    for name in ('x.jpg', 'x.png'):
        noise = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        path = write_picture(tmp_path / name, noise)
        path.write_bytes(path.read_bytes()[:-600])
        with pytest.raises(SourceError, match='ends before the picture does'):
            read_picture(path)


def test_folder_is_read_in_natural_order(folder):
    with open_source(str(folder), loop=False) as source:
        assert '4 pictures' in source.name
        frames = read_all(source)
    names = ['a.png', 'IMG1.PNG', 'img2.png', 'img10.png']
    assert [f.path.name for f in frames] == names
    assert [p.name for p in list_pictures(folder)] == names
    assert [int(f.image[0, 0, 0]) for f in frames] == [0, 10, 20, 100]


def test_folder_starts_again(folder):
    frames = read_all(open_source(str(folder), fps=10.0), limit=9)
    assert [f.path.name for f in frames[4:8]] == [f.path.name for f in frames[:4]]
    assert [f.index for f in frames] == list(range(9))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(9) / 10)


def test_damaged_pictures_of_a_folder_are_left_out_with_one_warning_each(folder, caplog):
    (folder / 'a.png').write_bytes(b'\x89PNG\r\n\x1a\n and no more')
    (folder / 'img2.png').write_bytes(b'')
    with caplog.at_level(logging.WARNING):
        frames = read_all(open_source(str(folder)), limit=6)
    assert [f.path.name for f in frames] == ['IMG1.PNG', 'img10.png'] * 3
    assert [f.index for f in frames] == list(range(6))
    warnings = [r.getMessage() for r in caplog.records]
    assert len(warnings) == 2
    assert 'a.png' in warnings[0]
    assert 'img2.png is empty' in warnings[1]


@pytest.mark.parametrize('loop', [True, False])
def test_folder_of_damaged_pictures_is_an_error(tmp_path, loop):
    for name in ('a.png', 'b.jpg'):
        (tmp_path / name).write_bytes(b'no picture')
    with pytest.raises(SourceError, match='none of the pictures can be read'):
        open_source(str(tmp_path), loop=loop)


def test_pictures_that_vanish_while_looping_end_in_an_error_not_in_a_busy_loop(folder):
    source = open_source(str(folder))
    source.read()
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(SourceError, match='none of the pictures can be read'):
        read_all(source)


@pytest.mark.parametrize(
    ('wish', 'size'),
    [
        ({'width': 32, 'height': 32}, (32, 32)),
        ({'width': 32}, (32, 24)),
        ({'height': 96}, (128, 96)),
    ],
)
@pytest.mark.parametrize('kind', ['picture', 'folder', 'video'])
def test_files_are_scaled(folder, video, kind, wish, size):
    spec = {'picture': folder / 'a.png', 'folder': folder, 'video': video}[kind]
    with open_source(str(spec), **wish) as source:
        assert source.size == size
        assert source.read().image.shape == (size[1], size[0], 3)


def test_pictures_of_several_sizes_keep_theirs(folder):
    write_picture(folder / 'img3.png', plain((0, 0, 0), 20, 10))
    sizes = [f.image.shape[:2] for f in read_all(open_source(str(folder), loop=False))]
    assert sizes == [(HEIGHT, WIDTH)] * 3 + [(10, 20), (HEIGHT, WIDTH)]


# videos


def test_video_gives_all_frames_at_its_times(video):
    with open_source(str(video), loop=False) as source:
        assert isinstance(source, VideoSource)
        assert (source.size, source.fps, source.live) == ((WIDTH, HEIGHT), 25.0, False)
        frames = read_all(source)
        assert source.read() is None
    assert levels(frames) == list(range(8))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(8) / 25, atol=1e-6)
    blue = max(int(f.image[:, :, 2].max()) for f in frames)
    assert blue < 20  # red has not become blue


def test_video_starts_again_and_time_goes_on(video):
    frames = read_all(open_source(str(video)), limit=20)
    assert levels(frames) == [*range(8), *range(8), *range(4)]
    assert [f.index for f in frames] == list(range(20))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(20) / 25, atol=1e-6)


def test_video_at_another_rate(video):
    with open_source(str(video), fps=10.0) as source:
        assert source.fps == 10.0
        times_s = [f.time_s for f in read_all(source, limit=12)]
    np.testing.assert_allclose(times_s, np.arange(12) / 10)


class FakeVideo:
    """Stands in for cv2.VideoCapture: frames at the given positions."""

    def __init__(
        self, positions_ms: list[float], fps: float = 20.0, announced: int | None = None
    ) -> None:
        self._positions_ms, self._fps, self._read = positions_ms, fps, 0
        self._announced = len(positions_ms) if announced is None else announced
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def read(self):
        if self._read == len(self._positions_ms):
            return False, None
        self._read += 1
        return True, plain((0, 0, 0))

    def get(self, prop: int) -> float:
        return {
            cv2.CAP_PROP_FPS: self._fps,
            cv2.CAP_PROP_POS_MSEC: self._positions_ms[max(0, self._read - 1)],
            cv2.CAP_PROP_FRAME_COUNT: self._announced,
        }.get(prop, 0.0)

    def set(self, prop: int, value: float) -> bool:
        return False

    def release(self) -> None:
        self.released = True


@pytest.mark.parametrize(
    ('positions_ms', 'times_s'),
    [
        ([0, 10, 100, 130], [0, 0.01, 0.1, 0.13, 0.18, 0.19]),  # variable rate
        ([40, 50, 140, 170], [0, 0.01, 0.1, 0.13, 0.18, 0.19]),  # does not begin at 0
        ([0, 0, 0, 0], [0, 0.05, 0.1, 0.15, 0.2, 0.25]),  # a container without times
        ([0, 100, 60, 200], [0, 0.1, 0.15, 0.2, 0.25, 0.35]),  # times that go back
    ],
)
def test_video_times_are_the_files_own_and_never_go_back(video, positions_ms, times_s):
    source = VideoSource(video, capture_factory=lambda _: FakeVideo(positions_ms))
    np.testing.assert_allclose([f.time_s for f in read_all(source, limit=6)], times_s)


def test_video_with_too_large_frames_is_refused_before_one_is_decoded(video, monkeypatch):
    monkeypatch.setattr('aitable_ros.sources.video_source.DEFAULT_MAX_PIXELS', WIDTH * HEIGHT - 1)
    monkeypatch.setattr(FakeVideo, 'read', lambda _: pytest.fail('decoded'))
    with pytest.raises(SourceError, match=f'{WIDTH}x{HEIGHT} pixels are more than the'):
        VideoSource(video)


@pytest.mark.parametrize('fps', [0.0, float('nan'), -1.0, 90_000.0])
def test_video_whose_header_has_no_sane_rate_is_read_at_30(video, fps):
    source = VideoSource(video, capture_factory=lambda _: FakeVideo([0, 0], fps=fps))
    assert source.fps == 30.0
    np.testing.assert_allclose([f.time_s for f in read_all(source, limit=3)], [0, 1 / 30, 2 / 30])


def test_video_that_is_cut_short_is_reported_once(video, caplog):
    source = VideoSource(video, capture_factory=lambda _: FakeVideo([0, 50], announced=9))
    with caplog.at_level(logging.WARNING):
        read_all(source, limit=7)
    assert [r.getMessage() for r in caplog.records] == [
        f'video {video}: decoding ended after 2 of the 9 frames that the file announces'
    ]


def test_complete_video_is_not_reported(video, caplog):
    with caplog.at_level(logging.WARNING):
        read_all(open_source(str(video)), limit=20)
    assert caplog.records == []


def test_video_file_is_released(video):
    opened: list[FakeVideo] = []

    def factory(path):
        assert path == str(video)
        opened.append(FakeVideo([0, 50]))
        return opened[-1]

    with VideoSource(video, capture_factory=factory) as source:
        read_all(source, limit=5)
    assert [v.released for v in opened] == [True, True, True]


def test_video_that_vanishes_while_looping_is_an_error(video):
    source = open_source(str(video))
    read_all(source, limit=8)
    video.unlink()
    with pytest.raises(SourceError, match='cannot be decoded as a video'):
        source.read()


# errors


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('bad.avi', b'no video at all' * 50, 'cannot be decoded as a video'),
        ('bad.png', b'no picture', 'cannot be read as a picture'),
        ('empty.avi', b'', 'is empty'),
        ('empty.png', b'', 'is empty'),
        ('plain', b'text', 'cannot be decoded as a video'),
    ],
)
def test_files_that_cannot_be_decoded(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        open_source(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    'spec', ['/no/such/file.mp4', 'x' * 5000, 'a\0b', '~nobody-of-this-name/x']
)
def test_what_is_not_there(spec):
    with pytest.raises(SourceError, match=r'no such file|cannot be looked at'):
        open_source(spec)


def test_nothing_asked_for():
    with pytest.raises(SourceError, match="no source given: 'sample'"):
        open_source('  ')


def test_folder_without_pictures(tmp_path):
    (tmp_path / 'notes.txt').write_text('no picture')
    with pytest.raises(SourceError, match=r'has no pictures \(\.bmp, '):
        open_source(str(tmp_path))


@pytest.mark.parametrize('name', ['secret.png', 'secret.avi'])
def test_file_that_may_not_be_read(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(b'x')

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(Path, 'open', refuse)  # as root, a mode of 0 would not stop us
    with pytest.raises(SourceError, match=f'{name} cannot be read: Permission denied'):
        open_source(str(path))


@pytest.mark.parametrize(
    ('wish', 'message'),
    [
        ({'width': 0}, 'width must be 1..16384 pixels, got 0'),
        ({'height': -3}, 'height must be 1..16384 pixels, got -3'),
        ({'width': 10**9}, 'width must be'),
        ({'fps': 0.0}, 'fps must be above 0'),
        ({'fps': float('nan')}, 'fps must be above 0'),
        ({'fps': float('inf')}, 'fps must be above 0'),
    ],
)
def test_impossible_wishes(folder, video, wish, message):
    for spec in ('sample', str(folder), str(video), '0'):
        with pytest.raises(SourceError, match=message):
            open_source(spec, **wish)


def test_proportions_that_would_make_a_huge_picture(tmp_path):
    path = write_picture(tmp_path / 'thin.png', plain((0, 0, 0), 1, 400))
    with pytest.raises(
        SourceError, match='1x400 pixels in proportion are 16000x6400000: too many'
    ):
        open_source(str(path), width=16000)


def test_closed_source_cannot_be_read(folder):
    with open_source(str(folder)) as source:
        source.read()
    source.close()
    with pytest.raises(SourceError, match=r'read after close\(\)'):
        source.read()
