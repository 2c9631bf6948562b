# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Workers of Dask, on this machine or elsewhere.

No more jobs are handed over than there are threads: Dask suspects all that a dead worker had
before it, not only what it was at, and gives up what was suspected too often.
"""

from __future__ import annotations

import importlib
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from aitable_ros import __version__
from aitable_ros.tools.process_bags.jobs import Job, Outcome
from aitable_ros.tools.process_bags.work import (
    files_of,
    process,
    process_sent,
    reason_of,
    take_back,
    version,
)

POLL_S = 1.0
WAIT_FOR_WORKERS_S = 60.0
SENT_BYTES = 256 * 1024 * 1024
"""Larger recordings are not sent along: they go through the scheduler's memory."""


class DaskError(RuntimeError):
    """Dask is not installed, not reached, or has workers that cannot work; in one line."""


class SchedulerLost(DaskError):  # noqa: N818 (an event: the rest is done here)
    """
    The scheduler has gone away.

    :param left: jobs that were not done.
    """

    def __init__(self, left: list[Job]) -> None:
        super().__init__(f'the scheduler has gone away; {len(left)} recordings were left')
        self.left = left


class DaskRunner:
    """
    Runs jobs on the workers of a scheduler. Use it as a context manager.

    :param scheduler: its address (``tcp://host:8786``), or the file that it was started with
        (``--scheduler-file``); empty: see ``cluster``.
    :param cluster: file that says which cluster to start, by the form of dask-ctl.
    :param send: send recordings along, and take results back.
    :raises DaskError: on entering.
    """

    def __init__(self, scheduler: str, cluster: Path | None, *, send: bool = False) -> None:
        self._scheduler, self._cluster, self._send = scheduler, cluster, send
        self._stack = ExitStack()
        self._client: Any = None

    @property
    def dashboard(self) -> str:
        """Where one can watch the workers; empty: nowhere."""
        return str(self._client.dashboard_link or '')

    @property
    def workers(self) -> int:
        """How many threads there are."""
        return sum(self._client.nthreads().values())

    def __enter__(self) -> DaskRunner:
        try:
            import distributed
        except ImportError as error:
            raise DaskError(f'{error}: pip install -r requirements/fleet.txt') from error
        try:
            where: Any = self._scheduler
            if self._cluster is not None:
                where = self._stack.enter_context(_started(self._cluster))
            if self._scheduler and '://' not in self._scheduler:
                client = distributed.Client(scheduler_file=self._scheduler, timeout=10)
            else:
                client = distributed.Client(where, timeout=10)
            self._client = self._stack.enter_context(client)
            client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS_S)
            self._check_versions()
        except DaskError:
            self._stack.close()
            raise
        except Exception as error:
            self._stack.close()
            raise DaskError(f'{self._scheduler or self._cluster}: {reason_of(error)}') from error
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _check_versions(self) -> None:
        others = self._client.run(version, on_error='return')
        for worker, found in others.items():
            if found != __version__:
                raise DaskError(f'worker {worker} has aitable {found}, here it is {__version__}')

    def run(self, waiting: deque[Job]) -> Iterator[tuple[Job, Outcome]]:
        """
        Give what becomes of each job, in the order in which they end.

        :raises SchedulerLost: when the scheduler does not answer any more.
        """
        import distributed

        running = dict[Any, Job]()
        places: dict[Any, str] = {}
        while waiting or running:
            try:
                for place in self._idle(places.values()):
                    if not waiting:
                        break
                    job = waiting.popleft()
                    try:
                        future = self._submit(job, place)
                    except OSError as error:
                        yield job, Outcome(job.name, 'failed', reason_of(error))
                    else:
                        running[future], places[future] = job, place
                if running:
                    distributed.wait(list(running), timeout=POLL_S, return_when='FIRST_COMPLETED')
                else:  # all workers are away
                    time.sleep(POLL_S)
            except TimeoutError:
                pass
            except Exception as error:
                raise SchedulerLost([*running.values(), *waiting]) from error
            for future in [one for one in running if one.done()]:
                if future.status in ('cancelled', 'lost'):
                    raise SchedulerLost([*running.values(), *waiting])
                job = running.pop(future)
                del places[future]
                yield job, self._outcome(job, future)
                future.release()

    def _idle(self, places: Collection[str]) -> list[str]:
        """Return the worker of each thread that has nothing to do."""
        busy = Counter(places)
        threads = self._client.nthreads()
        return [worker for worker in threads for _ in range(threads[worker] - busy[worker])]

    def _submit(self, job: Job, worker: str) -> Any:
        # Dask, which knows nothing of how long this takes, may have two wait for the same worker
        place: dict[str, Any] = {'workers': [worker], 'allow_other_workers': True, 'pure': False}
        if self._send and job.bytes <= SENT_BYTES:
            content = files_of(job.request.source)
            return self._client.submit(process_sent, job, content, **place)
        return self._client.submit(process, job, **place)

    def _outcome(self, job: Job, future: Any) -> Outcome:
        from distributed.scheduler import KilledWorker

        try:
            found = future.result()
            if isinstance(found, Outcome):
                return found
            outcome, results = found
            if results:
                take_back(job, results)
            return outcome  # type: ignore[no-any-return]
        except KilledWorker:
            reason = 'its worker was killed again and again (too little memory?)'
            return Outcome(job.name, 'failed', reason)
        except Exception as error:
            return Outcome(job.name, 'failed', reason_of(error))


def _started(file: Path) -> Any:
    """
    Start the cluster that a file describes: ``module``, ``class``, ``args`` and ``kwargs``.

    :raises DaskError: when it is no such file, or names anything but a cluster of Dask.
    """
    import dask
    from distributed.deploy.cluster import Cluster

    try:
        said = yaml.safe_load(file.read_text(encoding='utf-8'))
        made = getattr(importlib.import_module(said['module']), said['class'])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise DaskError(f'{file}: no description of a cluster: {reason_of(error)}') from error
    if not (isinstance(made, type) and issubclass(made, Cluster)):
        raise DaskError(f'{file}: {said["module"]}.{said["class"]} is no cluster of Dask')
    dask.config.set({'distributed.scheduler.allowed-failures': 2})  # as ATTEMPTS here
    return made(*said.get('args') or (), **said.get('kwargs') or {})
