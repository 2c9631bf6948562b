# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Waits until nodes are active, for scripts and launch files that go on from there."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from aitable_ros.tools.support.ros_arguments import split_ros_arguments

POLL_S = 0.1
PATIENCE_S = 5.0
"""A node that rests in a state other than active for this long is not going to leave it."""

RESTING_STATES = ('unconfigured', 'inactive', 'finalized')


class Watch:
    """
    What is known of one node.

    :param patience_s: how long it may rest in a state other than active [s].
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._since_s = 0.0
        self.state = ''
        self.given_up = False

    @property
    def done(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.state == 'active' or self.given_up

    def see(self, state: str, now_s: float) -> None:
        """
        Take note of the node's state.

        :param state: label of the lifecycle state.
        :param now_s: when it was asked for, monotonic [s].
        """
        if state != self.state:
            self.state = state
            self._since_s = now_s
        rests = state in RESTING_STATES
        self.given_up = rests and now_s - self._since_s >= self._patience_s


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0 when all nodes are active; 1 when one is not, or will not be.
    """
    own, ros_arguments = split_ros_arguments(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(own)
    try:
        import rclpy
    except ImportError as error:
        print(f'wait_until_active: {error}: source a ROS 2 installation first', file=sys.stderr)
        return 1
    from aitable_ros.ros_support.process.executor import init, quiet_shutdown

    init(['--ros-args', *ros_arguments] if ros_arguments else [])
    node = rclpy.create_node('wait_until_active')
    watches = None
    try:
        with quiet_shutdown():
            watches = wait(node, arguments.nodes, arguments.timeout, arguments.patience)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    if watches is None:
        return 1
    late = {name: watch for name, watch in watches.items() if watch.state != 'active'}
    for name, watch in late.items():
        seen = f'is {watch.state}' if watch.state else 'was not found'
        print(f'wait_until_active: {name} {seen}', file=sys.stderr)
    return 1 if late else 0


def wait(
    node: Any, names: Sequence[str], timeout_s: float, patience_s: float = PATIENCE_S
) -> dict[str, Watch]:
    """
    Wait until nodes are active.

    :param node: a node that nobody spins.
    :param names: full names of the nodes to wait for.
    :param timeout_s: give up after this long [s].
    :param patience_s: as :class:`Watch`.
    :returns: what was seen of each.
    """
    import rclpy
    from lifecycle_msgs.srv import GetState

    watches = {name: Watch(patience_s) for name in names}
    clients = {name: node.create_client(GetState, f'{name}/get_state') for name in names}
    deadline_s = time.monotonic() + timeout_s
    while True:
        pending = [name for name, watch in watches.items() if not watch.done]
        if not pending or time.monotonic() > deadline_s:
            return watches
        asked = {
            name: clients[name].call_async(GetState.Request())
            for name in pending
            if clients[name].service_is_ready()
        }
        for name, future in asked.items():
            rclpy.spin_until_future_complete(node, future, timeout_sec=1.0)
            if future.done() and future.result() is not None:
                watches[name].see(future.result().current_state.label, time.monotonic())
            else:
                clients[name].remove_pending_request(future)
        time.sleep(POLL_S)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='wait_until_active',
        description='Wait until lifecycle nodes are active. Exit status: 0 when all are; 1 when '
        'one is not within the time, or rests in another state.',
    )
    parser.add_argument('nodes', metavar='NODE', nargs='+', help='full name, /table/fatigue')
    parser.add_argument(
        '--timeout', metavar='S', type=float, default=60.0, help='(default: %(default)s)'
    )
    parser.add_argument(
        '--patience',
        metavar='S',
        type=float,
        default=PATIENCE_S,
        help='how long a node may rest unconfigured or inactive (default: %(default)s)',
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
