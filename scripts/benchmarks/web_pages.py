#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure what open pages of web_monitor cost the nodes that it shows.

    source scripts/ros_env.sh
    python3 scripts/benchmarks/web_pages.py --pages 20 --rounds 10
    python3 scripts/benchmarks/web_pages.py --pages 20 --rounds 90     # half an hour

The composed nodes get the built-in sample at 30 Hz from a process of its own, in turns of ten
seconds: with nobody looking, and with so many pages open, and one more that never reads. The pages
are WebSockets of one further process on this machine, so that they cost it more than those of
others would. Latency runs from the image's stamp to the arrival of its Fatigue in the camera's
process; the age of a picture from the stamp to its arrival at a page.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measured_nodes import ROOT, WORKLOADS, Nodes, Side, cpu_s
from sample_camera import Camera, Round

sys.path.insert(0, str(ROOT))

SETTLE_S, MEASURE_S = 2.0, 8.0
SIDE = Side('watched_by_pages')


@contextlib.contextmanager
def web_monitor(folder: Path, privacy: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run web_monitor; give its process and port."""
    log = folder / 'web.log'
    command = [sys.executable, '-m', 'aitable_ros.nodes.web_monitor_node', '--ros-args']
    command += ['-r', f'__ns:=/{SIDE.name}', '-p', 'port:=0', '-p', f'privacy:={privacy}']
    command += ['-p', f'token_file:={folder / "token"}', '-p', 'max_clients:=256']
    with log.open('wb') as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
    try:
        while not (found := re.search(r'http://[\d.]+:(\d+)/', log.read_text())):
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.1)
        yield process, int(found[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20.0)


@contextlib.contextmanager
def open_pages(port: int, count: int) -> Iterator[subprocess.Popen[str]]:
    """Hold pages open, and one that never reads; the process tells ages when its input ends."""
    command = [sys.executable, __file__, '--be-pages', f'{port}', '--pages', f'{count}']
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
        socket.create_connection(('127.0.0.1', port)) as deaf,
    ):
        deaf.sendall(
            f'GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n'
            'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
            'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'.encode()
        )
        yield process


async def be_pages(port: int, count: int) -> None:
    """Read what comes until the input ends; print the ages of the pictures [s] as JSON."""
    import aiohttp

    ages: list[float] = []

    async def page(session: aiohttp.ClientSession) -> None:
        url = f'http://127.0.0.1:{port}/socket'
        async with session.ws_connect(url, protocols=('aitable',), max_msg_size=0) as opened:
            async for message in opened:
                if message.type == aiohttp.WSMsgType.BINARY:
                    ages.append(time.time() - struct.unpack('>d', message.data[:8])[0])

    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(page(session)) for _ in range(count)]
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(ages))


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process [MB]."""
    status = Path(f'/proc/{pid}/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+)', status)[1]) * 1024 / 1e6  # type: ignore[index]


def report(without: list[Round], with_pages: list[Round]) -> None:
    """Print the latencies of both, and how they grow, round by round."""
    medians = []
    for name, rounds in (('nobody', without), ('pages', with_pages)):
        latencies = [ms for one in rounds for ms in one.latency_ms['fatigue']]
        p50, p99 = np.percentile(latencies, (50, 99))
        sent, answered = sum(r.sent for r in rounds), sum(r.answered for r in rounds)
        print(f'{name:8s} latency p50 {p50:.1f} ms, p99 {p99:.1f} ms; {answered}/{sent} answered')
        medians.append([statistics.median(r.latency_ms['fatigue']) for r in rounds])
    growth = [100 * (b / a - 1) for a, b in zip(*medians)]
    print(f'p50 with pages: {statistics.median(growth):+.1f} % (median of the rounds)')


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().partition('\n')[0])
    parser.add_argument('--pages', type=int, default=20)
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--privacy', default='mesh')
    parser.add_argument('--be-pages', type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be_pages:
        asyncio.run(be_pages(options.be_pages, options.pages))
        return
    without, with_pages, ages, memory, cpu = [], [], [], [], 0.0
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context((folder / 'nodes.log').open('wb'))
        camera = stack.enter_context(Camera('640x480', 30.0))
        workload = WORKLOADS['default']
        nodes = stack.enter_context(Nodes(workload, SIDE, log))
        web, port = stack.enter_context(web_monitor(folder, options.privacy))
        camera.wait_for(nodes)
        for number in range(options.rounds):
            without.append(camera.measure(nodes, SETTLE_S, MEASURE_S))
            with open_pages(port, options.pages) as pages:
                before_s = cpu_s([web.pid])
                with_pages.append(camera.measure(nodes, SETTLE_S, MEASURE_S))
                cpu += cpu_s([web.pid]) - before_s
                ages += json.loads(pages.communicate()[0])
            memory.append(rss_mb(web.pid))
            print(f'round {number + 1}: web_monitor {memory[-1]:.1f} MB', flush=True)
    report(without, with_pages)
    p50, p99 = np.percentile(ages, (50, 99)) * 1e3
    rate = len(ages) / (options.rounds * (SETTLE_S + MEASURE_S) * options.pages)
    print(f'pictures: {rate:.1f} a second and page, age p50 {p50:.0f} ms, p99 {p99:.0f} ms')
    busy = 100 * cpu / (options.rounds * (SETTLE_S + MEASURE_S))
    print(f'web_monitor: {busy:.0f} % of a core with {options.pages} pages')
    print(f'memory: {memory[0]:.1f} MB after round 1, {memory[-1]:.1f} MB at the end')


if __name__ == '__main__':
    main()
