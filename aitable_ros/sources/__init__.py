# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Where frames come from without ROS: cameras, videos, pictures and the built-in sample.

:func:`open_source` turns what a user types into a :class:`FrameSource`.
"""

from __future__ import annotations

from aitable_ros.sources.camera_source import CameraSource
from aitable_ros.sources.frame_source import DEFAULT_FPS, FrameSource, SourceError, SourceFrame
from aitable_ros.sources.picture_source import (
    PICTURE_SUFFIXES,
    PictureSource,
    list_pictures,
    read_picture,
)
from aitable_ros.sources.sample_source import SampleSource
from aitable_ros.sources.selection import open_source
from aitable_ros.sources.video_source import VideoSource

__all__ = [
    'DEFAULT_FPS',
    'PICTURE_SUFFIXES',
    'CameraSource',
    'FrameSource',
    'PictureSource',
    'SampleSource',
    'SourceError',
    'SourceFrame',
    'VideoSource',
    'list_pictures',
    'open_source',
    'read_picture',
]
