"""A tab of a real Chromium as a person uses it: opened, pointed at, typed into; all that it says and asks is known."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.interaction import POINTER_MOUSE, POINTER_TOUCH
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

SIZES = {"desktop": (1280, 800), "phone": (360, 740)}
TOO_WIDE = """(() => {
  const room = document.documentElement.clientWidth;
  const name = e => e.tagName.toLowerCase() + (e.id && '#' + e.id) + [...e.classList].map(c => '.' + c).join('');
  const right = e => Math.round(e.getBoundingClientRect().right + scrollX);
  const wide = [...document.body.querySelectorAll('*')].filter(e => right(e) > room);
  if (document.documentElement.scrollWidth <= room) return [];
  return wide.length ? wide.map(e => `${name(e)}: ${right(e)} of ${room} pixels`) : ['the page'];
})()"""


class Browser:
    """A fresh tab without memory. Places are CSS pixels from the top left corner of an element: (x, y)."""

    def __init__(self, driver: webdriver.Chrome, pictures: Path) -> None:
        self.driver, self.pictures = driver, pictures
        self.hosts: set[str] = set()  # whom requests may go to
        self._console: list[str] = []
        self._requests: list[str] = []
        old = driver.window_handles
        driver.switch_to.new_window("tab")
        new = driver.current_window_handle
        for handle in old:
            driver.switch_to.window(handle)
            driver.close()
        driver.switch_to.window(new)
        self._collect()  # what the last page said while it was closed
        self._console, self._requests = [], []
        self.size("desktop")

    def open(self, page: str | Path) -> None:
        """Opens a file or an address, whose host the page may ask from then on."""
        address = page.resolve().as_uri() if isinstance(page, Path) else page
        self.hosts.add(urlsplit(address).netloc)
        self.driver.get(address)

    def command(self, name: str, **arguments: Any) -> dict[str, Any]:
        """One command of the Chrome DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def size(self, size: str | tuple[int, int]) -> None:
        """Makes the window "desktop", "phone" (touched, three pixels each way to one of CSS) or (width, height)."""
        width, height = SIZES[size] if isinstance(size, str) else size
        phone = size == "phone"
        metrics = {"width": width, "height": height, "deviceScaleFactor": 3 if phone else 1, "mobile": phone}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)
        self.command("Emulation.setTouchEmulationEnabled", enabled=phone)

    def prefer(self, *, dark: bool = False, reduced_motion: bool = False) -> None:
        """What the person has set in his system."""
        features = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce" if reduced_motion else "no-preference",
        }
        self.command("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in features.items()])

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def find_all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def ask(self, expression: str, *arguments: Any) -> Any:
        """The value of an expression of JavaScript, awaited where it is a promise; `arguments[i]` are Python's."""
        return self.driver.execute_script(f"return ({expression});", *arguments)

    def wait(self, expression: str, *arguments: Any, seconds: float = 20) -> Any:
        """Waits until an expression is true, and gives its value."""
        until = time.monotonic() + seconds
        while not (value := self.ask(expression, *arguments)):
            assert time.monotonic() < until, f"{expression}: still {value!r} after {seconds} s; {self._collect()}"
            time.sleep(0.02)
        return value

    def _place(self, element: WebElement | str, place: tuple[float, float] | None) -> tuple[int, int]:
        """A place of an element, its middle by default, in the window, where the element is brought."""
        element = self.find(element) if isinstance(element, str) else element
        into_view = "arguments[0].scrollIntoView({block: 'nearest', inline: 'nearest', behavior: 'instant'})"
        box = self.ask(f"({into_view}, arguments[0].getBoundingClientRect().toJSON())", element)
        x, y = place or (box["width"] / 2, box["height"] / 2)
        return round(box["left"] + x), round(box["top"] + y)

    def _pointer(self, kind: str) -> tuple[ActionBuilder, Any]:
        builder = ActionBuilder(self.driver, mouse=PointerInput(kind, kind), duration=0)
        return builder, builder.pointer_action

    def move(self, element: WebElement | str, place: tuple[float, float] | None = None) -> None:
        """Moves the mouse to a place of an element, its middle by default."""
        builder, mouse = self._pointer(POINTER_MOUSE)
        mouse.move_to_location(*self._place(element, place))
        builder.perform()

    def click(
        self, element: WebElement | str, place: tuple[float, float] | None = None, *, touch: bool = False
    ) -> None:
        """Clicks, or taps with a finger."""
        self.drag(element, place, touch=touch)

    def drag(
        self, element: WebElement | str, *places: tuple[float, float] | None, touch: bool = False, hold: bool = False
    ) -> None:
        """Presses at the first place, moves over the others and lets go, unless it is to hold on."""
        builder, pointer = self._pointer(POINTER_TOUCH if touch else POINTER_MOUSE)
        pointer.move_to_location(*self._place(element, places[0])).pointer_down()
        for place in places[1:]:
            pointer.move_to_location(*self._place(element, place))
        if not hold:
            pointer.pointer_up()
        builder.perform()

    def wheel(self, element: WebElement | str, down: int, place: tuple[float, float] | None = None) -> None:
        """Turns the wheel by that many pixels, downwards, over a place of an element."""
        x, y = self._place(element, place)
        self.command("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=down)

    def drop(self, element: WebElement | str, *paths: Path) -> None:
        """Drops files and folders from elsewhere onto an element."""
        x, y = self._place(element, None)
        data = {"items": [], "files": [str(path.resolve()) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.command("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def press(self, *keys: str, shift: bool = False, control: bool = False) -> None:
        """Presses keys one after the other: characters, or names as "ARROW_LEFT", "TAB", "ENTER", "ESCAPE"."""
        held = [key for key, down in ((Keys.SHIFT, shift), (Keys.CONTROL, control)) if down]
        chain = ActionChains(self.driver, duration=0)
        for key in held:
            chain.key_down(key)
        for key in keys:
            chain.send_keys(getattr(Keys, key, key))
        for key in held:
            chain.key_up(key)
        chain.perform()

    def picture(self, name: str, *, whole: bool = True) -> Path:
        """Takes a picture of the page, or of what is seen of it; in $ZFCUDA_SCREENSHOTS lies one to look at."""
        taken = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        for folder in (Path(os.environ.get("ZFCUDA_SCREENSHOTS") or self.pictures), self.pictures):
            path = folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(taken["data"]))
        return path

    def too_wide(self) -> list[str]:
        """The elements for which the page has to be moved sideways, as "div.name: 420 of 360 pixels"."""
        return self.ask(TOO_WIDE)

    def _collect(self) -> str:
        """Takes over what Chromium has recorded since; what the console said, as one text."""
        self._console += [f"{e['level']}: {e['message']}" for e in self.driver.get_log("browser")]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._requests.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                self._requests.append(message["params"]["url"])
        return "; ".join(self._console) or "nothing on the console"

    def console(self) -> list[str]:
        """What was said on the console, an exception that nobody caught included; it then is no complaint any more."""
        self._collect()
        said, self._console = self._console, []
        return said

    def requests(self) -> list[str]:
        """The addresses that were asked for so far, websockets included."""
        self._collect()
        return list(self._requests)

    def foreign(self) -> list[str]:
        """The requests to others than the hosts of the pages that were opened."""
        own = ("data", "blob", "file", "about")
        return [a for a in self.requests() if urlsplit(a).scheme not in own and urlsplit(a).netloc not in self.hosts]

    def complaints(self) -> list[str]:
        """What no page may do, unless the test has taken it: say something on the console, ask another host."""
        return [*self.console(), *(f"asked {address}" for address in self.foreign())]

    def forget(self) -> None:
        """Clears what pages have stored."""
        self.command("Network.clearBrowserCookies")
        self.command("Network.clearBrowserCache")
        origins = {
            f"{u.scheme}://{u.netloc}" for u in map(urlsplit, self.requests()) if u.scheme in ("http", "https", "file")
        }
        for origin in origins:
            self.command("Storage.clearDataForOrigin", origin=origin, storageTypes="all")
