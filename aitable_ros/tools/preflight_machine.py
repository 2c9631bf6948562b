# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What this machine has: memory, room for files and images, cameras."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import struct
import tempfile
from pathlib import Path

from aitable_ros.tools.preflight_check import Check, Status, gigabytes

MIN_FREE_DISK_BYTES = 10**9
MIN_FREE_SHM_BYTES = 72 * 10**6
"""Eight participants (nodes, source, viewer) of 8.6 MB each; docs/transport.md."""
MIN_FREE_MEMORY_BYTES = 10**9


def check_machine(proc: Path = Path('/proc'), etc: Path = Path('/etc')) -> list[Check]:
    """
    Tell what machine this is, and how much memory it has free.

    :param proc: the proc filesystem; ``device-tree/model`` in it names a Jetson.
    :param etc: the folder of ``nv_tegra_release``, which names the release of Jetson Linux.
    """
    parts = [f'{platform.machine()}, {os.cpu_count()} CPU cores']
    model = _text(proc / 'device-tree' / 'model').rstrip('\0').strip()
    if model:
        parts.insert(0, model)
    release = re.search(r'R(\d+).*?REVISION: ([\d.]+)', _text(etc / 'nv_tegra_release'))
    if release:
        parts.append(f'Jetson Linux {release[1]}.{release[2]}')
    # "MemTotal:       16315432 kB"; "kB" is KiB
    sizes = dict(re.findall(r'^(\w+):\s+(\d+) kB', _text(proc / 'meminfo'), re.MULTILINE))
    status, advice = Status.OK, ''
    if 'MemTotal' in sizes and 'MemAvailable' in sizes:
        total, free = (int(sizes[key]) * 1024 for key in ('MemTotal', 'MemAvailable'))
        parts.append(f'{gigabytes(free)} of {gigabytes(total)} memory available')
        if free < MIN_FREE_MEMORY_BYTES:
            status = Status.WARNING
            advice = f'less than {gigabytes(MIN_FREE_MEMORY_BYTES)} available: end other programs'
    return [Check('machine', status, ', '.join(parts), advice)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8', errors='replace')
    except OSError:
        return ''


def check_shared_memory(folder: Path = Path('/dev/shm')) -> list[Check]:
    """
    See whether there is room for the images that nodes in several processes exchange.

    :param folder: where shared memory is mounted.
    """
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return [
            Check(
                'shared memory',
                Status.WARNING,
                f'{folder}: {error.strerror or error}',
                'images between processes go through UDP, and may be lost (docs/transport.md)',
            )
        ]
    summary = f'{usage.free / 1e6:.0f} of {usage.total / 1e6:.0f} MB free in {folder}'
    if usage.free >= MIN_FREE_SHM_BYTES:
        return [Check('shared memory', Status.OK, summary)]
    return [
        Check(
            'shared memory',
            Status.WARNING,
            summary,
            'enough for one process with all nodes, not for one process each; in Docker:'
            ' --shm-size=256m or --ipc=host',
        )
    ]


def check_folder(name: str, folder: Path, variable: str) -> list[Check]:
    """
    Try to write to a folder, and see how much room it has.

    :param name: of the check.
    :param folder: it need not exist yet; nothing remains of the trial.
    :param variable: the environment variable that names another one.
    """
    other = f'choose another folder: {variable}=...'
    existing = folder
    try:
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        is_folder = existing.is_dir()
    except OSError as error:  # a folder on the way there may not be entered
        reason = f'{existing} cannot be reached: {error.strerror or error}'
        return [Check(name, Status.ERROR, reason, other)]
    summary = str(folder) if existing == folder else f'{folder} (not made yet)'
    if not is_folder:
        return [Check(name, Status.ERROR, f'{existing} is not a folder', other)]
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b'\0')
            file.flush()
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return [
            Check(
                name,
                Status.WARNING,
                f'{summary} cannot be written to: {error.strerror or error}; what is in it can'
                ' be used, nothing can be fetched or built',
                other,
            )
        ]
    if free < MIN_FREE_DISK_BYTES:
        return [
            Check(name, Status.WARNING, f'{summary}: only {gigabytes(free)} free', f'or {other}')
        ]
    return [Check(name, Status.OK, f'{summary}, writable, {gigabytes(free)} free')]


# From linux/videodev2.h: VIDIOC_QUERYCAP = _IOR('V', 0, struct v4l2_capability), and its flags.
_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct('16s32s32sIII3I')
_CAN_CAPTURE = 0x00000001 | 0x00001000  # single- and multi-planar
_HAS_DEVICE_CAPS = 0x80000000


def check_cameras(folder: Path = Path('/dev')) -> list[Check]:
    """
    Look for cameras (V4L2), and whether this user may open them.

    :param folder: of the device files.
    """
    devices = sorted(
        (path for path in folder.glob('video*') if path.name[5:].isdecimal()),
        key=lambda path: int(path.name[5:]),
    )
    cameras, problems = [], []
    for path in devices:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except PermissionError:
            problems.append(
                (f'{path}: no permission', 'sudo usermod -aG video $USER, then log in anew')
            )
            continue
        except OSError as error:
            problems.append(
                (f'{path}: {error.strerror or error}', 'unplug the camera and plug it in')
            )
            continue
        try:
            answer = fcntl.ioctl(descriptor, _QUERYCAP, bytes(_CAPABILITY.size))
        except OSError:
            continue  # no V4L2 device
        finally:
            os.close(descriptor)
        _, card, _, _, capabilities, device_capabilities, *_ = _CAPABILITY.unpack(answer)
        if capabilities & _HAS_DEVICE_CAPS:
            capabilities = device_capabilities
        if capabilities & _CAN_CAPTURE:  # else metadata, or an encoder
            cameras.append(f'{path} ({card.split(bytes(1))[0].decode(errors="replace")})')
    checks = [Check('cameras', Status.WARNING, text, advice) for text, advice in problems]
    if cameras:
        checks.insert(0, Check('cameras', Status.OK, ', '.join(cameras)))
    elif not problems:
        checks.append(
            Check(
                'cameras',
                Status.WARNING,
                f'none ({folder}/video*)',
                'images can come from a topic, a file or the built-in sample; in Docker:'
                ' --device /dev/video0',
            )
        )
    return checks
