# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""From what a user types to a frame source."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from aitable_ros.sources.camera_source import CameraSource
from aitable_ros.sources.frame_source import FrameSource, SourceError
from aitable_ros.sources.picture_source import PICTURE_SUFFIXES, PictureSource, list_pictures
from aitable_ros.sources.sample_source import SampleSource
from aitable_ros.sources.video_source import VideoSource


def open_source(
    spec: str,
    *,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    loop: bool = True,
) -> FrameSource:
    """
    Open a source of frames.

    :param spec: ``sample`` (the built-in sequence), a camera index (``0``) or device
        (``/dev/video0``), a video file, a picture, or a folder of pictures (in natural order).
        A file called ``sample`` or ``0`` is meant by ``./sample``.
    :param width: width of the frames in pixels: pictures and videos are scaled, cameras asked.
        None: the source's own, or in proportion where only the height is given.
    :param height: likewise.
    :param fps: frames per second: cameras are asked, others meant to be read at this rate.
        None: the source's own; 30 where it has none.
    :param loop: start again at the end; means nothing to a camera.
    :raises SourceError: when the source is not there, may not be read, or cannot be decoded.
    """
    spec = spec.strip()
    if not spec:
        raise SourceError("no source given: 'sample', a camera index, a file or a folder")
    if spec == 'sample':
        return SampleSource(width=width, height=height, fps=fps, loop=loop)
    device = _camera_device(spec)
    if device is not None:
        return CameraSource(device, width=width, height=height, fps=fps)
    try:
        path = Path(spec).expanduser()
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceError(f'{spec} cannot be looked at: {error}') from error
    if is_folder:
        pictures = list_pictures(path)
        name = f'folder {path} ({len(pictures)} pictures)'
        return PictureSource(pictures, name, width=width, height=height, fps=fps, loop=loop)
    if not exists:
        raise SourceError(
            f"no such file or folder: {spec} (a source is 'sample', a camera index or "
            '/dev/video*, a video file, a picture, or a folder of pictures)'
        )
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return PictureSource(
            [path], f'picture {path}', width=width, height=height, fps=fps, loop=loop
        )
    return VideoSource(path, width=width, height=height, fps=fps, loop=loop)


def _camera_device(spec: str) -> int | str | None:
    if re.fullmatch(r'[0-9]{1,4}', spec):
        return int(spec)
    if re.fullmatch(r'/dev/(video[0-9]+|v4l/.+)', spec):
        return spec
    try:
        return spec if stat.S_ISCHR(Path(spec).stat().st_mode) else None
    except (OSError, ValueError):
        return None
