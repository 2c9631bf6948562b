# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from aitable_ros.model_zoo.download import Wheel
from aitable_ros.model_zoo.emonet import download as emonet_download
from aitable_ros.model_zoo.store import SOURCES
from aitable_ros.tools import fetch_models

pytestmark = pytest.mark.models


@pytest.fixture
def filled(mediapipe_wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """An engines folder that the tool has filled with face_detection."""
    folder = tmp_path / 'engines'
    arguments = ['face_detection', '--engines-dir', str(folder), '--wheel', str(mediapipe_wheel)]
    assert fetch_models.main(arguments) == 0
    capsys.readouterr()
    return folder


def _rows(out: str) -> dict[str, str]:
    return {line.split()[0]: ' '.join(line.split()[1:]) for line in out.splitlines()}


def test_it_fills_the_folder_and_prints_what_is_there(
    wheels: Mapping[Wheel, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ['--engines-dir', str(tmp_path / 'e')]
    for wheel in wheels.values():
        arguments += ['--wheel', str(wheel)]
    assert fetch_models.main(arguments) == 0
    out, err = capsys.readouterr()
    rows = _rows(out)
    assert out.startswith(f'Engines folder: {tmp_path}/e\n')
    assert rows['face_mesh.tflite'] == '1.2 MB ok'
    assert all(rows[f'{name}{end}'].endswith(' ok') for name in SOURCES for end in ('.onnx',))
    assert 'licence Apache-2.0' in out
    assert 'face_mesh: converted to ONNX' in err  # progress goes to stderr


def test_the_second_time_it_says_nothing_but_the_table(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_models.main(['face_detection', '--engines-dir', str(filled)]) == 0
    assert capsys.readouterr().err == ''


def test_list_changes_nothing_and_tells_by_its_status_whether_all_is_there(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ['--engines-dir', str(filled)]
    assert fetch_models.main([*folder, '--list', 'face_detection']) == 0
    (filled / 'face_detection.onnx').write_bytes(b'')
    before = sorted(filled.iterdir())
    assert fetch_models.main([*folder, '--list']) == 1
    rows = _rows(capsys.readouterr().out)
    assert rows['face_detection.onnx'] == '0.0 MB is damaged (sha256 differs)'
    assert rows['pose_landmark.tflite'] == '- is missing'
    assert sorted(filled.iterdir()) == before
    assert fetch_models.main(['--list', '--engines-dir', str(filled / 'absent')]) == 1
    assert not (filled / 'absent').exists()


def test_force_brings_it_again(
    filled: Path, mediapipe_wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = filled / 'face_detection.json'
    before_ns = record.stat().st_mtime_ns
    arguments = ['face_detection', '--engines-dir', str(filled), '--force']
    assert fetch_models.main([*arguments, '--wheel', str(mediapipe_wheel)]) == 0
    assert record.stat().st_mtime_ns > before_ns
    assert 'face_detection: taking it out of the wheel again' in capsys.readouterr().err


def test_a_failure_is_one_message_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = tmp_path / 'other.whl'
    wheel.write_bytes(b'PK')
    arguments = ['--engines-dir', str(tmp_path / 'e'), '--wheel', str(wheel)]
    assert fetch_models.main(arguments) == 1
    out, err = capsys.readouterr()
    assert f'fetch_models: error: {wheel} is not mediapipe-0.10.21' in err
    assert 'Traceback' not in err
    assert _rows(out)['face_mesh.tflite'] == '- is missing'


def test_interrupting_it_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch_models, 'ensure_models', interrupt)
    assert fetch_models.main(['--engines-dir', str(tmp_path)]) == 1
    assert 'interrupted; run it again' in capsys.readouterr().err


@pytest.mark.parametrize(
    'arguments', [['no_such'], ['--force', '--list'], ['--what'], ['--from', 'x.pth']]
)
def test_wrong_arguments_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        fetch_models.main(arguments)
    assert caught.value.code != 0
    assert 'usage: fetch_models' in capsys.readouterr().err


def test_it_runs_as_a_module_without_ros(filled: Path) -> None:
    script = (
        'import sys; from aitable_ros.tools.fetch_models import main; code = main();'
        ' assert "rclpy" not in sys.modules; sys.exit(code)'
    )
    arguments = ['--list', 'face_detection', '--engines-dir', str(filled)]
    for start in (['-m', 'aitable_ros.tools.fetch_models'], ['-c', script]):
        result = subprocess.run(
            [sys.executable, *start, *arguments], capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stderr) == (0, '')
        assert 'face_detection.tflite' in result.stdout


def test_emonet_needs_its_licence_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_models.main(['emonet', '--engines-dir', str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert 'CC BY-NC-ND 4.0: not for commercial purposes' in said.err
    assert 'give --accept-license' in said.err
    assert 'emonet: is not there' in said.out
    assert not list(tmp_path.iterdir())


def test_without_a_network_emonet_is_one_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('AITABLE_CACHE_DIR', str(tmp_path / 'cache'))
    monkeypatch.setattr(
        fetch_models,
        'download_weights',
        lambda *arguments: emonet_download.download_weights(
            *arguments, url='http://127.0.0.1:9/{file}'
        ),
    )
    status = fetch_models.main(
        ['emonet', '--accept-license', '--engines-dir', str(tmp_path / 'engines')]
    )
    assert status == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if 'error' in x]
    assert 'http://127.0.0.1:9/emonet_8.pth cannot be downloaded: ' in line
    assert 'give it with --from emonet_8.pth' in line


def test_emonet_from_a_file_is_checked_exported_and_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip('torch', reason='needs PyTorch: pip install torch')
    from aitable_ros.model_zoo.emonet import export as emonet_export
    from aitable_ros.model_zoo.emonet.network import random_emonet

    # the comparison with PyTorch, which takes seconds, is the export's own test
    monkeypatch.setattr(emonet_export, '_run_module', lambda *_: {})
    monkeypatch.setattr(emonet_export, 'largest_difference', lambda *_: 0.0)
    checkpoint = tmp_path / 'emonet_8.pth'
    torch.save(random_emonet(8, 0).state_dict(), checkpoint)
    folder = tmp_path / 'engines'
    arguments = ['emonet', '--from', str(checkpoint), '--engines-dir', str(folder)]
    assert fetch_models.main(arguments) == 0
    assert {path.name for path in folder.iterdir()} >= {'emonet.onnx', 'emonet.pth', 'emonet.json'}
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    assert fetch_models.main(arguments) == 1
    assert 'emonet_8.pth' in capsys.readouterr().err
