# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that publishes images from a camera, a video, pictures or the built-in sample."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from aitable_ros.ros_support.frames.frame_hub import InProcessPublisher
from aitable_ros.ros_support.frames.image_conversion import rgb_to_compressed, rgb_to_image
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.parameters.network_parameters import (
    FOLDERS_PARAMETER,
    PUBLISH_IMAGES,
)
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin
from aitable_ros.sources import FrameSource, SourceError, SourceFrame, open_source

DEFAULT_RATE_HZ = 30.0


class _Loaded(NamedTuple):
    """What a configuration is made of."""

    source: FrameSource
    period_s: float  # 0: as they come
    wishes: tuple[Any, ...]  # the parameters that it was opened with


class ImageSourceNode(ManagedNode):
    """
    Publishes ``image_raw`` (sensor_msgs/Image) and, if asked, ``image_raw/compressed``.

    For trying the system and for tables whose camera has no ROS driver of its own. Stamps are
    the time at which the frame was taken.
    """

    NEEDS_INPUT: ClassVar[bool] = False
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec(
            'source',
            'sample',
            "'sample' (built in), a camera index or /dev/video*, a video file, a picture, or a "
            'folder of pictures',
            no_file=r'sample|[0-9]{1,4}',
            basic=True,
        ),
        FOLDERS_PARAMETER,
        ParameterSpec(
            'rate',
            0.0,
            "images per second; 0: the source's own rate [Hz]",
            (0.0, 1000.0),
            basic=True,
        ),
        ParameterSpec(
            'width',
            0,
            "image width: asked of a camera, scaled to otherwise; 0: the source's own [pixels]",
            (0, 16384),
        ),
        ParameterSpec(
            'height',
            0,
            "image height: asked of a camera, scaled to otherwise; 0: the source's own [pixels]",
            (0, 16384),
        ),
        ParameterSpec('loop', True, 'start again at the end of a video, folder or the sample'),
        ParameterSpec('frame_id', 'camera_optical_frame', 'frame_id of the images', dynamic=True),
        ParameterSpec(
            'encoding',
            'bgr8',
            'encoding of image_raw',
            choices=('bgr8', 'rgb8', 'mono8'),
            dynamic=True,
        ),
        ParameterSpec(
            'image_transport',
            'raw',
            'which topics to publish',
            choices=('raw', 'compressed', 'both'),
            dynamic=True,
        ),
        ParameterSpec(
            'jpeg_quality', 90, 'quality of the compressed images', (1, 100), dynamic=True
        ),
        PUBLISH_IMAGES,
    )

    def __init__(self, name: str = 'image_source', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        compressed = self.resolve_topic_name('image_raw') + '/compressed'
        self._raw: Any
        self._compressed: Any
        if self.params['publish_images']:
            self._raw = self.create_publisher(Image, 'image_raw', 2)
            self._compressed = self.create_publisher(CompressedImage, compressed, 2)
        else:
            self._raw = InProcessPublisher(self, 'image_raw')
            self._compressed = InProcessPublisher(self, compressed)
        self.loaded: _Loaded | None = None
        self._wake = threading.Event()
        self._stopped = True
        self._due_s = 0.0
        self._end = ''

    def load(self, values: Mapping[str, Any]) -> _Loaded:
        """Open the source."""
        wishes = tuple(values[name] for name in ('source', 'width', 'height', 'rate', 'loop'))
        before = self.loaded
        if before is not None and before.source.live and before.wishes == wishes:
            return before  # a camera can be opened only once
        name, width, height, rate, loop = wishes
        try:
            source = open_source(
                name, width=width or None, height=height or None, fps=rate or None, loop=loop
            )
        except SourceError as error:
            if before is None or not before.source.live:
                raise
            raise SourceError(
                f'{error}; a camera in use is opened otherwise by cleanup and configure'
            ) from error
        self.get_logger().info(f'publishing {source.description}')
        # a live camera sets the pace itself
        paced = rate or not source.live
        return _Loaded(source, 1 / (rate or source.fps or DEFAULT_RATE_HZ) if paced else 0, wishes)

    def unload(self, loaded: _Loaded) -> None:
        """Close the source, unless it goes on being used."""
        if loaded is not self.loaded:
            loaded.source.close()

    def carry_over(self, previous: _Loaded, loaded: _Loaded) -> None:
        """Go on at the new rate; begin again where the source before had ended."""
        if loaded.period_s != previous.period_s:
            self._due_s = time.monotonic()
        if self._end and not self._stopped:
            self._end = ''
            self.offer(None)

    def start(self) -> None:
        """Begin to publish."""
        self._stopped, self._end, self._due_s = False, '', time.monotonic()
        self.offer(None)

    def stop(self) -> None:
        """End the publishing that is under way."""
        self._stopped = True
        self._wake.set()

    def interrupt(self) -> None:
        """End the wait for the next image."""
        self._wake.set()

    def results(self, item: None) -> Iterator[tuple[Publisher, Any]]:
        """Give the next image when it is due; then the next item is offered."""
        loaded = self.loaded
        assert loaded is not None
        # in this order: a stop that comes in between is seen
        self._wake.clear()
        if self._stopped:
            return
        try:
            frame = self._next_frame(loaded)
            if frame is not None:
                yield from self._messages(frame)
        except Exception as error:
            self._end = str(error)
            raise
        if not self._end:
            self.offer(None)

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add what is being published."""
        source = self.loaded.source if self.loaded is not None else None
        return (
            ('source', source.description if source else 'none'),
            ('connected', source.connected if source else False),
            ('ended', bool(self._end)),
        )

    @property
    def notice(self) -> str:
        """Say when there is nothing more to publish, or the camera is lost."""
        loaded = self.loaded
        if self._end:
            return f'nothing is published any more: {self._end}'
        if loaded is not None and not loaded.source.connected:
            return f'{loaded.source.name} is lost'
        return ''

    def _next_frame(self, loaded: _Loaded) -> SourceFrame | None:
        """Wait for the next image; None when it was not to be waited for, or there is none."""
        if loaded.period_s:
            delay_s = self._due_s - time.monotonic()
            if delay_s > 0 and self._wake.wait(delay_s):
                return None
        frame = loaded.source.read(self._wake)
        if frame is None:
            if not self._wake.is_set():
                self._end = f'{loaded.source.name} has ended'
                self.get_logger().info(self._end)
            return None
        # after a stall go on from now instead of catching up in a burst
        now_s = time.monotonic()
        self._due_s = max(self._due_s, now_s - loaded.period_s) + loaded.period_s
        return frame

    def _messages(self, frame: SourceFrame) -> Iterator[tuple[Publisher, Any]]:
        stamp = self.get_clock().now().to_msg()
        header = Header(stamp=stamp, frame_id=self.values['frame_id'])
        if self.values['image_transport'] != 'compressed':
            yield self._raw, rgb_to_image(frame.image, header, self.values['encoding'])
        if self.values['image_transport'] != 'raw':
            quality = self.values['jpeg_quality']
            yield self._compressed, rgb_to_compressed(frame.image, header, quality)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [ImageSourceNode()], args)


if __name__ == '__main__':
    main()
