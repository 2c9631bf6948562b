# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from preflight_fixtures import only

from aitable_ros import paths
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.tools import preflight
from aitable_ros.tools.preflight_check import Check, Status


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on() -> None:
    def broken() -> list[Check]:
        raise KeyError('of\ntwo lines')

    found = preflight.run_checks(
        {
            'first': lambda: [Check('a', Status.OK, '1'), Check('b', Status.WARNING, '2')],
            'second': broken,
            'third': lambda: [Check('c', Status.OK, '3')],
        }
    )
    assert [check.name for check in found] == ['a', 'b', 'second', 'c']
    assert found[2].status is Status.ERROR
    assert found[2].summary == r"could not be examined: KeyError: 'of\ntwo lines'"


def test_the_environment_names_the_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(paths.ENGINES_DIR_VARIABLE, str(tmp_path / 'e'))
    monkeypatch.setenv(paths.CACHE_DIR_VARIABLE, str(tmp_path / 'c'))
    checks = preflight.checkers()
    assert only(list(checks['engines folder']())).summary.startswith(f'{tmp_path}/e ')
    assert only(list(checks['cache folder']())).summary.startswith(f'{tmp_path}/c ')


class TestCommand:
    @pytest.mark.parametrize(
        ('statuses', 'expected'),
        [
            ([Status.OK], 0),
            ([Status.OK, Status.WARNING], 1),
            ([Status.ERROR, Status.WARNING, Status.OK], 2),
        ],
    )
    def test_the_exit_status_is_that_of_the_worst(
        self,
        statuses: list[Status],
        expected: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        checks = [Check('name', status, 'summary') for status in statuses]
        monkeypatch.setattr(preflight, 'checkers', lambda *_: {'name': lambda: checks})
        assert preflight.main([]) == expected
        assert capsys.readouterr().out.count('summary') == len(checks)

    def test_a_bare_python_gets_advice_instead_of_a_traceback(
        self, bare_python: Callable[..., Any]
    ) -> None:
        result = bare_python('-m', 'aitable_ros.tools.preflight', '--json')
        assert (result.returncode, result.stderr) == (2, '')
        found: dict[str, list[dict[str, str]]] = {}
        for check in json.loads(result.stdout)['checks']:
            found.setdefault(check['name'], []).append(check)
        missing = {check['summary'].split(':')[0] for check in found['packages']}
        assert missing == {'numpy', 'cv2', 'yaml'}
        assert 'pip install numpy' in found['packages'][0]['advice']
        for name in ('tensorrt', 'pycuda', 'onnxruntime', 'litert', 'pytorch', 'mediapipe'):
            assert found[name][0]['status'] == 'warning', name
            assert 'not installed' in found[name][0]['summary'], name
        assert found['ros'][0]['status'] == 'error'
        assert (
            'install ROS 2' in found['ros'][0]['advice']
            or 'source /opt/ros' in (found['ros'][0]['advice'])
        )
        assert found['models'][0]['status'] == 'error'
        assert 'numpy' in found['models'][0]['summary']

    @pytest.mark.models
    def test_this_python_is_examined_within_seconds(self, engines_dir: Path) -> None:
        result = subprocess.run(
            [sys.executable, '-m', 'aitable_ros.tools.preflight', '--json'],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,  # takes about 2 s; the machine may be busy
        )
        document = json.loads(result.stdout)
        assert result.stderr == ''
        assert result.returncode == Status[document['status'].upper()]
        names = [check['name'] for check in document['checks']]
        assert names[0] == 'python'
        assert {f'model {name}' for name in CONTRACTS} <= set(names)
        assert 'could not be examined' not in result.stdout

    def test_wrong_arguments_are_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            preflight.main(['--what'])
        assert 'usage: preflight' in capsys.readouterr().err
