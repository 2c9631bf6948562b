# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which cameras this machine has, and whether they may be opened."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from aitable_ros.tools.preflight.check import Check, Status

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
    devices = (path for path in folder.glob('video*') if path.name[5:].isdecimal())
    cameras, problems = [], []
    for path in sorted(devices, key=lambda path: int(path.name[5:])):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            advice = 'unplug it and plug it in'
            if isinstance(error, PermissionError):
                advice = 'sudo usermod -aG video $USER, then log in anew'
            summary = f'{path}: {error.strerror or error}'
            problems.append(Check('cameras', Status.WARNING, summary, advice))
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
    if cameras:
        return [Check('cameras', Status.OK, ', '.join(cameras)), *problems]
    advice = 'images can come from a topic, file or sample; in Docker: --device /dev/video0'
    return problems or [Check('cameras', Status.WARNING, f'none ({folder}/video*)', advice)]
