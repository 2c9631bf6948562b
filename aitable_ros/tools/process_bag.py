# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the nodes over a bag, as fast as it goes, and writes what they find into another bag."""

from __future__ import annotations

import argparse
import math
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aitable_ros import __version__
from aitable_ros.inference.selection import AUTO, BACKENDS

if TYPE_CHECKING:
    from aitable_ros.bags import BagMessage, BagReader, BagTarget, BagTopic, BagWriter
    from aitable_ros.tools.offline_pipeline import OfflinePipeline

DEFAULT_IMAGE_TOPICS = ('/image_raw', '/image_raw/compressed')
"""Taken where a bag has several topics of images and none was named."""

MALFORMED_SHOWN = 3
"""So many refused images are reported one by one."""

IMAGE_TYPE = 'sensor_msgs/msg/Image'
CAMERA_INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
TF_TYPE = 'tf2_msgs/msg/TFMessage'

SHARED_TYPES = (TF_TYPE,)
"""Types of topics on which others publish, too: recorded messages on them are kept."""

FACE_FRAME = re.compile(r'face_f\d+')
"""Names of the frames that the nodes broadcast."""

_NS = 1_000_000_000


@dataclass
class Summary:
    """
    What a run did.

    :param images: images that were fed.
    :param malformed: of these, how many were refused.
    :param bag_s: time that the processed part of the bag spans, in log time [s].
    :param wall_s: how long that took, without loading the networks [s].
    :param results: messages written by topic.
    :param copied: messages of the originals that were written.
    :param skipped: nodes that were left out, and why.
    """

    images: int = 0
    malformed: int = 0
    bag_s: float = 0.0
    wall_s: float = math.nan
    results: dict[str, int] = field(default_factory=dict)
    copied: int = 0
    skipped: dict[str, str] = field(default_factory=dict)

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
        return lines


@dataclass(frozen=True)
class Request:
    """
    What is to be done.

    :param source: the bag to read.
    :param target: the bag to write.
    :param nodes: names of the nodes to run; empty: all that there are.
    :param image_topic: topic of the images; empty: chosen, see :func:`choose_images`.
    :param camera_info: topic of the calibration; empty: ``camera_info`` beside the images; None:
        none.
    :param merge: copy the originals.
    :param keep: copy only these topics; empty: all.
    :param drop: do not copy these topics.
    :param start_s: begin so far into the bag [s].
    :param duration_s: process no more than this [s].
    :param arguments: ROS arguments for the nodes (parameter files, remaps).
    :param backend: replaces the parameter ``backend`` of all nodes; empty: leave it.
    :param namespace: in which the nodes are.
    :param force: replace the bag that is there.
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
    namespace: str = ''
    force: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0; 1 when the bag could not be processed (nothing is written) or some of its images
        were refused (the rest is written).
    """
    own, ros_arguments = split_ros_arguments(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    arguments = parser.parse_args(own)
    try:
        from aitable_ros.bags import BagError
    except ImportError as error:
        return _fail(f'{error}: pip install rosbags')
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        return _fail(f'{error}: source a ROS 2 installation first')
    from aitable_ros.tools.offline_pipeline import PipelineError

    try:
        with _terminable():
            request = _request(arguments, ros_arguments)
            summary = process_bag(request, quiet=arguments.quiet)
    except (BagError, PipelineError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail('interrupted; nothing was written')
    if not arguments.quiet:
        print(f'{request.target.path}:')
        print('\n'.join(f'  {line}' for line in summary.lines()))
    return 1 if summary.malformed else 0


def process_bag(request: Request, *, quiet: bool = True) -> Summary:
    """
    Run the nodes over a bag and write what they find.

    Messages are taken in the order of their log time. A result gets the log time of the message
    that it was computed from, and comes after it.

    :param request: what is to be done.
    :param quiet: no progress bar, no notes.
    :returns: what was done.
    :raises BagError: when a bag cannot be read or written, or a topic is missing.
    :raises PipelineError: when a node cannot be configured or fails.
    """
    import cv2

    from aitable_ros.bags import BagReader, BagWriter
    from aitable_ros.tools.offline_pipeline import OfflinePipeline, available_nodes

    cv2.setNumThreads(1)  # as in the nodes' own executables
    _check_apart(request.source, request.target.path)
    request.target.check_free(force=request.force)
    with BagReader(request.source) as bag:
        images = choose_images(bag, request.image_topic)
        parameters: dict[str, Any] = {}
        if images is not None:
            transport = 'raw' if images.type_name == IMAGE_TYPE else 'compressed'
            parameters['image_transport'] = transport
        if request.backend:
            parameters['backend'] = request.backend
        pipeline = OfflinePipeline(
            request.nodes or available_nodes(),
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
                with writer:
                    run.run(writer, quiet=quiet)
            finally:
                writer.discard()  # an interruption can come between two lines
    return run.summary


def choose_images(bag: BagReader, name: str) -> BagTopic | None:
    """
    Choose the topic of the images.

    :param bag: the bag.
    :param name: the topic that was asked for; empty: the only one, else the first of
        :data:`DEFAULT_IMAGE_TOPICS`.
    :returns: the topic, or None where none was asked for and there is none.
    :raises BagError: when it is not there, holds something else, or there are several; the
        message lists those that there are.
    """
    from aitable_ros.bags import BagError

    images = [topic for topic in bag.images if topic.count]
    listing = ', '.join(f'{topic.name} ({_short(topic.type_name)})' for topic in images)
    if name:
        topic = bag.topic(name)
        if topic is not None and topic.is_image and topic.count:
            return topic
        if topic is None:
            problem = f'there is no topic {name}'
        elif topic.is_image:
            problem = f'there is no message on {name}'
        else:
            problem = f'{name} holds {topic.type_name}, not images'
        raise BagError(f'{bag.path}: {problem}; topics of images: {listing or "none"}')
    if len(images) <= 1:
        return images[0] if images else None
    for default in DEFAULT_IMAGE_TOPICS:
        for topic in images:
            if topic.name == default:
                return topic
    raise BagError(f'{bag.path}: choose the images with --image-topic: {listing}')


class _Run:
    """One run over a bag."""

    def __init__(
        self,
        request: Request,
        bag: BagReader,
        images: BagTopic | None,
        pipeline: OfflinePipeline,
    ) -> None:
        self._request = request
        self._bag = bag
        self._images = images
        self._pipeline = pipeline
        self._outputs = pipeline.outputs
        self._feeds = self._choose_feeds()
        self._shared = {o.topic for o in self._outputs if o.definition.type_name in SHARED_TYPES}
        self.summary = Summary(skipped=dict(pipeline.skipped))

    def check(self) -> None:
        """
        Make sure that there is something to do.

        :raises BagError: when a topic is missing.
        """
        from aitable_ros.bags import BagError
        from aitable_ros.tools.offline_pipeline import image_inputs

        bag, inputs = self._bag, self._pipeline.inputs
        if image_inputs(inputs) and self._images is None:
            topics = ', '.join(f'{t.name} ({t.type_name})' for t in bag.topics)
            raise BagError(f'{bag.path}: no images in it; its topics: {topics or "none"}')
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

        from aitable_ros.bags.writing import offered_qos

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
                if message.topic in originals:
                    self._copy(message, writer, originals[message.topic])
                if message.topic in self._feeds:
                    self._feed(message, writer, results, progress)
        self.summary.wall_s = time.perf_counter() - begun_s
        if first_ns is not None and last_ns is not None:
            self.summary.bag_s = (last_ns - first_ns) / _NS

    def _copy(self, message: BagMessage, writer: BagWriter, handle: Any) -> None:
        data: bytes | None = message.data
        if message.topic.name in self._shared:
            data = without_faces(message.data)
        if data is not None:
            writer.write(handle, message.log_time_ns, data)
            self.summary.copied += 1

    def _feed(
        self, message: Any, writer: BagWriter, results: dict[str, Any], progress: Any
    ) -> None:
        from aitable_ros.tools.offline_pipeline import MalformedFrame

        topic, summary = message.topic, self.summary
        try:
            found = self._pipeline.feed(self._feeds[topic], topic.type_name, message.data)
        except MalformedFrame as error:
            found = []
            summary.malformed += 1
            if summary.malformed <= MALFORMED_SHOWN:
                at_s = (message.log_time_ns - self._bag.start_ns) / _NS
                progress.write(
                    f'process_bag: warning: {topic.name} at {at_s:.3f} s: {error}',
                    file=sys.stderr,
                )
        for result in found:
            writer.write(results[result.topic], message.log_time_ns, result.data)
            summary.results[result.topic] += 1
        if topic is self._images:
            summary.images += 1
            progress.update()

    def _choose_feeds(self) -> dict[BagTopic, str]:
        """Decide which topics of the bag are fed, and where to."""
        from aitable_ros.tools.offline_pipeline import image_inputs

        inputs = self._pipeline.inputs
        produced = {output.topic for output in self._outputs}
        feeds = {
            topic: topic.name
            for topic in self._bag.topics
            if inputs.get(topic.name) == topic.type_name
            and topic.name not in produced
            and not topic.is_image
            and topic.type_name != CAMERA_INFO_TYPE
        }
        wanted = image_inputs(inputs)
        if self._images is not None and wanted:
            feeds[self._images] = wanted[0]
        calibration = self._camera_info()
        targets = [topic for topic, kind in inputs.items() if kind == CAMERA_INFO_TYPE]
        if calibration is not None and targets:
            feeds[calibration] = targets[0]
        return feeds

    def _camera_info(self) -> BagTopic | None:
        """Find the calibration that belongs to the images."""
        from aitable_ros.bags import BagError

        name = self._request.camera_info
        if name is None:
            return None
        if not name:
            if self._images is None:
                return None
            base = self._images.name.removesuffix('/compressed')
            name = f'{base.rpartition("/")[0]}/camera_info'
            topic = self._bag.topic(name)
            return topic if topic is not None and topic.type_name == CAMERA_INFO_TYPE else None
        topic = self._bag.topic(name)
        if topic is None or topic.type_name != CAMERA_INFO_TYPE:
            there = ', '.join(t.name for t in self._bag.topics if t.type_name == CAMERA_INFO_TYPE)
            raise BagError(
                f'{self._bag.path}: no {CAMERA_INFO_TYPE} on {name}; there is: {there or "none"}'
            )
        return topic

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
            and (not request.keep or topic.name in request.keep)
        ]

    def _announce_originals(self, writer: BagWriter) -> dict[BagTopic, Any]:
        """Announce what is copied, except on the topics that are announced with the results."""
        from aitable_ros.bags import BagError

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


def without_faces(data: bytes) -> bytes | None:
    """
    Take the frames of faces, which are computed anew, out of a recorded TF message.

    :param data: a serialised tf2_msgs/TFMessage.
    :returns: what is left: the message itself where it has no face; None where it has nothing
        else, or cannot be read.
    """
    from rclpy.serialization import deserialize_message, serialize_message
    from tf2_msgs.msg import TFMessage

    from aitable_ros.bags import find_definition
    from aitable_ros.bags.definitions import Canonical

    try:
        message = deserialize_message(data, TFMessage)
    except Exception:  # rclpy raises what the middleware does
        return None
    others = [t for t in message.transforms if not FACE_FRAME.fullmatch(t.child_frame_id)]
    if len(others) == len(message.transforms):
        return data
    definition = find_definition(TF_TYPE)
    if not others or definition is None:
        return None
    return Canonical(definition)(serialize_message(TFMessage(transforms=others)))


def split_ros_arguments(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """
    Part a command line, as ROS does.

    :param argv: arguments, of which those between ``--ros-args`` and ``--`` (or the end) are
        ROS's.
    :returns: the others, and ROS's without these marks.
    """
    own: list[str] = []
    ros: list[str] = []
    into = own
    for argument in argv:
        if argument == '--ros-args':
            into = ros
        elif argument == '--' and into is ros:
            into = own
        else:
            into.append(argument)
    return own, ros


def _request(arguments: argparse.Namespace, ros_arguments: Sequence[str]) -> Request:
    """
    Make a request of the command line.

    :raises BagError: when a file is missing or options contradict each other.
    :raises PipelineError: when a node is not there.
    """
    from aitable_ros.bags import BagReader, BagTarget
    from aitable_ros.tools.offline_pipeline import PipelineError, available_nodes

    there = available_nodes()
    for name in arguments.nodes:
        if name not in there:
            raise PipelineError(f'no such node: {name} (there are {", ".join(there)})')
    for file in arguments.params_file:
        _check_parameter_file(file)
    ros = [*ros_arguments]
    for option, values in (('--params-file', arguments.params_file), ('-r', arguments.remap)):
        for value in values:
            ros += [option, str(value)]
    source = arguments.source
    with BagReader(source) as bag:
        storage = bag.storage
    return Request(
        source=source,
        target=BagTarget.choose(arguments.target, arguments.storage, storage, arguments.compress),
        nodes=tuple(arguments.nodes),
        image_topic=arguments.image_topic,
        camera_info=None if arguments.camera_info == 'none' else arguments.camera_info,
        merge=arguments.merge,
        keep=tuple(arguments.keep),
        drop=tuple(arguments.drop),
        start_s=arguments.start,
        duration_s=arguments.duration,
        arguments=tuple(ros),
        backend=arguments.backend,
        namespace=arguments.namespace,
        force=arguments.force,
    )


def _check_parameter_file(path: Path) -> None:
    """
    Say in words what rcl would say in riddles.

    :raises PipelineError: when it is not there or no parameter file.
    """
    import yaml

    from aitable_ros.tools.offline_pipeline import PipelineError

    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f'parameter file {path} cannot be read: {error}') from error
    except yaml.YAMLError as error:
        text = ' '.join(str(error).split())
        raise PipelineError(f'parameter file {path} is no YAML: {text}') from error
    if not isinstance(content, dict) or not _has_parameters(content.values()):
        raise PipelineError(f'{path} is no parameter file: no ros__parameters in it')


def _has_parameters(values: Iterable[Any]) -> bool:
    return any(
        isinstance(value, dict) and ('ros__parameters' in value or _has_parameters(value.values()))
        for value in values
    )


def _check_apart(source: Path, target: Path) -> None:
    """
    Refuse to write into what is being read.

    :raises BagError: when the two overlap.
    """
    from aitable_ros.bags import BagError

    there, here = source.resolve(), target.resolve()
    if there == here or there in here.parents or here in there.parents:
        raise BagError(f'{target}: the output would lie on the input {source}')


def _short(type_name: str) -> str:
    return type_name.rpartition('/')[2]


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does, such that nothing half done is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(text: str) -> int:
    print(f'process_bag: error: {text}', file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='process_bag',
        description=(
            'Run the nodes over a recorded bag, as fast as it goes: every image is processed,'
            ' none is overtaken, and the same bag gives the same bytes. Bags are folders of ros2'
            ' bag, or single .mcap or .db3 files; images are raw or compressed. A result carries'
            ' the stamp and the log time of its image.'
        ),
        epilog=(
            'What follows --ros-args goes to the nodes (-p fatigue:max_gap:=0.8, -r'
            ' fatigue:=tiredness, --log-level warn). Exit status: 0; 1 when something went wrong'
            ' (then nothing is written) or some images were refused (the rest is written).'
        ),
    )
    parser.add_argument('source', metavar='IN', type=Path, help='bag to read')
    parser.add_argument(
        'target',
        metavar='OUT',
        type=Path,
        help='bag to write: a file that ends in .mcap or .db3, or a folder',
    )
    parser.add_argument(
        '--nodes', metavar='NODE', nargs='+', default=[], help='nodes to run (default: all)'
    )
    parser.add_argument(
        '--params-file',
        metavar='FILE',
        type=Path,
        action='append',
        default=[],
        help='parameters of the nodes, as config/aitable.yaml; may be given several times',
    )
    parser.add_argument(
        '--backend',
        choices=(AUTO, *BACKENDS),
        default='',
        help='what runs the networks, instead of what the parameter files say',
    )
    parser.add_argument(
        '--image-topic',
        metavar='TOPIC',
        default='',
        help='the images (default: the only such topic, else one of'
        f' {", ".join(DEFAULT_IMAGE_TOPICS)})',
    )
    parser.add_argument(
        '--camera-info',
        metavar='TOPIC',
        default='',
        help="the camera's calibration; none: do not use it (default: camera_info beside the"
        ' images)',
    )
    parser.add_argument(
        '--remap',
        '-r',
        metavar='FROM:=TO',
        action='append',
        default=[],
        help='rename a topic of the nodes, as ROS does, such as faces:=/table/faces',
    )
    parser.add_argument(
        '--namespace', metavar='NS', default='', help='namespace of the nodes and their topics'
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        '--merge',
        dest='merge',
        action='store_true',
        default=True,
        help='write the originals, too (default); recorded messages on a topic that this run'
        ' computes are replaced',
    )
    what.add_argument(
        '--results-only', dest='merge', action='store_false', help='write the results only'
    )
    parser.add_argument(
        '--keep',
        metavar='TOPIC',
        nargs='+',
        default=[],
        help='of the originals, write these topics only',
    )
    parser.add_argument(
        '--drop', metavar='TOPIC', nargs='+', default=[], help='of the originals, leave these out'
    )
    parser.add_argument(
        '--start', metavar='S', type=_seconds, default=0.0, help='begin so far into the bag [s]'
    )
    parser.add_argument(
        '--duration', metavar='S', type=_seconds, default=math.inf, help='stop after so long [s]'
    )
    parser.add_argument(
        '--storage', choices=('mcap', 'sqlite3'), help="how to write a folder (default: as IN's)"
    )
    parser.add_argument('--compress', action='store_true', help='compress the mcap file (zstd)')
    parser.add_argument('--force', action='store_true', help='replace the bag that is there')
    parser.add_argument(
        '--quiet', action='store_true', help='no progress bar and no summary; errors only'
    )
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f'{text} is no length of time')
    return value


if __name__ == '__main__':
    sys.exit(main())
