# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Engines built by the real TensorRT-RTX, parser and builder, on a machine without a GPU.

``pytest -rP`` prints the seconds per network. AITABLE_RTX_EVERY_PAIR=1: every precision of every
form, as CI has it; else every form once and every precision once.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from rtx_children import build_every_way, build_unknown_operator

from aitable_ros.inference.tensorrt.sidecar import Gpu, read_sidecar
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.engine_building import rtx_builder
from aitable_ros.model_zoo.engine_building.build_options import EngineBuildError
from aitable_ros.model_zoo.engine_building.rtx_builder import (
    BY_DEFAULT,
    targets_for,
)
from aitable_ros.model_zoo.store import SOURCES, original_path
from aitable_ros.tools.build_engines.command import main
from aitable_ros.tools.support.isolation import run_isolated

rtx = pytest.importorskip(
    'tensorrt_rtx_bindings', reason='needs TensorRT-RTX: scripts/test.sh --optional'
)
pytestmark = pytest.mark.models

HAS_TORCH = importlib.util.find_spec('torch') is not None
NETWORKS = [*SOURCES, *(name for name in CONTRACTS if name.startswith('emonet') and HAS_TORCH)]
"""EmoNet's weights are the user's own, here random ones. EmotiEffLib's networks come as ONNX files
that cannot be had without its repository."""


@pytest.fixture
def folder(engines_dir, tmp_path):
    for name in SOURCES:
        file = original_path(name, engines_dir)
        shutil.copyfile(file, tmp_path / file.name)
    return tmp_path


@pytest.fixture(scope='module')
def building(engines_dir, tmp_path_factory):
    """What builds each network, as many at a time as there are CPUs."""
    folder = tmp_path_factory.mktemp('rtx')
    for name in SOURCES:
        file = original_path(name, engines_dir)
        shutil.copyfile(file, folder / file.name)
    ways = 'every pair' if os.environ.get('AITABLE_RTX_EVERY_PAIR') else 'every one'
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    yield {
        name: pool.submit(
            run_isolated,
            build_every_way,
            name,
            str(folder),
            # but for its last layer it is emonet
            'own' if (name, ways) == ('emonet_5', 'every one') else ways,
            timeout_s=500,
        )
        for name in NETWORKS
    }
    pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize('name', NETWORKS)
def test_every_network_builds_in_every_form_and_precision(building, name):
    outcome = building[name].result()
    built = outcome.messages
    for form, precision, took, size, _ in built:
        print(f'{name}: {form} {precision}: {took:.1f} s, {size / 1e6:.1f} MB')
    print(f'{name}: {len(built)} plans in {sum(row[2] for row in built):.1f} s')
    assert not outcome.failure
    precisions = {precision for _, precision, *_ in built}
    if name == 'fer':
        assert precisions == {'fp32', 'tf32', 'fp16'}
    else:
        assert precisions in ({'fp32', 'tf32', 'fp16', 'int8'}, {'fp16'})
    for _, precision, _, size, flags in built:
        assert size > 100_000
        assert flags == (['TF32'] if precision == 'tf32' else [])


def test_an_operator_that_it_does_not_know_is_named(folder):
    outcome = run_isolated(build_unknown_operator, str(folder), timeout_s=60)
    assert not outcome.failure
    (reason,) = outcome.messages
    assert 'does not take the network' in reason
    assert 'Conjecture' in reason


class TestCommand:
    def build(self, folder, *arguments):
        return main(['fer', '--rtx', '--engines-dir', str(folder), *arguments])

    def test_builds_and_records_what_it_was_built_for(self, folder, capsys):
        engine = folder / 'fer.rtx'
        compiled = folder / 'fer.rtx.cache'
        compiled.write_bytes(b'kernels of another plan')
        assert self.build(folder, '--compute-capabilities', '8.9,8.6') == 0
        assert not compiled.exists()
        record = read_sidecar(engine)
        assert engine.read_bytes().startswith(b'vtrt')
        assert (record.gpu, record.targets) == (None, ('8.6', '8.9'))
        assert (record.tensorrt, record.precision) == (rtx.__version__, 'fp16')
        assert record.options['strongly_typed']
        assert self.build(folder, '--compute-capabilities', '8.6,8.9') == 0
        assert 'is up to date' in capsys.readouterr().out
        assert self.build(folder, '--list') == 0
        row = next(
            line for line in capsys.readouterr().out.splitlines() if line.startswith('fer.rtx')
        )
        assert '8.6 8.9' in row

    @pytest.mark.parametrize(
        ('arguments', 'told'),
        [
            (['--compute-capabilities', '8.7'], 'no kernels for compute capability 8.7'),
            (['--version-compatible'], '--version-compatible is not for TensorRT-RTX'),
            (['--tactic-sources', 'CUDNN'], '--tactic-sources is not for TensorRT-RTX'),
        ],
    )
    def test_what_it_cannot_is_one_line(self, folder, capsys, arguments, told):
        assert self.build(folder, *arguments) == 1
        assert told in capsys.readouterr().err.splitlines()[-1]
        assert not (folder / 'fer.rtx').exists()


def test_without_a_name_it_is_this_machine_s_gpu_or_all_from_ampere_on(monkeypatch):
    monkeypatch.setattr(rtx_builder, 'local_gpu', lambda: Gpu('RTX 4090', '8.9', 128))
    assert targets_for(()) == ('8.9',)
    monkeypatch.setattr(rtx_builder, 'local_gpu', lambda: 'there is none')
    assert targets_for(()) == BY_DEFAULT
    assert targets_for(('8.6', '7.5')) == ('7.5', '8.6')
    monkeypatch.setattr(rtx_builder, 'local_gpu', lambda: Gpu('NVIDIA H200', '9.0', 132))
    with pytest.raises(EngineBuildError, match='no kernels for compute capability 9.0'):
        targets_for(())
