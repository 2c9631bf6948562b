# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Processes on this machine: each does one job after the other; who dies takes no other along."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

from aitable_ros.tools.process_bags.jobs import Job, Outcome
from aitable_ros.tools.process_bags.work import process, reason_of

ATTEMPTS = 3
"""A job whose worker was killed as often has failed."""

RENEWED_AFTER = 25
"""A process is replaced after so many jobs: loading networks again and again leaves the heap in
pieces, which grow by a tenth in a hundred jobs."""

WORKER_BYTES = 900 * 1024 * 1024
"""What a worker with all networks needs, and some more (docs/fleet.md has the figures)."""


def workers_here() -> int:
    """Return how many workers this machine has cores and memory for, 1 at least."""
    free = [WORKER_BYTES * (os.cpu_count() or 1)]
    with suppress(OSError, ValueError, IndexError):
        lines = Path('/proc/meminfo').read_text(encoding='ascii').splitlines()
        free.append(1024 * int(next(x for x in lines if x.startswith('MemAvailable')).split()[1]))
    group = Path('/sys/fs/cgroup')
    with suppress(OSError, ValueError):  # no limit: the word max
        limit = int((group / 'memory.max').read_text(encoding='ascii'))
        free.append(limit - int((group / 'memory.current').read_text(encoding='ascii')))
    return max(1, min(len(os.sched_getaffinity(0)), min(free) // WORKER_BYTES))


class LocalRunner:
    """
    Runs jobs in a number of processes, one thread each.

    Each has an executor of its own: one of :mod:`concurrent.futures` is lost as a whole when one
    of its processes dies.

    :param workers: how many processes.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.pids: dict[int, int] = {}
        """Process by place."""
        self._executors: dict[int, ProcessPoolExecutor] = {}
        self._done: Counter[int] = Counter()
        """Jobs that the process of a place has done."""

    def run(self, waiting: deque[Job]) -> Iterator[tuple[Job, Outcome]]:
        """
        Give what becomes of each job, in the order in which they end.

        :param waiting: those to do; more may come while others are done.
        """
        killed: Counter[str] = Counter()
        running: dict[Future[Outcome], tuple[int, Job]] = {}
        try:
            while waiting or running:
                idle = set(range(self.workers)) - {place for place, _ in running.values()}
                for place in sorted(idle)[: len(waiting)]:
                    job = waiting.popleft()
                    running[self._submit(place, job)] = place, job
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    place, job = running.pop(future)
                    try:
                        outcome = future.result()
                        self._done[place] += 1
                        if self._done[place] >= RENEWED_AFTER:
                            self._end(place)
                    except BrokenProcessPool:
                        self._end(place)
                        killed[job.name] += 1
                        if killed[job.name] < ATTEMPTS:
                            waiting.append(job)
                            continue
                        reason = f'its worker was killed {ATTEMPTS} times (too little memory?)'
                        outcome = Outcome(job.name, 'failed', reason)
                    except Exception as error:  # it could not be sent to the worker or back
                        outcome = Outcome(job.name, 'failed', reason_of(error))
                    yield job, outcome
        except BaseException:
            for pid in self.pids.values():  # what they have half done they take back
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
            raise
        finally:
            for executor in self._executors.values():
                executor.shutdown(cancel_futures=True)
            self._executors.clear()
            self.pids.clear()

    def _end(self, place: int) -> None:
        """Let go of a process that has nothing to do, or is dead."""
        self._executors.pop(place).shutdown(wait=False)
        self.pids.pop(place, None)
        self._done[place] = 0

    def _submit(self, place: int, job: Job) -> Future[Outcome]:
        """Hand a job to a process, which is started where there is none; it may be dead."""
        try:
            if place not in self._executors:
                self._executors[place] = _executor()
                self.pids[place] = self._executors[place].submit(os.getpid).result()
            return self._executors[place].submit(process, job)
        except BrokenProcessPool as error:
            failed: Future[Outcome] = Future()
            failed.set_exception(error)
            return failed


def _executor() -> ProcessPoolExecutor:
    # a fork would take over the threads of whatever was imported here, as locks that nobody frees
    context = multiprocessing.get_context('spawn')
    return ProcessPoolExecutor(1, mp_context=context, initializer=_begin)


def _begin() -> None:
    """Be a worker, gone when the parent is."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
