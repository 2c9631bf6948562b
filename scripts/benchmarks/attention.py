#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
What attention costs a face and image beside what runs before it, interleaved in one run.

CPU time of this thread, on the built-in sample: faces (with their seeing conditions), fatigue,
attention, the step of the alerts, and the seeing conditions once more by themselves.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from aitable_ros.model_zoo.loading import loader
from aitable_ros.perception.alerts.observer import AlertObserver
from aitable_ros.perception.alerts.policy import FaceSigns
from aitable_ros.perception.attention.observer import AttentionObserver, AttentionReading
from aitable_ros.perception.faces.observer import FaceObserver, SeenFaces
from aitable_ros.perception.fatigue.observer import FatigueObserver
from aitable_ros.perception.images.seeing import Seeing, SeeingObserver
from aitable_ros.simulation.astronaut_sequence import AstronautSequence


class _Silent:
    def info(self, message: str) -> None: ...

    warning = info


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=600)
    count = parser.parse_args().images
    parameters = {'backend': 'auto', 'engines_dir': '', 'models_file': '', 'threads': 1}
    faces = FaceObserver.load(loader(parameters, _Silent()))
    fatigue, attention, watch = FatigueObserver(), AttentionObserver(), AlertObserver()
    seeing = SeeingObserver()
    sequence = AstronautSequence()
    spent: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begun_s = time.thread_time()
        result = work()
        spent.setdefault(name, []).append(time.thread_time() - begun_s)
        return result

    def look(image: Any, stamp_s: float, seen: SeenFaces) -> None:
        seeing.observe(image, stamp_s)
        for face in seen.faces:
            seeing.of_face(image, face.face_id, face.xywh_px)

    def step(stamp_s: float, readings: list[AttentionReading]) -> None:
        signs = {
            one.face.face_id: FaceSigns(False, zone=one.state.zone, zone_reason=one.reason)
            for one in readings
        }
        watch.faces(stamp_s, signs, attention.present, Seeing.CLEAR)

    def see(image: Any, stamp_s: float) -> None:
        seen = timed('faces', lambda: faces.observe(image, stamp_s))
        tired = timed('fatigue', lambda: fatigue.observe(seen))
        poses = {one.face.face_id: one.pose for one in tired if one.pose}
        timed('seeing conditions', lambda: look(image, stamp_s, seen))
        readings = timed('attention', lambda: attention.observe(seen, poses))
        timed('alerts', lambda: step(stamp_s, readings))

    for i in range(count):
        see(sequence.frame(i % len(sequence)), i / 30)
    for name, times in spent.items():
        mean_ms = 1e3 * sum(times) / len(times)
        print(f'{name:18} mean {mean_ms:6.3f} ms, median {1e3 * median(times):6.3f} ms')
    new = ('seeing conditions', 'attention', 'alerts')
    print(f'new together       mean {1e3 * sum(sum(spent[n]) for n in new) / count:6.3f} ms')
    faces.close()


if __name__ == '__main__':
    main()
