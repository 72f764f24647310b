"""`python -m benchmarks.live_page [--seconds S] [--network NAME] [--json F]`: answers a second, measured in the page.

Starts ``zfcuda serve`` and a headless Chromium, draws a picture, moves a mouse over it without rest, and reads what the
page's own meter has seen: an answer counts in the frame that shows it. Needs selenium, Chromium and its driver.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.environment import environment

# Moves the pointer along a curve that covers the picture, one place for each frame, as a hand does that does not rest.
MOVE = """
const [seconds, done] = arguments, stage = document.getElementById('stage'), from = performance.now();
const meter = zfcuda.answer.meter, first = meter.samples.length;
let frames = 0;
const step = now => {
  frames += 1;
  const t = (now - from) / 1000, box = stage.getBoundingClientRect();
  if (t > seconds) return done({samples: meter.samples.slice(first), frames, seconds: t});
  stage.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, pointerType: 'mouse', pointerId: 1,
    clientX: box.left + box.width * (0.5 + 0.45 * Math.sin(2.1 * t)),
    clientY: box.top + box.height * (0.5 + 0.45 * Math.cos(1.3 * t))}));
  requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""


def measured(network: str, seconds: float) -> dict[str, Any]:
    """What the page's meter sees while the pointer moves for so long.

    Returns:
        "answers_per_second"; "frames_per_second" of the page; in milliseconds, from the question to the frame that
        shows its answer, "median", "p90", "p99"; "network": the server's own part of the median.
    """
    from zfcuda.data import Parts

    # What the tests have for browsers; it needs an optional package, and is not part of what is type-checked.
    browser, chromium, serving = (import_module(f"tests.harness.{name}") for name in ("browser", "chromium", "serving"))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        drawn = place / "drawn.png"
        Parts(seed=0)[0].image.save(drawn)
        serve = serving.serving("--model", network, errors=place / "errors.txt")
        with serve as server, chromium.chromium() as driver:
            page = browser.Browser(driver, place)
            page.open(server.address)
            page.wait("globalThis.zfcuda?.live.networks")
            page.find("#files").send_keys(str(drawn))
            page.wait("document.getElementById('map-frame').dataset.state === 'complete'", seconds=120)
            driver.execute_async_script(MOVE, 0.5)  # the first answers prepare what the others use
            found = driver.execute_async_script(MOVE, seconds)
    waits = sorted(wait for _, wait, _ in found["samples"])
    return {
        "network": network,
        "answers_per_second": len(waits) / found["seconds"],
        "frames_per_second": found["frames"] / found["seconds"],
        "milliseconds": {
            "median": statistics.median(waits),
            "p90": waits[int(0.9 * (len(waits) - 1))],
            "p99": waits[int(0.99 * (len(waits) - 1))],
            "in_network": statistics.median(served for _, _, served in found["samples"]),
        },
        "answers": len(waits),
        "seconds": found["seconds"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_page", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--network", nargs="+", default=["demo"])
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    import torch

    rows = []
    for network in chosen.network:
        row = measured(network, chosen.seconds)
        rows.append(row)
        print(json.dumps(row), flush=True)
    if chosen.json is not None:
        record = {"environment": environment(torch.device("cpu")), "live_page": rows}
        chosen.json.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written: {chosen.json}")


if __name__ == "__main__":
    main()
