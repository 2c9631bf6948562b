# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes that are measured, in processes of their own, and what these take of the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
END_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Workload:
    """
    What runs.

    :param nodes: names of the nodes.
    :param results: topics whose messages answer an image.
    :param image_nodes: how many of the nodes receive images.
    :param watched: somebody subscribes to the overlay.
    """

    nodes: tuple[str, ...]
    results: tuple[str, ...]
    image_nodes: int
    watched: bool = False


DEFAULT = ('face_detection', 'emotion', 'fatigue', 'overlay')
WORKLOADS: Mapping[str, Workload] = {
    # what aitable.launch.py starts; emotion by the reading that comes with the package
    'default': Workload(DEFAULT, ('faces', 'emotion', 'fatigue'), 2),
    'watched': Workload(DEFAULT, ('faces', 'emotion', 'fatigue', 'overlay'), 3, watched=True),
    'posture': Workload((*DEFAULT, 'posture'), ('faces', 'emotion', 'fatigue'), 3),
}


@dataclass(frozen=True)
class Side:
    """
    One way of running the nodes.

    :param name: of it in the table; the namespace of its topics, too.
    :param composed: all in one container, or each in a process of its own.
    :param root: the checkout of aitable that runs.
    """

    name: str
    composed: bool = True
    root: Path = ROOT

    def commands(self, nodes: Sequence[str], files: Sequence[Path] = ()) -> list[list[str]]:
        """
        Make the command lines that start the nodes.

        :param nodes: their names.
        :param files: of parameters, beside those that are shipped.
        """
        shared = ['--ros-args', '-r', f'__ns:=/{self.name}']
        for file in (self.root / 'config' / 'aitable.yaml', *files):
            shared += ['--params-file', str(file)]
        modules = [[f'{node}_node', *shared] for node in nodes]
        if self.composed:
            modules = [['component_container', *shared, '-p', f'components:=[{",".join(nodes)}]']]
        return [
            [sys.executable, '-m', f'aitable_ros.nodes.{module}', *rest]
            for module, *rest in modules
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment in which this checkout, and its messages if any, come first."""
        install = self.root / '.ros' / 'install'
        additions = {
            'PYTHONPATH': [self.root, *install.glob('lib/python3*/site-packages')],
            'AMENT_PREFIX_PATH': [install] if install.is_dir() else [],
            'LD_LIBRARY_PATH': [install / 'lib'] if install.is_dir() else [],
        }
        environment = dict(os.environ)
        for name, folders in additions.items():
            parts = [*map(str, folders), *filter(None, [os.environ.get(name)])]
            environment[name] = os.pathsep.join(parts)
        return environment


class Nodes:
    """
    The processes of the nodes; a context manager that ends them.

    :param workload: what runs.
    :param side: and how.
    :param log: file that gets their output.
    """

    def __init__(
        self, workload: Workload, side: Side, log: Any, files: Sequence[Path] = ()
    ) -> None:
        self.workload = workload
        self.side = side
        self._processes = [
            subprocess.Popen(
                command,
                cwd=side.root,  # python -m looks there first
                env=side.environment(),
                start_new_session=True,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            for command in side.commands(workload.nodes, files)
        ]

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self._processes]

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGINT)
        for process in self._processes:
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def cpu_s(pids: Iterable[int], proc: Path = Path('/proc')) -> float:
    """
    Sum up the user and system time of processes.

    :param pids: of the processes, which are alive.
    :param proc: where procfs is.
    :returns: since they started [s].
    :raises OSError: when one is not there any more.
    """
    ticks = 0
    for pid in pids:
        # after the name, which may hold anything: state is field 3, utime 14, stime 15 (proc(5))
        fields = (proc / str(pid) / 'stat').read_text().rpartition(')')[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf('SC_CLK_TCK')


def pss_mb(pids: Iterable[int], proc: Path = Path('/proc')) -> float:
    """
    Sum up the proportional set sizes of processes: memory that several share counts once.

    :param pids: of the processes, which are alive.
    :param proc: where procfs is.
    :returns: [MB]; NaN where the kernel does not tell (before Linux 4.14).
    """
    total_kb = 0
    for pid in pids:
        try:
            text = (proc / str(pid) / 'smaps_rollup').read_text()
        except OSError:
            return float('nan')
        total_kb += next(int(line.split()[1]) for line in text.splitlines() if line[:4] == 'Pss:')
    return total_kb * 1024 / 1e6


def take_cpus(count: int) -> int:
    """Keep this process and its children to so many CPUs; tell how many there are."""
    there = sorted(os.sched_getaffinity(0))
    if count:
        os.sched_setaffinity(0, there[:count])
    return len(os.sched_getaffinity(0))
