# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from aitable_ros import paths
from aitable_ros.inference.selection import load_engine
from aitable_ros.model_zoo import download, store
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.download import Wheel
from aitable_ros.model_zoo.files import ModelFilesError, write_atomically
from aitable_ros.model_zoo.store import SOURCES, ensure_models, inspect_model
from aitable_ros.regular_files import file_sha256

pytestmark = pytest.mark.models

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def engines(engines_dir: Path, tmp_path: Path) -> Path:
    """An engines folder of the test's own, with every model in it."""
    folder = tmp_path / 'engines'
    folder.mkdir()
    for name in SOURCES:
        for path in engines_dir.glob(f'{name}.*'):
            shutil.copyfile(path, folder / path.name)
    return folder


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wheel can be had: neither from the cache nor from the network."""

    def refuse(*_: object, **__: object) -> Path:
        raise AssertionError('the wheel was asked for')

    monkeypatch.setattr(store, 'fetch_wheel', refuse)


def _contents(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (file_sha256(path), path.stat().st_mtime_ns)
        for path in folder.iterdir()
        if not path.name.startswith('.')
    }


def _all_whole(folder: Path) -> bool:
    return not any(inspect_model(name, folder).problem for name in SOURCES)


def _python(script: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-c', script, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_empty_folder_is_filled(wheels: Mapping[Wheel, Path], tmp_path: Path) -> None:
    folder = tmp_path / 'deep' / 'engines'
    lines: list[str] = []
    result = ensure_models(SOURCES, folder, wheels=wheels.values(), progress=lines.append)
    assert result == {name: folder / f'{name}.tflite' for name in SOURCES}
    expected = {f'{name}{suffix}' for name in SOURCES for suffix in ('.tflite', '.onnx', '.json')}
    assert set(_contents(folder)) == {*expected, 'face_attention.original.tflite', 'NOTICE'}
    for name in result:
        assert file_sha256(store.original_path(name, folder)) == SOURCES[name].sha256
        assert any(line.startswith(f'{name}: converted to ONNX (') for line in lines)
    notice = (folder / 'NOTICE').read_text()
    assert 'Apache License, Version 2.0' in notice
    assert all(member.wheel.attribution in notice for member in SOURCES.values())
    assert _all_whole(folder)


def test_the_record_tells_source_licence_and_checksums(engines: Path) -> None:
    record = json.loads((engines / 'face_mesh.json').read_text())
    assert record['licence'] == 'Apache-2.0'
    assert 'MediaPipe' in record['attribution']
    assert record['source']['package'] == 'mediapipe==0.10.21'
    assert record['source']['file'] == SOURCES['face_mesh'].path
    assert record['converter'] == store.converter_version()
    for suffix in ('.tflite', '.onnx'):
        path = engines / f'face_mesh{suffix}'
        assert record['files'][path.name] == {
            'size': path.stat().st_size,
            'sha256': file_sha256(path),
        }


def test_an_unknown_model_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match=r"unknown model 'emonet'; known: face_detection"):
        ensure_models(['face_mesh', 'emonet'], tmp_path / 'engines')
    assert not (tmp_path / 'engines').exists()


@pytest.mark.usefixtures('no_wheel')
def test_what_is_whole_is_left_alone_in_silence(
    engines: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = _contents(engines)
    ensure_models(SOURCES, engines)
    assert _contents(engines) == before
    assert not (engines / '.lock').exists()
    assert capfd.readouterr() == ('', '')


def test_force_takes_and_converts_them_again(
    engines: Path, mediapipe_wheel: Path, tmp_path: Path
) -> None:
    before = _contents(engines)
    lines: list[str] = []
    ensure_models(
        ['face_mesh'], engines, wheels=[mediapipe_wheel], force=True, progress=lines.append
    )
    assert [line.split('(')[0] for line in lines] == [
        'face_mesh: taking it out of the wheel again',
        'face_mesh: converted to ONNX ',
    ]
    after = _contents(engines)
    # the same bytes came again, and are left alone
    assert {name for name in before if before[name] != after[name]} == {'face_mesh.json'}


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b'')


@pytest.mark.parametrize(
    ('suffix', 'damage'),
    [
        ('.tflite', _truncate),
        ('.tflite', _flip),
        ('.tflite', Path.unlink),
        ('.onnx', _truncate),
        ('.onnx', _flip),
        ('.onnx', _empty),
        ('.onnx', Path.unlink),
        ('.json', _truncate),
        ('.json', _empty),
        ('.json', Path.unlink),
    ],
)
def test_a_damaged_file_is_repaired(
    engines: Path, wheels: Mapping[Wheel, Path], suffix: str, damage
) -> None:
    before = _contents(engines)
    damage(engines / f'face_mesh{suffix}')
    assert inspect_model('face_mesh', engines).problem
    lines: list[str] = []
    ensure_models(SOURCES, engines, wheels=wheels.values(), progress=lines.append)
    assert lines[0].startswith('face_mesh: face_mesh.')
    assert _all_whole(engines)
    after = _contents(engines)
    assert {name: after[name][0] for name in before} == {n: v[0] for n, v in before.items()}


@pytest.mark.usefixtures('no_wheel')
@pytest.mark.parametrize(
    'record',
    ['[]', '{"files": []}', '{"files": {"face_mesh.onnx": 5}}', 'null', '\x00', '[[[['],
)
def test_any_nonsense_in_the_record_is_repaired(engines: Path, record: str) -> None:
    (engines / 'face_mesh.json').write_text(record)
    ensure_models(SOURCES, engines, progress=lambda _: None)
    assert _all_whole(engines)


@pytest.mark.usefixtures('no_wheel')
def test_a_record_that_would_stop_the_network_from_loading_is_repaired(
    engines: Path, catalog
) -> None:
    path = engines / 'face_mesh.json'
    record = json.loads(path.read_text())
    record['files']['face_mesh.tflite']['sha256'] = '0' * 64
    path.write_text(json.dumps(record))
    ensure_models(SOURCES, engines, progress=lambda _: None)
    with load_engine(catalog['face_mesh'], 'litert', engines_dir=engines).engine as engine:
        assert engine.path == engines / 'face_mesh.tflite'


@pytest.mark.usefixtures('no_wheel')
def test_a_changed_converter_converts_again(
    engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _contents(engines)
    monkeypatch.setattr(store, 'converter_version', lambda: 'a later one')
    lines: list[str] = []
    ensure_models(['face_mesh'], engines, progress=lines.append)
    after = _contents(engines)
    assert lines[0] == 'face_mesh: face_mesh.onnx was made by another version of the converter'
    assert lines[1].startswith('face_mesh: converted to ONNX')
    assert after['face_mesh.json'][1] > before['face_mesh.json'][1]
    assert after['face_mesh.tflite'] == before['face_mesh.tflite']
    assert after['face_detection.onnx'] == before['face_detection.onnx']
    assert not inspect_model('face_mesh', engines).problem


def test_the_converter_s_version_covers_every_module_that_it_is_made_of() -> None:
    """Follow the converter's imports within model_zoo."""
    folder = Path(store.__file__).parent
    prefix = 'aitable_ros.model_zoo.'
    found: set[str] = set()
    todo = ['conversion/tflite_to_onnx', 'conversion/builtin_operators']
    while todo:
        module = todo.pop()
        found.add(module)
        for node in ast.walk(ast.parse((folder / f'{module}.py').read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith(prefix):
                todo.append(str(node.module).removeprefix(prefix).replace('.', '/'))
    assert found == set(store._CONVERTER_MODULES)


def test_without_litert_custom_operators_stay_until_it_is_there(
    mediapipe_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, '_can_rewrite', lambda: False)
    ensure_models(['face_attention'], tmp_path, wheels=[mediapipe_wheel])
    assert not inspect_model('face_attention', tmp_path).problem
    monkeypatch.undo()
    assert inspect_model('face_attention', tmp_path).problem == 'face_attention.tflite is missing'
    ensure_models(['face_attention'], tmp_path)
    load_engine(CONTRACTS['face_attention'], 'litert', engines_dir=tmp_path).engine.close()


def test_without_the_converter_s_packages_the_network_as_it_came_is_enough(
    mediapipe_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, '_CONVERTER_NEEDS', ('onnx', 'a_module_nobody_has'))
    lines: list[str] = []
    ensure_models(['face_mesh'], tmp_path, wheels=[mediapipe_wheel], progress=lines.append)
    assert lines[-1] == (
        'face_mesh.onnx is not made: a_module_nobody_has not installed'
        ' (pip install a_module_nobody_has)'
    )
    assert set(_contents(tmp_path)) == {'face_mesh.tflite', 'face_mesh.json', 'NOTICE'}
    lines.clear()
    ensure_models(['face_mesh'], tmp_path, progress=lines.append)
    assert lines == []  # said once
    monkeypatch.undo()
    ensure_models(['face_mesh'], tmp_path, progress=lines.append)
    assert lines[0] == 'face_mesh: face_mesh.onnx is missing'
    assert not inspect_model('face_mesh', tmp_path).problem


def test_a_conversion_that_fails_is_reported_and_leaves_the_folder_as_it_was(
    engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aitable_ros.model_zoo.conversion import tflite_to_onnx

    def fail(*_: object) -> None:
        raise ValueError('unknown operator')

    monkeypatch.setattr(tflite_to_onnx, 'convert', fail)
    monkeypatch.setattr(store, 'converter_version', lambda: 'a later one')
    before = _contents(engines)
    with pytest.raises(
        ModelFilesError, match=r'face_mesh\.tflite could not be converted.*unknown'
    ):
        ensure_models(['face_mesh'], engines, progress=lambda _: None)
    assert _contents(engines) == before


def _make_older(engines: Path) -> None:
    """Make the conversion and the record of face_mesh those of an older converter."""
    path = engines / 'face_mesh.onnx'
    path.write_bytes(path.read_bytes() + b'\x12\x05older')  # ModelProto.producer_name
    record = json.loads(path.with_suffix('.json').read_text())
    record['converter'] = 'older'
    record['files'][path.name] = {'size': path.stat().st_size, 'sha256': file_sha256(path)}
    path.with_suffix('.json').write_text(json.dumps(record))


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from aitable_ros.model_zoo.store import SOURCES, ensure_models
steps = int(sys.argv[3])
original = os.fsync
def fsync(descriptor):
    global steps
    steps -= 1
    if steps == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    original(descriptor)
os.fsync = fsync
ensure_models(['face_mesh'], Path(sys.argv[1]), wheels=[Path(sys.argv[2])])
"""


# steps: contents and then entry of NOTICE, .tflite (unless stale), .onnx, .json
@pytest.mark.parametrize(
    ('step', 'stale'),
    [(1, False), (3, False), (4, False), (5, False), (7, False), (3, True), (5, True)],
)
def test_being_killed_at_any_step_leaves_nothing_broken(
    step: int, stale: bool, mediapipe_wheel: Path, engines: Path, catalog
) -> None:
    if stale:
        _make_older(engines)
    else:
        for path in engines.iterdir():
            path.unlink()
    process = _python(INTERRUPTED, engines, mediapipe_wheel, step)
    _, stderr = process.communicate()
    assert process.returncode == -signal.SIGKILL, stderr
    # what is there loads; what does not load is not there
    for backend, suffix in [('litert', '.tflite'), ('onnxruntime', '.onnx')]:
        if (engines / f'face_mesh{suffix}').exists():
            load_engine(catalog['face_mesh'], backend, engines_dir=engines).engine.close()
    ensure_models(['face_mesh'], engines, wheels=[mediapipe_wheel], progress=lambda _: None)
    assert not inspect_model('face_mesh', engines).problem
    assert not list(engines.glob('.*.tmp'))


def test_two_processes_at_once_download_once_and_both_succeed(
    mediapipe_wheel: Path, tmp_path: Path
) -> None:
    script = """
import sys
from pathlib import Path
from aitable_ros.model_zoo.store import SOURCES, ensure_models
sys.stdin.readline()
ensure_models(SOURCES, Path(sys.argv[1]))
"""
    environment = {
        paths.CACHE_DIR_VARIABLE: str(tmp_path / 'cache'),
        'PIP_CONFIG_FILE': '/dev/null',
        'PIP_NO_INDEX': '1',
        'PIP_FIND_LINKS': str(mediapipe_wheel.parent),
    }
    folder = tmp_path / 'engines'
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', script, str(folder)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write('go\n')
        process.stdin.flush()
    reports = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], reports
    assert sum(report.count('downloading') for report in reports) == len(store.WHEELS)
    assert sum(report.count('converted to ONNX') for report in reports) == len(SOURCES)
    assert _all_whole(folder)


def test_a_process_that_has_to_wait_says_so(engines: Path, wheels: Mapping[Wheel, Path]) -> None:
    holder = _python(
        """
import sys, time
from pathlib import Path
from aitable_ros.model_zoo.files import locked
with locked(Path(sys.argv[1]), print):
    print('held', flush=True)
    sys.stdin.readline() or time.sleep(1.5)
""",
        engines,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == 'held\n'
    (engines / 'face_mesh.onnx').unlink()
    lines: list[str] = []
    ensure_models(SOURCES, engines, wheels=wheels.values(), progress=lines.append)
    holder.communicate()
    assert lines[0] == f'waiting for another process that is filling {engines}'
    assert _all_whole(engines)


def test_a_full_disk_is_reported_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'model.onnx'
    write_atomically(path, b'old')

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        write_atomically(path, b'new')
    assert path.read_bytes() == b'old'
    assert [entry.name for entry in tmp_path.iterdir()] == ['model.onnx']


def test_files_can_be_read_by_other_users(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        write_atomically(tmp_path / 'model.onnx', b'x')
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / 'model.onnx').stat().st_mode) == 0o644


@pytest.fixture
def read_only(engines: Path) -> Iterator[Path]:
    """A copy of the engines folder that this process cannot write to, even when run by root."""
    folder = Path(tempfile.mkdtemp())  # root's tmp_path cannot be entered by other users
    for path in engines.iterdir():
        shutil.copyfile(path, folder / path.name)
        (folder / path.name).chmod(0o444)
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_read_only_folder_that_is_whole_is_used_even_of_an_older_converter(
    read_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    ensure_models(SOURCES, read_only, progress=lines.append)
    assert lines == []
    monkeypatch.setattr(store, 'converter_version', lambda: 'a later one')
    ensure_models(['face_mesh'], read_only, progress=lines.append)
    assert lines == [
        'face_mesh.onnx was made by another version of the converter; used as it is:'
        f' {read_only} cannot be written'
    ]


def test_a_read_only_folder_that_lacks_something_is_an_error_with_a_way_out(
    read_only: Path,
) -> None:
    empty = read_only / 'missing' / 'folder'
    with pytest.raises(
        ModelFilesError, match=r'cannot be written: Permission denied; .*--engines'
    ):
        ensure_models(SOURCES, empty, progress=lambda _: None)
    with pytest.raises(ModelFilesError, match=paths.ENGINES_DIR_VARIABLE):
        ensure_models(SOURCES, read_only, force=True, progress=lambda _: None)


def test_offline_with_a_warm_cache_the_network_is_not_mentioned(
    mediapipe_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError('pip was started')

    monkeypatch.setenv(paths.CACHE_DIR_VARIABLE, str(mediapipe_wheel.parent.parent))
    monkeypatch.setattr(download.subprocess, 'run', refuse)
    lines: list[str] = []
    ensure_models(SOURCES, tmp_path, progress=lines.append)
    assert _all_whole(tmp_path)
    assert not any('download' in line for line in lines)
