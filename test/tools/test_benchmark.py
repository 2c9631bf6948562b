# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import load_engine
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.tools import benchmark, benchmark_inputs
from aitable_ros.tools.benchmark import Cell, growth_of, time_in_turns
from aitable_ros.tools.benchmark_inputs import (
    BenchmarkInputsError,
    Cases,
    Difference,
    compare,
    load_cases,
    make_cases,
    save_cases,
    with_reference,
)
from aitable_ros.tools.benchmark_remote import RemoteTorch, RemoteTorchError

ROOT = Path(__file__).resolve().parents[2]
IRIS = CONTRACTS['iris_landmark']  # the smallest network


def answers_of(cases: Cases) -> dict[str, npt.NDArray[np.float32]]:
    """Some answer to every image that depends on it."""
    means = cases.images.reshape(len(cases.images), -1).mean(axis=1, dtype=np.float32)
    shapes = {output.name: output.shape[1:] for output in IRIS.outputs}
    return {
        name: np.multiply.outer(means, np.linspace(-1, 1, math.prod(shape)).reshape(shape)).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


@pytest.fixture(scope='module')
def cases() -> Cases:
    plain = make_cases(IRIS)
    return Cases(plain.images, plain.crops, answers_of(plain), 'something right')


class TestImages:
    @pytest.mark.parametrize('name', CONTRACTS)
    def test_they_are_what_the_network_takes(self, name: str) -> None:
        spec = CONTRACTS[name]
        made = make_cases(spec)
        assert spec.inputs[0].accepts(made.images.shape)
        assert made.images.dtype == np.uint8
        assert made.crops == benchmark_inputs.CROPS
        assert len(made.images) == made.crops + benchmark_inputs.NOISE_IMAGES + 2
        assert made.images[-2].max() == 0
        assert made.images[-1].min() == 255

    def test_they_are_the_same_every_time_but_not_for_another_seed(self) -> None:
        first, again, other = (make_cases(IRIS, seed).images for seed in (0, 0, 1))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
        assert len({image.tobytes() for image in first}) == len(first)

    @pytest.mark.models
    def test_the_crops_show_a_face(self, engines_dir: Path) -> None:
        spec = CONTRACTS['face_mesh']
        made = make_cases(spec)
        with load_engine(spec, 'litert', engines_dir=engines_dir).engine as engine:
            presence = engine.infer({'image': made.images})['presence'][:, 0]
        assert (presence[: made.crops] > 3.0).all()
        assert (presence[made.crops :] < 0.0).all()

    @pytest.mark.models
    def test_the_detector_finds_it_in_its_own(self, engines_dir: Path) -> None:
        spec = CONTRACTS['face_detection']
        made = make_cases(spec)
        with load_engine(spec, 'litert', engines_dir=engines_dir).engine as engine:
            scores = engine.infer({'image': made.images})['scores'].max(axis=(1, 2))
        assert (scores[: made.crops] > 1.0).all()

    @pytest.mark.parametrize('size', [1, 5, 8, 12, 20])
    def test_batches_hold_every_image(self, cases: Cases, size: int) -> None:
        batches = cases.batches(size)
        assert {batch.shape for batch in batches} == {(size, *cases.images.shape[1:])}
        assert all(batch.flags.c_contiguous for batch in batches)
        joined = np.concatenate(batches)
        assert np.array_equal(joined[: len(cases.images)], cases.images)


class TestDifferences:
    def test_none_from_itself(self, cases: Cases) -> None:
        found = compare(cases, cases.expected)
        assert found is not None
        assert (found.absolute, found.relative) == (0.0, 0.0)

    def test_the_output_that_is_furthest_off_for_its_range(self, cases: Cases) -> None:
        answers = {name: values.copy() for name, values in cases.expected.items()}
        answers['iris'][3, 2, 1] += 0.5
        found = compare(cases, answers)
        assert found is not None
        assert found.output == 'iris'
        assert found.absolute == pytest.approx(0.5, rel=1e-4)
        assert found.relative == pytest.approx(0.5 / np.ptp(cases.expected['iris']), rel=1e-4)

    def test_the_range_reaches_to_zero(self, cases: Cases) -> None:
        expected = {'presence': np.array([[20.0], [21.0]], np.float32)}
        found = compare(Cases(cases.images[:2], 2, expected), {'presence': np.full((2, 1), 20.0)})
        assert found == Difference('presence', 1.0, pytest.approx(1 / 21))

    def test_only_the_rows_asked_for(self, cases: Cases) -> None:
        answers = {name: values.copy() for name, values in cases.expected.items()}
        answers['iris'][-1] += 1.0
        on_faces = compare(cases, answers, slice(cases.crops))
        on_noise = compare(cases, answers, slice(cases.crops, None))
        assert on_faces is not None
        assert on_noise is not None
        assert on_faces.absolute == 0.0
        assert on_noise.absolute == pytest.approx(1.0, rel=1e-4)

    @pytest.mark.parametrize('value', [np.nan, np.inf])
    def test_what_is_not_finite_is_infinitely_far_off(self, cases: Cases, value: float) -> None:
        answers = {name: values.copy() for name, values in cases.expected.items()}
        answers['iris'][0, 0, 0] = value
        assert compare(cases, answers) == Difference('iris', math.inf, math.inf)

    def test_nothing_to_compare_with(self, cases: Cases) -> None:
        assert compare(Cases(cases.images, 8), cases.expected) is None
        assert compare(cases, cases.expected, slice(0)) is None


class TestRecording:
    def test_comes_back_as_it_was(self, cases: Cases, tmp_path: Path) -> None:
        path = tmp_path / 'recorded'
        save_cases(path, {IRIS.name: cases})
        back = load_cases(path, IRIS)
        assert back is not None
        assert np.array_equal(back.images, cases.images)
        assert (back.crops, back.reference) == (cases.crops, cases.reference)
        assert back.expected.keys() == cases.expected.keys()
        assert all(np.array_equal(back.expected[k], cases.expected[k]) for k in back.expected)
        assert load_cases(path, CONTRACTS['face_mesh']) is None

    @pytest.mark.parametrize('content', [b'', b'text', b'PK\x03\x04 and no more'])
    def test_another_file_is_refused(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / 'other.npz'
        path.write_bytes(content)
        with pytest.raises(BenchmarkInputsError, match='no recorded reference'):
            load_cases(path, IRIS)

    def test_a_truncated_one_is_refused(self, cases: Cases, tmp_path: Path) -> None:
        path = tmp_path / 'cut.npz'
        save_cases(path, {IRIS.name: cases})
        path.write_bytes(path.read_bytes()[:-300])
        with pytest.raises(BenchmarkInputsError):
            load_cases(path, IRIS)

    def test_one_for_other_tensors_is_refused(self, cases: Cases, tmp_path: Path) -> None:
        path = tmp_path / 'other.npz'
        wrong = {**cases.expected, 'iris': cases.expected['iris'][:, :4]}
        save_cases(path, {IRIS.name: Cases(cases.images, cases.crops, wrong)})
        with pytest.raises(BenchmarkInputsError, match=r'expected iris float32\[N,5,3\]'):
            load_cases(path, IRIS)

    def test_objects_are_not_unpickled(self, tmp_path: Path) -> None:
        path = tmp_path / 'hostile.npz'
        with path.open('wb') as file:
            np.savez(file, **{f'{IRIS.name}/images': np.array([object()], dtype=object)})
        with pytest.raises(BenchmarkInputsError, match='pickle'):
            load_cases(path, IRIS)


class Recorder:
    """A runner that remembers when it was called."""

    max_batch = None

    def __init__(self, label: str, calls: list[tuple[str, int]], on_device: bool = False) -> None:
        self.label, self.calls, self.on_device = label, calls, on_device
        self.details: dict[str, Any] = {}
        self.launches = 0

    def infer(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray]:
        self.calls.append((self.label, len(images)))
        return {}

    def infer_s(self, images: npt.NDArray[np.uint8]) -> float:
        self.infer(images)
        return 0.001

    def device_s(self, batch: int) -> float | None:
        self.launches += 1
        return 0.001 * batch if self.on_device else None

    def close(self) -> None:
        pass


class TestTurns:
    def test_every_backend_and_batch_has_its_turn_in_every_round(self, cases: Cases) -> None:
        calls: list[tuple[str, int]] = []
        runners = [Recorder('a', calls), Recorder('b', calls, on_device=True)]
        cells = {label: [Cell(1, 30), Cell(4, 10)] for label in 'ab'}
        rounds: list[int] = []
        time_in_turns(runners, cells, {n: cases.batches(n) for n in (1, 4)}, rounds.append)
        turns = [calls[0]]
        turns += [call for before, call in itertools.pairwise(calls) if call != before]
        assert turns == [('a', 1), ('a', 4), ('b', 1), ('b', 4)] * benchmark.ROUNDS
        assert rounds == list(range(1, benchmark.ROUNDS + 1))
        for label in 'ab':
            assert [len(cell.durations_s) for cell in cells[label]] == [30, 10]
        assert [cell.device_s for cell in cells['a']] == [[], []]
        assert [len(cell.device_s) for cell in cells['b']] == [30, 10]

    def test_few_runs_are_spread_over_the_rounds(self, cases: Cases) -> None:
        calls: list[tuple[str, int]] = []
        runner = Recorder('a', calls)
        cells = {'a': [Cell(1, 3)]}
        time_in_turns([runner], cells, {1: cases.batches(1)})
        assert len(cells['a'][0].durations_s) == 3

    def test_summary(self) -> None:
        durations_s = [0.001] * 50 + [0.003] * 50
        summary = Cell(2, durations_s=durations_s, device_s=[0.0005]).summary()
        assert summary['p50_ms'] == pytest.approx(2.0)
        assert summary['p90_ms'] == summary['p99_ms'] == pytest.approx(3.0)
        assert summary['images_per_s'] == pytest.approx(1000.0)
        assert summary['device_p50_ms'] == pytest.approx(0.5)
        few = Cell(2, durations_s=durations_s[:99]).summary()
        assert few['p99_ms'] is None  # it would be no more than the largest
        assert few['device_p50_ms'] is None


class TestGrowth:
    @staticmethod
    def samples(*rss: int) -> list[dict[str, int]]:
        return [{'after': n, 'rss_bytes': value} for n, value in enumerate(rss)]

    def test_a_leak_is_seen(self) -> None:
        samples = self.samples(*range(1000, 1110, 10))
        assert growth_of(samples)['rss_bytes'] == pytest.approx(0.08)
        entry = {'model': 'm', 'backend': 'b', 'kind': 'soak', 'count': 9, 'samples': samples}
        assert benchmark._judge_endurance(entry) == ['m on b: 9 soak: rss_bytes grew by 8.0%']

    def test_a_block_kept_for_a_while_is_none(self) -> None:
        assert growth_of(self.samples(1000, 1001, 1000, 1040, 1002, 1040))[
            'rss_bytes'
        ] == pytest.approx(0.002)

    def test_a_file_left_open_counts(self) -> None:
        samples = [{'after': n, 'open_files': 8 + n // 5} for n in range(11)]
        entry = {'model': 'm', 'backend': 'b', 'kind': 'cycles', 'count': 9, 'samples': samples}
        assert len(benchmark._judge_endurance(entry)) == 1

    def test_other_answers_count(self) -> None:
        samples = self.samples(1, 1)
        entry = {'model': 'm', 'backend': 'b', 'kind': 'soak', 'count': 9, 'samples': samples}
        assert benchmark._judge_endurance({**entry, 'changed_answers': 0}) == []
        assert len(benchmark._judge_endurance({**entry, 'changed_answers': 1})) == 1


@pytest.mark.models
class TestCommand:
    @pytest.fixture
    def run(self, engines_dir: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
        def call(*arguments: str, status: int = 0) -> dict[str, Any]:
            file = tmp_path / 'out.json'
            folder = ['--engines-dir', str(engines_dir)]
            assert benchmark.main([*arguments, *folder, '--json', str(file)]) == status
            return json.loads(file.read_text(encoding='utf-8'))

        return call

    def test_every_backend_is_timed_and_compared(
        self, run: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        document = run('iris_landmark', '--batches', '1,3', '--runs', '20')
        (model,) = document['models']
        assert model['reference'].startswith('ONNX Runtime ')
        rows = {row['backend']: row for row in model['rows']}
        assert {'litert', 'onnxruntime'} <= set(rows)
        for row in rows.values():
            assert [cell['batch'] for cell in row['batches']] == [1, 3]
            for cell in row['batches']:
                assert cell['runs'] == 20
                assert 0 < cell['p50_ms'] <= cell['p90_ms']
                assert cell['difference']['relative'] < 0.01
                assert cell['noise_difference']['relative'] < 0.01
            first, another = (row['loading'][key] for key in ('first', 'another'))
            assert first['seconds'] > 0
            assert first['rss_bytes'] > another['rss_bytes']
        alone = {name: row['batches'][0]['difference'] for name, row in rows.items()}
        assert alone['onnxruntime']['absolute'] == 0.0  # compared with itself
        assert alone['litert']['absolute'] > 0.0
        left_out = ' '.join(model['left_out'])
        assert 'tensorrt' in left_out or 'tensorrt' in rows
        assert document['environment']['threads'] == 1
        out = capsys.readouterr().out
        assert 'iris_landmark: image uint8[N,64,64,3] -> ' in out
        assert out.count('\nlitert ') == 3
        assert 'times as long as' in out

    def test_endurance_is_told(
        self, run: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        options = ('--backend', 'litert', '--runs', '0', '--soak', '1000', '--cycles', '100')
        document = run('iris_landmark', *options)
        soak, cycles = document['endurance']
        assert (soak['kind'], soak['samples'][0]['after']) == ('soak', 100)
        assert (cycles['kind'], cycles['samples'][0]['after']) == ('cycles', 10)
        assert soak['samples'][-1]['after'] == 1000
        assert cycles['samples'][-1]['after'] == 100
        assert soak['changed_answers'] == 0
        assert 'gpu_bytes' not in soak['samples'][0]
        assert document['models'][0]['rows'][0]['batches'] == []
        out = capsys.readouterr().out
        assert 'iris_landmark on litert, soak, after 100 and 1000 (' in out

    def test_a_reference_can_be_recorded_elsewhere(
        self,
        run: Callable[..., dict[str, Any]],
        engines_dir: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        file = tmp_path / 'reference.npz'
        arguments = ['--record', str(file), '--engines-dir', str(engines_dir), 'iris_landmark']
        assert benchmark.main(arguments) == 0
        recorded = load_cases(file, IRIS)
        assert recorded is not None
        changed = {name: values + 1 for name, values in recorded.expected.items()}
        save_cases(
            file, {IRIS.name: Cases(recorded.images, recorded.crops, changed, 'recorded one')}
        )
        options = ('--backend', 'litert', '--batches', '1', '--runs', '5')
        document = run('iris_landmark', *options, '--reference', str(file))
        assert document['models'][0]['reference'] == 'recorded one'
        cell = document['models'][0]['rows'][0]['batches'][0]
        assert cell['difference']['absolute'] == pytest.approx(1.0, rel=1e-3)
        capsys.readouterr()
        file.write_bytes(b'damaged')
        assert benchmark.main(['iris_landmark', '--reference', str(file)]) == 1
        assert 'no recorded reference' in capsys.readouterr().err

    def test_a_backend_that_was_named_must_run(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ['face_mesh', '--backend', 'litert', '--engines-dir', str(tmp_path)]
        assert benchmark.main(arguments) == 1
        assert 'face_mesh cannot run on litert' in capsys.readouterr().err

    def test_answers_that_are_not_finite_are_a_failure(
        self,
        run: Callable[..., dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        right = benchmark.EngineRunner.infer

        def wrong(
            runner: benchmark.EngineRunner, images: npt.NDArray[np.uint8]
        ) -> Mapping[str, npt.NDArray]:
            answers = dict(right(runner, images))
            answers['iris'] = np.where(images[:, :1, :1, 0] == 0, np.nan, answers['iris'])
            return answers

        monkeypatch.setattr(benchmark.EngineRunner, 'infer', wrong)
        options = ('--backend', 'litert', '--batches', '1', '--runs', '5')
        document = run('iris_landmark', *options, status=1)
        cell = document['models'][0]['rows'][0]['batches'][0]
        assert cell['noise_difference'] == {'output': 'iris', 'absolute': None, 'relative': None}
        assert cell['difference']['relative'] < 0.01
        out, err = capsys.readouterr()
        assert 'iris not finite' in out
        assert 'iris_landmark on litert, batch 1: not finite: iris' in err

    def test_one_that_fails_while_running_does_not_cost_the_others_figures(
        self,
        run: Callable[..., dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        right = benchmark.EngineRunner.infer

        def failing(
            runner: benchmark.EngineRunner, images: npt.NDArray[np.uint8]
        ) -> Mapping[str, npt.NDArray]:
            if runner.label == 'litert':
                raise InferenceError('out of\nmemory')
            return right(runner, images)

        monkeypatch.setattr(benchmark.EngineRunner, 'infer', failing)
        document = run('iris_landmark', '--batches', '1', '--runs', '5', status=1)
        rows = {row['backend']: row['batches'] for row in document['models'][0]['rows']}
        assert rows['litert'] == []
        assert rows['onnxruntime'][0]['runs'] == 5
        assert 'iris_landmark on litert: out of memory' in capsys.readouterr().err

    def test_it_needs_numpy_and_one_runtime(self, engines_dir: Path, tmp_path: Path) -> None:
        """As on a machine with the GPU, to which only the reference was brought."""
        import ai_edge_litert
        import yaml

        reference = tmp_path / 'reference.npz'
        folder = ['--engines-dir', str(engines_dir)]
        assert benchmark.main(['iris_landmark', *folder, '--record', str(reference)]) == 0
        packages = tmp_path / 'packages'
        packages.mkdir()
        for module in (np, ai_edge_litert, yaml):
            source = Path(str(module.__file__)).parent
            for path in (source, source.with_name(f'{source.name}.libs')):
                if path.exists():
                    (packages / path.name).symlink_to(path)
        code = (
            f'import sys; sys.path += [{str(ROOT)!r}, {str(packages)!r}]\n'
            'from aitable_ros.tools import benchmark\n'
            'benchmark.run_isolated = lambda *a, **k: benchmark.Outcome((), "not tried")\n'
            'benchmark.main(sys.argv[1:])\n'
            'print("loaded:", [m for m in ("cv2", "onnxruntime", "skimage", "rclpy", "torch")'
            ' if m in sys.modules])\n'
        )
        options = ['iris_landmark', '--runs', '5', '--reference', str(reference), *folder]
        result = subprocess.run(
            [sys.executable, '-S', '-I', '-c', code, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        assert 'loaded: []' in result.stdout, result.stderr
        assert 'module onnxruntime is not installed' in result.stdout
        assert result.stdout.count('\nlitert ') == 4
        assert 'difference: at worst, from ONNX Runtime' in result.stdout

    def test_it_runs_as_a_module_from_anywhere(self, engines_dir: Path, tmp_path: Path) -> None:
        shutil.copyfile(engines_dir / 'iris_landmark.tflite', tmp_path / 'iris_landmark.tflite')
        command = [sys.executable, '-m', 'aitable_ros.tools.benchmark', 'iris_landmark']
        result = subprocess.run(
            [*command, '--runs', '5', '--batches', '1', '--engines-dir', str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        assert (result.returncode, result.stderr) == (0, '')
        assert 'no reference: ' in result.stdout
        assert 'onnx is missing' in result.stdout


class TestArguments:
    @pytest.mark.parametrize(
        'arguments',
        [
            ['--batches', '0'],
            ['--batches', '1,x'],
            ['--runs', '-1'],
            ['--threads', '0'],
            ['--backend', 'abacus'],
            ['--compare', 'tensorflow'],
            ['--seconds', 'nan'],
        ],
    )
    def test_wrong_ones_are_refused(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            benchmark.main(arguments)
        assert caught.value.code == 2
        assert 'usage: benchmark' in capsys.readouterr().err

    def test_an_unknown_model_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert benchmark.main(['unknown']) == 1
        assert "unknown model 'unknown'; choose from " in capsys.readouterr().err


class TestTorch:
    def test_without_a_gpu_fp32_runs_and_is_its_own_reference(self) -> None:
        torch = pytest.importorskip('torch')
        if torch.cuda.is_available():
            pytest.skip('there is a GPU')
        from aitable_ros.tools import benchmark_torch

        assert benchmark_torch.variants() == ('torch fp32',)
        images = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
        expected = benchmark_torch.reference_answers(images)
        runner = benchmark_torch.TorchRunner('torch fp32')
        answers = runner.infer(images)
        for name, values in expected.items():
            assert np.allclose(answers[name], values, 1e-3, 1e-3 * np.abs(values).max())
        assert answers['valence'].shape == (2, 1)
        assert runner.device_s(1) is None
        runner.close()
        with pytest.raises(RuntimeError, match='needs a CUDA device'):
            benchmark_torch.TorchRunner('torch fp16 graph')

    def test_another_python_answers_as_this_one_does_and_times_itself(self) -> None:
        pytest.importorskip('torch')
        from aitable_ros.tools import benchmark_torch

        images = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
        remote = RemoteTorch([sys.executable], threads=1)
        try:
            assert remote.version == benchmark_torch.torch.__version__
            assert remote.variants() == benchmark_torch.variants()
            expected = benchmark_torch.reference_answers(images)
            for name, values in remote.reference_answers(images).items():
                assert np.allclose(values, expected[name], 1e-4, 1e-4)
            runner = remote.runner('torch fp32')
            for name, values in runner.infer(images).items():
                assert np.allclose(values, expected[name], 1e-3, 1e-3 * np.abs(values).max())
            start = time.perf_counter()
            seconds = runner.infer_s(images)
            assert 0 < seconds < time.perf_counter() - start
            runner.close()
            with pytest.raises(RemoteTorchError, match='KeyError'):
                runner.infer(images)
        finally:
            remote.close()
        with pytest.raises(RemoteTorchError, match='has ended'):
            remote.variants()

    @pytest.mark.parametrize(
        ('command', 'reason'),
        [
            (['/nowhere/python3'], 'does not start: .*No such file'),
            (['true'], 'the process with PyTorch has ended'),
        ],
    )
    def test_another_python_that_cannot(self, command: list[str], reason: str) -> None:
        with pytest.raises(RemoteTorchError, match=reason):
            RemoteTorch(command, threads=1)

    def test_another_python_without_pytorch(self, tmp_path: Path) -> None:
        (tmp_path / 'torch.py').write_text("raise ImportError('there is none')")
        path = os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')])
        with pytest.raises(RemoteTorchError, match='ImportError: there is none'):
            RemoteTorch(['env', f'PYTHONPATH={path}', sys.executable], threads=1)

    def test_the_command_line_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        options = ['emonet', '--backend', 'onnxruntime', '--compare', 'torch', '--runs', '0']
        assert benchmark.main([*options, '--torch-python', '/nowhere/python3 -I']) == 1
        assert 'error: /nowhere/python3 does not start' in capsys.readouterr().err

    @pytest.mark.gpu
    @pytest.mark.parametrize('batch', [1, 3])
    def test_on_a_gpu_all_variants_agree(self, batch: int) -> None:
        torch = pytest.importorskip('torch')
        if not torch.cuda.is_available():
            pytest.skip('needs a CUDA device')
        from aitable_ros.tools import benchmark_torch

        images = make_cases(benchmark.SPECS['emonet']).images[:batch]
        expected = benchmark_torch.reference_answers(images)
        for variant in benchmark_torch.variants():
            runner = benchmark_torch.TorchRunner(variant)
            answers = runner.infer(images)
            again = runner.infer(images)
            for name, values in expected.items():
                extent = np.abs(values).max()
                assert np.allclose(answers[name], values, 0.05, 0.05 * extent), variant
                assert np.array_equal(answers[name], again[name])
            assert runner.device_s(batch) > 0
            runner.close()


def test_an_engine_s_own_answers_are_the_reference(cases: Cases) -> None:
    class Fixed:
        inputs, outputs = IRIS.inputs, IRIS.outputs

        def infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
            return answers_of(Cases(inputs['image'], 0))

    made = with_reference(Cases(cases.images, cases.crops), Fixed(), 'fixed')  # type: ignore[arg-type]
    assert made.reference == 'fixed'
    assert all(np.array_equal(made.expected[k], cases.expected[k]) for k in cases.expected)
