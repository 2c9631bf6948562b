# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""uPlot comes as exactly the package that was expected, or not at all."""

from __future__ import annotations

import pytest

from aitable_ros.tools import fetch_charts as command
from aitable_ros.web import charts
from aitable_ros.web.charts import ChartsError, charts_dir, fetch_charts, read_charts


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv('AITABLE_CACHE_DIR', str(tmp_path / 'cache'))


@pytest.fixture
def fetched():
    try:
        return fetch_charts()
    except ChartsError as error:
        pytest.skip(str(error))


def test_it_lies_in_the_cache_with_its_licence(fetched):
    assert fetched == charts_dir()
    found = read_charts()
    assert b'uPlot' in found['uPlot.esm.js']
    assert b'MIT' in found['LICENSE']
    assert {path.name for path in fetched.iterdir()} == {*charts.FILES}


def test_what_is_damaged_is_not_used_and_brought_again(fetched):
    (fetched / 'uPlot.esm.js').write_text('alert(1)')
    assert read_charts() == {}
    fetch_charts()
    assert read_charts()


def test_another_package_is_refused(tmp_path, capsys):
    package = tmp_path / 'uplot.tgz'
    package.write_bytes(b'something else')
    assert command.main(['--from', str(package)]) == 1
    assert 'its sha256 differs' in capsys.readouterr().err
    assert not charts_dir().exists()
    assert command.main(['--from', str(tmp_path / 'none.tgz')]) == 1


def test_without_npm_it_is_said_how_to_bring_it_by_hand(monkeypatch, capsys):
    monkeypatch.setattr('shutil.which', lambda name: None)
    assert command.main([]) == 1
    said = capsys.readouterr().err
    assert f'npm pack {charts.PACKAGE}' in said
    assert 'fetch_charts --from FILE' in said
