# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a node adds to the base of all nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, ClassVar

from rclpy.publisher import Publisher

from aitable_ros.inference.selection import Selection
from aitable_ros.ros_support.parameters.table import ParameterSpec


class NodeHooks:
    """
    What subclasses of :class:`~aitable_ros.ros_support.node.managed_node.ManagedNode` override.

    :meth:`load`, :meth:`start`, :meth:`stop` and :meth:`results` make a node; the others serve
    reloading, resetting, parameters and diagnostics. Only :meth:`unload` and :meth:`selections`
    do anything by themselves.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = ()
    """The node's own parameters, beside those that all nodes have."""

    QUEUE_DEPTH: ClassVar[int] = 1
    """How many inputs may wait; 1 keeps only the newest."""

    NEEDS_INPUT: ClassVar[bool] = True
    """False for a node that works by itself: no input is nothing to warn of."""

    loaded: Any = None
    """What :meth:`load` returned last; None while the node is not configured."""

    def load(self, values: Mapping[str, Any]) -> Any:
        """
        Load the networks, and build what the parameters describe; runs in the worker thread.

        The node may be at work with what was loaded before: do not change it. What was opened
        has to be closed again before an error is raised.

        :param values: all parameters by name.
        :returns: what becomes ``self.loaded``; its attribute ``selections`` has the networks.
        :raises Exception: whose message says why the node cannot be configured.
        """

    def unload(self, loaded: Any) -> None:
        """Free what :meth:`load` returned, in the same thread; closes its ``selections``."""
        for selection in getattr(loaded, 'selections', ()):
            selection.engine.close()

    def carry_over(self, previous: Any, loaded: Any) -> None:
        """Let what is known about people survive a reload; between two frames."""

    def missing(self, loaded: Any, values: Mapping[str, Any]) -> str:
        """
        Say which network was asked for and does not run, where the node can do without it.

        :param loaded: what :meth:`load` returned for these values.
        :returns: the reason; empty: none is missing. A reload is refused for it, where the
            network runs.
        """
        return ''

    def reset(self) -> None:
        """Forget everything that was seen; in the worker thread, between two frames."""

    def start(self) -> None:
        """Subscribe to the inputs; in the executor's thread, when work begins."""

    def stop(self) -> None:
        """Undo :meth:`start`, and end work that waits; may be called again."""

    def adapt(self) -> None:
        """Adapt the subscriptions to what was loaded anew while the node works."""

    def interrupt(self) -> None:
        """Let an item that waits (for a camera, say) end early; may hit the next item instead."""

    def apply(self, values: Mapping[str, Any]) -> None:
        """
        Take over dynamic parameters, where reading ``self.values`` while working will not do.

        In the worker thread, before the first frame and after parameters were set.

        :param values: what ``self.values`` will be.
        :raises ValueError: when they cannot be taken over; the present ones stay.
        """

    def check(self, values: Mapping[str, Any], changed: Set[str]) -> None:
        """
        Check whether parameters go together, before they are set.

        :param values: all parameters by name, as they would be.
        :param changed: names of those that are to change.
        :raises ValueError: saying why not.
        """

    def results(self, item: Any) -> Iterable[tuple[Publisher, Any]]:
        """
        Work on one item that was offered; in the worker thread.

        :param item: what the subclass's callbacks offer: a frame, or a message made from one.
        :returns: what is to be published, in order; a generator may yield while it works.
        """
        return ()

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Give further key-value pairs for /diagnostics; in the executor's thread."""
        return ()

    @property
    def notice(self) -> str:
        """What the node's status warns of beside what all nodes do; empty: nothing."""
        return ''

    @property
    def is_required(self) -> bool:
        """Tell whether a failure to configure is an error (or just a missing extra)."""
        return True

    def selections(self) -> Sequence[Selection]:
        """Give the networks that run, for the log and /diagnostics."""
        return tuple(getattr(self.loaded, 'selections', ()))
