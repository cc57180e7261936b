"""A headless Chromium for tests, driven over its DevTools protocol."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from waiting import HANG, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


class Browser:
    """One page, 1280 x 720. Use it in a `with` block."""

    def __init__(self, folder: Path):
        self.folder, self.number, self.requests, self.chosen = folder, 0, [], []

    def __enter__(self):
        import websocket

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        flags += ["--window-size=1280,720", f"--user-data-dir={self.folder}", "--hide-scrollbars"]
        flags += ["--disable-background-networking", "--disable-component-update"]
        flags += ["--remote-allow-origins=*", "--allow-file-access-from-files"]
        self.process = subprocess.Popen(
            [CHROMIUM, *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            port = wait_for(lambda: (self.folder / "DevToolsActivePort").read_text().split()[0])
            self.socket = websocket.create_connection(
                _page_address(port), timeout=HANG, skip_utf8_validation=True
            )
        except BaseException:
            self._end()
            raise
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        self.screen(1280, 720)
        return self

    def __exit__(self, *_error):
        self.socket.close()
        self._end()

    def _end(self):
        self.process.kill()
        self.process.wait()

    def call(self, method, **parameters):
        """Calls a method of the protocol -> its result."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            if message.get("method") == "Page.fileChooserOpened":
                self.chosen.append(message["params"]["backendNodeId"])
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(message["error"]["message"])
                return message["result"]

    def screen(self, width, height):
        """Makes the screen as large; one as narrow as a phone's behaves like a phone's."""
        options = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **options)

    def open(self, address, ready="document.readyState == 'complete'"):
        """Opens a page, and waits until the expression `ready` is true there."""
        self.requests.clear()
        self.evaluate("window.left = true")
        self.call("Page.navigate", url=str(address))
        self.wait(f"window.left === undefined && ({ready})")

    def evaluate(self, expression):
        """The value of a JavaScript expression, which may be a promise."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", expression=expression, **options)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"])[:500])
        return answer["result"].get("value")

    def wait(self, expression):
        """Waits until a JavaScript expression is true -> its value."""
        return wait_for(lambda: self.evaluate(expression) or None)

    def click(self, selector):
        """Clicks into the middle of the first element that a CSS selector finds."""
        element = f"document.querySelector({selector!r})"
        self.evaluate(f"{element}.scrollIntoView({{block: 'center'}})")
        box = self.evaluate(f"{element}.getBoundingClientRect().toJSON()")
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def press(self, key, code):
        """Presses a key that has a name, such as "ArrowRight"."""
        for kind in ("keyDown", "keyUp"):
            options = {"key": key, "code": key, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type=kind, **options)

    def upload(self, selector, file):
        """Clicks a button that opens a file dialog, and chooses a file there."""
        self.call("Page.setInterceptFileChooserDialog", enabled=True)
        self.chosen.clear()
        self.click(selector)
        wait_for(lambda: self.evaluate("true") and (self.chosen or None))  # it collects events
        self.call("DOM.setFileInputFiles", files=[str(file)], backendNodeId=self.chosen[-1])

    def screenshot(self, file):
        """Writes what is seen as PNG."""
        import base64

        data = self.call("Page.captureScreenshot", format="png")["data"]
        Path(file).write_bytes(base64.b64decode(data))

    def foreign_requests(self):
        """The addresses that were asked for beyond this machine."""
        own = (
            "file:",
            "data:",
            "blob:",
            "about:",
            "chrome",
            "http://127.0.0.1",
            "http://localhost",
        )
        return [url for url in self.requests if not url.startswith(own)]


def _page_address(port):
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=HANG) as answer:
        pages = json.loads(answer.read())
    return next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
