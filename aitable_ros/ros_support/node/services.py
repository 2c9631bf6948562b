# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The services of a managed node, none of which holds up the executor."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from std_srvs.srv import SetBool, Trigger

from aitable_ros.inference.engine import one_line
from aitable_ros.ros_support.node.operations import NodeOperations, reply_later, unused
from aitable_ros.ros_support.process.seldom import SeldomLog


class _Node(Protocol):
    """What is asked of the node; what it does it says in words."""

    operations: NodeOperations
    seldom: SeldomLog

    @property
    def context(self) -> Any: ...
    @property
    def state(self) -> str: ...
    def create_service(self, *args: Any, **kwargs: Any) -> Any: ...
    def reset_now(self) -> str: ...
    def reload(self) -> str: ...
    def set_enabled(self, enabled: bool) -> str: ...


def serve(node: _Node) -> None:
    """
    Offer ``~/reset``, ``~/reload`` and ``~/set_enabled``; answer transitions when they are done.

    All of them queue for the node's operations, so that they happen one after the other.
    """
    group = ReentrantCallbackGroup()

    def offer(kind: type, name: str, action: Callable[[Any], str]) -> None:
        def handle(request: Any, response: Any) -> Future[Any]:
            return answer(node, name, lambda: action(request), response)

        reply_later(node.create_service(kind, name, unused, callback_group=group), handle)

    offer(Trigger, '~/reset', lambda request: node.reset_now())
    offer(Trigger, '~/reload', lambda request: node.reload())
    offer(SetBool, '~/set_enabled', lambda request: node.set_enabled(bool(request.data)))
    # of rclpy; there is none where a node was made without its communication interface
    change_state = getattr(node, '_service_change_state', None)
    if change_state is not None:
        reply_later(change_state, _transition(node, change_state.callback))


def answer(node: _Node, service: str, action: Callable[[], str], response: Any) -> Future[Any]:
    """
    Queue an action and answer a request with how it went.

    :param service: its name, for the log.
    :param action: returns what was done, in words, or raises.
    :param response: of std_srvs: ``success`` and ``message``.
    :returns: the response, once the action is done. It never raises.
    """

    def run() -> Any:
        try:
            response.message = action()
            response.success = True
            node.seldom.info(f'{service} done', f'{service}: {response.message}')
        except Exception as error:  # the answer says why, and the node lives on
            response.message = one_line(error) or type(error).__name__
            response.success = False
            if node.context.ok():
                node.seldom.warn(service, f'{service} failed: {response.message}')
        return response

    return _or_refusal(node.operations.submit(run), response)


def _transition(
    node: _Node, change_state: Callable[[Any, Any], Any]
) -> Callable[[Any, Any], Future[Any]]:
    """Answer ``~/change_state``, with success=False where rclpy would let an exception out."""

    def handle(request: Any, response: Any) -> Future[Any]:
        def run() -> Any:
            try:
                return change_state(request, response)
            except rclpy_implementation.RCLError as error:
                if node.context.ok():
                    why = str(error).strip().partition('\n')[0] or type(error).__name__
                    node.seldom.warn('state', f'transition refused in state {node.state}: {why}')
            response.success = False
            return response

        return _or_refusal(node.operations.submit(run), response)

    return handle


def _or_refusal(future: Future[Any], response: Any) -> Future[Any]:
    """Turn an operation that was never run into an answer."""
    answered: Future[Any] = Future()

    def pass_on(done: Future[Any]) -> None:
        error = done.exception()
        if error is not None:
            response.success = False
            if hasattr(response, 'message'):
                response.message = one_line(error)
        answered.set_result(response if error is not None else done.result())

    future.add_done_callback(pass_on)
    return answered
