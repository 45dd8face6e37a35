"""Chromium without a window, driven by the protocol of its driver."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

WAIT_SECONDS = 60
ARGUMENTS = (
    '--headless=new',
    '--no-sandbox',
    '--disable-dev-shm-usage',
    '--disable-background-networking',
    '--autoplay-policy=no-user-gesture-required',
    '--mute-audio',
    '--window-size=1280,1400',
)
# What a page is made of, and not fetched.
LOCAL = ('data:', 'blob:', 'about:', 'chrome')


class Browser:
    """A page in Chromium."""

    def __init__(self, driver: str) -> None:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        self._process = subprocess.Popen(
            [driver, f'--port={port}'],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._base = f'http://127.0.0.1:{port}'
        self.wait_until(lambda: self._call('GET', '/status')['ready'])
        options = {
            'goog:loggingPrefs': {'performance': 'ALL'},
            'goog:chromeOptions': {'args': list(ARGUMENTS)},
        }
        session = self._call(
            'POST', '/session', {'capabilities': {'alwaysMatch': options}}
        )
        self._base += f'/session/{session["sessionId"]}'

    def _call(self, method, path, data=None):
        request = urllib.request.Request(
            self._base + path,
            None if data is None else json.dumps(data).encode(),
            {'Content-Type': 'application/json'},
            method=method,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=WAIT_SECONDS) as answer:
            return json.load(answer)['value']

    @staticmethod
    def wait_until(condition):
        """Wait for a condition, which may fail at first."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                if condition():
                    return
                error = None
            except OSError as caught:
                error = caught
            assert time.monotonic() < end, error or 'waited too long'
            time.sleep(0.1)

    def open(self, address):
        """Go to a page."""
        self._call('POST', '/url', {'url': address})

    def run(self, script):
        """Run a script; give what it returns."""
        return self._call(
            'POST', '/execute/sync', {'script': script, 'args': []}
        )

    def wait(self, expression):
        """Wait until an expression holds in the page."""
        try:
            self.wait_until(lambda: self.run(f'return !!({expression})'))
        except AssertionError as error:
            raise AssertionError(f'waited for {expression}') from error

    def click(self, element):
        """Click on the element that an expression gives."""
        self.wait(element)
        self.run(f'({element}).click()')

    def resize(self, width, height):
        """Show the page as a phone does."""
        size = dict(width=width, height=height)
        self._call(
            'POST',
            '/goog/cdp/execute',
            {
                'cmd': 'Emulation.setDeviceMetricsOverride',
                'params': {**size, 'deviceScaleFactor': 1, 'mobile': True},
            },
        )

    def requests(self):
        """List what was fetched since the last call."""
        events = [
            json.loads(entry['message'])['message']
            for entry in self._call('POST', '/se/log', {'type': 'performance'})
        ]
        addresses = [
            event['params']['request']['url']
            for event in events
            if event['method'] == 'Network.requestWillBeSent'
        ]
        return [url for url in addresses if not url.startswith(LOCAL)]

    def quit(self):
        """Close the browser."""
        try:
            self._call('DELETE', '')
        finally:
            self._process.terminate()
            self._process.wait()


@pytest.fixture
def browser():
    """Chromium, or a skip."""
    driver = shutil.which('chromedriver')
    if driver is None:
        pytest.skip('chromedriver is not installed (Debian: chromium-driver)')
    page = Browser(driver)
    yield page
    page.quit()
