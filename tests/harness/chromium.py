"""A headless Chromium that leaves nothing behind and asks nobody but this machine.

Names of other hosts are not resolved, whatever a page asks. Profile, home and temporary files lie in one folder, all
processes belong to one session, and both are gone at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.harness.orphans import ends_with_parent

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
STAYS_HERE = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE [::1]"
OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-features=OptimizationHints,MediaRouter,Translate,AutofillServerCommunication",
    "--metrics-recording-only",
    "--password-store=basic",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    # A page that Chromium takes for hidden would be drawn less often.
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    # Chromium then ends when its driver does, which ends when we do.
    "--remote-debugging-pipe",
    f"--host-resolver-rules={STAYS_HERE}",
]
ALONE = {"start_new_session": True, "preexec_fn": ends_with_parent}


@contextlib.contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A headless Chromium of its own, ended on the way out with whatever it started."""
    assert CHROMIUM and CHROMEDRIVER, "chromium and chromedriver: expected on the PATH"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # pytest's own folders have long names, and a socket of Chromium's lies in this one.
    with tempfile.TemporaryDirectory(prefix="zfcuda-browser-", ignore_cleanup_errors=True) as folder:
        for option in (*OPTIONS, f"--user-data-dir={folder}/profile"):
            options.add_argument(option)
        places = {"TMPDIR": folder, "HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder}
        # A driver that is named is not looked for in the network.
        service = Service(CHROMEDRIVER, env={**os.environ, **places}, popen_kw=ALONE)
        driver = webdriver.Chrome(options, service)
        try:
            driver.set_page_load_timeout(60)
            driver.set_script_timeout(60)
            yield driver
        finally:
            with contextlib.suppress(Exception):
                driver.quit()
            end_session(service.process.pid)


def processes_of(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, *numbers = stat.read_text().rpartition(")")[2].split()[:4]
            if int(numbers[2]) == session and state not in "ZX":
                found.append(int(stat.parent.name))
    return found


def end_session(session: int) -> None:
    """Ends what is left of a session: Chromium's helpers have process groups of their own, but none leaves it."""
    until = time.monotonic() + 5
    while (left := processes_of(session)) and time.monotonic() < until:
        time.sleep(0.05)
    for process in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
