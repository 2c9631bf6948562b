# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Publishes a bag, where there is no rosbag2 to do it."""

from __future__ import annotations

import argparse
import math
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aitable_ros.tools.replay.keyboard import space_bar
from aitable_ros.tools.support.interrupts import settle_interrupt
from aitable_ros.tools.support.ros_arguments import split_ros_arguments

if TYPE_CHECKING:
    from aitable_ros.tools.replay.player import Player


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0, also when interrupted; 1 when the bag cannot be published, or does not have all
        that it announces.
    """
    own, ros_arguments = split_ros_arguments(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    arguments = parser.parse_args(own)
    try:
        from aitable_ros.bags import BagError, BagReader
    except ImportError as error:
        return _fail(f'{error}: pip install rosbags mcap')
    try:
        import rclpy
    except ImportError as error:
        return _fail(f'{error}: source a ROS 2 installation first')
    from aitable_ros.ros_support.process.executor import init, quiet_shutdown
    from aitable_ros.ros_support.process.transport import (
        configure_transport,
        keep_shared_memory_private,
    )
    from aitable_ros.tools.replay.player import Options, Player

    try:
        options = Options(**{f.name: getattr(arguments, f.name) for f in fields(Options)})
    except ValueError as error:
        parser.error(str(error))
    configure_transport()
    for rule in arguments.remap:
        ros_arguments += ['-r', rule]
    try:
        init(['--ros-args', *ros_arguments] if ros_arguments else [])
    except Exception as error:
        return _fail(' '.join(str(error).split()))
    try:
        with quiet_shutdown(), BagReader(arguments.bag) as bag:
            for other in bag.others:
                print(f'replay: {other} is not published: no message of ROS', file=sys.stderr)
            node = rclpy.create_node('replay')
            keep_shared_memory_private()
            try:
                _replay(Player(node, bag, options), node, quiet=arguments.quiet)
            finally:
                node.destroy_node()
        for loss in bag.losses:
            print(f'replay: warning: {loss}', file=sys.stderr)
        return 1 if bag.losses else 0
    except BagError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        settle_interrupt()
    finally:
        rclpy.try_shutdown()
    return 0


def _replay(player: Player, node: Any, *, quiet: bool) -> None:
    import rclpy
    from std_srvs.srv import SetBool

    from aitable_ros.ros_support.process.executor import (
        ignore_interrupts,
        make_executor,
        spin_executor,
    )

    executor = make_executor()
    spinning = threading.Thread(
        target=spin_executor, args=(executor, node.get_logger()), name='spin', daemon=True
    )
    try:
        for topic in player.unknown:
            node.get_logger().warning(
                f'{topic.name} is not published: {topic.type_name} is not installed'
            )

        def set_paused(request: Any, response: Any) -> Any:
            player.set_paused(request.data)
            response.success = True
            response.message = 'paused' if request.data else 'going on'
            return response

        node.create_service(SetBool, '~/set_paused', set_paused)
        executor.add_node(node)
        spinning.start()
        try:
            with space_bar(lambda: player.set_paused(not player.paused)):
                player.run()
        finally:
            if not quiet:
                print('\n'.join(f'replay: {line}' for line in player.report.lines()))
    finally:
        # KeyboardInterrupt may come late, after the error of a call that found the context shut
        # down. A thread not waited for here would abort the process at its exit.
        ignore_interrupts()
        if spinning.ident is not None:
            rclpy.try_shutdown()
            spinning.join()
        executor.shutdown()


def _fail(text: str) -> int:
    print(f'replay: error: {text}', file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='replay',
        description=(
            'Publish a recorded bag: a folder of ros2 bag, or a single .mcap or .db3 file. The'
            ' messages go out as they were recorded, with the QoS that their publishers offered.'
            ' Every message is published; how many were late is said at the end. The space bar'
            ' pauses, as does the service /replay/set_paused.'
        ),
        epilog=(
            'What follows --ros-args goes to the node. Exit status: 0, also when interrupted; 1'
            ' when the bag cannot be published, or does not have all that it announces.'
        ),
    )
    parser.add_argument('bag', metavar='BAG', type=Path, help='bag to publish')
    parser.add_argument(
        '--rate', '-r', metavar='X', type=float, default=1.0, help='times faster than recorded'
    )
    parser.add_argument('--loop', '-l', action='store_true', help='start again at the end')
    parser.add_argument(
        '--topics', metavar='TOPIC', nargs='+', default=[], help='publish these topics only'
    )
    parser.add_argument(
        '--exclude', metavar='TOPIC', nargs='+', default=[], help='leave these topics out'
    )
    parser.add_argument(
        '--remap',
        '-m',
        metavar='FROM:=TO',
        nargs='+',
        default=[],
        help='publish a topic under another name',
    )
    parser.add_argument(
        '--start',
        dest='start_s',
        metavar='S',
        type=float,
        default=0.0,
        help='begin so far into the bag [s]',
    )
    parser.add_argument(
        '--duration',
        dest='duration_s',
        metavar='S',
        type=float,
        default=math.inf,
        help='stop after so long [s]',
    )
    parser.add_argument(
        '--clock',
        dest='clock_hz',
        metavar='HZ',
        type=float,
        nargs='?',
        const=40.0,
        default=0.0,
        help='publish /clock in the time of the bag, for nodes with use_sim_time (40 Hz where no'
        ' number is given)',
    )
    parser.add_argument(
        '--restamp',
        action='store_true',
        help='move the stamps of all headers to the present, their distances divided by the rate;'
        ' else they stay as recorded',
    )
    parser.add_argument(
        '--delay',
        '-d',
        dest='delay_s',
        metavar='S',
        type=float,
        default=0.0,
        help='wait before the start [s]',
    )
    parser.add_argument(
        '--wait-for',
        metavar='TOPIC',
        nargs='+',
        default=[],
        help='wait until somebody subscribes to these topics',
    )
    parser.add_argument('--paused', '-p', action='store_true', help='begin paused')
    parser.add_argument('--quiet', action='store_true', help='no summary; errors only')
    return parser
