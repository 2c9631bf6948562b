# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from aitable_ros.sources import CameraSource, SourceError, camera_source, open_source

MJPG = int.from_bytes(b'MJPG', 'little')
YUYV = int.from_bytes(b'YUYV', 'little')


class FakeCamera:
    """
    Stands in for cv2.VideoCapture.

    :param script: what the reads give, in turn: an array, None for a failed read, or an
        exception; the last one for ever.
    :param opens: whether the device can be opened.
    :param only: sizes, rates and formats that the camera gives whatever is asked of it.
    """

    def __init__(self, script, *, opens: bool = True, only: dict[int, float] | None = None):
        self.script = list(script)
        self.opens = opens
        self.only = only or {}
        self.asked: list[tuple[int, float]] = []
        self.released = False
        self.reads = 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def read(self):
        assert not self.released, 'read after release'
        self.reads += 1
        item = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(item, Exception):
            raise item
        return item is not None, item

    def get(self, prop: int) -> float:
        return self.only.get(prop, dict(self.asked).get(prop, 0.0))

    def set(self, prop: int, value: float) -> bool:
        self.asked.append((prop, value))
        return True

    def release(self) -> None:
        self.released = True


class Bench:
    """A camera on a bench: scripted captures, and a clock that only sleeping moves."""

    patch = None

    def __init__(self, dev: Path, *cameras: FakeCamera) -> None:
        self.cameras = list(cameras)
        self.opened: list[FakeCamera] = []
        self.sleeps_s: list[float] = []
        self.now_s = 100.0
        self.patch(camera_source, 'DEVICES', dev)
        self.patch(camera_source, 'open_camera_capture', self.factory)
        self.patch(camera_source, 'time', self)

    def factory(self, device) -> FakeCamera:
        camera = self.cameras.pop(0) if len(self.cameras) > 1 else self.cameras[0]
        self.opened.append(camera)
        return camera

    def sleep(self, seconds: float) -> None:
        self.sleeps_s.append(seconds)
        self.now_s += seconds

    def monotonic(self) -> float:
        return self.now_s

    def source(self, **kwargs) -> CameraSource:
        return CameraSource(0, **kwargs)


@pytest.fixture
def dev(tmp_path, monkeypatch) -> Path:
    (tmp_path / 'video0').touch()
    monkeypatch.setattr(camera_source, 'DEVICES', tmp_path)
    monkeypatch.setattr(Bench, 'patch', monkeypatch.setattr)
    return tmp_path


@pytest.fixture
def picture() -> np.ndarray:
    bgr = np.zeros((480, 640, 3), np.uint8)
    bgr[:] = (10, 20, 30)
    return bgr


def dead() -> FakeCamera:
    return FakeCamera([None], opens=False)


def test_camera_gives_rgb_and_times(dev, picture):
    bench = Bench(dev, FakeCamera([picture]))
    with bench.source() as source:
        assert source.live
        assert source.connected
        first = source.read()
        bench.now_s += 0.04
        second = source.read()
    assert (first.image == (30, 20, 10)).all()
    assert [(f.index, f.time_s) for f in (first, second)] == [(0, 0.0), (1, pytest.approx(0.04))]
    assert bench.opened[0].released
    assert bench.sleeps_s == []
    assert not source.connected


def test_grey_camera(dev):
    bench = Bench(dev, FakeCamera([np.full((4, 6), 9, np.uint8)]))
    image = bench.source().read().image
    assert image.shape == (4, 6, 3)
    assert (image == 9).all()


def test_camera_is_asked_for_mjpg_first_then_size_and_rate(dev, picture):
    bench = Bench(dev, FakeCamera([picture]))
    bench.source(width=1280, height=720, fps=60.0)
    assert bench.opened[0].asked == [
        (cv2.CAP_PROP_FOURCC, MJPG),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 60.0),
        (cv2.CAP_PROP_BUFFERSIZE, 1),
    ]
    assert cv2.VideoWriter.fourcc(*'MJPG') == MJPG


def test_camera_without_wishes_keeps_its_defaults(dev, picture):
    bench = Bench(dev, FakeCamera([picture]))
    bench.source()
    assert bench.opened[0].asked == [(cv2.CAP_PROP_FOURCC, MJPG), (cv2.CAP_PROP_BUFFERSIZE, 1)]


def test_what_the_camera_really_gives_is_reported(dev, picture, caplog):
    only = {cv2.CAP_PROP_FPS: 15.0, cv2.CAP_PROP_FOURCC: YUYV}
    bench = Bench(dev, FakeCamera([picture], only=only))
    with caplog.at_level(logging.INFO):
        source = bench.source(width=1280, height=720, fps=30.0)
    assert (source.size, source.fps) == ((640, 480), 15.0)
    expected = 'camera 0: 640x480 YUYV at 15 fps (asked for 1280x720, MJPG, 30 fps)'
    assert source.description == expected
    assert expected in caplog.text


@pytest.mark.parametrize('fps', [0.0, -1.0, float('nan')])
def test_camera_that_does_not_know_its_rate_has_the_one_asked_for(dev, picture, fps):
    camera = FakeCamera([picture], only={cv2.CAP_PROP_FPS: fps})
    assert Bench(dev, camera).source(fps=25.0).fps == 25.0
    assert Bench(dev, camera).source().fps == 30.0


def test_a_few_bad_frames_do_not_lose_the_camera(dev, picture):
    error = cv2.error('damaged frame')
    bench = Bench(dev, FakeCamera([picture, None, error, picture]))
    source = bench.source()
    assert source.read() is not None
    assert len(bench.opened) == 1
    assert bench.sleeps_s == []


def test_lost_camera_is_opened_again(dev, picture, caplog):
    first = FakeCamera([picture, picture, None])
    second = FakeCamera([picture[:240]])
    bench = Bench(dev, first, second)
    source = bench.source()
    assert source.read().index == 0
    with caplog.at_level(logging.INFO):
        frame = source.read()
    assert (frame.index, frame.time_s) == (1, 0.5)
    assert bench.sleeps_s == [0.5]
    assert first.released
    assert source.size == (640, 240)
    assert 'camera 0 lost (no picture came); trying again in 0.5 s' in caplog.text
    assert 'camera 0 is back: camera 0: 640x240' in caplog.text


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_frame(dev, picture):
    def lost() -> FakeCamera:
        return FakeCamera([picture, picture, None])

    bench = Bench(dev, lost(), *[dead() for _ in range(8)], lost(), dead(), lost())
    source = bench.source()
    source.read()
    source.read()
    assert bench.sleeps_s == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    bench.sleeps_s.clear()
    source.read()
    assert bench.sleeps_s == [0.5, 1]


def test_every_failed_read_of_a_lost_camera_is_followed_by_a_pause(dev, picture):
    flaky = [FakeCamera([picture, None]) for _ in range(5)]  # opens, then gives nothing
    bench = Bench(dev, FakeCamera([picture, picture, None]), *flaky, FakeCamera([picture]))
    source = bench.source()
    source.read()
    source.read()
    assert len(bench.sleeps_s) == 6
    assert min(bench.sleeps_s) == 0.5
    assert bench.sleeps_s == sorted(bench.sleeps_s)
    assert all(camera.reads <= 4 for camera in flaky)
    assert all(camera.released for camera in flaky)


def test_camera_that_was_unplugged_is_waited_for(dev, picture, caplog):
    bench = Bench(dev, FakeCamera([picture, picture, None]), FakeCamera([picture]))
    source = bench.source()
    source.read()
    (dev / 'video0').unlink()
    plain_sleep = bench.sleep

    def sleep(seconds: float) -> None:
        plain_sleep(seconds)
        assert not source.connected
        if len(bench.sleeps_s) == 3:
            (dev / 'video0').touch()

    bench.sleep = sleep
    assert source.read() is not None
    assert source.connected
    assert bench.sleeps_s == [0.5, 1, 2]
    assert len(bench.opened) == 2  # no device, no attempt to open it
    assert caplog.text.count('no camera 0: there is no') == 2


def test_wait_for_a_lost_camera_can_be_ended(dev, picture):
    bench = Bench(dev, FakeCamera([picture, picture, None]), dead())
    source = bench.source()
    stopping = threading.Event()
    assert source.read(stopping) is not None
    timer = threading.Timer(0.1, stopping.set)
    timer.start()
    start = time.monotonic()
    assert source.read(stopping) is None
    assert time.monotonic() - start < 10.0
    timer.join()


def test_closing_a_lost_camera(dev, picture):
    bench = Bench(dev, FakeCamera([picture, None]))
    with bench.source() as source:
        stopping = threading.Event()
        stopping.set()
        assert source.read(stopping) is None
    with pytest.raises(SourceError, match='read after close'):
        source.read()
    assert bench.opened[0].released


def test_camera_that_is_not_there_lists_those_that_are(dev):
    for name in ('video10', 'video2', 'video-dec', 'videodev'):
        (dev / name).touch()
    with pytest.raises(SourceError) as caught:
        CameraSource(7)
    assert str(caught.value) == (
        f'no camera 7: there is no {dev}/video7 '
        f'(there are {dev}/video0, {dev}/video2, {dev}/video10)'
    )


def test_no_camera_at_all(dev):
    (dev / 'video0').unlink()
    with pytest.raises(SourceError, match=r'there is no .*/video0 \(.*/video\*: none\)'):
        CameraSource(0)


def test_camera_that_may_not_be_opened_names_the_group(dev, monkeypatch):
    monkeypatch.setattr('os.access', lambda *_: False)  # as root, a mode of 0 would not stop us
    with pytest.raises(SourceError, match=r'permission denied for .*video0.*usermod -aG video'):
        CameraSource(0)


def test_camera_that_cannot_be_opened(dev):
    bench = Bench(dev, dead())
    with pytest.raises(SourceError, match=r'camera 0 cannot be opened: it may be in use'):
        bench.source()
    assert bench.opened[0].released
    assert bench.sleeps_s == []


def test_camera_that_opens_but_gives_nothing(dev):
    bench = Bench(dev, FakeCamera([None]))
    with pytest.raises(SourceError, match='opens but gives no picture: it may be in use'):
        bench.source()
    assert bench.opened[0].released
    assert bench.opened[0].reads == 3


@pytest.mark.parametrize(
    ('spec', 'device'),
    [
        ('0', 0),
        (' 12 ', 12),
        ('/dev/video3', '/dev/video3'),
        ('/dev/v4l/by-id/usb-cam', '/dev/v4l/by-id/usb-cam'),
        ('/dev/null', '/dev/null'),  # any character device
    ],
)
def test_what_is_taken_for_a_camera(monkeypatch, picture, spec, device):
    monkeypatch.setattr('pathlib.Path.exists', lambda self: True)
    monkeypatch.setattr('os.access', lambda *_: True)
    opened = []

    def factory(device):
        opened.append(device)
        return FakeCamera([picture])

    monkeypatch.setattr(camera_source, 'open_camera_capture', factory)
    with open_source(spec, width=320) as source:
        assert isinstance(source, CameraSource)
    assert opened == [device]
