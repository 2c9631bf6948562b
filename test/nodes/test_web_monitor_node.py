# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The web monitor: from real topics to what a page is sent, and back where it may control."""

from __future__ import annotations

import gc
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import time
import weakref

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
pytest.importorskip('aiohttp', reason='aiohttp is not installed')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_fixtures import set_parameter, until
from std_srvs.srv import Trigger
from web_clients import LOCAL, Page, deaf_client, get, socket_status
from web_peers import BOX, STRIPES, Peers, port_of, web_monitor

from aitable_msgs.msg import Alert, Event
from aitable_ros.nodes.web_monitor_node import WebMonitorNode


def picture_of(page):
    """Read until a picture comes; return its stamp and (H, W, 3) RGB."""
    before = len(page.pictures)
    while len(page.pictures) == before:
        page.next()
    data = page.pictures[-1]
    bgr = cv2.imdecode(np.frombuffer(data[8:], np.uint8), cv2.IMREAD_COLOR)
    return struct.unpack('>d', data[:8])[0], cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def contrast(picture, box):
    """Give how much the rows of a place vary, with the stripes of the image about 90."""
    x, y, width, height = (round(v) for v in box)
    return float(picture[y : y + height, x : x + width, 0].std(axis=1).mean())


MIDDLE = (BOX[0] + 10, BOX[1] + 10, BOX[2] - 20, BOX[3] - 20)
ELSEWHERE = (4, 200, 80, 30)


class TestReadings:
    def test_all_fields_come_by_their_names_and_what_is_not_measured_as_null(
        self, graph, tmp_path
    ):
        node = web_monitor(graph, tmp_path)
        peers = Peers(graph)
        with Page(port_of(node)) as page:
            page.until('settings')
            peers.sit(node, 5.0, person_id='f1')
            peers.show(5.0, 'f1', blink_count=7, level_reason='as ever')
            readings = page.until('readings')
        assert readings['stamp'] == 5.0
        (person,) = readings['people']
        assert person['id'] == 'f1'
        assert person['emotion']['label'] == 'happy'
        assert person['emotion']['arousal'] is None
        assert person['fatigue']['perclos'] is None
        assert person['fatigue']['blink_count'] == 7
        assert person['fatigue']['level_reason'] == 'as ever'
        assert person['fatigue']['left_ear'] == pytest.approx(0.31)
        assert person['posture']['state'] == 3

    def test_events_and_alerts_come_and_a_new_page_is_told_of_them(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path)
        events, alerts = graph.run(
            lambda: [
                graph.peer.create_publisher(Event, 'events', 10),
                graph.peer.create_publisher(
                    Alert,
                    'alerts',
                    QoSProfile(depth=32, durability=DurabilityPolicy.TRANSIENT_LOCAL),
                ),
            ]
        )
        for publisher in (events, alerts):
            assert until(lambda p=publisher: p.get_subscription_count() > 0)
        with Page(port_of(node)) as page:
            assert page.until('alerts') == []
            event = Event(person_id='f1', kind=Event.YAWN, duration=5.5, value=0.8)
            event.start.sec = 1000
            events.publish(Event(person_id='f1', kind=Event.BLINK))
            events.publish(event)
            alert = Alert(person_id='f1', cause=Alert.ASLEEP, level=Alert.WARNING, reason='why')
            alerts.publish(alert)
            assert until(lambda: node.happened.greeting()['alerts'].count('why') == 1)
            assert until(lambda: 'f1' in node.happened.greeting()['events'])
        with Page(port_of(node)) as page:
            (shown,) = page.until('events')
            assert (shown['start'], shown['kind'], shown['duration']) == (1000.0, Event.YAWN, 5.5)
            (on,) = page.until('alerts')
            assert (on['level'], on['reason']) == (Alert.WARNING, 'why')
            alert.level = Alert.NONE
            alerts.publish(alert)
            assert page.until('alerts') == []

    def test_images_follow_at_no_more_than_the_rate_and_each_is_the_newest(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path, max_rate=5.0)
        peers = Peers(graph)
        with Page(port_of(node)) as page:
            for n in range(31):
                peers.show(5.0 + n / 30, 'f1')
                time.sleep(0.01)
            while not page.heard or page.heard[-1].get('readings', {}).get('stamp') != 6.0:
                page.next()
            stamps = [h['readings']['stamp'] for h in page.heard if 'readings' in h]
        assert len(stamps) <= 6

    def test_nobody_is_there(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path)
        peers = Peers(graph)
        with Page(port_of(node)) as page:
            page.until('settings')
            peers.show(5.0)
            assert page.until('readings')['people'] == []

    def test_what_the_nodes_say_of_themselves_comes_and_what_others_say_does_not(
        self, graph, tmp_path
    ):
        node = web_monitor(graph, tmp_path)
        send = graph.run(lambda: graph.peer.create_publisher(DiagnosticArray, '/diagnostics', 10))
        assert until(lambda: send.get_subscription_count() > 0)
        status = DiagnosticStatus(
            name='face_detection',
            hardware_id='aitable',
            level=b'\x01',
            message='latency 300 ms',
            values=[KeyValue(key='face_mesh skipped tensorrt', value='there is no GPU')],
        )
        other = DiagnosticStatus(name='motor', hardware_id='robot')
        with Page(port_of(node)) as page:
            send.publish(DiagnosticArray(status=[other, status]))
            while True:
                heard = page.until('status')
                assert heard['name'] != 'motor'
                if heard['name'] == 'face_detection':
                    break
        assert heard['level'] == 1
        assert heard['message'] == 'latency 300 ms'
        assert heard['values'] == [['face_mesh skipped tensorrt', 'there is no GPU']]
        with Page(port_of(node)) as late:  # it is told at once
            while late.until('status')['name'] != 'face_detection':
                pass


class TestHistory:
    def test_a_page_that_comes_later_is_told_what_was(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path, history=10.0, max_rate=30.0)
        peers = Peers(graph)
        for n in range(60):
            peers.show(5.0 + n / 4, 'f1', blink_count=n)
            time.sleep(0.02)
        last = 5.0 + 59 / 4
        assert until(lambda: node._history.rows() and node._history.rows()[-1][0] >= last - 0.5)
        with Page(port_of(node)) as page:
            history = page.until('history')
        stamps = [row[0] for row in history['rows']]
        assert stamps[-1] - stamps[0] <= 10.0
        assert 10 <= len(stamps) <= 21
        assert min(np.diff(stamps)) >= 0.5
        row = dict(zip(history['columns'], history['rows'][-1]))
        assert (row['face_id'], row['expression'], row['perclos']) == ('f1', 'happy', None)

    def test_a_reset_forgets_it(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path)
        Peers(graph).show(5.0, 'f1')
        assert until(lambda: node._history.rows())
        graph.trigger('/web_monitor/reset')
        assert node._history.rows() == []


class TestPrivacy:
    def test_by_default_no_image_is_received_and_the_picture_shows_landmarks_alone(
        self, graph, tmp_path
    ):
        node = web_monitor(graph, tmp_path)
        peers = Peers(graph)
        with Page(port_of(node)) as page:
            page.until('settings')
            peers.show(5.0, 'f1')
            stamp_s, picture = picture_of(page)
            time.sleep(0.5)
            assert peers.camera.get_subscription_count() == 0
        assert stamp_s == 5.0
        assert picture.shape == STRIPES.shape
        assert contrast(picture, ELSEWHERE) < 2.0
        assert picture.std() > 2.0  # the readings

    def test_without_privacy_it_is_the_very_image_and_only_while_a_page_is_open(
        self, graph, tmp_path
    ):
        node = web_monitor(graph, tmp_path, privacy='none')
        peers = Peers(graph)
        peers.show(4.0, 'f1')
        time.sleep(0.5)
        assert peers.camera.get_subscription_count() == 0
        with Page(port_of(node)) as page:
            peers.image(node, 5.0)
            peers.show(5.0, 'f1')
            stamp_s, picture = picture_of(page)
        assert stamp_s == 5.0
        assert contrast(picture, ELSEWHERE) > 60.0
        assert contrast(picture, MIDDLE) > 60.0
        assert until(lambda: peers.camera.get_subscription_count() == 0)

    def test_blurred_are_faces_and_where_they_were_last(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path, privacy='blur')
        peers = Peers(graph)
        with Page(port_of(node)) as page:
            for stamp_s, faces in ((5.0, ('f1',)), (6.0, ()), (40.0, ())):
                peers.image(node, stamp_s)
                peers.show(stamp_s, *faces)
                _, picture = picture_of(page)
                assert contrast(picture, ELSEWHERE) > 60.0
                if stamp_s < 40.0:
                    assert contrast(picture, MIDDLE) < 25.0
                else:
                    assert contrast(picture, MIDDLE) > 60.0

    def test_there_may_be_no_picture_at_all(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path, privacy='no_image')
        peers = Peers(graph)
        with Page(port_of(node)) as page:
            page.until('settings')  # from now on it is served
            for stamp_s in (5.0, 6.0, 7.0):
                peers.show(stamp_s, 'f1')
                page.until('readings')
            assert page.pictures == []

    def test_it_can_be_changed_at_any_time(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path, privacy='none')
        peers = Peers(graph)
        with Page(port_of(node)) as page:
            assert page.until('settings')['privacy'] == 'none'
            peers.image(node, 5.0)
            peers.show(5.0, 'f1')
            picture_of(page)
            assert graph.run(lambda: set_parameter(node, 'privacy', 'mesh')).successful
            assert page.until('settings')['privacy'] == 'mesh'
            peers.show(6.0, 'f1')
            assert contrast(picture_of(page)[1], ELSEWHERE) < 2.0
            assert until(lambda: peers.camera.get_subscription_count() == 0)

    def test_wide_pictures_are_made_smaller(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path, max_width=160)
        peers = Peers(graph)
        with Page(port_of(node)) as page:
            page.until('settings')
            peers.show(5.0, 'f1')
            assert picture_of(page)[1].shape == (120, 160, 3)


class TestControl:
    def test_who_may_look_only_changes_nothing(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path)
        with Page(port_of(node)) as page:
            assert page.until('settings')['control'] is False
            page.send('{"do": "set", "name": "privacy", "value": "none"}')
            Peers(graph).show(5.0)
            page.until('readings')
            time.sleep(0.3)
        assert node.params['privacy'] == 'mesh'

    def test_privacy_and_overlay_are_set_and_nothing_else(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path, control=True)
        with Page(port_of(node)) as page:
            for text in (
                '{"do": "set", "name": "max_clients", "value": 1}',
                '{"do": "set", "name": "control", "value": false}',
                '{"do": "set", "name": ["privacy"], "value": "none"}',
                '{"do": "set", "name": "privacy", "value": 5}',
                '{"do": "shutdown"}',
                '{}',
            ):
                page.send(text)
            page.send('{"do": "set", "name": "privacy", "value": "all"}')
            assert 'not one of none, blur' in page.until('answer')
            page.send('{"do": "set", "name": "draw_axes", "value": false}')
            assert page.until('answer') == 'draw_axes: False'
        assert node.params['draw_axes'] is False
        assert node.params['max_clients'] == 32
        assert node.params['privacy'] == 'mesh'
        assert node.meters.failures == 0

    def test_the_nodes_services_are_called(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path, control=True)
        called = []

        def serve(name):
            def answer(request, response):
                called.append(name)
                response.message = f'{name} done'
                return response

            graph.peer.create_service(Trigger, name, answer)

        graph.run(lambda: [serve('/posture/calibrate'), serve('/emotion/reload')])
        with Page(port_of(node)) as page:
            page.send('{"do": "calibrate"}')
            assert page.until('answer') == '/posture/calibrate: /posture/calibrate done'
            page.send('{"do": "reload"}')
            assert page.until('answer') == '/emotion/reload: /emotion/reload done'
        assert called == ['/posture/calibrate', '/emotion/reload']

    def test_a_node_that_is_not_there_is_said(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path, control=True)
        with Page(port_of(node)) as page:
            page.send('{"do": "calibrate"}')
            assert page.until('answer') == '/posture/calibrate: there is no such node'


class TestServing:
    def test_over_the_network_the_token_is_needed(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path, host='0.0.0.0')
        port = port_of(node)
        assert socket_status(port) == 401
        token = (tmp_path / 'token').read_text().strip()
        with Page(port, token=token) as page:
            assert page.until('settings')
        assert token not in node.url
        status = graph.status(lambda s: s.name == 'web_monitor' and 'http' in str(s.values))
        values = {pair.key: pair.value for pair in status.values}
        assert values['page'] == node.url
        assert token not in str(status)

    def test_pages_connect_again_after_a_reload_at_another_place(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path)
        before = port_of(node)
        with Page(before) as page:
            page.until('settings')
            graph.run(lambda: set_parameter(node, 'max_clients', 1))
            graph.run(lambda: set_parameter(node, 'control', True))
            assert graph.trigger('/web_monitor/reload').success
            while page.close_code is None:
                page.next()
        with Page(port_of(node)) as page:
            assert page.until('settings')['control'] is True
            assert socket_status(port_of(node)) == 503

    def test_nothing_of_it_is_left_when_it_is_gone(self, graph, tmp_path):
        node = web_monitor(graph, tmp_path)
        with Page(port_of(node)) as page:
            page.until('settings')
        graph.remove(node)
        left = weakref.ref(node)
        del node
        assert until(lambda: gc.collect() >= 0 and left() is None)

    @pytest.mark.parametrize('name', ['token_file', 'tls_certificate', 'tls_key'])
    def test_other_processes_cannot_name_files(self, graph, tmp_path, name):
        node = web_monitor(graph, tmp_path)
        with pytest.raises(ValueError, match='only files in folders that the node was started'):
            node.params.from_outside([Parameter(name, value='/etc/hostname')])

    def test_a_port_in_use_is_said(self, graph, tmp_path):
        taken = port_of(web_monitor(graph, tmp_path))
        node = graph.make(WebMonitorNode, 'second', port=taken, token_file=str(tmp_path / 'token'))
        assert until(lambda: 'cannot be listened on' in node.notice)
        assert until(lambda: node.state == 'inactive')

    @pytest.mark.parametrize(
        ('parameters', 'reason'),
        [
            ({'tls_certificate': 'none.pem', 'tls_key': 'none.pem'}, 'tls_certificate, tls_key: '),
            ({'tls_key': 'k.pem'}, 'tls_certificate and tls_key go together'),
            ({'token_file': '/proc/token'}, 'the token cannot be kept in /proc/token'),
        ],
    )
    def test_what_it_cannot_be_configured_with_is_said(self, graph, tmp_path, parameters, reason):
        node = graph.make(
            WebMonitorNode, **{'port': 0, 'token_file': str(tmp_path / 'token'), **parameters}
        )
        assert until(lambda: reason in node.health()[1]), node.health()
        assert node.url == ''

    def test_without_aiohttp_it_says_so(self, graph, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, 'aitable_ros.web.server', None)
        node = graph.make(WebMonitorNode, port=0, token_file=str(tmp_path / 'token'))
        assert until(lambda: 'python3-aiohttp' in node.health()[1])


class TestProcess:
    def start(self, tmp_path, *arguments, **options):
        command = [sys.executable, '-m', 'aitable_ros.nodes.web_monitor_node', '--ros-args']
        for argument in ('port:=0', f'token_file:={tmp_path / "token"}', *arguments):
            command += ['-p', argument]
        log = (tmp_path / 'log').open('w')
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options
        )

    def port(self, tmp_path):
        text = (tmp_path / 'log').read_text
        assert until(lambda: 'the page is at' in text(), 30.0), text()
        return int(re.search(r'the page is at http://[^:]+:(\d+)/', text())[1])

    def test_being_told_to_end_ends_it_within_three_seconds(self, tmp_path):
        process = self.start(tmp_path)
        try:
            port = self.port(tmp_path)
            with Page(port) as page, Page(port), deaf_client(port):
                page.until('settings')
                began_s = time.monotonic()
                process.send_signal(signal.SIGTERM)
                process.wait(10.0)
                assert time.monotonic() - began_s < 3.0
        finally:
            process.kill()
            process.wait()
        assert 'Traceback' not in (tmp_path / 'log').read_text()

    def test_the_link_goes_to_the_terminal_and_into_no_log(self, tmp_path):
        controller, terminal = pty.openpty()

        def take_terminal():
            os.setsid()
            import fcntl
            import termios

            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

        process = self.start(tmp_path, 'host:=0.0.0.0', preexec_fn=take_terminal)
        try:
            port = self.port(tmp_path)
            shown = b''
            while select.select([controller], [], [], 2.0)[0]:
                shown += os.read(controller, 65536)
            token = (tmp_path / 'token').read_text().strip()
            assert f':{port}/#token={token}' in shown.decode()
            assert token not in (tmp_path / 'log').read_text()
            assert str(tmp_path / 'token') in (tmp_path / 'log').read_text()
            assert b'200 OK' in get(port, '/', Host=f'{LOCAL}:{port}')
        finally:
            process.terminate()
            process.wait(10.0)
