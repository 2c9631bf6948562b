# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
r"""
Prove the TensorRT engine on a GPU: right results, times, misuse, endurance, clean exits.

In two steps, since the machine with the GPU may have no more than NumPy, PyCUDA and TensorRT. On
any machine with the model files, record what the networks are given and what they answer in
FP32 (faces of the sample sequence; black, white and noise frames):

    python scripts/gpu_check.py record cases.npz --engines-dir engines

On the machine with the GPU, for engine files of these models:

    python scripts/gpu_check.py check cases.npz --engine face_mesh=face_mesh.engine \
        --engine face_detection=face_detection.engine --json figures.json

Exits with 1 when anything is not as it must be. With --allow-host-code for version-compatible
plans that you built yourself.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aitable_ros.inference.engine import Engine, InferenceError, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt_engine import TensorRtEngine

MODELS = ('face_mesh', 'face_detection')
FRAMES = 60
SPECIAL = ('black', 'white', 'grey', 'noise 1', 'noise 2', 'noise 3')
MAX_LANDMARK_ERROR_PX = 0.5  # at p99, on faces, of 192
MAX_BOX_ERROR_PX = 0.5  # at p99, on faces, of 128, of the anchors that see one
MAX_OVER_LAUNCH = 1.15
MAX_GROWTH = 0.01
CLEAN_DEATH = 1


class Report:
    """Print what is found, and remember whether all of it is as it must be."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.failures: list[str] = []

    def figure(self, name: str, value: Any) -> None:
        """Print a figure."""
        self.figures[name] = value
        print(f'     {name}: {value}', flush=True)

    def check(self, name: str, good: bool, detail: Any = '') -> None:
        """Print whether something is as it must be."""
        self.figures[f'ok: {name}'] = bool(good)
        if not good:
            self.failures.append(name)
        print(
            f'{"ok  " if good else "FAIL"} {name}{f": {detail}" if detail != "" else ""}',
            flush=True,
        )

    @contextlib.contextmanager
    def part(self, title: str) -> Iterator[None]:
        """Time a part; an exception in it is a failure of it."""
        print(f'--- {title}', flush=True)
        start = time.perf_counter()
        try:
            yield
        except Exception as error:
            self.check(title, False, f'{type(error).__name__}: {error}')
        print(f'     ({time.perf_counter() - start:.1f} s)', flush=True)


class Recorder(Engine):
    """Passes everything on to another engine and keeps the inputs."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.name, engine.path, engine.inputs, engine.outputs)
        self.engine = engine
        self.images: list[npt.NDArray[np.uint8]] = []

    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        self.images += [image.copy() for image in inputs['image']]
        return self.engine.infer(inputs)

    def _close(self) -> None:
        self.engine.close()


def record(path: Path, engines_dir: Path, frames: int) -> None:
    """Write the inputs of both networks, and what ONNX Runtime makes of them."""
    from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
    from aitable_ros.model_zoo.catalog import CONTRACTS
    from aitable_ros.perception.face_detector import FaceDetector
    from aitable_ros.perception.face_mesh import FaceMesh, roi_from_detection
    from aitable_ros.sample.astronaut_sequence import AstronautSequence

    engines = {
        name: Recorder(OnnxRuntimeEngine(CONTRACTS[name], engines_dir / f'{name}.onnx'))
        for name in MODELS
    }
    detector, mesh = FaceDetector(engines['face_detection']), FaceMesh(engines['face_mesh'])
    sequence = AstronautSequence()
    for index in np.linspace(0, len(sequence) - 1, frames).astype(int):
        frame = sequence.frame(int(index))
        mesh.run(frame, [roi_from_detection(face) for face in detector.detect(frame)[:1]])
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    specs = {}
    for name, recorder in engines.items():
        shape = recorder.inputs[0].shape[1:]
        faces = len(recorder.images)
        plain = [np.full(shape, level, np.uint8) for level in (0, 255, 128)]
        noise = [generator.integers(0, 256, shape, np.uint8) for _ in SPECIAL[3:]]
        images = np.stack([*recorder.images, *plain, *noise])
        outputs = [recorder.engine.infer({'image': image[None]}) for image in images]
        arrays[f'{name}/image'] = images
        for output in recorder.outputs:
            arrays[f'{name}/{output.name}'] = np.concatenate([o[output.name] for o in outputs])
        spec = CONTRACTS[name]
        specs[name] = {
            'inputs': [[t.name, t.shape, t.dtype.name] for t in spec.inputs],
            'outputs': [[t.name, t.shape, t.dtype.name] for t in spec.outputs],
            'scale': spec.scale,
            'offset': spec.offset,
            'tflite_outputs': dict(spec.tflite_outputs),
        }
        print(f'{name}: {faces} of faces, {len(SPECIAL)} others')
        recorder.close()
    np.savez_compressed(path, specs=json.dumps(specs), **arrays)


def load_cases(path: Path) -> tuple[dict[str, ModelSpec], dict[str, dict[str, npt.NDArray]]]:
    content = np.load(path)
    specs, cases = {}, {}
    for name, entry in json.loads(str(content['specs'])).items():
        inputs, outputs = (
            tuple(TensorSpec(n, tuple(shape), np.dtype(dtype)) for n, shape, dtype in entry[kind])
            for kind in ('inputs', 'outputs')
        )
        specs[name] = ModelSpec(
            name, inputs, outputs, entry['scale'], entry['offset'], entry['tflite_outputs']
        )
        cases[name] = {
            tensor.name: content[f'{name}/{tensor.name}'] for tensor in (*inputs, *outputs)
        }
    return specs, cases


class Check:
    """The checks of one set of engine files."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.report = Report()
        self.specs, self.cases = load_cases(options.cases)
        self.paths = dict(options.engine)
        self.runs: int = options.runs

    def open(self, name: str, **settings: Any) -> TensorRtEngine:
        """Open an engine."""
        settings = {'allow_host_code': self.options.allow_host_code, **settings}
        return TensorRtEngine(self.specs[name], Path(self.paths[name]), **settings)

    def run(self) -> int:
        """Run all checks; return the exit status."""
        report = self.report
        for name in self.paths:
            with report.part(f'{name}: loading'):
                self.loading(name)
            with report.part(f'{name}: results'):
                self.results(name)
            with report.part(f'{name}: times'):
                self.times(name)
        first = next(iter(self.paths))
        with report.part('misuse'):
            self.misuse(first)
        with report.part('damaged files'):
            self.damaged_files(first)
        with report.part('two engines in two threads beside PyTorch'):
            self.threads()
        with report.part('exits'):
            self.exits(first)
        with report.part(f'{self.options.endurance} inferences'):
            self.endurance(first)
        with report.part(f'{self.options.cycles} times opened and closed'):
            self.cycles(first)
        if self.options.json:
            Path(self.options.json).write_text(json.dumps(report.figures, indent=1) + '\n')
        print(f'{len(report.failures)} failures {report.failures}')
        return 1 if report.failures else 0

    def loading(self, name: str) -> None:
        """Load, with and without host code allowed."""
        if self.options.allow_host_code:
            try:
                self.open(name, allow_host_code=False).close()
                self.report.check(f'{name}: host code is refused unless allowed', False, 'loaded')
            except InferenceError as error:
                good = 'allow_host_code' in str(error)
                self.report.check(f'{name}: host code is refused unless allowed', good, error)
        start = time.perf_counter()
        with self.open(name) as engine:
            self.report.figure(f'{name}: load_s', round(time.perf_counter() - start, 3))
            self.report.figure(f'{name}: tensorrt', engine.tensorrt_version)
            self.report.figure(f'{name}: tensors', [str(t) for t in engine.engine_tensors()])
            self.report.figure(f'{name}: batches', [asdict(r) for r in engine.batch_ranges])
            self.report.figure(f'{name}: scales_on_host', engine.scales_on_host)
            self.report.figure(f'{name}: device_memory_bytes', engine.device_memory_bytes)
            self.report.check(f'{name}: CUDA graph', engine.uses_cuda_graph)

    def results(self, name: str) -> None:
        """Compare with FP32, and the ways of running with each other."""
        cases = self.cases[name]
        images = cases['image']
        with self.open(name) as engine, self.open(name, cuda_graph=False) as plain:
            alone = [engine.infer({'image': image[None]}) for image in images]
            got = {key: np.concatenate([one[key] for one in alone]) for key in alone[0]}
            stepwise = [plain.infer({'image': image[None]}) for image in images]
            self.report.check(
                f'{name}: graph and step by step agree to the bit',
                all((a[key] == b[key]).all() for a, b in zip(alone, stepwise) for key in a),
            )
            together = engine.infer({'image': images})
            # another batch size may run other kernels, hence the tolerance
            self.report.check(
                f'{name}: one by one and all at once agree',
                all(np.allclose(together[key], got[key], atol=0.25, rtol=0.02) for key in got),
            )
        self.report.check(
            f'{name}: finite on all images', all(np.isfinite(v).all() for v in got.values())
        )
        self.accuracy(name, got, len(images) - len(SPECIAL))

    def accuracy(self, name: str, got: dict[str, npt.NDArray], faces: int) -> None:
        """Compare what the networks see with FP32."""
        want = self.cases[name]
        if name == 'face_mesh':
            error = np.linalg.norm((got['landmarks'] - want['landmarks'])[..., :2], axis=-1)
            figures = {
                'faces px p50': np.percentile(error[:faces], 50),
                'faces px p99': np.percentile(error[:faces], 99),
                'faces px max': error[:faces].max(),
                'others px p99': np.percentile(error[faces:], 99),
            }
            limit = MAX_LANDMARK_ERROR_PX
            logits, expected = got['presence'][:, 0], want['presence'][:, 0]
        else:
            seen = want['scores'][..., 0] > 0.0
            seen[faces:] = False
            error = np.abs(got['boxes'] - want['boxes']).max(axis=-1)[seen]
            figures = {
                'anchors with a face': int(seen.sum()),
                'faces px p50': np.percentile(error, 50),
                'faces px p99': np.percentile(error, 99),
                'faces px max': error.max(),
            }
            limit = MAX_BOX_ERROR_PX
            logits, expected = (x['scores'][..., 0].max(axis=1) for x in (got, want))
        for key, value in figures.items():
            self.report.figure(f'{name}: {key}', round(float(value), 6))
        self.report.figure(
            f'{name}: logits on {", ".join(SPECIAL)} (FP32)',
            [f'{a:.2f} ({b:.2f})' for a, b in zip(logits[faces:], expected[faces:])],
        )
        self.report.check(
            f'{name}: at most {limit} px from FP32 at p99', figures['faces px p99'] <= limit
        )
        self.report.check(
            f'{name}: presence is never flipped', bool(((logits > 0) == (expected > 0)).all())
        )

    def times(self, name: str) -> None:
        """Time host to host, with and without graph, and the launch alone."""
        images = self.cases[name]['image']
        turns = [{'image': image[None]} for image in images]
        with self.open(name) as engine, self.open(name, cuda_graph=False) as plain:
            # by turns, so that a change of clocks meets all of them
            ms: dict[str, list[float]] = {'graph': [], 'plain': [], 'launch': []}
            ways: dict[str, Callable[[int], object]] = {
                'graph': lambda i: engine.infer(turns[i % len(turns)]),
                'plain': lambda i: plain.infer(turns[i % len(turns)]),
                'launch': lambda i: engine.replay(),
            }
            for block in range(12):
                for way, call in ways.items():
                    for i in range(self.runs // 10):
                        start = time.perf_counter_ns()
                        call(i)
                        if block >= 2:
                            ms[way].append((time.perf_counter_ns() - start) / 1e6)
            for way, values in ms.items():
                p50, p90, p99 = (round(float(np.percentile(values, q)), 4) for q in (50, 90, 99))
                self.report.figure(f'{name}: {way} ms p50 p90 p99', [p50, p90, p99])
            ratio = float(np.median(ms['graph']) / np.median(ms['launch']))
            if engine.scales_on_host:  # the slower path, which the limit is not made for
                scaling = self.scaling_ms(name, engine)
                self.report.figure(f'{name}: host to host over launch', round(ratio, 3))
                self.report.figure(f'{name}: scaling on the host ms p50', round(scaling, 4))
            else:
                self.report.check(
                    f'{name}: host to host at most {MAX_OVER_LAUNCH} x the launch alone',
                    ratio <= MAX_OVER_LAUNCH,
                    f'{ratio:.3f}',
                )
            for batch in (2, 4, 8):
                if batch <= engine.max_batch:
                    inputs = {'image': images[:batch]}
                    values = []
                    for _ in range(200):
                        start = time.perf_counter_ns()
                        engine.infer(inputs)
                        values.append((time.perf_counter_ns() - start) / 1e6)
                    self.report.figure(
                        f'{name}: batch {batch} ms p50', round(float(np.median(values)), 4)
                    )

    def scaling_ms(self, name: str, engine: TensorRtEngine) -> float:
        """Return how long the host takes to scale one image into memory like the engine's."""
        images = self.cases[name]['image']
        spec = self.specs[name]
        buffer = np.empty((1, *images.shape[1:]), np.float32)
        values = []
        for i in range(500):
            start = time.perf_counter_ns()
            np.multiply(images[i % len(images)][None], np.float32(spec.scale), out=buffer)
            if spec.offset:
                np.add(buffer, np.float32(spec.offset), out=buffer)
            values.append((time.perf_counter_ns() - start) / 1e6)
            engine.replay()  # so that the caches are as they are between two images
        return float(np.median(values))

    def refused(self, name: str, call: Callable[[], object], told: str) -> None:
        """Expect an InferenceError that tells this."""
        try:
            call()
        except InferenceError as error:
            self.report.check(f'misuse: {name}', told in str(error), error)
        else:
            self.report.check(f'misuse: {name}', False, 'accepted')

    def misuse(self, name: str) -> None:
        """Use an engine wrongly in every way."""
        image = self.cases[name]['image'][:1]
        engine = self.open(name)
        good = engine.infer({'image': image})
        self.refused('wrong dtype', lambda: engine.infer({'image': image / 255}), 'float64')
        self.refused('wrong shape', lambda: engine.infer({'image': image[:, 1:]}), 'uint8[1,')
        self.refused('unknown tensor', lambda: engine.infer({'picture': image}), 'picture')
        self.refused('no array', lambda: engine.infer({'image': None}), 'NoneType')  # type: ignore[dict-item]
        for verb, call in (
            ('used', lambda: engine.infer({'image': image})),
            ('closed', engine.close),
        ):
            caught: list[str] = []

            def elsewhere(call: Callable[[], object] = call, caught: list[str] = caught) -> None:
                try:
                    call()
                except InferenceError as error:
                    caught.append(str(error))

            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            self.report.check(f'misuse: {verb} in another thread', len(caught) == 1, *caught)
        again = engine.infer({'image': image})
        self.report.check('misuse: still right', all((good[k] == again[k]).all() for k in good))
        engine.close()
        engine.close()
        self.refused('after close', lambda: engine.infer({'image': image}), 'after close')
        self.refused(
            'device 77', lambda: self.open(name, device=77), 'no CUDA device 77: this machine has'
        )

    def damaged_files(self, name: str) -> None:
        """Load files that are no whole plan."""
        plan = Path(self.paths[name]).read_bytes()
        contents = {
            'empty': (b'', 'is empty'),
            'text': (b'<html>not found</html>' * 50, 'damaged or not a TensorRT plan'),
            'first half': (plan[: len(plan) // 2], 'truncated'),
            'one byte short': (plan[:-1], 'truncated'),
            'header alone': (plan[:64], 'truncated'),
            'other tag': (b'abcd' + plan[4:], 'damaged or not a TensorRT plan'),
        }
        with tempfile.TemporaryDirectory() as folder:
            for title, (content, told) in contents.items():
                file = Path(folder) / 'bad.engine'
                file.write_bytes(content)
                # each in a process of its own: TensorRT might take it down
                done = self.child('load', name, file)
                self.report.check(
                    f'damaged: {title}',
                    done.returncode == 0 and told in done.stdout,
                    done.stdout.strip() or f'status {done.returncode}: {done.stderr[-300:]}',
                )

    def threads(self) -> None:
        """Run every engine in a thread of its own, beside PyTorch where it is installed."""
        failures: list[str] = []
        stop = threading.Event()
        done = dict.fromkeys(self.paths, 0)

        def work(name: str) -> None:
            try:
                images = self.cases[name]['image']
                for _ in range(3):  # opened anew, so that graphs are recorded beside the others
                    with self.open(name) as engine:
                        first = [engine.infer({'image': image[None]}) for image in images[:8]]
                        for i in range(self.runs // 2):
                            got = engine.infer({'image': images[i % 8][None]})
                            want = first[i % 8]
                            if not all((got[key] == want[key]).all() for key in got):
                                failures.append(f'{name}: other results')
                            done[name] += 1
            except Exception as error:
                failures.append(f'{name}: {type(error).__name__}: {error}')

        threads = [threading.Thread(target=work, args=(name,)) for name in self.paths]
        for thread in threads:
            thread.start()
        rounds = self.beside(threads, failures) if importlib.util.find_spec('torch') else None
        stop.set()
        for thread in threads:
            thread.join()
        self.report.figure('threads: inferences', done)
        self.report.figure('threads: PyTorch rounds beside', rounds)
        self.report.check('threads: same results all the time', not failures, failures[:3] or '')

    def beside(self, threads: list[threading.Thread], failures: list[str]) -> int:
        """Run a PyTorch model on its default stream while the threads live."""
        import torch

        torch.manual_seed(0)
        torch.backends.cudnn.benchmark = False
        model = torch.nn.Sequential(
            *(torch.nn.Conv2d(3 if i == 0 else 32, 32, 3, padding=1) for i in range(6))
        ).cuda()
        data = torch.rand(4, 3, 256, 256, device='cuda')
        rounds = 0
        with torch.no_grad():
            want = model(data).clone()
            while any(thread.is_alive() for thread in threads):
                block = torch.empty(rounds % 64 + 1, 2**20, device='cuda')
                if not torch.allclose(model(data), want, atol=1e-3):
                    failures.append('PyTorch: other results')
                if rounds % 50 == 0:
                    torch.cuda.empty_cache()
                del block
                rounds += 1
        with self.open(next(iter(self.paths))):  # and in the very thread PyTorch works in
            if not torch.allclose(model(data), want, atol=1e-3):
                failures.append('PyTorch: other results in the same thread')
        return rounds

    def child(self, mode: str, name: str, path: Path | None = None) -> Any:
        """Run one of the modes of :func:`child` in a process of its own."""
        command = [
            *(sys.executable, __file__, 'child', str(self.options.cases), '--mode', mode),
            *('--engine', f'{name}={path or self.paths[name]}'),
            *(['--allow-host-code'] if self.options.allow_host_code else []),
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def exits(self, name: str) -> None:
        """End processes in every way."""
        for mode, status in (
            ('closed', 0),
            ('left open', 0),
            ('die with it open', CLEAN_DEATH),
            ('die in a with block', CLEAN_DEATH),
            ('die with the context pushed', CLEAN_DEATH),
            ('die with it open in a thread', CLEAN_DEATH),
            ('die while it runs in a daemon thread', CLEAN_DEATH),
        ):
            done = self.child(mode, name)
            lines = done.stderr.strip().splitlines()
            noise = [line for line in lines if 'PyCUDA' in line or 'terminate' in line]
            self.report.check(
                f'exit: {mode}: status {status}, no complaint',
                done.returncode == status and not noise,
                '' if done.returncode == status and not noise else (done.returncode, lines[-6:]),
            )

    def memory(self) -> tuple[int, int]:
        """Return the process's resident memory and the GPU's used memory, in KiB."""
        from aitable_ros.inference.cuda import open_device

        status = Path('/proc/self/status').read_text()
        rss = int(status.split('VmRSS:')[1].split()[0])
        free, total = open_device().memory_bytes()
        return rss, (total - free) // 1024

    def flat(self, name: str, samples: list[tuple[int, int]]) -> None:
        """Check that memory stays as it was."""
        for what, values in zip(('RSS', 'GPU memory'), zip(*samples)):
            growth = (values[-1] - values[0]) / values[0]
            self.report.figure(f'{name}: {what} KiB', list(values))
            self.report.check(f'{name}: {what} is flat', growth < MAX_GROWTH, f'{growth:+.3%}')

    def endurance(self, name: str) -> None:
        """Run one engine many times."""
        images = self.cases[name]['image']
        samples = []
        with self.open(name) as engine:
            for i in range(1, self.options.endurance + 1):
                engine.infer({'image': images[i % len(images)][None]})
                if i == 1000 or i % max(self.options.endurance // 4, 1) == 0:
                    samples.append(self.memory())
        self.flat('endurance', samples)

    def cycles(self, name: str) -> None:
        """Open and close one engine many times."""
        samples = []
        for i in range(1, self.options.cycles + 1):
            with self.open(name) as engine:
                engine.infer({'image': self.cases[name]['image'][:1]})
            if i == 5 or i % max(self.options.cycles // 4, 1) == 0:
                samples.append(self.memory())
        self.flat('cycles', samples)


def child(options: argparse.Namespace) -> int:
    """Do one thing that might take the process down."""
    check = Check(options)
    name = next(iter(check.paths))
    mode = options.mode
    image = {'image': check.cases[name]['image'][:1]}
    if mode == 'load':
        try:
            check.open(name).close()
        except InferenceError as error:
            print(error)
        return 0
    if mode in ('die with it open in a thread', 'die while it runs in a daemon thread'):
        ready = threading.Event()

        def work() -> None:
            engine = check.open(name)
            KEPT.append(engine)
            engine.infer(image)
            ready.set()
            while 'daemon' in mode:
                engine.infer(image)

        threading.Thread(target=work, daemon='daemon' in mode).start()
        ready.wait()
        raise RuntimeError(mode)
    if mode == 'die in a with block':
        with check.open(name) as engine:
            engine.infer(image)
            raise RuntimeError(mode)
    engine = check.open(name)
    engine.infer(image)
    if mode == 'closed':
        engine.close()
    elif mode == 'die with the context pushed':
        from aitable_ros.inference.cuda import open_device

        open_device().__enter__()
        raise RuntimeError(mode)
    elif mode == 'die with it open':
        raise RuntimeError(mode)
    KEPT.append(engine)
    return 0


KEPT: list[TensorRtEngine] = []
"""Engines that nobody closes."""


def engine_file(text: str) -> tuple[str, str]:
    name, _, path = text.partition('=')
    if name not in MODELS or not Path(path).is_file():
        models = ' or '.join(MODELS)
        raise argparse.ArgumentTypeError(f'{text!r} is not MODEL=FILE, of {models} and its engine')
    return name, path


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    recorder = commands.add_parser('record', help='write inputs and FP32 answers')
    recorder.add_argument('cases', type=Path)
    recorder.add_argument('--engines-dir', type=Path, default=Path('engines'))
    recorder.add_argument('--frames', type=int, default=FRAMES)
    for command in ('check', 'child'):
        sub = commands.add_parser(command, help='check engine files on this GPU')
        sub.add_argument('cases', type=Path)
        sub.add_argument(
            '--engine', action='append', required=True, metavar='MODEL=FILE', type=engine_file
        )
        sub.add_argument('--allow-host-code', action='store_true')
        sub.add_argument('--runs', type=int, default=2000, help='timed runs of each way')
        sub.add_argument('--endurance', type=int, default=100_000, help='inferences')
        sub.add_argument('--cycles', type=int, default=200, help='times opened and closed')
        sub.add_argument('--json', help='write the figures there')
        sub.add_argument('--mode', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.command == 'record':
        record(options.cases, options.engines_dir, options.frames)
        return 0
    return Check(options).run() if options.command == 'check' else child(options)


if __name__ == '__main__':
    sys.exit(main())
