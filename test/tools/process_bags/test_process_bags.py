# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Many recordings: each has the result of process_bag once, whatever befalls workers and files."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import shutil
import signal
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from mcap.reader import make_reader
from mcap.writer import Writer

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from rclpy.serialization import deserialize_message

from aitable_msgs.msg import FaceArray, Fatigue
from aitable_ros.bags import BagReader, BagTarget, SampleBag, make_sample_bag
from aitable_ros.tools.process_bag import command as process_bag
from aitable_ros.tools.process_bag.run import Request
from aitable_ros.tools.process_bags import dask_runner, jobs, local_runner, pieces, run, work
from aitable_ros.tools.process_bags.command import main

pytestmark = [pytest.mark.models, pytest.mark.ros]

NODES = ('--nodes', 'face_detection', 'fatigue')
TEMPLATE = Request(
    source=Path(),
    target=BagTarget(Path('_.mcap'), 'mcap'),
    nodes=('face_detection', 'fatigue', 'attention'),
    merge=False,
)


def sample(path: Path, seconds: float, *, storage: str = 'mcap', compress: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = SampleBag(seconds=seconds, fps=10, size_px=(320, 240))
    make_sample_bag(BagTarget(path, storage, compress), content)
    return path


def flip(path: Path) -> None:
    """Write an mcap file anew, with the CRCs of `ros2 bag record`; flip bytes of it."""
    with path.open('rb') as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        messages = list(reader.iter_messages())
    with path.open('wb') as file:
        writer = Writer(file, enable_crcs=True)
        writer.start('ros2', 'test')
        schemas = {
            key: writer.register_schema(one.name, one.encoding, one.data)
            for key, one in summary.schemas.items()
        }
        channels = {
            key: writer.register_channel(
                one.topic, one.message_encoding, schemas[one.schema_id], one.metadata
            )
            for key, one in summary.channels.items()
        }
        for _, channel, message in messages:
            times = (message.log_time, message.data, message.publish_time)
            writer.add_message(channels[channel.id], *times)
        writer.finish()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    for i in range(middle, middle + 64):
        data[i] ^= 0xFF
    path.write_bytes(data)


@pytest.fixture(scope='module')
def recordings(tmp_path_factory: pytest.TempPathFactory, engines_dir: Path) -> Path:
    """Three that are whole, of two tables."""
    folder = tmp_path_factory.mktemp('recordings')
    sample(folder / 'table_a' / 'monday.mcap', 2.0, compress=True)
    sample(folder / 'table_a' / 'tuesday', 2.5, storage='sqlite3')
    sample(folder / 'table_b' / 'monday.mcap', 1.5)
    return folder


@pytest.fixture(scope='module')
def whole(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What process_bag makes of them, one after the other."""
    folder = tmp_path_factory.mktemp('whole')
    for name in ('table_a/monday', 'table_a/tuesday', 'table_b/monday'):
        source = recordings / name
        source = source if source.is_dir() else source.with_suffix('.mcap')
        target = folder / f'{name}.mcap'
        target.parent.mkdir(exist_ok=True)
        table = target.with_suffix('.csv')
        arguments = [str(source), str(target), '--results-only', '--quiet', '--csv', str(table)]
        assert process_bag.main([*arguments, *NODES]) == 0
    return folder


def assert_same(out: Path, whole: Path) -> None:
    for path in sorted(whole.rglob('*.mcap')):
        assert (out / path.relative_to(whole)).read_bytes() == path.read_bytes(), path
    for path in sorted(whole.rglob('*.csv')):  # but for where the recordings lay
        one, two = (
            [line.partition(',')[2] for line in file.read_text().splitlines()]
            for file in (path, out / path.relative_to(whole))
        )
        assert one == two, path
    assert not [path for path in out.rglob('.*') if path.name != run.LOCK]


def test_every_healthy_recording_has_its_result_once_and_the_others_are_named(
    recordings, whole, tmp_path, capsys, monkeypatch
):
    inputs, out = tmp_path / 'in', tmp_path / 'out'
    shutil.copytree(recordings, inputs)
    bad = inputs / 'table_b' / 'flipped.mcap'
    shutil.copy(inputs / 'table_b' / 'monday.mcap', bad)
    flip(bad)
    (inputs / 'table_b' / 'cut.mcap').write_bytes(bad.read_bytes()[:5000])
    (inputs / 'table_b' / 'notes.txt').write_text('not a recording')
    out.mkdir()
    (out / 'table_c').write_text('no folder')  # where nothing can be written
    sample(inputs / 'table_c' / 'friday.mcap', 0.5)

    class Killed(local_runner.LocalRunner):
        """One of its workers is killed while it works."""

        def run(self, waiting):
            def kill():
                while len(self.pids) < 2:
                    time.sleep(0.05)
                time.sleep(2.0)
                while True:  # until one was alive
                    with contextlib.suppress(ProcessLookupError):
                        return os.kill(self.pids[-1], signal.SIGKILL)

            threading.Thread(target=kill, daemon=True).start()
            yield from super().run(waiting)

    monkeypatch.setattr(run, 'LocalRunner', Killed)
    arguments = [str(inputs), '-o', str(out), '--workers', '2', '--csv', *NODES]
    assert main(arguments) == 1
    assert_same(out, whole)
    told = capsys.readouterr().err
    assert 'table_b/cut: damaged or no bag: its recording was not ended' in told
    assert 'table_b/flipped: damaged or no bag: ' in told
    assert 'table_c/friday: NotADirectoryError' in told
    kept = json.loads((out / 'summary.json').read_text())['recordings']
    assert {one['name'] for one in kept if one['status'] == 'failed'} == {
        *('table_b/cut', 'table_b/flipped', 'table_c/friday')
    }
    with (out / 'minutes.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert {row['recording'] for row in rows} == {
        *('table_a/monday', 'table_a/tuesday', 'table_b/monday')
    }
    seen = [row for row in rows if row['person'] and row['recording'] == 'table_a/tuesday']
    assert float(seen[0]['present_s']) == pytest.approx(2.4)
    assert seen[0]['table'] == 'table_a'
    if pytest.importorskip('pyarrow', reason='pip install -r requirements/fleet.txt'):
        from pyarrow import parquet

        table = parquet.read_table(out / 'minutes.parquet').to_pylist()
        assert [one['recording'] for one in table] == [one['recording'] for one in rows]
        assert table[0]['recorded_s'] == pytest.approx(float(rows[0]['recorded_s']))

    # a second run does exactly the rest: what is new, was damaged, or has changed
    monkeypatch.setattr(run, 'LocalRunner', local_runner.LocalRunner)
    shutil.copy(inputs / 'table_b' / 'monday.mcap', bad)
    (inputs / 'table_b' / 'cut.mcap').unlink()
    (out / 'table_c').unlink()
    os.utime(inputs / 'table_a' / 'monday.mcap')  # touched, and the same
    (out / 'table_a' / 'tuesday.mcap').unlink()
    before = (out / 'table_b' / 'monday.mcap').stat().st_mtime_ns
    done: list[str] = []

    class Noted(local_runner.LocalRunner):
        def run(self, waiting):
            for job, outcome in super().run(waiting):
                done.append(f'{job.name} {outcome.status}')
                yield job, outcome

    monkeypatch.setattr(run, 'LocalRunner', Noted)
    assert main(arguments) == 0
    assert sorted(done) == [
        *('table_a/monday unchanged', 'table_a/tuesday done'),
        *('table_b/flipped done', 'table_c/friday done'),
    ]
    assert (out / 'table_b' / 'monday.mcap').stat().st_mtime_ns == before
    assert_same(out, whole)
    done.clear()
    assert main(arguments) == 0
    assert done == []


class Poison:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (9,)


def test_what_kills_its_worker_again_and_again_is_given_up_and_named(
    recordings, tmp_path, monkeypatch
):
    monkeypatch.setattr(local_runner, 'ATTEMPTS', 2)
    source = recordings / 'table_b' / 'monday.mcap'
    good = jobs.make_job(TEMPLATE, 'good', source, 'b', tmp_path)
    bad = replace(good, name='bad', parts=(Poison(),))
    ended = local_runner.LocalRunner(1).run(deque([bad, good]))
    outcomes = {job.name: outcome for job, outcome in ended}
    assert outcomes['bad'].status == 'failed'
    assert 'was killed 2 times' in outcomes['bad'].reason
    assert outcomes['good'].status == 'done'


def test_a_full_disk_leaves_nothing_and_the_next_run_does_it(recordings, tmp_path, monkeypatch):
    source = recordings / 'table_b' / 'monday.mcap'
    job = jobs.make_job(TEMPLATE, 'a/monday', source, 'a', tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(work, 'write_whole', full)  # the record, after all else
        outcome = work.process(job)
    assert (outcome.status, 'No space left' in outcome.reason) == ('failed', True)
    assert jobs.done_before(job) is None
    assert work.process(job).status == 'done'
    assert work.process(job).status == 'unchanged'
    other = replace(job, settings='others')
    assert jobs.done_before(other) is None


def test_recordings_are_found_and_named_apart(recordings, tmp_path):
    listed = tmp_path / 'list.txt'
    listed.write_text(f'# of monday\n{recordings}/table_a/monday.mcap\n')
    found = jobs.find_recordings([f'{recordings}/*/monday.mcap', 'nowhere'], [listed])
    assert found.missing == ['nowhere']
    assert {name: table for name, (_, table) in found.recordings.items()} == {
        'monday': 'table_a',
        'table_b/monday': 'table_b',
    }
    assert main(['-o', str(tmp_path / 'out')]) == 2


@pytest.fixture
def scheduler():
    distributed = pytest.importorskip(
        'distributed', reason='Dask is not installed: pip install -r requirements/fleet.txt'
    )
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_dask_workers_give_the_same_bytes_with_and_without_a_shared_folder(
    recordings, whole, scheduler, tmp_path, capsys
):
    for options in ((), ('--send',)):
        out = tmp_path / f'out{len(options)}'
        arguments = [str(recordings), '-o', str(out), '--csv', *NODES, '--scheduler', scheduler]
        assert main([*arguments, *options]) == 0
        assert_same(out, whole)
        assert main([*arguments, *options]) == 0
        assert '3 done before' in capsys.readouterr().out


def test_when_the_scheduler_goes_the_rest_is_done_here(
    recordings, whole, tmp_path, capsys, monkeypatch
):
    class Lost(dask_runner.DaskRunner):
        """A scheduler that is gone after the first job."""

        workers, dashboard = 1, ''

        def __enter__(self):
            return self

        def run(self, waiting):
            job = waiting.popleft()
            yield job, work.process(job)
            raise dask_runner.SchedulerLost(list(waiting))

    class Here:
        """This process."""

        workers = 1

        def __init__(self, _):
            pass

        def run(self, waiting):
            yield from ((job, work.process(job)) for job in waiting)

    monkeypatch.setattr(run, 'DaskRunner', Lost)
    monkeypatch.setattr(run, 'LocalRunner', Here)
    out = tmp_path / 'out'
    arguments = [str(recordings), '-o', str(out), '--csv', *NODES, '--workers', '1']
    assert main([*arguments, '--scheduler', 'tcp://127.0.0.1:1']) == 0
    assert 'the scheduler has gone away; 2 recordings were left; they are done here' in (
        capsys.readouterr().err
    )
    assert_same(out, whole)


def test_only_a_cluster_of_dask_is_started(tmp_path, recordings, capsys):
    pytest.importorskip('distributed', reason='pip install -r requirements/fleet.txt')
    file = tmp_path / 'cluster.yaml'
    file.write_text(yaml.safe_dump({'module': 'os', 'class': 'system', 'args': ['false']}))
    arguments = [str(recordings), '-o', str(tmp_path / 'out'), '--cluster', str(file)]
    assert main(arguments) == 1
    assert 'os.system is no cluster of Dask' in capsys.readouterr().err


def test_pieces_are_joined_to_the_same_people_and_verdicts(tmp_path, engines_dir, monkeypatch):
    monkeypatch.setattr(pieces, 'OVERLAP_S', 2.0)
    recording = sample(tmp_path / 'long.mcap', 12.0)
    out = tmp_path / 'out'
    uncut = jobs.make_job(TEMPLATE, 'uncut', recording, '', out)
    job = jobs.make_job(TEMPLATE, 'long', recording, '', out, 4.0)
    assert pieces.cut(job, 12.0, out) == []
    parts = pieces.cut(job, 4.0, out)
    assert [part.name for part in parts] == [f'long ({k} of 3)' for k in (1, 2, 3)]
    assert [work.process(one).status for one in (uncut, *parts)] == ['done'] * 4
    join = replace(job, parts=tuple(part.request.target.path for part in parts))
    outcome = work.process(join)
    assert outcome.status == 'done', outcome

    def read(path, topic, kind):
        with BagReader(path) as bag:
            chosen = [bag.topic(topic)]
            return [
                (message.log_time_ns, deserialize_message(message.data, kind))
                for message in bag.messages(chosen)
            ]

    for topic, kind in (('/faces', FaceArray), ('/fatigue', Fatigue)):
        one, two = (read(out / f'{name}.mcap', topic, kind) for name in ('uncut', 'long'))
        assert [at for at, _ in one] == [at for at, _ in two]
        if kind is FaceArray:
            faces = [(x.faces[0], y.faces[0]) for (_, x), (_, y) in zip(one, two)]
            assert all(x.face_id == y.face_id for x, y in faces)
            assert all(x.tracked_s == pytest.approx(y.tracked_s, abs=1e-3) for x, y in faces)
            assert max(abs(x.x - y.x) for x, y in faces) < 1.5
        else:
            for name in ('eye_state', 'level', 'blink_count', 'microsleep_count'):
                agree = [getattr(x, name) == getattr(y, name) for (_, x), (_, y) in zip(one, two)]
                assert sum(agree) >= 0.97 * len(agree), name
    own, joined = (json.loads(one.record.read_text()) for one in (uncut, join))
    assert {one['person'] for one in own['bins']} == {one['person'] for one in joined['bins']}

    # a piece that will not come is not waited for; one that is late may come yet
    join.record.unlink()
    parts[1].request.target.path.unlink()
    monkeypatch.setattr(pieces, 'WAIT_S', 0.1)
    assert work.process(join).status == 'waiting'
    parts[1].request.target.path.with_suffix(pieces.FAILED).touch()
    assert work.process(join).status == 'failed'
