# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the nodes over many recordings, on all cores of this machine or on a cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from aitable_ros.tools.process_bag.command import (
    add_node_options,
    check_request,
    ros_arguments_of,
    terminable,
)
from aitable_ros.tools.support.interrupts import settle_interrupt
from aitable_ros.tools.support.ros_arguments import split_ros_arguments


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0; 1 when a recording has no result, or lacks something of it; 2 when there is none.
    """
    own, ros_arguments = split_ros_arguments(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(own)
    try:
        from aitable_ros.tools.process_bags.run import Options, process_bags
    except ImportError as error:
        return _fail(f'{error}: pip install rosbags mcap')
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        return _fail(f'{error}: source a ROS 2 installation first')
    from aitable_ros.bags import BagTarget
    from aitable_ros.tools.process_bag.offline_pipeline import PipelineError
    from aitable_ros.tools.process_bag.run import Request
    from aitable_ros.tools.process_bags.dask_runner import DaskError

    try:
        with terminable():
            check_request(arguments)
            template = Request(
                source=Path(),
                target=BagTarget(Path('_.mcap'), 'mcap', arguments.compress),
                nodes=tuple(arguments.nodes),
                image_topic=arguments.image_topic,
                camera_info=None if arguments.camera_info == 'none' else arguments.camera_info,
                merge=arguments.merge,
                arguments=ros_arguments_of(arguments, ros_arguments),
                backend=arguments.backend,
                emotion_backend=arguments.emotion_backend,
                emotion_reading=arguments.emotion_reading,
                namespace=arguments.namespace,
                csv=Path('_.csv') if arguments.csv else None,
                privacy=arguments.privacy,
            )
            return process_bags(
                Options(
                    names=tuple(arguments.recordings),
                    lists=tuple(arguments.list),
                    folder=arguments.out,
                    template=template,
                    workers=arguments.workers,
                    scheduler=arguments.scheduler,
                    cluster=arguments.cluster,
                    send=arguments.send,
                    cut_s=60.0 * arguments.cut,
                    quiet=arguments.quiet,
                )
            )
    except (DaskError, PipelineError, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        settle_interrupt()
        return _fail('interrupted; a second run does the rest')


def _fail(text: str) -> int:
    print(f'process_bags: error: {text}', file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='process_bags',
        description=(
            'Run the nodes over many recorded bags and videos, each as process_bag does, in'
            ' processes of this machine or on Dask workers. Of each recording there are results'
            ' (NAME.mcap) and a record (NAME.json); of all together minutes.csv and'
            ' minutes.parquet, a row a person and minute, and summary.json. A second run does what'
            ' is missing or has changed, and nothing else.'
        ),
        epilog=(
            'Exit status: 0; 1 when a recording has no result, or lacks something of what it'
            ' announces; each is named with its reason. 2: there is no recording.'
        ),
    )
    parser.add_argument(
        'recordings',
        metavar='IN',
        nargs='*',
        help='bags, videos, folders of them, patterns in quotes',
    )
    parser.add_argument(
        '--out', '-o', metavar='DIR', type=Path, required=True, help='folder of all results'
    )
    parser.add_argument(
        '--list',
        metavar='FILE',
        type=Path,
        action='append',
        default=[],
        help='file with recordings, one a line; may be given several times',
    )
    where = parser.add_argument_group('where')
    where.add_argument(
        '--workers',
        metavar='N',
        type=_positive,
        help='processes on this machine (default: as many as it has cores and memory for)',
    )
    where.add_argument(
        '--scheduler',
        metavar='ADDRESS',
        default='',
        help='work on the workers of this Dask scheduler (tcp://host:8786, or its scheduler file);'
        ' they have to see the same folders under the same names',
    )
    where.add_argument(
        '--cluster',
        metavar='FILE',
        type=Path,
        help='start the Dask cluster that this YAML file describes (module, class, args, kwargs):'
        ' the class is imported and called, so trust the file',
    )
    where.add_argument(
        '--send',
        action='store_true',
        help='to Dask workers without a shared folder: send recordings up to 256 MB along',
    )
    where.add_argument(
        '--cut',
        metavar='MIN',
        type=float,
        default=0.0,
        help='cut recordings that are longer than 1.5 times this into pieces of so many minutes;'
        ' docs/fleet.md says what that changes (default: 0, never)',
    )
    add_node_options(parser)
    parser.add_argument('--compress', action='store_true', help='compress the results (zstd)')
    parser.add_argument(
        '--merge', action='store_true', help='write the originals into the results, too'
    )
    parser.add_argument(
        '--csv', action='store_true', help='write a table of every image (NAME.csv), too'
    )
    parser.add_argument(
        '--quiet', action='store_true', help='no progress bar and no summary; errors only'
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'expected 1 or more, got {text}')
    return value
