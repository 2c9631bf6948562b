#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measures process_bags: speed, kills, full disks, memory, and recordings in pieces.

    scripts/benchmarks/many_recordings.py speed FOLDER     60 recordings, 1 and 2 processes, Dask
    scripts/benchmarks/many_recordings.py kills FOLDER     workers are killed at ten moments
    scripts/benchmarks/many_recordings.py memory FOLDER    200 recordings in one worker
    scripts/benchmarks/many_recordings.py pieces FOLDER    one of two hours, in pieces

FOLDER is for recordings and results; what is there already is used. `--small` does less of each.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from aitable_ros.bags import BagReader, BagTarget, BagWriter
from aitable_ros.bags.definitions import find_definition
from aitable_ros.bags.reading import COMPRESSED_IMAGE
from aitable_ros.bags.sample import ImageMessages, SampleBag
from aitable_ros.bags.writing import offered_qos
from aitable_ros.simulation import AstronautSequence
from aitable_ros.tools.process_bags import jobs, local_runner
from aitable_ros.tools.process_bags.command import main as process_bags

SIZE = (320, 240)
LOOP_S = 300.0
"""Longer recordings repeat themselves."""

START_NS = 1_700_000_000_000_000_000
CLUSTER = {
    'module': 'distributed',
    'class': 'LocalCluster',
    'kwargs': {'n_workers': 2, 'threads_per_worker': 1, 'dashboard_address': ':0'},
}


def write_recording(path: Path, seed: int, seconds: float, fps: float, **options: Any) -> None:
    """
    Write the sample, begun elsewhere and lit and shaken otherwise by each seed.

    :param options: of BagTarget.
    """
    random_numbers = np.random.default_rng(seed)
    offset = int(random_numbers.integers(0, round(20 * fps)))
    light, shake = random_numbers.uniform(0.8, 1.2), random_numbers.integers(-6, 7, 2)
    sequence = AstronautSequence(*SIZE, fps, min(seconds, LOOP_S) + 25)
    made: dict[int, np.ndarray] = {}
    messages, definition = ImageMessages(SampleBag()), find_definition(COMPRESSED_IMAGE)
    assert definition is not None
    with BagWriter(BagTarget(path, **options), force=True) as bag:
        topic = bag.add_topic('/image_raw/compressed', definition, offered_qos(reliable=False))
        for i in range(round(seconds * fps)):
            place = i % round(LOOP_S * fps)
            if place not in made:
                image = np.roll(sequence.frame(offset + place), shake, axis=(0, 1))
                made[place] = np.clip(image * light, 0, 255).astype(np.uint8)
            image = made[place]
            stamp_ns = START_NS + seed * 3_600_000_000_000 + round(i / fps * 1e9)
            bag.write(topic, stamp_ns, messages.make(COMPRESSED_IMAGE, stamp_ns, image))


def split(path: Path) -> None:
    """Split a bag in a folder into two files, as the recorder does at a size."""
    metadata = path / 'metadata.yaml'
    content = yaml.safe_load(metadata.read_text())
    information = content['rosbag2_bagfile_information']
    with BagReader(path) as bag:
        (topic,) = bag.topics
        messages, definition = list(bag.messages()), bag.definition(topic)
    assert definition is not None
    suffix = '.mcap' if bag.storage == 'mcap' else '.db3'
    shutil.rmtree(path)
    path.mkdir()
    names = []
    for k, part in enumerate((messages[: len(messages) // 2], messages[len(messages) // 2 :])):
        names.append(f'{path.name}_{k}{suffix}')
        with BagWriter(BagTarget(path / names[-1], bag.storage)) as writer:
            place = writer.add_topic(topic.name, definition, topic.qos)
            for message in part:
                writer.write(place, message.log_time_ns, message.data)
    information['relative_file_paths'] = names
    information['files'] = [dict(information['files'][0], path=name) for name in names]
    metadata.write_text(yaml.safe_dump(content, sort_keys=False))


def make_recordings(folder: Path, count: int, seconds: float = 5.0, fps: float = 15.0) -> Path:
    """Half mcap, half sqlite3; of three each one is compressed, or split."""
    inputs = folder / f'recordings_{count}'
    if not inputs.is_dir():
        making = inputs.with_name(f'{inputs.name}_making')
        shutil.rmtree(making, ignore_errors=True)
        for i in range(count):
            table = making / f'table_{i % 4}'
            table.mkdir(parents=True, exist_ok=True)
            mcap = i % 2 == 0
            storage, single = 'mcap' if mcap else 'sqlite3', i % 3 == 0
            ending = ('.mcap' if mcap else '.db3') if single else ''
            path = table / f'r{i:03d}{ending}'
            write_recording(
                path, i, seconds, fps, storage=storage, compress=mcap and i % 4 == 0 and single
            )
            if i % 3 == 1:
                split(path)
        making.rename(inputs)
    return inputs


def children_cpu_s() -> float:
    """Return the processor time of all children that have ended [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(out: Path, *arguments: Any) -> tuple[float, float]:
    """Run process_bags into a fresh folder; return how long it took, and processor time [s]."""
    shutil.rmtree(out, ignore_errors=True)
    begun_s, cpu_s = time.perf_counter(), children_cpu_s()
    status = process_bags([*map(str, arguments), '-o', str(out), '--csv'])
    assert status == 0, status
    return time.perf_counter() - begun_s, children_cpu_s() - cpu_s


def same(a: Path, b: Path) -> int:
    """Compare the results in two folders; return how many files are the same bytes."""
    files = [path for path in sorted(a.rglob('*')) if path.suffix in ('.mcap', '.csv')]
    for path in files:
        assert filecmp.cmp(path, b / path.relative_to(a), shallow=False), path
    return len(files)


def speed(folder: Path, small: bool) -> None:
    count = 8 if small else 60
    inputs = make_recordings(folder, count)
    found = jobs.find_recordings([str(inputs)])
    assert len(found.recordings) == count
    alone = folder / 'one_after_another'
    shutil.rmtree(alone, ignore_errors=True)
    begun_s = time.perf_counter()
    for name, (path, _) in found.recordings.items():
        target = alone / f'{name}.mcap'
        target.parent.mkdir(parents=True, exist_ok=True)
        arguments = [str(path), str(target), '--results-only', '--quiet', '--csv']
        status = subprocess.run(
            [
                *(sys.executable, '-m', 'aitable_ros.tools.process_bag', *arguments),
                *(str(target.with_suffix('.csv')), '--ros-args', '--log-level', 'warn'),
            ],
            check=True,
        )
        assert status.returncode == 0
    print(f'process_bag, one after the other: {time.perf_counter() - begun_s:.1f} s', flush=True)
    cluster = folder / 'cluster.yaml'
    cluster.write_text(yaml.safe_dump(CLUSTER))
    walls = {}
    for name, options in (
        ('1 process', ('--workers', 1)),
        ('2 processes', ('--workers', 2)),
        ('2 workers of Dask', ('--cluster', cluster)),
        ('1 process again', ('--workers', 1)),
    ):
        walls[name], cpu_s = run(folder / 'out', inputs, *options)
        one = np.mean([walls[key] for key in walls if key.startswith('1 process')])
        print(
            f'{name}: {walls[name]:.1f} s, {one / walls[name]:.2f} x one process; on'
            f' {cpu_s / walls[name]:.2f} cores that it got, {cpu_s:.0f} s of them;'
            f' {same(alone, folder / "out")} files the same bytes (load {os.getloadavg()[0]:.1f})',
            flush=True,
        )


def kills(folder: Path, small: bool) -> None:
    """Each kill is one run: a worker dies at a random moment; another run does the rest."""
    count, random_numbers = (6 if small else 12), random.Random(1)
    inputs = make_recordings(folder, count)
    whole = folder / 'whole'
    run(whole, inputs, '--workers', 2)
    seconds = 20.0
    for _ in range(2 if small else 10):
        out = folder / 'killed'
        shutil.rmtree(out, ignore_errors=True)
        child = subprocess.Popen(
            [
                *(sys.executable, '-m', 'aitable_ros.tools.process_bags', str(inputs)),
                *('-o', str(out), '--workers', '2', '--csv'),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        at_s = random_numbers.uniform(4.0, seconds)
        time.sleep(at_s)
        workers = workers_of(child.pid)
        if workers:
            os.kill(random_numbers.choice(workers), signal.SIGKILL)
        told, _ = child.communicate()
        first = told.splitlines()[0] if told else ''
        print(
            f'killed {len(workers) and 1} of {len(workers)} workers after {at_s:.1f} s: status'
            f' {child.returncode}, {first}; {same(whole, out)} files the same bytes,'
            f' {len(list(out.rglob(".*.tmp")))} left half done',
            flush=True,
        )


def workers_of(pid: int) -> list[int]:
    """Return the processes that multiprocessing started for a process."""
    found = []
    for path in Path('/proc').glob('[0-9]*'):
        try:
            parent = int((path / 'stat').read_text().rpartition(')')[2].split()[1])
            command = (path / 'cmdline').read_bytes()
        except OSError:
            continue
        if parent == pid and b'spawn_main' in command:
            found.append(int(path.name))
    return found


def memory(folder: Path, small: bool) -> None:
    count = 30 if small else 200
    inputs = make_recordings(folder, count, seconds=3.0, fps=10.0)
    out = folder / 'memory_out'
    shutil.rmtree(out, ignore_errors=True)
    begun_s = time.perf_counter()
    held, images, bag_s, cpu_s = [], 0, 0.0, 0.0
    process_bags_jobs = _jobs(inputs, out)
    for job, outcome in local_runner.LocalRunner(1).run(process_bags_jobs):
        assert outcome.status == 'done', (job.name, outcome)
        held.append(outcome.memory_mb)
        images, bag_s = images + outcome.images, bag_s + outcome.bag_s
        cpu_s += outcome.cpu_s
        if len(held) % 10 == 0:
            print(f'after {len(held)}: {held[-1]:.1f} MB', flush=True)
    tenth, last = np.median(held[8:12]), np.median(held[-5:])
    print(
        f'{count} recordings, {images} images in {time.perf_counter() - begun_s:.0f} s: worker'
        f' {tenth:.1f} MB after ten, {last:.1f} MB at the end, {last / tenth - 1:+.2%};'
        f' {bag_s / cpu_s:.2f} h of recording a core-hour'
    )


def _jobs(inputs: Path, out: Path) -> Any:
    from aitable_ros.tools.process_bag.run import Request

    template = Request(
        source=Path(),
        target=BagTarget(Path('_.mcap'), 'mcap'),
        merge=False,
        arguments=('--log-level', 'warn'),
    )
    found = jobs.find_recordings([str(inputs)])
    return deque(
        jobs.make_job(template, name, path, table, out)
        for name, (path, table) in found.recordings.items()
    )


def pieces(folder: Path, small: bool) -> None:
    minutes = 6 if small else 120
    recording = folder / f'long_{minutes}.mcap'
    if not recording.exists():
        write_recording(recording, 7, 60.0 * minutes, 10.0 if small else 4.0, storage='mcap')
    nodes = ('--nodes', 'face_detection', 'fatigue', 'attention')
    one, one_cpu_s = run(folder / 'uncut', recording, '--workers', 1, *nodes)
    print(f'{minutes} min in one piece: {one:.0f} s, {one_cpu_s:.0f} s of processors', flush=True)
    two, cpu_s = run(
        folder / 'cut', recording, '--workers', 2, '--cut', 2 if small else 15, *nodes
    )
    print(
        f'in pieces, on two workers: {two:.0f} s, {one / two:.2f} x; {cpu_s:.0f} s of processors,'
        f' {cpu_s / two:.2f} of them at once (load {os.getloadavg()[0]:.1f})',
        flush=True,
    )
    compare(folder / 'uncut' / f'{recording.stem}.mcap', folder / 'cut' / f'{recording.stem}.mcap')


def compare(a: Path, b: Path) -> None:
    """Say how far the readings of two results are the same."""
    from rclpy.serialization import deserialize_message

    from aitable_msgs.msg import Attention, Event, FaceArray, Fatigue

    kinds = {'/faces': FaceArray, '/fatigue': Fatigue, '/attention': Attention, '/events': Event}
    found: list[dict[str, list[Any]]] = []
    for path in (a, b):
        with BagReader(path) as bag:
            by_topic: dict[str, list[Any]] = {topic: [] for topic in kinds}
            for message in bag.messages([t for t in bag.topics if t.name in kinds]):
                name = message.topic.name
                by_topic[name].append(deserialize_message(message.data, kinds[name]))
            found.append(by_topic)
    one, other = found
    print('messages:', {topic: (len(one[topic]), len(other[topic])) for topic in kinds})
    ids = [{face.face_id for array in x['/faces'] for face in array.faces} for x in found]
    print('ids:', *ids)
    pairs = list(zip(one['/faces'], other['/faces']))
    shifts = [
        np.abs(np.subtract(f.landmarks, g.landmarks)).reshape(-1, 3)[:, :2].max()
        for x, y in pairs
        for f, g in zip(x.faces, y.faces)
    ]
    counts = np.mean([len(x.faces) == len(y.faces) for x, y in pairs])
    print(
        f'images with the same number of faces: {counts:.4%}; landmarks differ by'
        f' {np.median(shifts):.3f} px (median), {np.percentile(shifts, 99):.3f} px (p99),'
        f' {max(shifts):.3f} px (most)'
    )
    for topic, names in (
        ('/fatigue', ('level', 'eye_state', 'visibility', 'perclos_valid', 'blink_count')),
        ('/attention', ('zone', 'gaze_state')),
    ):
        rows = list(zip(one[topic], other[topic]))
        agree = {
            name: f'{np.mean([getattr(x, name) == getattr(y, name) for x, y in rows]):.3%}'
            for name in names
        }
        print(topic, 'agrees:', agree)
    last = [x['/fatigue'][-1] for x in found]
    print(
        'blinks at the end:',
        *(x.blink_count for x in last),
        'microsleeps:',
        *(x.microsleep_count for x in last),
    )
    perclos = np.array(
        [(x.perclos, y.perclos) for x, y in zip(one['/fatigue'], other['/fatigue'])]
    )
    print(f'PERCLOS differs by {np.nanmax(np.abs(perclos[:, 0] - perclos[:, 1])):.4f} at most')
    events = [[event.kind for event in x['/events']] for x in found]
    print(
        'events by kind:', *({k: kinds.count(k) for k in sorted(set(kinds))} for kinds in events)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    steps = {'speed': speed, 'kills': kills, 'memory': memory, 'pieces': pieces}
    parser.add_argument('what', choices=steps)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--small', action='store_true')
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    steps[options.what](options.folder, options.small)


if __name__ == '__main__':
    main()
