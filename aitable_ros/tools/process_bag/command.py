# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the nodes over a bag, as fast as it goes, and writes what they find into another bag."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aitable_ros.inference.selection import AUTO, BACKENDS
from aitable_ros.perception.emotion.readings import READINGS
from aitable_ros.tools.support.interrupts import settle_interrupt
from aitable_ros.tools.support.ros_arguments import split_ros_arguments
from aitable_ros.visualization.overlay.privacy_modes import NONE, PRIVACY

if TYPE_CHECKING:
    from aitable_ros.tools.process_bag.run import Request


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0; 1 when the bag could not be processed (nothing is written), or some of what it
        announces was refused or is not in it (the rest is written).
    """
    own, ros_arguments = split_ros_arguments(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    arguments = parser.parse_args(own)
    try:
        from aitable_ros.bags import BagError
    except ImportError as error:
        return _fail(f'{error}: pip install rosbags mcap')
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        return _fail(f'{error}: source a ROS 2 installation first')
    from aitable_ros.tools.process_bag.offline_pipeline import PipelineError
    from aitable_ros.tools.process_bag.run import process_bag

    try:
        with terminable():
            request = _request(arguments, ros_arguments)
            summary = process_bag(request, quiet=arguments.quiet)
    except (BagError, PipelineError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        settle_interrupt()
        return _fail('interrupted; nothing was written')
    if not arguments.quiet:
        print(f'{request.target.path}:')
        print('\n'.join(f'  {line}' for line in summary.lines()))
    for loss in summary.losses:
        print(f'process_bag: warning: {loss}', file=sys.stderr)
    return 0 if summary.complete else 1


def _request(arguments: argparse.Namespace, ros_arguments: Sequence[str]) -> Request:
    """
    Make a request of the command line.

    :raises BagError: when a file is missing or options contradict each other.
    :raises PipelineError: when a node is not there.
    """
    from aitable_ros.bags import BagTarget
    from aitable_ros.tools.process_bag.recordings import open_recording
    from aitable_ros.tools.process_bag.run import Request

    check_request(arguments)
    ros = ros_arguments_of(arguments, ros_arguments)
    source = arguments.source
    with open_recording(source) as bag:
        storage = bag.storage
        for other in bag.others:
            print(f'process_bag: {other} is left out: no message of ROS', file=sys.stderr)
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
        arguments=ros,
        backend=arguments.backend,
        emotion_backend=arguments.emotion_backend,
        emotion_reading=arguments.emotion_reading,
        namespace=arguments.namespace,
        force=arguments.force,
        csv=arguments.csv,
        privacy=arguments.privacy,
    )


def check_request(arguments: argparse.Namespace) -> None:
    """
    See that the nodes and parameter files of a command line are there.

    :raises PipelineError: when one is not.
    """
    from aitable_ros.tools.process_bag.offline_pipeline import PipelineError, available_nodes

    there = available_nodes()
    for name in arguments.nodes:
        if name not in there:
            raise PipelineError(f'no such node: {name} (there are {", ".join(there)})')
    for file in arguments.params_file:
        _check_parameter_file(file)


def ros_arguments_of(
    arguments: argparse.Namespace, ros_arguments: Sequence[str]
) -> tuple[str, ...]:
    """Return all arguments for ROS of a command line."""
    ros = [*ros_arguments]
    for option, values in (('--params-file', arguments.params_file), ('-r', arguments.remap)):
        for value in values:
            ros += [option, str(value)]
    return tuple(ros)


def _check_parameter_file(path: Path) -> None:
    """
    Say in words what rcl would say in riddles.

    :raises PipelineError: when it is not there or no parameter file.
    """
    import yaml

    from aitable_ros.tools.process_bag.offline_pipeline import PipelineError

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


@contextmanager
def terminable() -> Iterator[None]:
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
            ' (then nothing is written), or some messages were refused or are not in the bag,'
            ' which announces them (the rest is written).'
        ),
    )
    parser.add_argument('source', metavar='IN', type=Path, help='bag (or video) to read')
    parser.add_argument(
        'target',
        metavar='OUT',
        type=Path,
        help='bag to write: a file that ends in .mcap or .db3, or a folder',
    )
    add_node_options(parser)
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
    parser.add_argument(
        '--csv',
        metavar='FILE',
        type=Path,
        help='write a table, too: a row per face and image, columns as the fields of the messages',
    )
    parser.add_argument('--force', action='store_true', help='replace the bag that is there')
    parser.add_argument(
        '--quiet', action='store_true', help='no progress bar and no summary; errors only'
    )
    return parser


def add_node_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which nodes run, how, and on what."""
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
        help='what runs the networks of faces, eyes and body, instead of what the parameter files'
        ' say',
    )
    parser.add_argument(
        '--emotion-backend',
        choices=(AUTO, *BACKENDS),
        default='',
        help='what runs the network of expressions, likewise',
    )
    parser.add_argument(
        '--emotion-reading',
        choices=(AUTO, *READINGS),
        default='',
        help='what reads expressions, likewise',
    )
    parser.add_argument(
        '--image-topic',
        metavar='TOPIC',
        default='',
        help='the images (default: the only such topic, else /image_raw, raw or compressed)',
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
    parser.add_argument(
        '--privacy',
        choices=PRIVACY,
        default=NONE,
        help='what copied images show: all (none, the default), no faces (blur), landmarks and'
        ' readings on plain ground (mesh), or they are left out (no_image); images other than'
        ' those that are looked at are left out with all but none',
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f'{text} is no length of time')
    return value
