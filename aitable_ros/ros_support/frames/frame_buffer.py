# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The latest frames by stamp, for nodes that work on an image and on results made from it."""

from __future__ import annotations

import threading
from collections import OrderedDict

from aitable_ros.ros_support.frames.frame_hub import Frame


class FrameBuffer:
    """Keeps the latest frames, so many, until the results that belong to them arrive."""

    def __init__(self, size: int = 15) -> None:
        self._size = size
        self._frames: OrderedDict[int, Frame] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, frame: Frame) -> None:
        """Keep a frame; the oldest one goes."""
        with self._lock:
            self._frames[frame.stamp_ns] = frame
            while len(self._frames) > self._size:
                self._frames.popitem(last=False)

    def drop_before(self, stamp_ns: int) -> None:
        """Let go of the frames that came before the one with this stamp [ns], if it is there."""
        with self._lock:
            while stamp_ns in self._frames and next(iter(self._frames)) != stamp_ns:
                self._frames.popitem(last=False)

    def get(self, stamp_ns: int, frame_id: str | None = None) -> Frame | None:
        """Return the frame with exactly this stamp [ns] and of this camera, if named, or None."""
        with self._lock:
            frame = self._frames.get(stamp_ns)
        if frame is None or frame_id not in (None, frame.header.frame_id):
            return None
        return frame

    def clear(self) -> None:
        """Let go of all frames."""
        with self._lock:
            self._frames.clear()
