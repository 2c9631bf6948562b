# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
A bag replayed live at any rate gives what process_bag gives, of the frames that were seen.

Fatigue is a state over time: where a frame is overtaken, all that follows has seen one frame less.
So what is asked for, byte for byte, is: everything up to the first frame that was missed, and
everything when offline only those frames are fed that the live run saw (as long as the fatigue
node still had their images: where it had not, its message says so).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from rclpy.serialization import deserialize_message

from aitable_msgs.msg import Fatigue
from aitable_ros.bags import BagTarget, SampleBag, make_sample_bag

pytestmark = [pytest.mark.models, pytest.mark.ros]

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts' / 'compare_replay.py'
CONTENT = SampleBag(seconds=4.0, fps=15, size_px=(320, 240))


def load_script() -> Any:
    import sys

    spec = importlib.util.spec_from_file_location('compare_replay', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


compare = load_script()


@pytest.fixture(scope='module')
def bag(engines_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('live') / 'sample.mcap'
    make_sample_bag(BagTarget(path, 'mcap'), CONTENT)
    return path


@pytest.fixture(scope='module')
def offline(bag: Path) -> Any:
    return compare.offline(bag)


def test_offline_there_is_something_to_compare(offline: Any) -> None:
    """Every frame has its message, the eyes open and close, blinks are counted."""
    messages = [deserialize_message(data, Fatigue) for one in offline.values() for data in one]
    assert len(messages) == 60
    assert {Fatigue.EYES_OPEN, Fatigue.EYES_CLOSED} <= {message.eye_state for message in messages}
    assert messages[-1].blink_count == 1


# 40: more than any machine keeps up with, so that frames are overtaken for certain
@pytest.mark.parametrize('rate', [0.5, 1.0, 4.0, 40.0])
def test_live_equals_offline(bag: Path, offline: Any, rate: float) -> None:
    live = compare.live(bag, rate)
    print(f'rate {rate}: {len(live.missed)} of {len(live.sent)} frames were missed')
    assert len(live.sent) == 60
    assert live.fatigue_overtaken == 0
    assert set(live.fatigue) == live.seen
    comparable = live.comparable
    before = live.before_first_missed & comparable
    assert compare.equal(offline, live.fatigue, before) == len(before)
    same_frames = offline if not live.missed else compare.offline(bag, live.seen)
    assert set(same_frames) == set(live.fatigue)
    assert compare.equal(same_frames, live.fatigue, comparable) == len(comparable)
    if rate <= 1.0:
        assert len(comparable) > len(live.sent) * 3 / 4, 'there is little left to compare'
    if rate == 40.0:
        assert live.missed


def test_a_frame_less_is_seen(bag: Path, offline: Any) -> None:
    """The comparison can fail: one frame less in the closing of an eye changes what follows."""
    stamps = sorted(offline)
    without = compare.offline(bag, set(stamps) - {stamps[44]})
    later = stamps[45:]
    assert compare.equal(offline, without, stamps[:44]) == 44
    assert compare.equal(offline, without, later) < len(later)
