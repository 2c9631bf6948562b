# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from aitable_ros.tools.support.isolation import Outcome, run_isolated

PROBES = """
import os, signal, sys, time

def gives(*values):
    yield from values

def raises(values):
    yield from values
    raise ValueError('of two\\nlines')

def is_killed(number):
    yield 'before'
    os.kill(os.getpid(), number)

def aborts(text):
    sys.stderr.write(text + '\\n\\n')
    os.abort()
    yield

def exits(status):
    yield 'before'
    os._exit(status)

def hangs():
    yield 'before'
    time.sleep(60)

def prints():
    print('to stdout')
    os.system('echo to stdout, natively')
    yield 'a message'
    sys.stderr.write('to stderr')

def tells_its_path():
    yield sys.path
"""


@pytest.fixture
def probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / 'probes_of_test_isolation.py').write_text(PROBES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'probes_of_test_isolation', raising=False)
    return importlib.import_module('probes_of_test_isolation')


def test_what_it_yields_comes_back(probes: ModuleType) -> None:
    values = [None, 1.5, 'ä\n', {'a': [True]}]
    assert run_isolated(probes.gives, *values, timeout_s=60) == Outcome(tuple(values))


def test_an_exception_is_one_line_after_what_came_before(probes: ModuleType) -> None:
    outcome = run_isolated(probes.raises, [1, 2], timeout_s=60)
    assert outcome == Outcome((1, 2), 'ValueError: of two lines')


@pytest.mark.parametrize('number', [signal.SIGSEGV, signal.SIGILL, signal.SIGKILL])
def test_a_crash_is_named(probes: ModuleType, number: signal.Signals) -> None:
    outcome = run_isolated(probes.is_killed, number, timeout_s=60)
    assert outcome == Outcome(('before',), f'was ended by {number.name}')


def test_last_words_are_passed_on(probes: ModuleType) -> None:
    outcome = run_isolated(probes.aborts, 'terminate called', timeout_s=60)
    assert outcome == Outcome((), 'was ended by SIGABRT (terminate called)')


def test_leaving_early_is_a_failure(probes: ModuleType) -> None:
    outcome = run_isolated(probes.exits, 3, timeout_s=60)
    assert outcome == Outcome(('before',), 'exited with status 3')


def test_a_timeout_keeps_what_came_before(probes: ModuleType) -> None:
    outcome = run_isolated(probes.hangs, timeout_s=2)
    assert outcome == Outcome(('before',), 'took longer than 2 s')


def test_printing_disturbs_nobody(probes: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_isolated(probes.prints, timeout_s=60) == Outcome(('a message',))
    assert capfd.readouterr() == ('', '')


def test_it_imports_from_where_this_process_does(probes: ModuleType) -> None:
    (path,) = run_isolated(probes.tells_its_path, timeout_s=60).messages
    wanted = [entry for entry in sys.path if entry]
    assert [entry for entry in path if entry in wanted] == list(dict.fromkeys(wanted))
    assert '' not in path


def test_it_works_from_a_module_that_is_run(tmp_path: Path) -> None:
    (tmp_path / 'tool.py').write_text(
        'from aitable_ros.tools.support.isolation import run_isolated\n'
        'def probe(): yield __name__\n'
        'if __name__ == "__main__": print(run_isolated(probe, timeout_s=60).messages)\n'
    )
    root = Path(__file__).resolve().parents[3]
    result = subprocess.run(
        [
            sys.executable,
            '-c',
            f'import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}];'
            'import runpy; runpy.run_module("tool", run_name="__main__", alter_sys=True)',
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "('tool',)\n"
