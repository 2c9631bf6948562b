# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from aitable_ros.tools.preflight import cameras as preflight_cameras
from aitable_ros.tools.preflight.cameras import check_cameras
from aitable_ros.tools.preflight.check import Status


class TestCameras:
    def test_none(self, tmp_path: Path) -> None:
        (tmp_path / 'video0').touch()  # no device
        (tmp_path / 'videos').touch()
        (check,) = check_cameras(tmp_path)
        assert check.status is Status.WARNING
        assert check.summary == f'none ({tmp_path}/video*)'

    def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> int:
            raise PermissionError(13, 'Permission denied')

        (tmp_path / 'video0').touch()
        monkeypatch.setattr(preflight_cameras.os, 'open', refuse)
        (check,) = check_cameras(tmp_path)
        assert check.status is Status.WARNING
        assert check.summary == f'{tmp_path}/video0: Permission denied'
        assert 'usermod -aG video' in check.advice

    def test_what_captures_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A USB camera has two devices, one for metadata; an old driver has no device_caps."""
        capture, metadata, streaming, has_caps = 0x1, 0x00800000, 0x04000000, 0x80000000
        answers = {
            'video2': (capture | metadata | streaming | has_caps, capture | streaming),
            'video3': (capture | metadata | streaming | has_caps, metadata | streaming),
            'video10': (capture | streaming, 0),
        }
        for name in answers:
            (tmp_path / name).touch()

        def ioctl(descriptor: int, request: int, buffer: bytes) -> bytes:
            assert (request, len(buffer)) == (0x80685600, 104)
            name = Path(f'/proc/self/fd/{descriptor}').readlink().name
            texts = (b'uvcvideo', b'HD Webcam', b'usb-1')
            return preflight_cameras._CAPABILITY.pack(*texts, 0x60000, *answers[name], 0, 0, 0)

        monkeypatch.setattr(preflight_cameras.fcntl, 'ioctl', ioctl)
        (check,) = check_cameras(tmp_path)
        assert check.status is Status.OK
        assert check.summary == f'{tmp_path}/video2 (HD Webcam), {tmp_path}/video10 (HD Webcam)'
