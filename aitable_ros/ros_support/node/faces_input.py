# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the nodes share that read faces, and perhaps the images in which they were found."""

from __future__ import annotations

from typing import Any

from std_msgs.msg import Header

from aitable_msgs.msg import FaceArray
from aitable_ros.perception.faces.observer import Look, SeenFaces
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns
from aitable_ros.ros_support.messages.results import FACES_TAKEN, faces_from_message
from aitable_ros.ros_support.node.hand_over import Taker
from aitable_ros.ros_support.node.managed_node import ManagedNode


class FacesInputNode(ManagedNode):
    """Base of these nodes: every FaceArray of ``faces`` is offered to the worker."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._faces: Taker | None = None
        self.face_count = 0
        """How many faces the last image had."""

    @property
    def wants_images(self) -> bool:
        """Whether what is loaded looks at images, too."""
        return bool(self.selections())

    def start(self) -> None:
        """Subscribe to the faces, and to the images if they are needed."""
        self.adapt()
        self._faces = Taker(self, FaceArray, 'faces', self.offer)

    def adapt(self) -> None:
        """Receive images if they are needed."""
        if self.wants_images:
            self.subscribe_to_frames(self.frames.add)
        else:
            self.unsubscribe_from_frames()
            self.frames.clear()

    def stop(self) -> None:
        """Unsubscribe."""
        faces, self._faces = self._faces, None
        if faces is not None:
            faces.close()
        self.frames.clear()

    def rivals(self) -> str:
        """See who publishes faces now, and say who does the same as this node."""
        if self._faces is not None:
            self._faces.refresh()
        return super().rivals()

    def seen_in(self, message: FaceArray) -> SeenFaces:
        """Return the faces of a message, but for those that no id can be kept of."""
        seen = faces_from_message(message)
        left_out = len(message.faces) - len(seen.faces)
        if left_out:
            self.seldom.warn('ids', f'{left_out} faces of an image are left out: {FACES_TAKEN}')
        self.face_count = len(seen.faces)
        # results come in the order of images: nobody asks for what lies before
        self.frames.drop_before(stamp_to_ns(message.header.stamp))
        return seen

    @property
    def notice(self) -> str:
        """Say what is wrong with the images that faces come from."""
        return '' if self.loaded is None else str(self.loaded.stream.problem)

    def reset(self) -> None:
        """Forget everybody."""
        self.face_count = 0
        if self.loaded is not None:
            self.loaded.reset()

    def carry_over(self, previous: Any, loaded: Any) -> None:
        """Keep the people."""
        loaded.continue_from(previous)

    def look_at(self, header: Header) -> Look:
        """Return what gives the image with a result's header, if it was received."""

        def look() -> Any:
            frame = self.frames.get(stamp_to_ns(header.stamp), header.frame_id)
            return None if frame is None else frame.pixels()

        return look
