# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The built-in sample as a frame source."""

from __future__ import annotations

import threading

from aitable_ros.sources.frame_source import (
    DEFAULT_FPS,
    FrameSource,
    Item,
    SourceError,
    check_request,
)

DEFAULT_SIZE = (640, 480)


class SampleSource(FrameSource):
    """
    The built-in sequence, see :class:`aitable_ros.simulation.AstronautSequence`.

    :param width: in pixels; None: 640, or 4:3 with the height.
    :param height: in pixels; None: 480, or 4:3 with the width.
    :param fps: frames per second; None: 30.
    :param loop: start again at the end.
    :raises SourceError: when the size or the rate is out of range.
    """

    def __init__(
        self,
        *,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        loop: bool = True,
    ) -> None:
        from aitable_ros.simulation import AstronautSequence

        check_request(width, height, fps)
        across, down = DEFAULT_SIZE
        width, height = (
            width or (round(height * across / down) if height else across),
            height or (round(width * down / across) if width else down),
        )
        fps = fps or DEFAULT_FPS
        try:
            self._sequence = AstronautSequence(width=width, height=height, fps=fps)
        except (ValueError, ImportError) as error:
            raise SourceError(f'built-in sample: {error}') from error
        super().__init__('built-in sample', (width, height), fps)
        self._loop = loop

    def _next(self, stopping: threading.Event | None) -> Item | None:
        turn, index = divmod(self._index, len(self._sequence))
        if turn and not self._loop:
            return None
        time_s = turn * self._sequence.duration_s + self._sequence.stamp_s(index)
        return self._sequence.frame(index), time_s, None
