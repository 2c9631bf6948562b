# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""One run of the nodes over a bag: what they are fed, what is copied, what is written."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aitable_ros import __version__
from aitable_ros.bags import (
    BagError,
    BagMessage,
    BagTarget,
    BagTopic,
    BagWriter,
)
from aitable_ros.bags.images import require_images
from aitable_ros.bags.reading import CAMERA_INFO, IMAGE, Recording
from aitable_ros.bags.topics import choose_camera_info, choose_images
from aitable_ros.bags.writing import offered_qos
from aitable_ros.nodes.registry import WITH_NETWORKS
from aitable_ros.tools.process_bag.offline_pipeline import (
    MalformedFrame,
    OfflinePipeline,
    Result,
    available_nodes,
    image_inputs,
)
from aitable_ros.tools.process_bag.outputs import check_apart, check_table, table_file
from aitable_ros.tools.process_bag.private_images import PrivateImages
from aitable_ros.tools.process_bag.recorded_frames import SHARED_TYPES, without_computed
from aitable_ros.tools.process_bag.recordings import open_recording
from aitable_ros.tools.process_bag.rows import FACES, ResultRows
from aitable_ros.tools.report.digest import Digest
from aitable_ros.tools.support.tables import ReadingTable

MALFORMED_SHOWN = 3
"""So many refused images and unreadable messages are reported one by one."""

_NS = 1_000_000_000


@dataclass
class Summary:
    """
    What a run did.

    :param images: images that were fed.
    :param malformed: of these, how many were refused.
    :param unreadable: messages of other topics that could not be read.
    :param bag_s: time that the processed part of the bag spans, in log time [s].
    :param wall_s: how long that took, without loading the networks [s].
    :param results: messages written by topic.
    :param copied: messages of the originals that were written.
    :param skipped: nodes that were left out, and why.
    :param losses: what the bag announces and does not have, in lines.
    """

    images: int = 0
    malformed: int = 0
    unreadable: int = 0
    bag_s: float = 0.0
    wall_s: float = math.nan
    results: dict[str, int] = field(default_factory=dict)
    copied: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    losses: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether something was computed from everything that the bag announces."""
        return not (self.malformed or self.unreadable or self.losses)

    @property
    def speed(self) -> float:
        """How many times faster than the recording."""
        return self.bag_s / self.wall_s if self.wall_s > 0 else math.nan

    def lines(self) -> list[str]:
        """Say it in lines for people."""
        rate_hz = self.images / self.wall_s if self.wall_s > 0 else math.nan
        lines = [
            f'{self.images} images, {self.bag_s:.1f} s of recording in {self.wall_s:.1f} s:'
            f' {self.speed:.1f} x real time, {rate_hz:.1f} images/s'
        ]
        lines += [f'{topic}: {count} messages' for topic, count in self.results.items()]
        lines += [f'{name} did not run: {why}' for name, why in self.skipped.items()]
        if self.copied:
            lines.append(f'{self.copied} messages of the original')
        if self.malformed:
            lines.append(f'{self.malformed} images were refused: nothing was computed from them')
        if self.unreadable:
            lines.append(f'{self.unreadable} other messages could not be read')
        return lines


@dataclass(frozen=True)
class Request:
    """
    What is to be done.

    :param source: the bag, or video, to read.
    :param target: the bag to write.
    :param nodes: names of the nodes to run; empty: all that there are.
    :param without: nodes that do not run, also where ``nodes`` is empty.
    :param image_topic: topic of the images; empty: chosen, see
        :func:`~aitable_ros.bags.topics.choose_images`.
    :param camera_info: topic of the calibration; empty or None: see
        :func:`~aitable_ros.bags.topics.choose_camera_info`.
    :param merge: copy the originals.
    :param keep: copy only these topics; empty: all.
    :param drop: do not copy these topics.
    :param start_s: begin so far into the bag [s].
    :param duration_s: process no more than this [s].
    :param arguments: ROS arguments for the nodes (parameter files, remaps).
    :param backend: replaces the parameter ``backend`` of all nodes but emotion; empty: leave it.
    :param emotion_backend: and of emotion.
    :param emotion_reading: replaces its parameter ``reading``; empty: leave it.
    :param namespace: in which the nodes are.
    :param force: replace the bag that is there.
    :param csv: file for a table of the readings; None: none is wanted.
    :param privacy: how much of people the copied images show.
    :param name: what the table calls the source; empty: as ``source``.
    """

    source: Path
    target: BagTarget
    nodes: tuple[str, ...] = ()
    image_topic: str = ''
    camera_info: str | None = ''
    merge: bool = True
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    start_s: float = 0.0
    duration_s: float = math.inf
    arguments: tuple[str, ...] = ()
    backend: str = ''
    emotion_backend: str = ''
    emotion_reading: str = ''
    namespace: str = ''
    force: bool = False
    csv: Path | None = None
    privacy: str = 'none'
    name: str = ''
    without: tuple[str, ...] = ()


def process_bag(
    request: Request,
    *,
    quiet: bool = True,
    digest: Digest | None = None,
    recording: Recording | None = None,
) -> Summary:
    """
    Run the nodes over a bag and write what they find.

    Messages are taken in the order of their log time. A result gets the log time of the message
    that it was computed from, and comes after it.

    :param request: what is to be done.
    :param quiet: no progress bar, no notes.
    :param digest: takes the results, too.
    :param recording: what is read, in the place of ``request.source``.
    :returns: what was done.
    :raises BagError: when a bag cannot be read or written, or a topic is missing.
    :raises PipelineError: when a node cannot be configured or fails.
    """
    import cv2

    cv2.setNumThreads(1)  # as in the nodes' own executables
    check_apart(request.source, request.target.path)
    request.target.check_free(force=request.force)
    check_table(request.source, request.target.path, request.csv)
    with recording or open_recording(request.source) as bag:
        images = choose_images(bag, request.image_topic)
        parameters: dict[str, Any] = {'face_detection:budget_ms': 0.0}  # nothing presses
        if images is not None:
            transport = 'raw' if images.type_name == IMAGE else 'compressed'
            parameters['image_transport'] = transport
        for node in WITH_NETWORKS:
            backend = request.emotion_backend if node == 'emotion' else request.backend
            if backend:
                parameters[f'{node}:backend'] = backend
        if request.emotion_reading:
            parameters['emotion:reading'] = request.emotion_reading
        pipeline = OfflinePipeline(
            [n for n in request.nodes or available_nodes() if n not in request.without],
            arguments=request.arguments,
            parameters=parameters,
            namespace=request.namespace,
            optional=not request.nodes,
        )
        with pipeline:
            run = _Run(request, bag, images, pipeline)
            run.check()
            custom_data = {'aitable_ros': __version__, 'nodes': ' '.join(pipeline.nodes)}
            writer = BagWriter(request.target, force=request.force, custom_data=custom_data)
            try:
                with table_file(request.csv) as table, writer:
                    takers: list[ReadingTable | Digest] = (
                        [ReadingTable(table)] if table is not None else []
                    )
                    takers += [digest] if digest is not None else []
                    if takers:
                        run.rows = ResultRows(takers, request.name or str(request.source))
                    run.run(writer, quiet=quiet)
                    if table is not None:
                        table.close()  # a full disk is noticed before the bag takes its place
            finally:
                writer.discard()  # an interruption can come between two lines
    return run.summary


class _Run:
    """One run over a bag."""

    def __init__(
        self,
        request: Request,
        bag: Recording,
        images: BagTopic | None,
        pipeline: OfflinePipeline,
    ) -> None:
        self._request = request
        self._bag = bag
        self._images = images
        self._pipeline = pipeline
        self._outputs = pipeline.outputs
        self._pictures = PrivateImages(request.privacy, images)
        self._feeds = self._choose_feeds()
        self._shared = {o.topic for o in self._outputs if o.definition.type_name in SHARED_TYPES}
        self.summary = Summary(skipped=dict(pipeline.skipped))
        self.rows: ResultRows | None = None

    def check(self) -> None:
        """
        Make sure that there is something to do.

        :raises BagError: when a topic is missing.
        """
        bag, inputs = self._bag, self._pipeline.inputs
        if image_inputs(inputs):
            require_images(bag, self._images)
        for name in (*self._request.keep, *self._request.drop):
            if bag.topic(name) is None:
                topics = ', '.join(topic.name for topic in bag.topics)
                raise BagError(f'{bag.path}: there is no topic {name}; its topics: {topics}')
        if not self._feeds:
            wanted = ', '.join(f'{topic} ({kind})' for topic, kind in inputs.items())
            raise BagError(f'{bag.path}: nothing in it that the nodes listen to: {wanted}')

    def run(self, writer: BagWriter, *, quiet: bool) -> None:
        """Copy the originals, feed the nodes, write their results."""
        from tqdm import tqdm

        originals = self._announce_originals(writer)
        results = {
            output.topic: writer.add_topic(
                output.topic,
                output.definition,
                offered_qos(reliable=output.reliable, depth=output.depth),
            )
            for output in self._outputs
        }
        originals |= {
            topic: results[topic.name] for topic in self._originals() if topic.name in self._shared
        }
        self.summary.results = {output.topic: 0 for output in self._outputs}
        start_ns, stop_ns = self._span()
        topics = {*originals, *self._feeds}
        whole = start_ns is None and stop_ns is None
        total = self._images.count if self._images is not None and whole else None
        first_ns = last_ns = None
        begun_s = time.perf_counter()
        # in the bag's own order, so that what it holds, not a set, decides the output
        chosen = [topic for topic in self._bag.topics if topic in topics]
        with tqdm(total=total, unit=' images', disable=quiet or None) as progress:
            for message in self._bag.messages(chosen, start_ns, stop_ns):
                first_ns = message.log_time_ns if first_ns is None else first_ns
                last_ns = message.log_time_ns
                changed = message.topic in originals and self._pictures.changes(message.topic)
                if message.topic in originals and not changed:
                    self._copy(message.data, message, writer, originals)
                for one in message.along:
                    self._copy(one.data, one, writer, originals)
                if message.topic in self._feeds:
                    found = self._feed(message, writer, results, progress)
                    if changed:
                        data = self._pictures.replaced(message.topic, message.data, found)
                        self._copy(data, message, writer, originals)
        self.summary.losses = self._bag.losses
        self.summary.wall_s = time.perf_counter() - begun_s
        if first_ns is not None and last_ns is not None:
            self.summary.bag_s = (last_ns - first_ns) / _NS

    def _copy(
        self, data: bytes | None, message: BagMessage, writer: BagWriter, handles: Any
    ) -> None:
        if message.topic.name in self._shared:
            data = without_computed(message.data, message.topic.type_name, self._pipeline.nodes)
        if data is not None:
            writer.write(handles[message.topic], message.log_time_ns, data)
            self.summary.copied += 1

    def _feed(
        self, message: Any, writer: BagWriter, results: dict[str, Any], progress: Any
    ) -> list[Any]:
        topic, summary = message.topic, self.summary
        try:
            place, kind = self._feeds[topic], topic.type_name
            along = [_given(one) for one in message.along]
            found = self._pipeline.feed(place, kind, message.data, along)
        except MalformedFrame as error:
            found = []
            summary.malformed += topic is self._images
            summary.unreadable += topic is not self._images
            if summary.malformed + summary.unreadable <= MALFORMED_SHOWN:
                at_s = (message.log_time_ns - self._bag.start_ns) / _NS
                progress.write(
                    f'process_bag: warning: {topic.name} at {at_s:.3f} s: {error}',
                    file=sys.stderr,
                )
        if self.rows is not None:
            given = [_given(one) for one in (message, *message.along)]
            self.rows.add([*(one for one in given if one.type_name == FACES), *found])
        for result in found:
            writer.write(results[result.topic], message.log_time_ns, result.data)
            summary.results[result.topic] += 1
        if topic is self._images:
            summary.images += 1
            progress.update()
        return found

    def _choose_feeds(self) -> dict[BagTopic, str]:
        """Decide which topics of the bag are fed, and where to."""
        inputs = self._pipeline.inputs
        produced = {output.topic for output in self._outputs}
        feeds = {
            topic: topic.name
            for topic in self._bag.topics
            if inputs.get(topic.name) == topic.type_name
            and topic.name not in produced
            and not topic.is_image
            and topic.type_name != CAMERA_INFO
        }
        wanted = image_inputs(inputs)
        if self._images is not None and wanted:
            feeds[self._images] = wanted[0]
        calibration = choose_camera_info(self._bag, self._images, self._request.camera_info)
        targets = [topic for topic, kind in inputs.items() if kind == CAMERA_INFO]
        if calibration is not None and targets:
            feeds[calibration] = targets[0]
        return feeds

    def _originals(self) -> list[BagTopic]:
        """Choose what is copied; what this run computes takes the place of the recorded."""
        request = self._request
        if not request.merge:
            return []
        computed = {output.topic for output in self._outputs} - self._shared
        return [
            topic
            for topic in self._bag.topics
            if topic.name not in computed
            and topic.name not in request.drop
            and not self._pictures.drops(topic)
            and (not request.keep or topic.name in request.keep)
        ]

    def _announce_originals(self, writer: BagWriter) -> dict[BagTopic, Any]:
        """Announce what is copied, except on the topics that are announced with the results."""
        announced = {}
        for topic in self._originals():
            if topic.name in self._shared:
                continue
            definition = self._bag.definition(topic)
            if definition is None:
                raise BagError(
                    f'{self._bag.path}: {topic.name}: neither the bag nor this machine has the'
                    f' definition of {topic.type_name}: source the workspace that has it, or'
                    f' leave the topic out with --drop {topic.name}'
                )
            announced[topic] = writer.add_topic(topic.name, definition, topic.qos)
        return announced

    def _span(self) -> tuple[int | None, int | None]:
        """Return from where to where messages are processed [ns]; None: without limit."""
        request = self._request
        start_ns = stop_ns = None
        if request.start_s > 0:
            start_ns = self._bag.start_ns + round(request.start_s * _NS)
        if request.duration_s < math.inf:
            begin_ns = self._bag.start_ns if start_ns is None else start_ns
            stop_ns = begin_ns + round(request.duration_s * _NS)
        return start_ns, stop_ns


def _given(message: BagMessage) -> Result:
    return Result(message.topic.name, message.topic.type_name, message.data)
