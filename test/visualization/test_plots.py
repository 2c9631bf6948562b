# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the plots show, read from the figures; how it looks is Matplotlib's business."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from aitable_ros.perception.emotion.expression import (
    EXPRESSIONS,
    HAPPY,
    SAD,
    UNKNOWN,
    EmotionEstimate,
)
from aitable_ros.perception.fatigue.monitor import FatigueMonitor, FatigueSample
from aitable_ros.simulation.script import LidClosure, Person, Script, Span
from aitable_ros.simulation.synthetic_face import camera_stamps, film
from aitable_ros.tools.fatigue_report.recording import sample_of
from aitable_ros.visualization.plots import (
    EmotionTrack,
    FatigueTrack,
    draw_emotion,
    draw_fatigue,
    require_matplotlib,
)

UNSEEN = EmotionEstimate.unknown('test')


def estimate(code, valence=0.5, arousal=-0.5):
    return EmotionEstimate(code, 1.0, np.eye(8)[code], valence, arousal, 'test')


def track_of(estimates, positions=None, *, is_time=True):
    track = EmotionTrack(is_time=is_time)
    for i, each in enumerate(estimates):
        track.add(i * 0.1 if positions is None else positions[i], each)
    return track


def panels(figure):
    figure.canvas.draw()
    return {axes.get_label(): axes for axes in figure.axes}


def line(axes, label):
    return next(each for each in axes.lines if each.get_label() == label).get_xydata()


def spans(axes, label):
    """(N, 2) first and last x of the bars with a label."""
    bars = next(each for each in axes.collections if each.get_label() == label)
    ends = [(p.vertices[:, 0].min(), p.vertices[:, 0].max()) for p in bars.get_paths()]
    return np.array(ends).reshape(-1, 2)


def test_emotion_shares_and_means():
    track = track_of(
        [estimate(HAPPY), estimate(HAPPY), estimate(HAPPY), estimate(SAD, -0.5), UNSEEN]
    )
    assert len(track) == 5
    assert track.shares() == pytest.approx({'happy': 0.6, 'sad': 0.2, 'unknown': 0.2})
    assert next(iter(track.shares())) == 'happy'
    assert track.means() == pytest.approx([0.25, -0.5])
    assert all(math.isnan(mean) for mean in track_of([UNSEEN]).means())
    axes = panels(draw_emotion(track, ''))['shares']
    shown = dict(zip([text.get_text() for text in axes.get_yticklabels()], axes.patches))
    assert list(shown) == [*EXPRESSIONS, 'uncertain', 'unknown']
    assert shown['happy'].get_width() == pytest.approx(0.6)


def test_emotion_over_time_with_gaps_where_nothing_was_measured():
    # Given out of order: 4 s happy, 4 s unknown, 4 s sad, a pause of 8 s, 4 s happy.
    pieces = ((16.0, HAPPY), (0.0, HAPPY), (4.0, UNKNOWN), (8.0, SAD))
    samples = [
        (start_s + i * 0.1, UNSEEN if code == UNKNOWN else estimate(code))
        for start_s, code in pieces
        for i in range(40)
    ]
    track = track_of([each for _, each in samples], [at for at, _ in samples])
    axes = panels(draw_emotion(track, ''))
    for name, value in (('valence', 0.5), ('arousal', -0.5)):
        x, y = line(axes['signals'], name).T
        for at_s, there in ((2.0, True), (6.0, False), (10.0, True), (14.0, False), (18.0, True)):
            assert (np.interp(at_s, x, y) == value) == there
    happy, sad = (axes['probabilities'].collections[code] for code in (HAPPY, SAD))
    assert [p.vertices[:, 0].min() for p in happy.get_paths()] == pytest.approx([0.0, 8.0, 16.0])
    heights = [np.ptp(p.vertices[:, 1]) for p in sad.get_paths()]
    assert heights == pytest.approx([0.0, 1.0, 0.0])
    dots = axes['plane'].collections[0]
    seen = dots.get_offsets()[dots.get_array() < 4.0]
    np.testing.assert_allclose(seen, [(0.5, -0.5)] * len(seen))
    assert axes['signals'].get_xlabel() == 'time [s]'


def test_a_class_that_a_network_lacks_leaves_the_others():
    lacking = np.where(np.arange(8) == 7, np.nan, np.eye(8)[HAPPY])
    track = track_of([EmotionEstimate(HAPPY, 1.0, lacking, 0.5, 0.5, 'test')] * 3)
    happy = panels(draw_emotion(track, ''))['probabilities'].collections[HAPPY]
    assert np.ptp(happy.get_paths()[0].vertices[:, 1]) == 1.0


def test_pictures_are_dots_in_the_colours_of_their_expressions():
    track = track_of([estimate(HAPPY, 0.8), estimate(SAD, -0.6), UNSEEN], (1, 2, 3), is_time=False)
    axes = panels(draw_emotion(track, ''))
    dots = axes['plane'].collections[0]
    np.testing.assert_allclose(dots.get_offsets()[:2], [(0.8, -0.5), (-0.6, -0.5)])
    bars = [axes['shares'].patches[code].get_facecolor() for code in (HAPPY, SAD, 8)]
    np.testing.assert_allclose(dots.get_facecolors(), bars)
    x, y = line(axes['signals'], 'valence').T
    assert math.isnan(np.interp(1.5, x, y)), 'no line joins strangers'


@pytest.mark.parametrize('each', [UNSEEN, estimate(HAPPY)])
@pytest.mark.parametrize('positions', [[0], [5, 5], [1.7e9, 1.7e9 + 1e-6], [-5, 1e7]])
def test_any_track_can_be_drawn(positions, each):
    panels(draw_emotion(track_of([each] * len(positions), positions), ''))


@pytest.mark.filterwarnings('error')
def test_titles_may_have_any_characters_and_are_cut_at_their_front(tmp_path):
    figure = draw_emotion(
        track_of([estimate(HAPPY)]), 'long/' * 80 + 'прогулка \udcff\n 日$a_b$.mp4'
    )
    figure.savefig(tmp_path / 'p.png')
    assert (tmp_path / 'p.png').read_bytes().startswith(b'\x89PNG')
    assert figure.get_size_inches() == pytest.approx((10, 9))
    (title,) = (text for text in figure.texts if 'прогулка' in text.get_text())
    assert title.get_text().startswith('...')
    assert title.get_text().endswith(r'прогулка ?? ?\$a_b\$.mp4')
    box = title.get_window_extent()
    assert box.x0 > 0
    assert box.x1 < 1000


def fatigue_of(script):
    rng = np.random.default_rng(0)
    monitor, track = FatigueMonitor(), FatigueTrack()
    for frame in film(script, Person(), camera_stamps(rng, 30.0, script.duration_s), rng):
        track.add(frame.stamp_s, monitor.update(frame.stamp_s, sample_of(frame)))
    return track


def test_fatigue_is_where_it_happened():
    track = fatigue_of(
        Script(
            duration_s=60.0,
            blinks=(LidClosure(10.0, 10.2),),
            droops=(LidClosure(40.0, 40.7),),
            microsleeps=(LidClosure(20.0, 23.0),),
            yawns=(Span(30.0, 36.0, 0.9),),
            dropouts=(Span(45.0, 50.0),),
        )
    )
    axes = panels(draw_fatigue(track, 'f1'))
    for name, *expected in (
        ('blink', (10.0, 10.2)),
        ('long closure', (20.0, 23.0), (40.0, 40.7)),
        ('microsleep', (20.0, 23.0)),
        ('yawn', (30.5, 35.5)),
    ):
        assert spans(axes['events'], name) == pytest.approx(np.array(expected), abs=0.4)
    assert spans(axes['events'], 'nod').size == 0
    labels = [text.get_text() for text in axes['events'].get_yticklabels()]
    assert labels == ['blink: 1', 'long closure: 2', 'microsleep: 1', 'yawn: 1', 'nod: 0']
    for panel in axes.values():
        calibration, dropout = spans(panel, 'not measured')
        assert calibration == pytest.approx((0.0, 2.0), abs=0.3)
        assert dropout == pytest.approx((45.0, 50.0), abs=0.3)
    x, y = axes['openness'].lines[0].get_xydata().T
    assert y[(x > 20.5) & (x < 22.5)].max() < 0.2
    assert np.isnan(y[(x > 45.5) & (x < 49.5)]).all()
    assert np.nanmax(line(axes['perclos'], 'PERCLOS')[:, 1]) == pytest.approx(0.16, abs=0.03)
    assert line(axes['perclos'], 'severe')[0, 1] == track.settings.level.severe_perclos
    levels = [text.get_text() for text in axes['level'].get_yticklabels()]
    x, y = axes['level'].lines[0].get_xydata().T
    assert levels[int(y[np.searchsorted(x, 25.0)])] == 'microsleep'
    assert axes['level'].get_xlabel() == 'time [min:s]'
    assert '0:50' in [text.get_text() for text in axes['level'].get_xticklabels()]


def test_a_single_state_can_be_drawn(tmp_path):
    track = FatigueTrack()
    track.add(5.0, FatigueMonitor().update(5.0, FatigueSample(math.nan, math.nan)))
    draw_fatigue(track, '').savefig(tmp_path / 'p.png')
    assert (tmp_path / 'p.png').stat().st_size > 1000


def test_without_matplotlib_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    with pytest.raises(ImportError, match='pip install matplotlib'):
        require_matplotlib()


def test_matplotlib_is_imported_by_the_first_figure_and_pyplot_never():
    code = (
        'import sys; from aitable_ros.tools.analyze.command import main; main([]);'
        ' from aitable_ros.visualization import plots; assert "matplotlib" not in sys.modules;'
        ' track = plots.FatigueTrack(); track._rows.extend([0, 1, 0, 0, 1]);'
        ' plots.draw_fatigue(track, "").savefig("/dev/null", format="png");'
        ' assert "matplotlib.pyplot" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True)


@pytest.mark.ros
def test_no_node_imports_matplotlib():
    code = (
        'import importlib, pkgutil, sys; from aitable_ros import nodes;'
        ' [importlib.import_module(f"aitable_ros.nodes.{m.name}")'
        ' for m in pkgutil.iter_modules(nodes.__path__)];'
        ' assert "aitable_ros.nodes.overlay_node" in sys.modules;'
        ' assert "matplotlib" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True)
