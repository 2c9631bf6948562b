# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Long recordings in pieces: faces are found in all of them at once, the rest in one go.

Finding faces looks at every image, and remembers a few seconds: after a warm-up a piece follows
the same faces as a run over the whole, to a fraction of a pixel. What depends on long times is
not cut: the own open eye, windows, counts, the neutral face, calibrations, events and alerts are
computed by one run over the joined faces, which looks at images only where emotion and posture do.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from aitable_ros.bags import BagError, BagMessage, BagReader, BagTarget, BagTopic, TypeDefinition
from aitable_ros.bags.definitions import Canonical
from aitable_ros.bags.topics import choose_images
from aitable_ros.tools.process_bag.recordings import is_video
from aitable_ros.tools.process_bag.rows import FACES
from aitable_ros.tools.process_bags.jobs import Job

NODE = 'face_detection'
OVERLAP_S = 30.0
"""Warm-up of a piece: ten times as long as a face is remembered that is not seen."""

COMPARED_S = 5.0
"""The people of two pieces are told to be the same in the last seconds of the overlap."""

MIN_OVERLAP = 0.5
"""Boxes of the same person overlap at least this much (intersection over union)."""

FOLDER = '.pieces'
FAILED = '.failed'
"""Suffix of a file that says that a piece will not come."""

WAIT_S, POLL_S = 600.0, 0.2
"""So long the joining waits for one piece, and how often it looks."""


class PieceMissing(BagError):  # noqa: N818 (an event: it may come later)
    """A piece is not there yet."""


def joined_after(count: int, workers: int) -> int:
    """
    Tell after how many pieces the joining begins, which goes on while the last ones are made.

    Joining takes a third as long as making the pieces does in one worker.
    """
    return count if workers == 1 else max(1, count - int(0.3 * count * (workers - 1)))


def cut(job: Job, piece_s: float, folder: Path) -> list[Job]:
    """
    Return the pieces of a recording; none where it is not cut.

    :param job: that of the whole recording.
    :param piece_s: length of a piece [s].
    :param folder: of all results.
    """
    request = job.request
    nodes = set(request.nodes or (NODE, 'more'))
    if is_video(request.source) or NODE not in nodes or len(nodes) == 1:
        return []
    try:
        with BagReader(request.source) as bag:
            length_s = (bag.end_ns - bag.start_ns) * 1e-9
    except BagError:  # which is told when it is processed
        return []
    if not length_s > 1.5 * piece_s:
        return []
    count = max(2, round(length_s / piece_s))
    pieces = []
    for k in range(count):
        begin_s, end_s = length_s * k / count, length_s * (k + 1) / count
        start_s = max(0.0, begin_s - OVERLAP_S)
        part = replace(
            request,
            target=BagTarget(folder / FOLDER / job.name / f'{k}.mcap', 'mcap'),
            nodes=(NODE,),
            start_s=start_s,
            duration_s=end_s - start_s if k + 1 < count else math.inf,
            merge=False,
            csv=None,
        )
        pieces.append(
            replace(job, request=part, name=f'{job.name} ({k + 1} of {count})', whole=job.name)
        )
    return pieces


class JoinedRecording:
    """
    A recording, and in it the faces that were found in its pieces, as those of one run.

    Faces keep their ids through the joints, and new ones get the next number. Each message of
    faces comes along with its image. Use it as a context manager.

    :param source: the recording.
    :param pieces: results of its pieces, in order.
    :param image_topic: as a Request has it.
    """

    def __init__(self, source: Path, pieces: Sequence[Path], image_topic: str = '') -> None:
        self.path = source
        self._bag = BagReader(source)
        self._pieces = list(pieces)
        self._image_topic = image_topic
        self._stack = ExitStack()
        self.faces: BagTopic
        """The topic of faces."""

    def __enter__(self) -> JoinedRecording:
        self._stack.enter_context(self._bag)
        self.storage, self.others = self._bag.storage, self._bag.others
        self.start_ns, self.end_ns = self._bag.start_ns, self._bag.end_ns
        with _piece(self._pieces[0]) as piece:
            (faces,) = (topic for topic in piece.topics if topic.type_name == FACES)
            self._definition = piece.definition(faces)
        self.faces = replace(faces, count=0)
        self._images = choose_images(self._bag, self._image_topic)
        others = (topic for topic in self._bag.topics if topic.name != self.faces.name)
        self.topics: tuple[BagTopic, ...] = (*others, self.faces)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def losses(self) -> tuple[str, ...]:
        """What the recording announces and does not have."""
        return self._bag.losses

    @property
    def images(self) -> tuple[BagTopic, ...]:
        """The topics with images."""
        return tuple(topic for topic in self.topics if topic.is_image)

    def topic(self, name: str) -> BagTopic | None:
        """Return the topic of this name, or None."""
        return next((topic for topic in self.topics if topic.name == name), None)

    def definition(self, topic: BagTopic) -> TypeDefinition | None:
        """Give the definition of a topic's type."""
        return self._definition if topic is self.faces else self._bag.definition(topic)

    def messages(
        self,
        topics: Collection[BagTopic] | None = None,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[BagMessage]:
        """Give the messages; see :meth:`BagReader.messages`."""
        chosen = self.topics if topics is None else topics
        originals = self._bag.messages(
            [topic for topic in chosen if topic is not self.faces], start_ns, stop_ns
        )
        found = self._all_faces()
        if self._images not in chosen:
            yield from heapq.merge(originals, found, key=lambda one: one.log_time_ns)
            return
        coming = next(found, None)
        for message in originals:
            if message.topic is not self._images:
                yield message
                continue
            while coming is not None and coming.log_time_ns < message.log_time_ns:
                coming = next(found, None)
            if coming is not None and coming.log_time_ns == message.log_time_ns:
                yield replace(message, along=(coming,))
                coming = next(found, None)
            else:  # the image was refused
                yield message

    def _all_faces(self) -> Iterator[BagMessage]:
        from rclpy.serialization import deserialize_message, serialize_message

        from aitable_msgs.msg import FaceArray

        assert self._definition is not None
        canonical = Canonical(self._definition)
        people, last_ns = _People(), -1
        for place in self._pieces:
            piece = self._stack.enter_context(_piece(place))
            people.begin_piece()
            until_ns = last_ns
            (topic,) = (one for one in piece.topics if one.type_name == FACES)
            for message in piece.messages([topic]):
                array: Any = deserialize_message(message.data, FaceArray)
                if message.log_time_ns <= until_ns:  # the piece before has it
                    people.compare(array)
                    continue
                joined = people.rename(array)
                data = canonical(serialize_message(array)) if joined else message.data
                last_ns = message.log_time_ns
                yield BagMessage(self.faces, last_ns, data)


def _piece(place: Path) -> BagReader:
    """
    Give the results of a piece, when they are there; they come as a whole.

    :raises BagError: when they will not come.
    """
    failed, until_s = place.with_suffix(FAILED), time.monotonic() + WAIT_S
    while not place.exists():
        if failed.exists():
            raise BagError(f'{place.name}: this piece has failed')
        if time.monotonic() > until_s:
            raise PieceMissing(f'{place.name} is not there yet')
        time.sleep(POLL_S)
    return BagReader(place)


class _People:
    """Who is who in the pieces."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        """Of the piece's ids, those of the whole."""
        self._first_s: dict[str, float] = {}
        self._last: deque[tuple[float, Any]] = deque()
        self._before: dict[float, Any] = {}
        self._run, self._number, self._piece = '', 0, -1

    def begin_piece(self) -> None:
        """Go on to the next piece."""
        self._piece += 1
        self._names = {}
        self._before = dict(self._last)
        self._last.clear()

    def compare(self, array: Any) -> None:
        """Look at an image of the overlap, which the piece before has, too."""
        before = self._before.get(_seconds(array))
        if before is None:
            return
        for face in array.faces:
            overlaps = [_overlap(face, other) for other in before.faces]
            best = max(range(len(overlaps)), key=overlaps.__getitem__, default=-1)
            if best >= 0 and overlaps[best] >= MIN_OVERLAP:
                # the last image of the overlap has the last word
                name = before.faces[best].face_id
                self._names = {k: v for k, v in self._names.items() if v != name}
                self._names[face.face_id] = name

    def rename(self, array: Any) -> bool:
        """Give the faces their ids in the whole; tell whether any of them changed."""
        stamp_s = _seconds(array)
        for face in array.faces:
            own, (run, _, number) = face.face_id, face.face_id.rpartition('_')
            if own not in self._names:
                if self._piece == 0:
                    self._run, self._number = run, max(self._number, int(number))
                    self._names[own] = own
                else:
                    self._run = self._run or run
                    self._number += 1
                    self._names[own] = f'{self._run}_{self._number}'
            face.face_id = self._names[own]
            first_s = self._first_s.setdefault(face.face_id, stamp_s - face.tracked_s)
            if self._piece:
                face.tracked_s = max(stamp_s - first_s, 0.0)
        self._last.append((stamp_s, array))
        while self._last[0][0] < stamp_s - COMPARED_S:
            self._last.popleft()
        return self._piece > 0 and bool(array.faces)


def _seconds(message: Any) -> float:
    return float(message.header.stamp.sec + message.header.stamp.nanosec * 1e-9)


def _overlap(a: Any, b: Any) -> float:
    """Return the intersection of two faces' boxes over their union."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    shared = max(0.0, width) * max(0.0, height)
    whole = a.width * a.height + b.width * b.height - shared
    return float(shared / whole) if whole > 0.0 else 0.0
