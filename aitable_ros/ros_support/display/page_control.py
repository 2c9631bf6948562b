# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the web page may do: services of the nodes, and a few parameters of its own node."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

DISCOVERY_S = 1.0

SERVICES = {'calibrate': 'posture/calibrate', 'acknowledge': 'attention/acknowledge'}
"""Services of other nodes by what a page calls them."""

Answer = Callable[[str], None]


class PageControl:
    """
    Does what a page asks for: ``{"do": "calibrate"}``, ``acknowledge``, ``reload`` or ``set``, and
    nothing else.

    :param node: the node that serves the page.
    :param settings: names of its parameters that a page may set.
    """

    def __init__(self, node: Any, settings: Collection[str]) -> None:
        self._node = node
        self._settings = settings
        self._clients: dict[str, Any] = {}

    def take(self, wish: Mapping[str, Any], answer: Answer) -> None:
        """Begin to do it; the answer comes when it is done. From any thread."""
        self._node.operations.submit(lambda: self._act(wish, answer))

    def close(self) -> None:
        """Give the service clients back; in the executor's thread."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            self._node.destroy_client(client)

    def _act(self, wish: Mapping[str, Any], answer: Answer) -> None:
        what = wish.get('do')
        if what in SERVICES:
            self._trigger(self._node.resolve_service_name(SERVICES[what]), answer)
        elif what == 'reload':
            for service in self._reloads():
                self._trigger(service, answer)
        elif what == 'set':
            self._set(wish.get('name'), wish.get('value'), answer)

    def _reloads(self) -> list[str]:
        """Name the services that reload the other nodes of this namespace."""
        node = self._node
        within = node.get_namespace().rstrip('/') + '/'
        return sorted(
            name
            for name, types in node.get_service_names_and_types()
            if name.startswith(within)
            and name.endswith('/reload')
            and name != f'{node.get_fully_qualified_name()}/reload'
            and 'std_srvs/srv/Trigger' in types
        )

    def _trigger(self, service: str, answer: Answer) -> None:
        node = self._node

        def make() -> Any:
            if service not in self._clients:
                self._clients[service] = node.create_client(Trigger, service)
            return self._clients[service]

        client = node.operations.in_executor(make)
        if not client.wait_for_service(DISCOVERY_S):
            answer(f'{service}: there is no such node')
            return
        future = client.call_async(Trigger.Request())
        future.add_done_callback(lambda done: answer(f'{service}: {_words(done)}'))

    def _set(self, name: Any, value: Any, answer: Answer) -> None:
        if name not in self._settings or not isinstance(value, bool | str):
            return
        parameters = [Parameter(name, value=value)]
        (result,) = self._node.operations.in_executor(
            lambda: self._node.set_parameters(parameters)
        )
        answer(f'{name}: {value}' if result.successful else result.reason)


def _words(done: Any) -> str:
    try:
        return str(done.result().message)
    except Exception as error:  # the service went away
        return str(error) or type(error).__name__
