# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that estimates the facial expression of every face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from rclpy.publisher import Publisher

from aitable_msgs.msg import Emotion, FaceArray
from aitable_ros.inference.selection import AUTO
from aitable_ros.model_zoo.loading import loader
from aitable_ros.perception.emotion.expression_head import NEUTRAL_BONUS
from aitable_ros.perception.emotion.observer import (
    MIN_CONFIDENCE,
    EmotionObserver,
    EmotionSettings,
)
from aitable_ros.perception.emotion.readings import READINGS
from aitable_ros.ros_support.messages.results import emotion_to_message
from aitable_ros.ros_support.node.diagnostics import order_values
from aitable_ros.ros_support.node.faces_input import FacesInputNode
from aitable_ros.ros_support.parameters.network_parameters import (
    BACKEND_PARAMETERS,
    IMAGE_PARAMETERS,
    backend_parameter,
)
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin


class EmotionNode(FacesInputNode):
    """
    Publishes ``emotion`` (aitable_msgs/Emotion), one message per face of ``faces``.

    Networks look at a crop of each face, all faces of an image in one batch: EmoNet's or
    EmotiEffLib's, where the user has brought them, else the package's own, with the face's shape.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        *IMAGE_PARAMETERS,
        backend_parameter('the network'),
        ParameterSpec(
            'reading',
            AUTO,
            'what reads expressions; auto: the first of emonet, emotieff, emotieff_mbf, '
            'expression and geometry that loads',
            choices=(AUTO, *READINGS),
            basic=True,
        ),
        *BACKEND_PARAMETERS,
        ParameterSpec(
            'max_rate',
            5.0,
            'how often the network looks at a face; 0: in every image. A CPU takes a core for 0.1 '
            'to 0.2 s per face with EmoNet, 1 ms with the reading expression [Hz]',
            (0.0, 1000.0),
            dynamic=True,
            basic=True,
        ),
        ParameterSpec(
            'neutral_bonus',
            NEUTRAL_BONUS,
            'how much more often faces are taken for neutral: 0 finds most expressions, 3 hardly '
            'any [log-odds]',
            (0.0, 5.0),
            dynamic=True,
            basic=True,
        ),
        ParameterSpec(
            'crop_scale',
            0.0,
            "side of EmoNet's or EmotiEffLib's crop over the mean side of the tight landmark box; "
            "0: the network's own (1.82 and 1.15)",
            (0.0, 5.0),
            dynamic=True,
        ),
        ParameterSpec(
            'min_face_size',
            48.0,
            'faces that are narrower are UNKNOWN [pixels]',
            (0.0, 4096.0),
            dynamic=True,
        ),
        ParameterSpec(
            'min_confidence',
            MIN_CONFIDENCE,
            'below this confidence the expression is UNCERTAIN',
            (0.0, 1.0),
            dynamic=True,
        ),
        ParameterSpec(
            'smoothing',
            0.0,
            "time constant over which a face's results are averaged; 0: not at all [s]",
            (0.0, 60.0),
            dynamic=True,
        ),
        ParameterSpec(
            'forget_after',
            3.0,
            'a face that was not seen for this long starts anew [s]',
            (0.0, 3600.0),
            dynamic=True,
        ),
    )

    def __init__(self, name: str = 'emotion', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._publisher = self.create_publisher(Emotion, 'emotion', 10)
        self.loaded: EmotionObserver | None = None
        if 'network' in self._parameter_overrides:
            self.get_logger().warning('network: this parameter is called reading now')

    def load(self, values: Mapping[str, Any]) -> EmotionObserver:
        """Load a reading, or say why a lesser one has to do."""
        observer = EmotionObserver.load(
            loader(values, self.get_logger()),
            backend=values['backend'],
            reading=values['reading'],
            settings=_settings(values),
        )
        if observer.skipped:
            why = '; '.join(map(str, observer.skipped))
            self.get_logger().info(f'emotion is read by {observer.reading}; skipped: {why}')
        return observer

    def missing(self, loaded: EmotionObserver, values: Mapping[str, Any]) -> str:
        """Say why what reads now would not any more, where nobody asked for that."""
        now = '' if self.loaded is None else self.loaded.reading
        return next((one.reason for one in loaded.skipped if one.backend == now), '')

    def apply(self, values: Mapping[str, Any]) -> None:
        """Take over the thresholds, the crop and the smoothing."""
        assert self.loaded is not None
        self.loaded.adopt(_settings(values))

    def results(self, item: FaceArray) -> Iterator[tuple[Publisher, Any]]:
        """Estimate the expression of every face."""
        assert self.loaded is not None
        readings = self.loaded.observe(self.seen_in(item), self.look_at(item.header))
        self.tell_order(self.loaded.stream)
        for reading in readings:
            yield self._publisher, emotion_to_message(reading, item.header)

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add what estimates, why nothing better does, and the faces of the last image."""
        yield 'faces', self.face_count
        observer = self.loaded
        if observer is None:
            return
        yield 'emotion reading', observer.reading
        yield 'emotion backend', observer.backend
        yield from order_values(observer.stream)
        if observer.skipped:
            yield 'emotion skipped', '; '.join(map(str, observer.skipped))
        if observer.network is not None:
            yield 'model', observer.network.model
            yield 'faces without their image', observer.without_image


def _settings(values: Mapping[str, Any]) -> EmotionSettings:
    return EmotionSettings(
        max_rate_hz=values['max_rate'],
        crop_scale=values['crop_scale'],
        neutral_bonus=values['neutral_bonus'],
        min_face_px=values['min_face_size'],
        min_confidence=values['min_confidence'],
        smoothing_s=values['smoothing'],
        forget_after_s=values['forget_after'],
    )


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [EmotionNode()], args)


if __name__ == '__main__':
    main()
