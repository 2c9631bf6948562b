# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Python nodes that a container can load, found by their entry points."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import reduce
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aitable_ros.ros_support.container.request import ComponentError, traceback_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = 'rclpy_components'
"""Entry-point group of composable Python nodes, as proposed for rclpy (ros2/rclpy#599)."""


class PluginRegistry:
    """
    The plugins of all installed packages: entry points of group :data:`GROUP`.

    :param own: plugins that are there even where their package runs from its source tree:
        name (``package::Class``) to ``module:Class``. They come before installed ones.
    """

    def __init__(self, own: Mapping[str, str]) -> None:
        self._own = dict(own)

    def names(self, package: str = '') -> list[str]:
        """Return the names of the known plugins, sorted; only those of a package, if given."""
        return sorted(
            name
            for name, entry_point in self._plugins().items()
            if not package or _belongs_to(name, entry_point, package)
        )

    def find(self, package: str, plugin: str) -> Callable[..., Any]:
        """
        Import a plugin; from any thread.

        :param package: package of the plugin; empty: whichever has it.
        :param plugin: name of the entry point, with or without ``package::`` before it.
        :returns: the class, or whatever callable makes the node.
        :raises ComponentError: when the package has no such plugin (the message lists those that
            there are), or its module raises.
        """
        if plugin:
            # what is installed is looked through only if need be: that takes a while
            for plugins in (lambda: dict.fromkeys(self._own), self._plugins):
                for name, entry_point in plugins().items():
                    if package and not _belongs_to(name, entry_point, package):
                        continue
                    if plugin in (name, name.partition('::')[2], f'{package}::{name}'):
                        value = self._own[name] if entry_point is None else entry_point.value
                        return _import(name, value)
        raise ComponentError(self._why_not_found(package, plugin))

    def _plugins(self) -> dict[str, EntryPoint | None]:
        """Give all plugins by their names; None: one of the own."""
        # not at the top: it takes 25 ms; looked up every time, since a package may be installed
        # while the container runs
        from importlib.metadata import entry_points

        plugins: dict[str, EntryPoint | None] = dict.fromkeys(self._own)
        for entry_point in entry_points(group=GROUP):
            plugins.setdefault(entry_point.name, entry_point)
        return plugins

    def _why_not_found(self, package: str, plugin: str) -> str:
        of_package = self.names(package) if package else []
        if of_package:
            return f'package {package} has no plugin {plugin!r}; it has {", ".join(of_package)}'
        everything = ', '.join(self.names()) or 'none'
        if not package:
            return f'there is no plugin {plugin!r}; known plugins: {everything}'
        if _has_cpp_components(package):
            return (
                f'the components of package {package} are C++: load them into a container of '
                f'rclcpp_components; Python plugins known here: {everything}'
            )
        return (
            f'package {package} has no Python plugins (entry points of group {GROUP}), or is not '
            f'installed; known plugins: {everything}'
        )


def _belongs_to(name: str, entry_point: EntryPoint | None, package: str) -> bool:
    distribution = None if entry_point is None else entry_point.dist
    return name.startswith(f'{package}::') or (
        distribution is not None and _normalized(distribution.name) == _normalized(package)
    )


def _normalized(name: str) -> str:
    # PEP 503: Python packaging takes my_robot, my-robot and My.Robot for one name
    return re.sub(r'[-_.]+', '-', name).lower()


def _import(name: str, value: str) -> Callable[..., Any]:
    module, _, attribute = value.partition(':')
    try:
        factory = reduce(getattr, filter(None, attribute.split('.')), import_module(module))
    except (Exception, SystemExit) as error:  # whatever a stranger's module does on import
        raise ComponentError(
            f'{name}: importing {value} failed: {type(error).__name__}: {error}',
            traceback_of(error),
        ) from error
    if not callable(factory):
        raise ComponentError(f'{name}: {value} is not a class')
    plugin: Callable[..., Any] = factory
    return plugin


def _has_cpp_components(package: str) -> bool:
    try:
        from ament_index_python import has_resource

        return bool(has_resource('rclcpp_components', package))
    except (ImportError, LookupError, OSError, ValueError):
        return False
