# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that publishes images from a camera, a video, pictures or the built-in sample."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from aitable_ros.ros_support.executor import spin
from aitable_ros.ros_support.image_conversion import rgb_to_compressed, rgb_to_image
from aitable_ros.ros_support.managed_node import ManagedNode
from aitable_ros.ros_support.parameters import ParameterSpec
from aitable_ros.sources import FrameSource, SourceFrame, open_source

DEFAULT_RATE_HZ = 30.0


class ImageSourceNode(ManagedNode):
    """
    Publishes ``image_raw`` (sensor_msgs/Image) and, if asked, ``image_raw/compressed``.

    For trying the system and for tables whose camera has no ROS driver of its own. Stamps are
    the time at which the frame was taken.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec(
            'source',
            'sample',
            "'sample' (built in), a camera index or /dev/video*, a video file, a picture, or a "
            'folder of pictures',
        ),
        ParameterSpec(
            'rate',
            0.0,
            "images per second; 0: the source's own rate [Hz]",
            minimum=0.0,
            maximum=1000.0,
        ),
        ParameterSpec(
            'width',
            0,
            "image width: asked of a camera, scaled to otherwise; 0: the source's own [pixels]",
            minimum=0,
            maximum=16384,
        ),
        ParameterSpec(
            'height',
            0,
            "image height: asked of a camera, scaled to otherwise; 0: the source's own [pixels]",
            minimum=0,
            maximum=16384,
        ),
        ParameterSpec('loop', True, 'start again at the end of a video, folder or the sample'),
        ParameterSpec('frame_id', 'camera_optical_frame', 'frame_id of the images'),
        ParameterSpec(
            'encoding', 'bgr8', 'encoding of image_raw', choices=('bgr8', 'rgb8', 'mono8')
        ),
        ParameterSpec(
            'image_transport',
            'raw',
            'which topics to publish',
            choices=('raw', 'compressed', 'both'),
        ),
        ParameterSpec(
            'jpeg_quality', 90, 'quality of the compressed images', minimum=1, maximum=100
        ),
    )

    def __init__(self, name: str = 'image_source', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._raw = self.create_publisher(Image, 'image_raw', 2)
        self._compressed = self.create_publisher(
            CompressedImage, self.resolve_topic_name('image_raw') + '/compressed', 2
        )
        self._source: FrameSource | None = None
        self._values: dict[str, Any] = {}
        self._stopping = threading.Event()
        self._ended = False

    def load(self) -> None:
        """Open the source."""
        self._values = values = self.params.values()
        self._source = open_source(
            values['source'],
            width=values['width'] or None,
            height=values['height'] or None,
            fps=values['rate'] or None,
            loop=values['loop'],
        )
        self.get_logger().info(f'publishing {self._source.description}')

    def unload(self) -> None:
        """Close the source."""
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def start(self) -> None:
        """Begin to publish."""
        self._stopping.clear()
        self._ended = False
        self.offer(None)

    def stop(self) -> None:
        """End the publishing that is under way."""
        self._stopping.set()

    def process(self, item: None) -> None:
        """Publish until stopped; one item is one run."""
        assert self._source is not None
        source = self._source
        # a live camera sets the pace itself
        period_s = 0.0
        if not source.live or self._values['rate']:
            period_s = 1.0 / (self._values['rate'] or source.fps or DEFAULT_RATE_HZ)
        due_s = time.monotonic()
        while not self._stopping.is_set():
            frame = source.read(self._stopping)
            if frame is None:
                if self._stopping.is_set():
                    return
                self._ended = True
                self.get_logger().info(f'{source.name} has ended')
                return
            if period_s:
                delay_s = due_s - time.monotonic()
                if delay_s > 0 and self._stopping.wait(delay_s):
                    return
                # after a stall go on from now instead of catching up in a burst
                due_s = max(due_s, time.monotonic() - period_s) + period_s
            self._publish(frame)

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add what is being published."""
        source = self._source
        return (
            ('source', source.description if source else 'none'),
            ('connected', source.connected if source else False),
            ('ended', self._ended),
        )

    def _publish(self, frame: SourceFrame) -> None:
        stamp = self.get_clock().now().to_msg()
        header = Header(stamp=stamp, frame_id=self._values['frame_id'])
        self.input_rate.tick()
        if self._values['image_transport'] != 'compressed':
            self._raw.publish(rgb_to_image(frame.image, header, self._values['encoding']))
        if self._values['image_transport'] != 'raw':
            self._compressed.publish(
                rgb_to_compressed(frame.image, header, quality=self._values['jpeg_quality'])
            )
        self.note_published(stamp)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [ImageSourceNode()], args)


if __name__ == '__main__':
    main()
