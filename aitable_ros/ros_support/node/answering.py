# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Services that answer every request, and timers that end in peace."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter

from aitable_ros.inference.engine import one_line
from aitable_ros.ros_support.parameters.table import ParameterTable
from aitable_ros.ros_support.process.executor import quiet_shutdown, utf8
from aitable_ros.ros_support.process.seldom import SeldomLog
from aitable_ros.ros_support.process.transport import keep_shared_memory_private

if TYPE_CHECKING:
    from rclpy.node import Node
else:
    Node = object


class AnsweringNode(Node):
    """
    Mixin of nodes, before rclpy's class.

    rclpy lets out of the executor what a service's callback raises, which ends most processes, and
    leaves the request without an answer. Its parameter services, which it makes by
    :meth:`create_service` too, do so for a value of a type that ROS does not have.
    """

    params: ParameterTable

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.seldom = SeldomLog(self.get_logger)
        """For what others can cause: at most one line of each kind in some seconds."""
        super().__init__(*args, **kwargs)
        keep_shared_memory_private()

    def create_service(
        self, srv_type: Any, srv_name: str, callback: Callable[..., Any], **kwargs: Any
    ) -> Any:
        """Make a service that answers also where its callback raises."""
        if srv_type is SetParameters:
            callback = self._on_set_parameters
        elif srv_type is SetParametersAtomically:
            callback = self._on_set_atomically

        def handle(request: Any, response: Any) -> Any:
            try:
                return callback(request, response)
            except Exception as error:
                details = utf8(traceback.format_exc())
                self.seldom.error(srv_name, f'{srv_name} failed: {error}', details)
                refused = srv_type.Response()
                if hasattr(refused, 'message'):
                    refused.message = utf8(one_line(f'{type(error).__name__}: {error}'))
                return refused

        return super().create_service(srv_type, srv_name, handle, **kwargs)

    # Any: rclpy's own signature is another one in each distribution
    def create_timer(
        self, timer_period_sec: float, callback: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Make a timer whose callback may fail in peace when the process is ending."""

        def call() -> None:
            with quiet_shutdown(self.context):
                callback()

        return super().create_timer(timer_period_sec, call, *args, **kwargs)

    def _on_set_parameters(self, request: Any, response: Any) -> Any:
        response.results = [self._set([message]) for message in request.parameters]
        return response

    def _on_set_atomically(self, request: Any, response: Any) -> Any:
        response.result = self._set(request.parameters)
        return response

    def _set(self, messages: Sequence[Any]) -> SetParametersResult:
        """Set what another process asked for, all or nothing."""
        try:
            asked = [Parameter.from_parameter_msg(message) for message in messages]
            table: ParameterTable | None = getattr(self, 'params', None)
            if table is not None:
                asked = table.from_outside(asked)
            return self.set_parameters_atomically(asked)
        except Exception as error:  # of rclpy: a type or a name that there is not
            return SetParametersResult(successful=False, reason=utf8(one_line(error)))
