"""The page as it is served: by HTTP, and in a browser."""

import json
import os
import re
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from mmcpm.apis.web_demo.jobs import Jobs
from mmcpm.apis.web_demo.limits import Limits
from mmcpm.apis.web_demo.serve import SETTINGS
from mmcpm.apis.web_demo.session_files import SessionFiles

WAIT_SECONDS = 60


@pytest.fixture
def served(inferencer, video_writer, half_bright, beeps, monkeypatch):
    """The page of a known model, its address and its folder of files."""
    pytest.importorskip('gradio', reason='Gradio is not installed: [demo]')
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    with tempfile.TemporaryDirectory() as folder, \
            tempfile.TemporaryDirectory() as outside:  # fmt: skip
        monkeypatch.setenv('GRADIO_TEMP_DIR', folder)
        from mmcpm.apis.web_demo.launch import launch_options
        from mmcpm.apis.web_demo.page import build_page

        files = SessionFiles(folder)
        jobs = Jobs(inferencer, Limits(4.0, 1.0, 64 * 64), files.keep)
        images = [half_bright] * 20
        clip = video_writer(
            Path(outside, 'one beep.mp4'),
            images,
            sound=beeps(2, [1]),
            sound_codec='aac',
        )
        page = build_page(jobs, files, [clip], fps=2)
        _, address, _ = page.launch(
            **launch_options(jobs, '127.0.0.1', None),
            prevent_thread_lock=True,
            allowed_paths=[outside],
        )
        try:
            yield address.rstrip('/'), files.folder, clip
        finally:
            page.close(verbose=False)


@pytest.fixture
def short_queue(monkeypatch):
    """One job may wait."""
    page = pytest.importorskip('mmcpm.apis.web_demo.page')
    monkeypatch.setattr(page, 'LONGEST_QUEUE', 1)


@pytest.fixture
def client(served):
    """A visitor without a browser."""
    from gradio_client import Client

    visitor = Client(served[0], verbose=False)
    yield visitor
    visitor.close()


def post(address, name, content):
    """Upload a file; give the path that the server answers."""
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; '
        f'filename="{name}"\r\nContent-Type: video/mp4\r\n\r\n'
    )
    body = head.encode() + content + f'\r\n--{boundary}--\r\n'.encode()
    request = urllib.request.Request(
        f'{address}/gradio_api/upload',
        body,
        {'Content-Type': f'multipart/form-data; boundary={boundary}'},
    )
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
        return json.load(answer)[0]


def call(address, clip):
    """Ask for a clip by bare HTTP; give the events that are answered."""
    request = urllib.request.Request(
        f'{address}/gradio_api/call/segment',
        json.dumps({'data': [clip, 2]}).encode(),
        {'Content-Type': 'application/json'},
    )
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
        event = json.load(answer)['event_id']
    with urllib.request.urlopen(
        f'{address}/gradio_api/call/segment/{event}', timeout=WAIT_SECONDS
    ) as answer:
        return answer.read().decode()


def given(path):
    """A file of the server, as a browser names it."""
    return {'path': str(path), 'meta': {'_type': 'gradio.FileData'}}


def spans(text):
    """Titles of the bars of a time line."""
    return re.findall(r'title="([^"]+)"', text)


def test_a_clip_its_silence_and_its_swap(served, client):
    from gradio_client import handle_file

    clip = handle_file(str(served[2]))
    video, line, notes, *_ = client.predict(clip, 2, api_name='/segment')
    assert Path(video).stat().st_size > 1000
    assert spans(line)[0].startswith('1.0 to 2.0 s')
    assert not notes
    answer, line, _ = client.predict(
        'mute', None, None, 2, api_name='/compare'
    )
    assert answer['label'] == 'With silence'
    assert spans(line) == []
    answer, line, _ = client.predict(
        'swap', None, clip, 2, api_name='/compare'
    )
    assert answer['label'] == 'With the sound of one beep.mp4'
    assert len(spans(line)) == 1


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        (b'just a text', 'is no video that this page takes'),
        (b'#EXTM3U\n#EXT-X-MEDIA\nfile:///etc/passwd', 'is no video'),
        (b'\0\0\0\x18ftypmp42' + bytes(100), 'bad.mp4'),
    ],
)
def test_what_is_no_video_is_told_without_a_path(
    served, client, content, told
):
    path = post(served[0], '../../bad.mp4', content)
    assert Path(path).resolve().is_relative_to(served[1])
    with pytest.raises(Exception, match=told) as caught:
        client.predict(given(path), 2, api_name='/segment')
    message = str(caught.value)
    assert message.startswith('bad.mp4 ')
    assert str(served[1]) not in message
    assert not re.search(r'(?<!\w)/\w+/', message)


@pytest.mark.parametrize(
    'name', ['../../../x.mp4', '..%2f..%2fx.mp4', '/etc/x.mp4', '..\\x.mp4']
)
def test_names_of_uploads_stay_in_the_folder(served, name):
    path = post(served[0], name, served[2].read_bytes())
    assert Path(path).resolve().is_relative_to(served[1])
    assert Path(path).is_file()
    outside = (*served[1].parents, Path('/etc'), Path.cwd())
    assert not [p for p in outside if (p / 'x.mp4').exists()]


def test_files_of_the_server_are_no_clips(served, tmp_path):
    secret = tmp_path / 'secret.mp4'
    secret.write_bytes(served[2].read_bytes())
    found = call(served[0], given(post(served[0], 'a.mp4', b'text')))
    assert 'event: error' in found and 'a.mp4' in found
    found = call(
        served[0], given(post(served[0], 'a.mp4', served[2].read_bytes()))
    )
    assert 'event: complete' in found
    found = call(served[0], given(secret))
    assert 'event: error' in found
    assert 'overlay' not in found
    assert list(served[1].rglob('secret*')) == []
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f'{served[0]}/gradio_api/file={secret}')
    assert refused.value.code in (403, 404)


def test_addresses_are_not_fetched(served):
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        other.settimeout(0.5)
        address = f'http://127.0.0.1:{other.getsockname()[1]}/a.mp4'
        for form in (given(address), {**given('a.mp4'), 'url': address}):
            assert 'event: error' in call(served[0], form)
            with pytest.raises(TimeoutError):
                other.accept()


def test_a_large_upload_is_cut_off(served):
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(served[0], 'large.mp4', bytes(1_100_000))
    assert caught.value.code == 413
    assert not list(served[1].rglob('large.mp4'))


def test_two_at_once_wait_for_each_other(served, client):
    from gradio_client import Client, handle_file

    other = Client(served[0], verbose=False)
    clip = handle_file(str(served[2]))
    jobs = [
        visitor.submit(clip, 2, api_name='/segment')
        for visitor in (client, other)
    ]
    lines = [job.result(WAIT_SECONDS)[1] for job in jobs]
    assert lines[0] == lines[1]
    other.close()


def test_a_full_queue_is_said(short_queue, served, client, monkeypatch):
    from gradio_client import handle_file

    release = threading.Event()
    segment = Jobs.segment

    def wait(*args):
        assert release.wait(WAIT_SECONDS)
        return segment(*args)

    monkeypatch.setattr(Jobs, 'segment', wait)
    clip = handle_file(str(served[2]))
    jobs = [client.submit(clip, 2, api_name='/segment') for _ in range(4)]
    end = time.monotonic() + WAIT_SECONDS
    while sum(job.done() for job in jobs) < 2:
        assert time.monotonic() < end
        time.sleep(0.1)
    release.set()
    told = [str(job.exception(WAIT_SECONDS)) for job in jobs]
    assert sum('Queue is full' in one for one in told) == 2
    assert told.count('None') == 2


def test_the_page_asks_nothing_of_the_network(served):
    with urllib.request.urlopen(served[0]) as answer:
        text = answer.read().decode()
    config = json.loads(
        re.search(r'window\.gradio_config = (\{.*?\});</script>', text)[1]
    )
    assert config['analytics_enabled'] is False
    assert not re.search(r'(?:src|href)="https?://', text.replace(
        served[0], ''
    ))  # fmt: skip
    assert os.environ['GRADIO_ANALYTICS_ENABLED'] == 'False'


def test_in_a_browser(served, browser):
    """Take the sample, see the overlay play, mute it; leave."""
    address, folder, _ = served
    browser.open(address)
    browser.wait("document.querySelector('#avs-start')")
    browser.click("[...document.querySelectorAll('button')].find("
                  "b => b.textContent.includes('one beep'))")  # fmt: skip
    browser.wait("document.querySelector('#avs-clip video')")
    browser.click("document.querySelector('#avs-start')")
    # There is something to see before there is a result.
    browser.wait("document.querySelector('#avs-own')")
    browser.wait("document.querySelector('#avs-own video')?.readyState > 1")
    browser.wait("document.querySelectorAll('.avs-line .avs-row i').length")
    browser.run("const v = document.querySelector('#avs-own video');"
                'v.muted = true; v.play()')  # fmt: skip
    browser.wait("document.querySelector('#avs-own video').currentTime > 0.5")
    place = "document.querySelector('.avs-head').getBoundingClientRect().left"
    left = browser.run(f'return {place}')
    browser.wait(f'{place} > {left}')
    browser.click("document.querySelector('#avs-again')")
    browser.wait("document.querySelector('#avs-other video')")
    browser.wait("document.querySelectorAll('.avs-line').length == 2")
    assert 'nothing that sounds' in browser.run(
        "return document.querySelectorAll('.avs-line')[1].textContent"
    )
    # A phone: nothing is wider than the screen.
    browser.resize(390, 844)
    browser.wait('innerWidth == 390')
    browser.wait('document.documentElement.scrollWidth <= 390')
    assert [u for u in browser.requests() if not u.startswith(address)] == []
    assert list(folder.rglob('*.mp4'))
    browser.open('about:blank')
    end = time.monotonic() + WAIT_SECONDS
    while list(folder.rglob('*.mp4')):
        assert time.monotonic() < end, list(folder.rglob('*'))
        time.sleep(0.2)
