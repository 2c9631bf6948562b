#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure the whole way from image to Fatigue message, through real topics.

    source scripts/ros_env.sh
    python3 scripts/benchmarks/pipeline.py [--separate] [--size 1280x720] [--json]

A process of its own publishes the built-in sample like a camera driver; the composed nodes run in
another one, with the parameters and transport settings that are shipped. Prints how many images
were answered, the latency from the image's stamp to the arrival of its Fatigue message in the
camera's process, and what the nodes take: CPU time (user and system, without the start) and
memory (PSS, at the end).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from measured_nodes import ROOT, Nodes, Side, Workload, pss_mb, write_parameters
from sample_camera import Camera

sys.path.insert(0, str(ROOT))

SETTLE_S = 2.0
WORKLOAD = Workload(('face_detection', 'emotion', 'fatigue'), ('faces', 'fatigue'), 2)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seconds', type=float, default=30.0)
    parser.add_argument('--rate', type=float, default=30.0, help='images per second')
    parser.add_argument('--size', default='640x480', help='WIDTHxHEIGHT of the images')
    parser.add_argument('--separate', action='store_true', help='each node in its own process')
    parser.add_argument('--backend', default='auto')
    parser.add_argument('--json', action='store_true', help='print the figures as JSON')
    options = parser.parse_args()

    from aitable_ros.ros_support.process.transport import configure_transport

    configure_transport()
    figures = measure(options)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f'{name:36s} {value}')
    return 0


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Run the nodes and the camera, and compute the figures."""
    side = Side('benchmark', composed=not options.separate)
    with tempfile.TemporaryDirectory() as folder:
        parameters = Path(folder) / 'parameters.yaml'
        backend = {'backend': options.backend}
        write_parameters(parameters, {'face_detection': backend, 'fatigue': backend})
        with (
            Camera(options.size, options.rate) as camera,
            Nodes(WORKLOAD, side, parameters, subprocess.DEVNULL) as nodes,
        ):
            camera.wait_for(nodes)
            found = camera.measure(nodes, SETTLE_S, options.seconds)
            memory_mb = pss_mb(nodes.pids)
    latencies_ms = found.latency_ms['fatigue'] or (np.nan,)
    p50, p90, p99 = (float(value) for value in np.percentile(latencies_ms, (50, 90, 99)))
    return {
        'images': f'{options.size} bgr8 at {options.rate:g} Hz for {options.seconds:g} s',
        'nodes': 'separate processes' if options.separate else 'composed',
        'sent': found.sent,
        'answered': found.answered,
        'answered_percent': round(100 * found.answered / found.sent, 2),
        'latency_p50_ms': round(p50, 2),
        'latency_p90_ms': round(p90, 2),
        'latency_p99_ms': round(p99, 2),
        'cpu_ms_per_image': round(found.cpu_ms, 2),
        'pss_mb': round(memory_mb, 1),
    }


if __name__ == '__main__':
    sys.exit(main())
