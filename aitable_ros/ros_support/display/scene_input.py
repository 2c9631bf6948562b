# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the other nodes found, for nodes that show it, and how it is shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aitable_msgs.msg import Attention, Emotion, FaceArray, Fatigue, Posture
from aitable_ros.perception.faces.people import MAX_PEOPLE
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns
from aitable_ros.ros_support.messages.attention import gaze_of
from aitable_ros.ros_support.messages.posture import keypoints_of
from aitable_ros.ros_support.messages.results import (
    faces_from_message,
    faces_taken,
    head_pose_of,
)
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.visualization.overlay.privacy import LastPlaces, ground
from aitable_ros.visualization.overlay.privacy_modes import MESH, PRIVACY
from aitable_ros.visualization.overlay.scene import draw_scene, face_overlay, posture_overlay

THE_PERSON = 'person'
NEWER_NS = 1_000_000_000  # results may be this much ahead of the image that is being shown

_KEEPS_PACE = 3
"""Who answered so many images in a row is waited for: emotions are read 5 times a second, and to
wait for one that is not due would cost more images than it shows."""

DRAWING_PARAMETERS = (
    ParameterSpec('draw_mesh', True, 'draw the landmarks', dynamic=True, basic=True),
    ParameterSpec('draw_axes', True, 'draw the axes of the heads', dynamic=True, basic=True),
    ParameterSpec('draw_posture', True, 'draw body and posture', dynamic=True),
    ParameterSpec(
        'max_age',
        1.0,
        'emotion, fatigue and posture are shown for this long after their image [s]',
        (0.0, 60.0),
        dynamic=True,
    ),
)


def privacy_parameter(default: str) -> ParameterSpec:
    """Make the ``privacy`` parameter of a node that shows images."""
    return ParameterSpec(
        'privacy',
        default,
        'how much pictures show of people (none: everything, blur: no faces, mesh: landmarks '
        'alone, no_image: there are no pictures)',
        choices=PRIVACY,
        dynamic=True,
        basic=True,
    )


class Scene(NamedTuple):
    """What is known when an image is shown: of each face by its id, and the posture."""

    emotions: Mapping[str, Emotion]
    fatigues: Mapping[str, Fatigue]
    posture: Posture | None
    attentions: Mapping[str, Attention]


class SceneInput:
    """
    Keeps the results that came last.

    :param node: subscribes, in its executor's thread.
    :param take_faces: gets each FaceArray.
    """

    def __init__(self, node: Any, take_faces: Callable[[FaceArray], None]) -> None:
        self._node = node
        self._take_faces = take_faces
        self._emotions: dict[str, Emotion] = {}
        self._fatigues: dict[str, Fatigue] = {}
        self._attentions: dict[str, Attention] = {}
        # one person's; by a name, as the others are
        self._postures: dict[str, Posture] = {}
        self._arrived = threading.Condition()
        self._shown: tuple[Sequence[str], int] = ((), 0)
        self._in_a_row = dict.fromkeys(('emotion', 'fatigue', 'attention'), _KEEPS_PACE)
        """How many images in a row each of them has answered."""
        self._subscriptions: list[Any] = []

    def follow(self, wanted: bool) -> None:
        """Subscribe to all results, or unsubscribe; in the executor's thread."""
        node = self._node
        if wanted and not self._subscriptions:
            self._subscriptions = [
                node.create_subscription(FaceArray, 'faces', self._take_faces, 10),
                node.create_subscription(Emotion, 'emotion', self.take_emotion, 10),
                node.create_subscription(Fatigue, 'fatigue', self.take_fatigue, 10),
                node.create_subscription(Posture, 'posture', self.take_posture, 10),
                node.create_subscription(Attention, 'attention', self.take_attention, 10),
            ]
        elif not wanted:
            subscriptions, self._subscriptions = self._subscriptions, []
            for subscription in subscriptions:
                node.destroy_subscription(subscription)

    def clear(self) -> None:
        """Forget the results that were kept."""
        with self._arrived:
            for results in (
                *(self._emotions, self._fatigues, self._attentions),
                self._postures,
            ):
                results.clear()

    def take_emotion(self, message: Emotion) -> None:
        """Keep the emotion of a face until its image is shown."""
        with self._arrived:
            _keep(self._emotions, message.face_id, message)
            self._arrived.notify_all()

    def take_fatigue(self, message: Fatigue) -> None:
        """Keep the fatigue of a face until its image is shown."""
        with self._arrived:
            _keep(self._fatigues, message.face_id, message)
            self._arrived.notify_all()

    def take_attention(self, message: Attention) -> None:
        """Keep where a face looks until its image is shown."""
        with self._arrived:
            _keep(self._attentions, message.face_id, message)
            self._arrived.notify_all()

    def take_posture(self, message: Posture) -> None:
        """Keep the posture until an image is shown."""
        with self._arrived:
            self._postures[THE_PERSON] = message

    def scene(self, faces: FaceArray, max_age_s: float, wait_s: float) -> Scene:
        """
        Give what belongs to the faces' image or to one shortly before.

        The rest stays: the image may be one with a wrong stamp.

        :param max_age_s: what is older than this is not shown [s].
        :param wait_s: how long the other nodes may take to finish the same image [s].
        """
        stamp_ns = stamp_to_ns(faces.header.stamp)
        self._wait_for_results(faces, stamp_ns, wait_s)
        max_age_ns = int(max_age_s * 1e9)
        with self._arrived:
            return Scene(
                _fresh(self._emotions, stamp_ns, max_age_ns),
                _fresh(self._fatigues, stamp_ns, max_age_ns),
                _fresh(self._postures, stamp_ns, max_age_ns).get(THE_PERSON),
                _fresh(self._attentions, stamp_ns, max_age_ns),
            )

    def _wait_for_results(self, faces: FaceArray, stamp_ns: int, wait_s: float) -> None:
        ids = [face.face_id for face in faces_taken(faces.faces)]
        with self._arrived:
            before, self._shown = self._shown, (ids, stamp_ns)
            for topic in self._in_a_row:
                answered = self._has_answered(topic, *before)
                self._in_a_row[topic] = self._in_a_row[topic] + 1 if answered else 0
        awaited = [
            topic
            for topic, images in self._in_a_row.items()
            if images >= _KEEPS_PACE and self._node.count_publishers(topic)
        ]
        with self._arrived:
            self._arrived.wait_for(
                lambda: all(self._has_answered(topic, ids, stamp_ns) for topic in awaited), wait_s
            )

    def _has_answered(self, topic: str, ids: Sequence[str], stamp_ns: int) -> bool:
        """Tell whether the results for these faces of an image have come."""
        results = {
            'emotion': self._emotions,
            'fatigue': self._fatigues,
            'attention': self._attentions,
        }[topic]
        return all(
            face_id in results and stamp_to_ns(results[face_id].header.stamp) >= stamp_ns
            for face_id in ids
        )


def draw(
    item: FaceArray,
    image: npt.NDArray[np.uint8] | None,
    scene: Scene,
    places: LastPlaces,
    params: Any,
    *,
    readings: bool = True,
) -> npt.NDArray[np.uint8]:
    """
    Draw what was found in an image, as much of people as ``privacy`` lets be seen.

    :param item: the faces found in it.
    :param image: (H, W, 3) uint8 RGB; None where privacy needs none.
    :param places: of the faces in the images before.
    :param params: values of :data:`DRAWING_PARAMETERS` and ``privacy``.
    :param readings: draw what was found; else only hide what is not to be seen.
    :returns: (H, W, 3) uint8 RGB.
    :raises ValueError: when there is no picture for this privacy.
    """
    overlays = []
    found = faces_from_message(item)
    for face in (*found.faces, *found.waiting):
        fatigue = scene.fatigues.get(face.face_id)
        pose = head_pose_of(fatigue, item.header)
        attention = scene.attentions.get(face.face_id)
        overlays.append(
            face_overlay(
                *(face, scene.emotions.get(face.face_id), fatigue, pose),
                *(attention, gaze_of(attention, item.header)),
            )
        )
    body = None
    if scene.posture is not None:
        body = posture_overlay(scene.posture, keypoints_of(scene.posture))
    privacy = params['privacy']
    hidden = places.update(stamp_to_ns(item.header.stamp) * 1e-9, overlays, body)
    seen = ground(image, (item.image_width, item.image_height), privacy, hidden)
    if not readings:
        return seen
    return draw_scene(
        seen,
        overlays,
        body if params['draw_posture'] else None,
        mesh=params['draw_mesh'] or privacy == MESH,
        axes=params['draw_axes'],
    )


def _fresh(results: dict[str, Any], stamp_ns: int, max_age_ns: int) -> dict[str, Any]:
    # what is far in the future is from before the time was set back, as when a bag is replayed
    return {
        name: result
        for name, result in results.items()
        if -NEWER_NS <= stamp_ns - stamp_to_ns(result.header.stamp) <= max_age_ns
    }


def _keep(results: dict[str, Any], face_id: str, message: Any) -> None:
    """Keep what came last, of so many people at most."""
    results.pop(face_id, None)
    results[face_id] = message
    if len(results) > MAX_PEOPLE:
        del results[next(iter(results))]
