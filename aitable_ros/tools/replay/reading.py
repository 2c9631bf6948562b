# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Reads the messages of a bag ahead of whoever publishes them."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aitable_ros.bags import BagMessage

READ_AHEAD = 32
"""So many messages are read before their time, so that a slow disk delays none."""

_POLL_S = 0.1


class ReadAhead:
    """
    Reads messages in a thread of its own, a few ahead of whoever takes them.

    What reading raises, taking raises.

    :param messages: read from in that thread only.
    """

    def __init__(self, messages: Iterator[BagMessage]) -> None:
        self._messages = messages
        self._queue: queue.Queue[BagMessage | BaseException | None] = queue.Queue(READ_AHEAD)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name='read_bag', daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[BagMessage]:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._queue.get_nowait()
            self._thread.join(0.01)

    def _read(self) -> None:
        try:
            for message in self._messages:
                self._put(message)
                if self._closing.is_set():
                    return
            self._put(None)
        except BaseException as error:  # handed to whoever takes the messages
            self._put(error)

    def _put(self, item: BagMessage | BaseException | None) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=_POLL_S)
                return
