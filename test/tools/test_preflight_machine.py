# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from preflight_fixtures import only

from aitable_ros.tools import preflight_machine
from aitable_ros.tools.preflight_check import Check, Status
from aitable_ros.tools.preflight_machine import (
    check_cameras,
    check_folder,
    check_machine,
    check_shared_memory,
)

NOBODY = 65534


def as_nobody(function: Callable[[], list[Check]]) -> list[Check]:
    """Call the function without root's rights, in a process of its own where we have them."""
    if os.geteuid() != 0:
        return function()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            answer = json.dumps([dataclasses.asdict(check) for check in function()])
            os.write(writing, answer.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        answers = json.loads(stream.read())
    os.waitpid(child, 0)
    return [Check(**{**answer, 'status': Status(answer['status'])}) for answer in answers]


@pytest.fixture
def open_path(tmp_path: Path) -> Iterator[Path]:
    """A folder that every user can reach."""
    changed = [p for p in (tmp_path, *tmp_path.parents) if p.stat().st_uid == os.getuid()]
    modes = {path: path.stat().st_mode for path in changed}
    for path, mode in modes.items():
        path.chmod(mode | 0o055)
    yield tmp_path
    for path, mode in modes.items():
        path.chmod(mode)


class TestMachine:
    def test_a_jetson_is_named(self, tmp_path: Path) -> None:
        (tmp_path / 'device-tree').mkdir()
        (tmp_path / 'device-tree' / 'model').write_bytes(b'NVIDIA Jetson Orin Nano\0')
        (tmp_path / 'nv_tegra_release').write_text(
            '# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n'
        )
        (tmp_path / 'meminfo').write_text(
            'MemTotal:        7802516 kB\nMemFree:  20 kB\nMemAvailable:    5000000 kB\n'
        )
        check = only(check_machine(tmp_path, tmp_path))
        assert check.status is Status.OK
        assert check.summary.startswith('NVIDIA Jetson Orin Nano, ')
        assert check.summary.endswith('Jetson Linux 36.4.3, 5.1 GB of 8.0 GB memory available')

    def test_little_memory_is_a_warning(self, tmp_path: Path) -> None:
        (tmp_path / 'meminfo').write_text('MemTotal: 7802516 kB\nMemAvailable: 300000 kB\n')
        assert only(check_machine(tmp_path, tmp_path)).status is Status.WARNING

    def test_this_machine(self) -> None:
        assert 'memory available' in only(check_machine()).summary

    def test_shared_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert 'MB free' in only(check_shared_memory(tmp_path)).summary
        absent = only(check_shared_memory(tmp_path / 'absent'))
        assert (absent.status, 'UDP' in absent.advice) == (Status.WARNING, True)
        monkeypatch.setattr(preflight_machine, 'MIN_FREE_SHM_BYTES', 2**63)
        full = only(check_shared_memory(tmp_path))
        assert (full.status, '--shm-size' in full.advice) == (Status.WARNING, True)


class TestFolders:
    def test_one_that_can_be_written(self, tmp_path: Path) -> None:
        check = only(check_folder('f', tmp_path, 'VARIABLE'))
        assert check.status is Status.OK
        assert 'writable' in check.summary
        assert list(tmp_path.iterdir()) == []

    def test_one_that_is_not_made_yet_is_not_made(self, tmp_path: Path) -> None:
        check = only(check_folder('f', tmp_path / 'a' / 'b', 'VARIABLE'))
        assert check.status is Status.OK
        assert 'not made yet' in check.summary
        assert list(tmp_path.iterdir()) == []

    def test_one_that_may_not_be_written(self, open_path: Path) -> None:
        folder = open_path / 'folder'
        folder.mkdir(mode=0o555)
        check = only(as_nobody(lambda: check_folder('f', folder, 'VARIABLE')))
        assert check.status is Status.WARNING
        assert os.strerror(errno.EACCES) in check.summary
        assert 'VARIABLE=' in check.advice

    def test_one_that_cannot_be_reached(self, open_path: Path) -> None:
        closed = open_path / 'closed'
        closed.mkdir(mode=0o000)
        check = only(as_nobody(lambda: check_folder('f', closed / 'folder', 'VARIABLE')))
        assert check.status is Status.ERROR
        assert check.summary == (f'{closed}/folder cannot be reached: {os.strerror(errno.EACCES)}')
        assert 'VARIABLE=' in check.advice

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / 'file').touch()
        check = only(check_folder('f', tmp_path / 'file' / 'sub', 'VARIABLE'))
        assert check.status is Status.ERROR

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(preflight_machine, 'MIN_FREE_DISK_BYTES', 2**63)
        check = only(check_folder('f', tmp_path, 'VARIABLE'))
        assert check.status is Status.WARNING
        assert 'only' in check.summary


class TestCameras:
    def test_none(self, tmp_path: Path) -> None:
        (tmp_path / 'video0').touch()  # no device
        (tmp_path / 'videos').touch()
        check = only(check_cameras(tmp_path))
        assert check.status is Status.WARNING
        assert check.summary == f'none ({tmp_path}/video*)'

    def test_no_permission(self, open_path: Path) -> None:
        (open_path / 'video0').touch()
        (open_path / 'video0').chmod(0)
        check = only(as_nobody(lambda: check_cameras(open_path)))
        assert check.status is Status.WARNING
        assert check.summary == f'{open_path}/video0: no permission'
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
            return preflight_machine._CAPABILITY.pack(*texts, 0x60000, *answers[name], 0, 0, 0)

        monkeypatch.setattr(preflight_machine.fcntl, 'ioctl', ioctl)
        check = only(check_cameras(tmp_path))
        assert check.status is Status.OK
        assert check.summary == f'{tmp_path}/video2 (HD Webcam), {tmp_path}/video10 (HD Webcam)'
