# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.tools.benchmark import command as benchmark
from aitable_ros.tools.benchmark import measure as benchmark_measure
from aitable_ros.tools.benchmark import runners as benchmark_runners
from aitable_ros.tools.benchmark.inputs import Cases, load_cases, save_cases
from aitable_ros.tools.benchmark.runners import EngineRunner
from aitable_ros.tools.support.isolation import Outcome

ROOT = Path(__file__).resolve().parents[3]
DETECTION = CONTRACTS['face_detection']  # a small network
Run = Callable[..., dict[str, Any]]
Out = pytest.CaptureFixture[str]


@pytest.mark.models
class TestCommand:
    @pytest.fixture
    def run(self, engines_dir: Path, tmp_path: Path) -> Run:
        def call(*arguments: str, status: int = 0) -> dict[str, Any]:
            file = tmp_path / 'out.json'
            folder = ['--engines-dir', str(engines_dir)]
            assert benchmark.main([*arguments, *folder, '--json', str(file)]) == status
            return json.loads(file.read_text(encoding='utf-8'))

        return call

    def test_every_backend_is_timed_and_compared(self, run: Run, capsys: Out) -> None:
        document = run('face_detection', '--batches', '1,3', '--runs', '20')
        assert set(document) == {'environment', 'models', 'endurance', 'failures'}
        (model,) = document['models']
        assert ' '.join(model) == 'model inputs outputs images crops reference rows left_out'
        assert model['reference'].startswith('ONNX Runtime ')
        rows = {row['backend']: row for row in model['rows']}
        assert {'litert', 'onnxruntime'} <= set(rows)
        for row in rows.values():
            assert {'backend', 'file', 'loading', 'batches'} <= set(row)
            assert [cell['batch'] for cell in row['batches']] == [1, 3]
            for cell in row['batches']:
                assert ' '.join(cell) == (
                    'batch runs p50_ms p90_ms p99_ms device_p50_ms images_per_s difference'
                    ' noise_difference'
                )
                assert ' '.join(cell['difference']) == 'output absolute relative'
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
        assert 'face_detection: image uint8[N,128,128,3] -> ' in out
        assert out.count('\nlitert ') == 3
        assert 'times as long as' in out

    def test_endurance_is_told(self, run: Run, capsys: Out) -> None:
        options = ('--backend', 'litert', '--runs', '0', '--soak', '1000', '--cycles', '100')
        document = run('face_detection', *options)
        soak, cycles = document['endurance']
        assert (soak['kind'], soak['samples'][0]['after']) == ('soak', 100)
        assert (cycles['kind'], cycles['samples'][0]['after']) == ('cycles', 10)
        assert soak['samples'][-1]['after'] == 1000
        assert cycles['samples'][-1]['after'] == 100
        assert soak['changed_answers'] == 0
        assert 'gpu_bytes' not in soak['samples'][0]
        assert document['models'][0]['rows'][0]['batches'] == []
        out = capsys.readouterr().out
        assert 'face_detection on litert, soak, after 100 and 1000 (' in out

    @pytest.mark.parametrize(('max_growth', 'status'), [('1', 1), ('20', 0)])
    def test_growth_is_a_failure_from_the_share_on_that_was_given(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Out, max_growth: str, status: int
    ) -> None:
        memory = {'open_files': 9, 'threads': 2}
        samples = [{'after': 1, 'rss_bytes': 100, **memory}] + [
            {'after': n, 'rss_bytes': 110, **memory} for n in (2, 3, 4)
        ]
        result = {'count': 4, 'seconds': 1.0, 'samples': samples}
        really = benchmark_measure.run_isolated

        def isolated(probe: Callable[..., Any], *arguments: Any, **how: Any) -> Outcome:
            if probe is benchmark_measure.probe_endurance:
                return Outcome((result,))
            return really(probe, *arguments, **how)

        monkeypatch.setattr(benchmark_measure, 'run_isolated', isolated)
        options = ('--backend', 'litert', '--runs', '0', '--cycles', '4')
        run('face_detection', *options, '--max-growth', max_growth, status=status)
        out, err = capsys.readouterr()
        assert '(+10.00%)' in out
        assert ('4 cycles: rss_bytes grew by 10.0%' in err) == bool(status)

    def test_a_reference_can_be_recorded_elsewhere(
        self, run: Run, engines_dir: Path, tmp_path: Path, capsys: Out
    ) -> None:
        file = tmp_path / 'reference.npz'
        arguments = ['--record', str(file), '--engines-dir', str(engines_dir), 'face_detection']
        assert benchmark.main(arguments) == 0
        recorded = load_cases(file, DETECTION)
        assert recorded is not None
        changed = {name: values + 1 for name, values in recorded.expected.items()}
        save_cases(
            file, {DETECTION.name: Cases(recorded.images, recorded.crops, changed, 'recorded one')}
        )
        options = ('--backend', 'litert', '--batches', '1', '--runs', '5')
        document = run('face_detection', *options, '--reference', str(file))
        assert document['models'][0]['reference'] == 'recorded one'
        cell = document['models'][0]['rows'][0]['batches'][0]
        assert cell['difference']['absolute'] == pytest.approx(1.0, rel=1e-3)
        capsys.readouterr()
        file.write_bytes(b'damaged')
        assert benchmark.main(['face_detection', '--reference', str(file)]) == 1
        assert 'no recorded reference' in capsys.readouterr().err

    def test_a_backend_that_was_named_must_run(self, tmp_path: Path, capsys: Out) -> None:
        arguments = ['face_mesh', '--backend', 'litert', '--engines-dir', str(tmp_path)]
        assert benchmark.main(arguments) == 1
        assert 'face_mesh cannot run on litert' in capsys.readouterr().err

    def test_answers_that_are_not_finite_are_a_failure(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Out
    ) -> None:
        right = EngineRunner.infer

        def wrong(
            runner: EngineRunner, images: npt.NDArray[np.uint8]
        ) -> Mapping[str, npt.NDArray]:
            answers = dict(right(runner, images))
            answers['boxes'] = np.where(images[:, :1, :1, 0] == 0, np.nan, answers['boxes'])
            return answers

        monkeypatch.setattr(EngineRunner, 'infer', wrong)
        options = ('--backend', 'litert', '--batches', '1', '--runs', '5')
        document = run('face_detection', *options, status=1)
        cell = document['models'][0]['rows'][0]['batches'][0]
        assert cell['noise_difference'] == {'output': 'boxes', 'absolute': None, 'relative': None}
        assert cell['difference']['relative'] < 0.01
        out, err = capsys.readouterr()
        assert 'boxes not finite' in out
        assert 'face_detection on litert, batch 1: not finite: boxes' in err

    def test_one_that_fails_while_running_does_not_cost_the_others_figures(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Out
    ) -> None:
        right = EngineRunner.infer

        def failing(
            runner: EngineRunner, images: npt.NDArray[np.uint8]
        ) -> Mapping[str, npt.NDArray]:
            if runner.label == 'litert':
                raise InferenceError('out of\nmemory')
            return right(runner, images)

        monkeypatch.setattr(EngineRunner, 'infer', failing)
        document = run('face_detection', '--batches', '1', '--runs', '5', status=1)
        rows = {row['backend']: row['batches'] for row in document['models'][0]['rows']}
        assert rows['litert'] == []
        assert rows['onnxruntime'][0]['runs'] == 5
        assert 'face_detection on litert: out of memory' in capsys.readouterr().err

    def test_what_was_measured_before_an_interruption_is_kept(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Out
    ) -> None:
        make_cases = benchmark_measure.cases_of

        def interrupted(spec: ModelSpec, options: argparse.Namespace) -> tuple[Cases, str]:
            if spec.name == interrupted_at:
                raise KeyboardInterrupt
            return make_cases(spec, options)

        monkeypatch.setattr(benchmark_measure, 'cases_of', interrupted)
        options = ('--backend', 'litert', '--batches', '1', '--runs', '5')
        interrupted_at = 'face_mesh'
        for _ in range(2):  # the second time, nothing was measured that would be worth the file
            document = run('face_detection', 'face_mesh', *options, status=130)
            assert [model['model'] for model in document['models']] == ['face_detection']
            assert document['failures'] == ['ended early: KeyboardInterrupt']
            assert capsys.readouterr().err == 'benchmark: interrupted\n'
            interrupted_at = 'face_detection'

    def test_it_needs_numpy_and_one_runtime(self, engines_dir: Path, tmp_path: Path) -> None:
        """As on a machine with the GPU, to which only the reference was brought."""
        import ai_edge_litert
        import yaml

        reference = tmp_path / 'reference.npz'
        folder = ['--engines-dir', str(engines_dir)]
        assert benchmark.main(['face_detection', *folder, '--record', str(reference)]) == 0
        packages = tmp_path / 'packages'
        packages.mkdir()
        for module in (np, ai_edge_litert, yaml):
            source = Path(str(module.__file__)).parent
            for path in (source, source.with_name(f'{source.name}.libs')):
                if path.exists():
                    (packages / path.name).symlink_to(path)
        code = (
            f'import sys; sys.path += [{str(ROOT)!r}, {str(packages)!r}]\n'
            'from aitable_ros.tools.benchmark import command, measure\n'
            'from aitable_ros.tools.support.isolation import Outcome\n'
            'measure.run_isolated = lambda *a, **k: Outcome((), "not tried")\n'
            'command.main(sys.argv[1:])\n'
            'print("loaded:", [m for m in ("cv2", "onnxruntime", "skimage", "rclpy", "torch")'
            ' if m in sys.modules])\n'
        )
        options = ['face_detection', '--runs', '5', '--reference', str(reference), *folder]
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
            ['--seconds', 'long'],
            ['--max-growth', '-1'],
        ],
    )
    def test_wrong_ones_are_refused(self, arguments: list[str], capsys: Out) -> None:
        with pytest.raises(SystemExit) as caught:
            benchmark.main(arguments)
        assert caught.value.code == 2
        err = capsys.readouterr().err
        assert 'usage: benchmark' in err
        assert '_amount' not in err  # the name of a function

    @pytest.mark.parametrize(
        ('arguments', 'told'),
        [
            (['face_mesh', '--compare', 'torch'], '--compare torch runs emonet; add it'),
            (['emonet', '--torch-python', 'python3'], 'where --compare torch runs; add that'),
        ],
    )
    def test_ones_that_would_do_nothing_are_refused(
        self, arguments: list[str], told: str, capsys: Out
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            benchmark.main(arguments)
        assert caught.value.code == 2
        assert told in capsys.readouterr().err

    @pytest.mark.parametrize('option', ['--json', '--record'])
    def test_a_file_that_cannot_be_written_is_told_before_the_work(
        self, option: str, tmp_path: Path, capsys: Out
    ) -> None:
        file = tmp_path / 'none' / 'figures'
        assert benchmark.main(['face_detection', option, str(file)]) == 1
        out, err = capsys.readouterr()
        assert out == ''
        assert err == f'benchmark: error: {file} cannot be written: No such file or directory\n'

    def test_a_batch_that_does_not_fit_into_memory_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch, capsys: Out
    ) -> None:
        def run(_: object) -> None:
            raise MemoryError('Unable to allocate 1.12 TiB')

        monkeypatch.setattr(benchmark.Benchmark, 'run', run)
        assert benchmark.main(['face_detection']) == 1
        assert 'error: Unable to allocate 1.12 TiB' in capsys.readouterr().err

    def test_an_unknown_model_is_named(self, capsys: Out) -> None:
        assert benchmark.main(['unknown']) == 1
        assert "unknown model 'unknown'; choose from " in capsys.readouterr().err


def test_a_python_for_pytorch_that_does_not_start_is_an_error(capsys: Out) -> None:
    options = ['emonet', '--backend', 'onnxruntime', '--compare', 'torch', '--runs', '0']
    assert benchmark.main([*options, '--torch-python', '/nowhere/python3 -I']) == 1
    assert 'error: /nowhere/python3 does not start' in capsys.readouterr().err


def test_a_variant_of_pytorch_that_does_not_run_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    def runner(variant: str) -> None:
        raise RuntimeError(f'{variant}: CUDA out of memory')

    torch = SimpleNamespace(variants=lambda: ('torch fp16 graph',), TorchRunner=runner)
    monkeypatch.setattr(benchmark.Benchmark, '_open_torch', lambda _: torch)
    monkeypatch.setattr(benchmark_runners, 'load_torch', lambda _: torch)
    options = ['--backend', 'onnxruntime', '--compare', 'torch', '--engines-dir', str(tmp_path)]
    assert benchmark.main(['emonet', *options]) == 1
    assert 'benchmark: torch fp16 graph: CUDA out of memory' in capsys.readouterr().err
