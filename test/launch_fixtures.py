# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
What the launch tests share: commands that are started, read and stopped.

They need launch, launch_ros and ros2cli, which PyPI does not have. With a ROS installation:
``colcon build && source install/setup.bash && python3 -m pytest test/launch``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from ros_fixtures import until

HOW_TO_RUN = (
    'not installed: in a ROS installation, `colcon build && source install/setup.bash && '
    'python3 -m pytest test/launch`'
)


class Process:
    """
    A command of a test, in a process group of its own, with its output in a file.

    :param command: program and arguments.
    :param log: the file.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open('w') as stream:
            self._process = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def text(self) -> str:
        return self.log.read_text(errors='replace')

    def says(self, text: str, timeout_s: float = 30.0) -> bool:
        return until(lambda: text in self.text, timeout_s)

    def ends(self, timeout_s: float = 30.0) -> bool:
        return until(lambda: self._process.poll() is not None, timeout_s)

    @property
    def status(self) -> int | None:
        return self._process.poll()

    def interrupt(self) -> None:
        """Interrupt the command itself, not what it started."""
        self._process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """Interrupt it, as Ctrl-C does, and see it end in an orderly manner."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        ended = self.ends()
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
            outlived = True
        except ProcessLookupError:
            outlived = False
        self._process.wait()
        assert ended, f'did not end: {self.text}'
        assert not outlived, f'left processes behind: {self.text}'
        assert 'Traceback' not in self.text, self.text


def node_names(graph) -> set[str]:
    """Give the full names of all nodes but those of the test, of launch and of the ros2 tools."""
    return {
        f'{namespace.rstrip("/")}/{name}'
        for name, namespace in graph.peer.get_node_names_and_namespaces()
        if not name.startswith(('test_peer', '_ros2cli', 'launch_ros_'))
    }


def has_nodes(graph, names: set[str], timeout_s: float = 20.0) -> bool:
    """Wait until these nodes, and no others, are there; say what is there if not."""
    if until(lambda: node_names(graph) == names, timeout_s):
        return True
    print(f'there are {sorted(node_names(graph))}, not {sorted(names)}')
    return False


@pytest.fixture
def started(tmp_path):
    """Start commands that are stopped at the end of the test."""
    pytest.importorskip('launch_ros', reason='launch_ros ' + HOW_TO_RUN)
    if shutil.which('ros2') is None:
        pytest.skip('ros2cli ' + HOW_TO_RUN)
    processes: list[Process] = []

    def start(*command: str | Path) -> Process:
        log = tmp_path / f'{len(processes)}.log'
        processes.append(Process([str(part) for part in command], log))
        return processes[-1]

    yield start
    problems = []
    for process in reversed(processes):
        try:
            process.stop()
        except AssertionError as problem:
            problems.append(str(problem))
    assert problems == []


@pytest.fixture
def launched(started):
    """Run ``ros2 launch`` with a file and arguments."""

    def launch(file: Path, *arguments: str) -> Process:
        return started('ros2', 'launch', file, *arguments)

    return launch


@pytest.fixture
def ros2(started):
    """Run a ``ros2`` command, which has to succeed, and give its output."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            ['ros2', *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f'{arguments}: {done.stdout}{done.stderr}'
        return done.stdout + done.stderr

    return run
