# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The command line of build_engines, without TensorRT."""

from __future__ import annotations

import dataclasses
import errno
import re
import shlex
from types import SimpleNamespace

import onnx
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt.sidecar import EngineSidecar, Gpu, sidecar_path
from aitable_ros.model_zoo import files
from aitable_ros.model_zoo.engine_building.build_options import DEFAULTS, BuildOptions
from aitable_ros.tools.build_engines import command, run

pytestmark = pytest.mark.models
MEDIAPIPE = (
    *('face_detection', 'face_detection_full', 'face_detection_back'),
    *('face_mesh', 'face_attention', 'fer'),
    *('pose_detection', 'pose_landmark'),
)
ORIN = Gpu('Orin', '8.7', 8)


def _main(folder, *arguments):
    return command.main([*arguments, '--engines-dir', str(folder)])


def _refused(capsys, folder, *arguments):
    """Return the last line of a command that fails."""
    assert _main(folder, *arguments) == 1
    return capsys.readouterr().err.splitlines()[-1]


class TestHelp:
    def test_tells_what_emonet_s_own_defaults_are_and_no_others(self, capsys):
        with pytest.raises(SystemExit):
            command.main(['--help'])
        words = ' '.join(capsys.readouterr().out.split())
        told = re.findall(r'(--[a-z0-9-]+) N (?:(?! --).)*of EmoNet (\d+)', words)
        own = {f'--{name.replace("_", "-")}': str(n) for name, n in DEFAULTS['emonet'].items()}
        assert dict(told) == own


class TestDryRun:
    def test_shows_source_tensors_precision_and_the_trtexec_command(self, folder, capsys):
        before = sorted(folder.iterdir())
        assert _main(folder, 'face_detection', '--dry-run', '--max-batch', '4') == 0
        out, err = capsys.readouterr()
        rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines()}
        assert rows['face_detection:'] == f'{folder}/face_detection.engine'
        assert rows['from'].startswith(f'{folder}/face_detection.tflite (converted) (sha256 ')
        assert rows['inputs'] == 'image uint8[N,128,128,3]'
        assert re.fullmatch(r'fp16, \d+ layers in FP32', rows['precision'])
        assert rows['batches'] == '1-1-1 and 1-4-4'
        assert {'--fp16', '--precisionConstraints=obey'} <= set(shlex.split(rows['trtexec']))
        assert 'values up to' in err
        assert sorted(folder.iterdir()) == before

    def test_onnx_files_are_saved_as_tensorrt_gets_them(self, folder):
        target = folder / 'onnx' / 'files'
        assert _main(folder, 'face_mesh', '--save-onnx', str(target), '--strongly-typed') == 0
        model = onnx.load(str(target / 'face_mesh.onnx'))
        types = {constant.data_type for constant in model.graph.initializer}
        assert onnx.TensorProto.FLOAT16 in types

    def test_a_folder_for_onnx_files_that_cannot_be_written_is_one_line(self, folder, capsys):
        target = folder / 'face_mesh.json' / 'onnx'
        error = _refused(capsys, folder, 'face_detection', '--save-onnx', str(target))
        assert error == f'build_engines: error: {target} cannot be written: Not a directory'

    def test_onnx_files_that_do_not_fit_on_the_disk_leave_nothing(
        self, folder, monkeypatch, capsys
    ):
        def full(descriptor):
            raise OSError(errno.ENOSPC, 'No space left on device')

        monkeypatch.setattr(files.os, 'fsync', full)
        target = folder / 'onnx'
        error = _refused(capsys, folder, 'face_detection', '--save-onnx', str(target))
        assert 'cannot be written: No space left on device' in error
        assert not list(target.iterdir())

    def test_what_cannot_be_built_is_one_line(self, folder, capsys):
        source = folder / 'face_detection.onnx'
        error = _refused(capsys, folder, 'face_mesh', '--dry-run', '--onnx', str(source))
        assert error.startswith(f'build_engines: error: face_mesh: {source} is not this network: ')


RECORD = EngineSidecar(
    *('face_mesh', 'k', 's', 4, 'o', 'face_mesh.tflite', '10.3.0', ORIN),
    precision='fp16',
    inputs=(),
    outputs=(),
    batches=((1, 1, 1), (1, 4, 4)),
)


class TestList:
    @pytest.mark.parametrize(
        ('gpu', 'version', 'content', 'compatible', 'state'),
        [
            (ORIN, '10.3.0', b'plan', False, 'ok'),
            (ORIN, '10.7.0', b'plan', True, 'ok'),
            (
                dataclasses.replace(ORIN, multiprocessors=4),
                '10.3.0',
                b'plan',
                False,
                'another GPU',
            ),
            (ORIN, '10.7.0', b'plan', False, 'is for another TensorRT'),
            (ORIN, '10.3.0', b'pl', False, 'is damaged'),
            ('there is no CUDA device', '10.3.0', b'plan', False, 'cannot run here'),
            (ORIN, None, b'plan', False, 'cannot run here'),
        ],
    )
    def test_shows_each_engine_s_state(
        self, tmp_path, monkeypatch, capsys, gpu, version, content, compatible, state
    ):
        def load(modules):
            if version is None:
                raise InferenceError('there is no TensorRT')
            return SimpleNamespace(__version__=version)

        monkeypatch.setattr(command, 'local_gpu', lambda: gpu)
        monkeypatch.setattr(command, 'load_tensorrt', load)
        engine = tmp_path / 'face_mesh.engine'
        engine.write_bytes(content)
        record = dataclasses.replace(RECORD, version_compatible=compatible)
        sidecar_path(engine).write_text(record.to_json())
        (tmp_path / 'face_attention.engine').write_bytes(b'')
        assert _main(tmp_path, '--list', *MEDIAPIPE) == 0
        rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
        assert rows['face_mesh.engine'].split()[3:7] == ['fp16', '4', '10.3.0', 'Orin']
        assert rows['face_mesh.engine'].endswith(state)
        assert rows['face_attention.engine'].endswith('has no record')
        assert rows['face_detection.engine'].endswith('is missing')
        tensorrt = f'TensorRT {version}' if version else 'there is no TensorRT'
        assert rows['This'] == f'This machine: {gpu}; {tensorrt}'

    def test_brings_nothing(self, tmp_path):
        assert _main(tmp_path / 'absent', '--list') == 0
        assert not (tmp_path / 'absent').exists()


class TestArguments:
    @pytest.mark.parametrize(
        ('arguments', 'told'),
        [
            (['no_such'], 'unknown model .no_such.* --onnx'),
            (['--onnx', 'x.onnx'], 'exactly one model'),
            (['a', 'b', '--onnx', 'x.onnx'], 'exactly one model'),
            (['../a', '--onnx', 'x.onnx'], 'cannot be the name of a file'),
            (['.a', '--onnx', 'x.onnx'], 'cannot be the name of a file'),
            (['face_mesh', '--precision', 'int8'], 'needs a folder of pictures'),
            (['face_mesh', '--max-batch', '0'], 'max_batch 0'),
        ],
    )
    def test_that_are_wrong_are_one_line(self, tmp_path, capsys, arguments, told):
        assert _main(tmp_path, *arguments) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith('build_engines: error: ')
        assert re.search(told, line)

    def test_reach_the_build(self, tmp_path, monkeypatch):
        built = []
        monkeypatch.setattr(
            run,
            'run_build',
            lambda request, verbose: built.append(request) or run.Outcome('ok'),
        )
        arguments = '--precision fp16 --max-batch 4 --workspace-mib 64 --optimization-level 1'
        form = '--fp32-first 2 --form dense --tactic-sources JIT_CONVOLUTIONS,CUDNN'
        flags = '--version-compatible --strongly-typed --force'
        assert _main(tmp_path, 'face_mesh', *f'{arguments} {form} {flags}'.split()) == 0
        (request,) = built
        assert (request.name, request.force, request.onnx_file) == ('face_mesh', True, None)
        assert request.spec.name == 'face_mesh'
        assert request.options == BuildOptions(
            precision='fp16',
            fp32_first=2,
            form='dense',
            max_batch=4,
            workspace_mib=64,
            optimization_level=1,
            version_compatible=True,
            strongly_typed=True,
            tactic_sources=('JIT_CONVOLUTIONS', 'CUDNN'),
        )
