# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The page in a real Chromium: what a person sees of what the nodes publish."""

from __future__ import annotations

import csv
import gc
import math
import os
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
pytest.importorskip('aiohttp', reason='aiohttp is not installed')
pytest.importorskip('selenium', reason='selenium is not installed')

from browser import Browser
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_fixtures import image_message, set_parameter, until
from std_srvs.srv import Trigger
from web_peers import BOX, STRIPES, Peers, port_of, web_monitor

from aitable_msgs.msg import Alert, Event
from aitable_ros.web.charts import ChartsError, fetch_charts

LATCHED = QoSProfile(depth=32, durability=DurabilityPolicy.TRANSIENT_LOCAL)

TURNED = 4
"""Fatigue.TURNED"""


@pytest.fixture(scope='module')
def _browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp('downloads'))
    yield browser
    browser.close()


@pytest.fixture
def browser(_browser):
    """The module's Chromium, with nothing left in it; at the end nothing was complained of."""
    gc.collect()  # with many graphs of earlier tests still there, DDS finds no new ones
    _browser.driver.get('about:blank')
    _browser.appear()
    _browser.complaints()
    _browser.requested()
    yield _browser
    assert [one for one in _browser.complaints() if 'WebSocket connection' not in one] == []


@pytest.fixture
def no_charts(monkeypatch, tmp_path):
    monkeypatch.setenv('AITABLE_CACHE_DIR', str(tmp_path / 'cache'))


class Stream:
    """Publishes the same readings again and again, as cameras do, until told others."""

    def __init__(self, peers, *face_ids, **fields):
        self.peers, self.stamp_s = peers, 100.0
        self.face_ids, self.fields = face_ids, fields
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def say(self, *face_ids, **fields):
        self.face_ids, self.fields = face_ids, fields

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _run(self):
        while not self._ended.wait(0.05):
            self.stamp_s += 0.1
            if self.peers.camera.get_subscription_count():
                self.peers.camera.publish(image_message(STRIPES, self.stamp_s))
                time.sleep(0.01)
            self.peers.show(self.stamp_s, *self.face_ids, **self.fields)


@pytest.fixture
def opened(graph, tmp_path, browser):
    """Open the page of a web_monitor with these parameters."""

    def open_page(**parameters):
        node = web_monitor(graph, tmp_path, **parameters)
        peers = Peers(graph)
        browser.driver.get(node.url)
        assert browser.says('#status', 'connected')
        return node, peers

    return open_page


@contextmanager
def foreign_page():
    """Serve an empty page of another origin."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Type', 'text/html')
            self.end_headers()
            self.wfile.write(b'<link rel="icon" href="data:,">')

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(('127.0.0.1', 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}/'
        server.shutdown()


class TestCards:
    def test_readings_are_shown_and_change(self, browser, opened):
        _, peers = opened()
        with Stream(peers, 'f1', blink_count=3, level_reason='as ever') as stream:
            assert browser.says('#person-f1', 'happy (60 %)')
            assert browser.says('#person-f1 .badge', 'alert')
            assert browser.says('#person-f1', 'as ever')
            assert browser.text('#f1-ear') == '0.31, 0.32'
            assert browser.text('#f1-blinks').startswith('3')
            stream.say('f1', blink_count=4, level=3, level_reason='PERCLOS 16 %')
            assert browser.says('#f1-blinks', '4')
            assert browser.says('#person-f1 .badge', 'severe')

    def test_who_leaves_is_said_to_have_left(self, browser, opened):
        _, peers = opened()
        with Stream(peers, 'f1', 'f2') as stream:
            assert browser.says('#person-f2', 'alert')
            assert browser.text('#nobody') == ''
            stream.say('f1')
            assert browser.says('#person-f2 .badge', 'left 1 s ago')
            assert 'left' not in browser.text('#person-f1 .badge')
            stream.say()
            assert browser.says('#nobody', 'Nobody is there')

    def test_what_is_not_known_has_its_reason(self, browser, opened):
        _, peers = opened()
        with Stream(
            peers,
            'f1',
            visibility=TURNED,
            eye_state=0,
            level=0,
            level_reason='only 2 s of 60 s seen',
            perclos_observed_s=2.0,
        ):
            assert browser.says('#f1-eyes', 'not known: the head is turned too far')
            assert browser.says('#person-f1 .badge', 'not known')
            assert browser.says('#person-f1', 'only 2 s of 60 s seen')
            assert browser.text('#f1-perclos') == 'not yet: 2 s seen'
            assert browser.text('#f1-head') == 'not measured'

    def test_where_somebody_looks(self, browser, opened):
        _, peers = opened()
        with Stream(peers, 'f1', zone=2, zone_s=12.4, zone_reason='from the eyes'):
            assert browser.says('#f1-looks', 'down at the table for 12 s (from the eyes)')

    def test_posture_is_that_persons(self, browser, opened):
        node, peers = opened(max_age=60.0)
        peers.sit(node, 100.0, person_id='f2', state_reason='neck 18 % shorter')
        with Stream(peers, 'f1', 'f2'):
            assert browser.says('#f2-posture', 'slouching: neck 18 % shorter')
            assert browser.text('#f2-distance') == '55 cm'
            assert browser.text('#f1-posture') == ''

    def test_what_messages_say_is_text_never_markup(self, browser, opened):
        _, peers = opened()
        evil = '<img src=x onerror=document.title=1>'
        with Stream(peers, 'f1', level_reason=evil):
            assert browser.says('#person-f1', evil)
        assert browser.driver.title == 'aitable'


class TestPicture:
    def middle(self, picture):
        x, y, width, height = (round(v) for v in BOX)
        return picture[y + 15 : y + height - 15, x + 15 : x + width - 15, 0].astype(float)

    @pytest.mark.parametrize(
        ('privacy', 'face', 'rest'),
        [('none', (60, 130), (60, 130)), ('blur', (0, 25), (60, 130)), ('mesh', (0, 5), (0, 5))],
    )
    def test_shows_as_much_as_privacy_lets(self, browser, opened, privacy, face, rest):
        _, peers = opened(privacy=privacy)
        with Stream(peers, 'f1'):
            assert until(lambda: browser.run('return picture.dataset.stamp'))
            picture = browser.pixels()
        assert picture.shape == STRIPES.shape
        assert face[0] <= self.middle(picture).std(axis=1).mean() <= face[1]
        assert rest[0] <= picture[200:230, 4:84, 0].astype(float).std(axis=1).mean() <= rest[1]

    def test_may_not_be_there_at_all(self, browser, opened):
        _, peers = opened(privacy='no_image')
        with Stream(peers, 'f1'):
            assert browser.says('#person-f1', 'happy')
            assert browser.says('#picture-note', 'shows no pictures')
            assert browser.run('return picture.hidden')

    def test_goes_on_and_is_of_the_readings_image(self, browser, opened):
        _, peers = opened(privacy='none')
        with Stream(peers, 'f1') as stream:
            stamp = 'return Number(picture.dataset.stamp || 0)'
            assert until(lambda: browser.run(stamp) > 100.0)
            before = browser.run(stamp)
            assert until(lambda: browser.run(stamp) > before + 1.0)
            assert browser.run(stamp) <= stream.stamp_s + 0.1

    def test_that_does_not_come_is_said(self, browser, opened):
        _, peers = opened(privacy='none')
        for n in range(3):
            peers.show(5.0 + n, 'f1')  # without its image
        assert browser.says('#picture-note', 'do not reach this page')


class TestConnection:
    def test_two_tabs_show_the_same(self, browser, opened):
        node, peers = opened()
        with Stream(peers, 'f1', blink_count=5):
            back = browser.in_new_tab(node.url)
            assert browser.says('#f1-blinks', '5')
            back()
            assert browser.says('#f1-blinks', '5')
        assert until(lambda: node._server.clients == 1)

    def test_comes_back_when_the_node_does(self, graph, tmp_path, browser, opened):
        node, peers = opened()
        port = port_of(node)
        with Stream(peers, 'f1', blink_count=1):
            assert browser.says('#f1-blinks', '1')
        graph.remove(node)
        assert browser.says('#status', 'not connected')
        assert not browser.run('return !door.hidden')
        web_monitor(graph, tmp_path, port=port)
        assert browser.says('#status', 'connected')
        with Stream(Peers(graph), 'f1', blink_count=2):
            assert browser.says('#f1-blinks', '2')

    def test_silence_is_said(self, browser, opened):
        _, peers = opened()
        peers.show(5.0, 'f1')
        assert browser.says('#person-f1', 'happy')
        assert browser.says('#status', 'no readings for')

    def test_a_link_with_the_token_opens_it_and_the_address_does_not_show_it(
        self, graph, tmp_path, browser
    ):
        node = web_monitor(graph, tmp_path, token='always')
        token = (tmp_path / 'token').read_text().strip()
        browser.driver.get(f'{node.url}#token={token}')
        assert browser.says('#status', 'connected')
        assert browser.driver.current_url == node.url
        browser.driver.refresh()
        assert browser.says('#status', 'connected')

    def test_without_it_the_page_asks(self, graph, tmp_path, browser):
        node = web_monitor(graph, tmp_path, token='always')
        browser.driver.get(node.url)
        assert browser.says('#door', 'wants the token')
        assert until(lambda: node._server.refused > 0)
        token = (tmp_path / 'token').read_text().strip()
        browser.driver.find_element('id', 'token').send_keys(f'{token}\n')
        assert browser.says('#status', 'connected')
        assert browser.run('return door.hidden')

    def test_a_foreign_page_does_not_get_to_read(self, graph, tmp_path, browser):
        node = web_monitor(graph, tmp_path)
        with foreign_page() as foreign:
            browser.driver.get(foreign)
        said = browser.driver.execute_async_script(
            'const done = arguments[1], socket = new WebSocket(arguments[0]);'
            'socket.onmessage = socket.onopen = () => done("open");'
            'socket.onerror = () => done("refused");',
            node.url.replace('http', 'ws') + 'socket',
        )
        assert said == 'refused'
        assert node._server.refused == 1

    def test_asks_no_other_host_for_anything(self, browser, opened):
        node, peers = opened()
        with Stream(peers, 'f1'):
            assert browser.says('#person-f1', 'happy')
            browser.click('#csv')
        hosts = {urlsplit(url).netloc for url in browser.requested()} - {''}
        assert hosts == {urlsplit(node.url).netloc}


class TestCurves:
    def test_are_drawn_by_uplot(self, browser, opened, monkeypatch, tmp_path):
        if 'AITABLE_CACHE_DIR' not in os.environ:
            monkeypatch.setenv('AITABLE_CACHE_DIR', str(tmp_path / 'cache'))
        try:
            fetch_charts()
        except ChartsError as error:
            pytest.skip(str(error))
        _, peers = opened()
        with Stream(peers, 'f1'):
            assert until(lambda: browser.run('return document.querySelectorAll(".uplot").length'))
            assert browser.says('#curves', 'Eye aspect ratio')
            assert browser.says('.u-legend', '0.31')
        assert browser.text('#curves-note') == ''

    def test_are_numbers_without_it_and_the_page_says_how_to_get_it(
        self, browser, no_charts, opened
    ):
        _, peers = opened()
        with Stream(peers, 'f1'):
            assert browser.says('#curves td', '0.31')
        assert 'fetch_charts' in browser.text('#curves-note')

    def test_go_as_csv_onto_the_disk(self, browser, opened, tmp_path):
        browser.driver.execute_cdp_cmd(
            'Browser.setDownloadBehavior',
            {'behavior': 'allow', 'downloadPath': str(tmp_path)},
        )
        _, peers = opened()
        with Stream(peers, 'f1', blink_count=9):
            assert until(lambda: browser.run('return whose.value') == 'f1')
            browser.click('#csv')
            file = tmp_path / 'aitable.csv'
            assert until(file.is_file)
        rows = list(csv.DictReader(file.open()))
        assert {row['face_id'] for row in rows} == {'f1'}
        assert rows[-1]['expression'] == 'happy'
        assert rows[-1]['blink_count'] == '9'
        assert rows[-1]['perclos'] == ''
        assert float(rows[-1]['stamp']) > 100.0


class TestNodes:
    def test_say_how_they_are_and_what_runs(self, graph, browser, opened):
        from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

        opened()
        send = graph.run(lambda: graph.peer.create_publisher(DiagnosticArray, '/diagnostics', 10))
        assert until(lambda: send.get_subscription_count() > 0)
        value = KeyValue(key='face_mesh skipped tensorrt', value='there is no GPU')
        status = DiagnosticStatus(name='fatigue', hardware_id='aitable', level=b'\x01')
        status.message, status.values = 'latency 300 ms', [value]
        send.publish(DiagnosticArray(status=[status]))
        assert browser.says('#node-fatigue', 'warning; latency 300 ms')
        browser.click('#node-fatigue summary')
        send.publish(DiagnosticArray(status=[status]))
        assert browser.says('#node-fatigue', 'there is no GPU')
        assert browser.says('#node-web_monitor', 'in order')


class TestControl:
    def test_is_not_offered_where_one_can_look_only(self, browser, opened):
        opened()
        assert browser.says('#picture-note', 'landmarks only')
        assert browser.run('return document.querySelector("#control-part").hidden')

    def test_privacy_and_overlay_are_switched(self, browser, opened):
        node, _ = opened(control=True)
        assert browser.says('#control', 'Calibrate')
        browser.click('#privacy option[value=blur]')
        assert until(lambda: node.params['privacy'] == 'blur')
        assert browser.says('#picture-note', 'faces are blurred', 15.0)
        browser.click('#draw_axes')
        assert until(lambda: node.params['draw_axes'] is False)
        browser.click('#calibrate')
        assert browser.says('#answer', 'there is no such node')

    def test_what_is_set_elsewhere_is_shown(self, graph, browser, opened):
        node, _ = opened(control=True)
        assert browser.says('#control', 'Calibrate')
        graph.run(lambda: set_parameter(node, 'privacy', 'no_image'))
        assert until(lambda: browser.run('return privacy.value') == 'no_image')


CONTRASTS = """
const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = rgb => {
  const [r, g, b] = rgb.map(v => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const parse = text => text.match(/[\\d.]+/g).map(Number);
const ground = node => {
  for (; node; node = node.parentElement) {
    const [r, g, b, a = 1] = parse(getComputedStyle(node).backgroundColor);
    if (a > 0) return [r, g, b];
  }
  return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !node.checkVisibility()) continue;
  const style = getComputedStyle(node);
  const ink = node instanceof SVGElement ? style.fill : style.color;
  const [a, b] = [luminance(parse(ink).slice(0, 3)), luminance(ground(node))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) found.push([walker.currentNode.textContent, ratio]);
}
return found;
"""


class TestForEverybody:
    @pytest.mark.parametrize('dark', [False, True])
    def test_contrasts_are_enough(self, browser, opened, dark):
        browser.appear(dark=dark)
        _, peers = opened(control=True)
        with Stream(peers, *(f'f{n}' for n in range(6))):
            assert browser.says('#person-f5', 'happy')
            for level in range(6):
                browser.run(
                    'document.querySelector(arguments[0]).className = arguments[1]',
                    f'#person-f{level} .badge',
                    f'badge level{level}',
                )
            assert browser.run(CONTRASTS) == []

    def test_everything_has_a_name_and_is_reached_by_keyboard(self, browser, opened):
        opened(control=True)
        assert browser.says('#control', 'Calibrate')
        nameless = browser.run(
            'return [...document.querySelectorAll("button, select, input, canvas")]'
            '.filter(n => !(n.innerText.trim() || n.ariaLabel || n.labels?.length))'
            '.map(n => n.outerHTML)'
        )
        assert nameless == []
        from selenium.webdriver import Keys

        reached = []
        for _ in range(10):
            browser.driver.switch_to.active_element.send_keys(Keys.TAB)
            reached.append(browser.run('return document.activeElement.id'))
        expected = ['whose', 'csv', 'calibrate', 'reload', 'privacy', 'draw_mesh']
        assert [name for name in reached if name in expected] == expected

    @pytest.mark.parametrize('size', [(360, 740), (1920, 1080)])
    def test_nothing_is_wider_than_the_screen(self, browser, opened, size):
        browser.appear(size=size)
        _, peers = opened(control=True)
        with Stream(peers, 'f1', level_reason='a reason that is rather long ' * 4):
            assert browser.says('#person-f1', 'rather long')
            assert browser.run('return document.documentElement.scrollWidth') <= size[0]


@pytest.mark.models
class TestWhatHappens:
    def publish(self, graph, *messages):
        kinds = {Event: ('events', 10), Alert: ('alerts', LATCHED)}
        for message in messages:
            publisher = graph.run(
                lambda m=message: graph.peer.create_publisher(type(m), *kinds[type(m)])
            )
            assert until(lambda p=publisher: p.get_subscription_count() > 0)
            publisher.publish(message)

    def test_alerts_are_shown_most_urgent_first_until_they_are_over(self, graph, browser, opened):
        opened()
        hint = Alert(person_id='f2', cause=Alert.LOOKING_AWAY, level=Alert.HINT, reason='away')
        warning = Alert(person_id='f1', cause=Alert.ASLEEP, level=Alert.WARNING, reason='asleep')
        self.publish(graph, hint, warning)
        assert browser.says('#alerts', 'warning: f1: asleep')
        assert browser.says('#alerts', 'hint: f2: away')
        words = browser.text('#alerts')
        assert words.index('asleep') < words.index('away')
        assert browser.text('#acknowledge') == ''
        over = Alert(person_id='f1', cause=Alert.ASLEEP, level=Alert.NONE)
        self.publish(graph, over)
        assert until(lambda: 'asleep' not in browser.text('#alerts'))

    def test_events_are_listed_newest_first_with_markup_as_text(self, graph, browser, opened):
        opened()
        yawn = Event(person_id='<b>f1</b>', kind=Event.YAWN, duration=5.25, truncated=True)
        posture = Event(person_id='f1', kind=Event.POSTURE_CHANGED, value=3.0, duration=math.nan)
        self.publish(graph, yawn, posture)
        assert browser.says('#events', '<b>f1</b>: yawn, at least 5.3 s')
        assert browser.says('#events', 'f1: posture changed: slouching')
        words = browser.text('#events')
        assert words.index('slouching') < words.index('yawn')

    def test_an_alert_is_acknowledged_where_control_is_allowed(self, graph, browser, opened):
        called = []

        def handle(request, response):
            called.append(True)
            response.success, response.message = True, '1 alerts are acknowledged'
            return response

        graph.run(lambda: graph.peer.create_service(Trigger, 'attention/acknowledge', handle))
        opened(control=True)
        self.publish(graph, Alert(person_id='f1', level=Alert.WARNING, reason='asleep'))
        assert browser.says('#alerts', 'asleep')
        browser.click('#acknowledge')
        assert until(lambda: called)
        assert browser.says('#answer', '1 alerts are acknowledged')


def test_the_sample_is_seen(graph, tmp_path, browser, engines_dir):
    from aitable_ros.nodes.emotion_node import EmotionNode
    from aitable_ros.nodes.face_detection_node import FaceDetectionNode
    from aitable_ros.nodes.fatigue_node import FatigueNode
    from aitable_ros.nodes.image_source_node import ImageSourceNode

    for node_class in (FaceDetectionNode, EmotionNode, FatigueNode):
        graph.make(node_class, engines_dir=str(engines_dir))
    graph.make(ImageSourceNode, source='sample', publish_images=False)
    node = web_monitor(graph, tmp_path, privacy='none')
    browser.driver.get(node.url)
    assert browser.says('[id^=person-]', 'happy', 30.0)
    assert browser.says('[id$=-eyes]', 'closed', 30.0)
    assert browser.says('[id$=-eyes]', 'open', 30.0)
    assert until(lambda: browser.run('return picture.dataset.stamp'))
    assert browser.pixels().std() > 30.0
    assert graph.peer.count_publishers('/image_raw') == 0
