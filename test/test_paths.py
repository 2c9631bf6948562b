# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aitable_ros import paths


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, with none of the environment variables that move things elsewhere."""
    for name in (paths.ENGINES_DIR_VARIABLE, paths.CACHE_DIR_VARIABLE, 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / 'home'
    monkeypatch.setenv('HOME', str(folder))
    return folder


def _installed(folder: Path) -> Path:
    """Put paths.py where an installed package has it, below the prefix ``folder``."""
    package = folder / 'lib' / 'python3.11' / 'site-packages' / 'aitable_ros'
    package.mkdir(parents=True)
    for name in ('__init__.py', 'paths.py'):
        shutil.copy(Path(paths.__file__).with_name(name), package)
    return package


def _ask(package: Path, question: str, **environment: str) -> str:
    """Answer a question with the paths module of that copy of the package, in a new process."""
    result = subprocess.run(
        [sys.executable, '-c', f'from aitable_ros import paths; print({question})'],
        cwd=package.parent,
        env={**os.environ, 'PYTHONPATH': str(package.parent), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return (result.stdout or result.stderr).strip().splitlines()[-1]


def test_share_dir_is_the_checkout_when_run_from_one() -> None:
    root = Path(__file__).resolve().parent.parent
    if not (root / 'package.xml').is_file():
        pytest.fail('the tests are not in a checkout')
    assert (paths.share_dir() / 'config' / 'models.yaml').is_file()


def test_share_dir_follows_a_symlink_install_back_to_the_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / 'checkout'
    shutil.copytree(Path(paths.__file__).parent, checkout / 'aitable_ros')
    (checkout / 'package.xml').write_text('<package/>')
    build = tmp_path / 'build'
    build.mkdir()
    (build / 'aitable_ros').symlink_to(checkout / 'aitable_ros')
    (build / 'package.xml').symlink_to(checkout / 'package.xml')
    assert _ask(build / 'aitable_ros', 'paths.share_dir()') == str(checkout)


def test_share_dir_of_an_installation_is_the_first_in_the_ament_prefix_path(
    tmp_path: Path,
) -> None:
    package = _installed(tmp_path / 'a')
    for prefix in 'abc':
        (tmp_path / prefix).mkdir(exist_ok=True)
    for prefix in 'bc':
        (tmp_path / prefix / 'share' / 'aitable_ros').mkdir(parents=True)
    ament = os.pathsep.join(str(tmp_path / prefix) for prefix in ('', 'a', 'b', 'c'))
    answer = _ask(package, 'paths.share_dir()', AMENT_PREFIX_PATH=ament)
    assert answer == str(tmp_path / 'b' / 'share' / 'aitable_ros')


@pytest.mark.parametrize('site_packages', ['lib/python3.11/site-packages', 'lib/site-packages'])
def test_share_dir_without_a_ros_environment_is_in_the_package_s_own_prefix(
    tmp_path: Path, site_packages: str
) -> None:
    package = tmp_path / site_packages / 'aitable_ros'
    package.parent.mkdir(parents=True)
    shutil.move(_installed(tmp_path / 'elsewhere'), package)
    share = tmp_path / 'share' / 'aitable_ros'
    share.mkdir(parents=True)
    assert _ask(package, 'paths.share_dir()', AMENT_PREFIX_PATH='') == str(share)


def test_share_dir_that_does_not_exist_is_an_error_that_lists_where_it_looked(
    tmp_path: Path,
) -> None:
    package = _installed(tmp_path)
    answer = _ask(package, 'paths.share_dir()', AMENT_PREFIX_PATH='/nowhere')
    assert answer.startswith('FileNotFoundError')
    assert '/nowhere/share/aitable_ros' in answer


def test_engines_dir_prefers_the_argument_then_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(paths.ENGINES_DIR_VARIABLE, str(tmp_path / 'variable'))
    assert paths.engines_dir(tmp_path / 'argument') == tmp_path / 'argument'
    assert paths.engines_dir() == tmp_path / 'variable'
    assert paths.engines_dir('') == tmp_path / 'variable'
    monkeypatch.setenv(paths.ENGINES_DIR_VARIABLE, '~/models')
    assert paths.engines_dir() == home / 'models'
    monkeypatch.setenv(paths.ENGINES_DIR_VARIABLE, '')
    assert paths.engines_dir() == paths.share_dir() / 'engines'


def test_a_relative_engines_dir_is_made_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.engines_dir('models') == tmp_path / 'models'


def test_engines_dir_that_cannot_be_written_is_used_only_if_it_holds_models(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engines = tmp_path / 'share' / 'engines'
    engines.mkdir(parents=True)
    monkeypatch.setattr(paths, 'share_dir', lambda: engines.parent)
    monkeypatch.setattr(os, 'access', lambda path, mode: False)  # root may write everywhere
    (engines / 'README.md').touch()
    assert paths.engines_dir() == home / '.cache' / 'aitable' / 'engines'
    (engines / 'face_mesh.tflite').touch()
    assert paths.engines_dir() == engines


def test_engines_dir_that_does_not_exist_yet_counts_as_writable_if_it_can_be_made(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, 'share_dir', lambda: tmp_path)
    assert paths.engines_dir() == tmp_path / 'engines'
    monkeypatch.setattr(paths, 'share_dir', lambda: tmp_path / 'not' / 'there')
    assert paths.engines_dir() == home / '.cache' / 'aitable' / 'engines'


def test_engines_dir_needs_no_share_dir(home: Path, tmp_path: Path) -> None:
    package = _installed(tmp_path / 'prefix')
    answer = _ask(package, 'paths.engines_dir()', AMENT_PREFIX_PATH='', HOME=str(home))
    assert answer == str(home / '.cache' / 'aitable' / 'engines')


def test_cache_dir(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert paths.cache_dir() == home / '.cache' / 'aitable'
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative/is/ignored')
    assert paths.cache_dir() == home / '.cache' / 'aitable'
    monkeypatch.setenv('XDG_CACHE_HOME', '/xdg')
    assert paths.cache_dir() == Path('/xdg/aitable')
    monkeypatch.setenv(paths.CACHE_DIR_VARIABLE, '~/mine')
    assert paths.cache_dir() == home / 'mine'
