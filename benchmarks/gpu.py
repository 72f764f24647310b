"""`python -m benchmarks.gpu OUT [PART ...]`: all that a GPU can prove, on a bare machine, within 9 minutes.

Builds for the GPU that is here, runs every test on CUDA, benchmarks, compute-sanitizer over the operator tests and a
profile; or the parts named alone. Needs torch built for CUDA, nvcc of the same major version, ninja, pybind11 and
pytest; no network. What is missing is skipped and named. Goes on past a failing part and says at the end which failed.
Leaves seven files in OUT: tests.log, sanitizers.log, benchmarks.log, NAME.json, occlusion_NAME.png, profile.txt and
summary.txt.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.device import short_name

LIMIT = 535.0  # seconds for everything
LOG_BYTES = 4 << 20  # a log keeps so much of its beginning and of its end
# The operators once, on awkward sizes: the sanitizers slow each kernel down many times.
SANITIZED = (
    "cuda and (on_paper or corrupted or single_seeds or empty_batch or inference_mode or occlude or gather_patches "
    "or gathered)"
)
OPERATORS = [
    f"tests/ops/test_{name}.py" for name in ("switches", "unpool", "lrn", "stage", "occlude", "patches", "operators")
]
OPTIONAL = ("captum", "hypothesis", "expecttest", "xdist", "triton", "ruff", "mypy")


@dataclass(frozen=True)
class Part:
    """One step: its command, the log that it goes to, and its share of the time in seconds."""

    name: str
    command: list[str]
    log: str
    seconds: float
    needs: str | None = None  # a module or program; the part is skipped where it is missing


def parts(out: Path, name: str) -> list[Part]:
    """All steps in the order of their worth: where the time ends, the last are left out."""
    python = sys.executable
    # -v: the log names what failed even where the time ends before the summary.
    pytest = [python, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    parallel = ["-n", str(os.cpu_count() or 8)] if importlib.util.find_spec("xdist") else []
    sanitizer = ["compute-sanitizer", "--error-exitcode", "1"]
    without_torchs = ["--kernel-name-exclude", "kns=at6native"]

    def benchmark(part: str, what: str, dtypes: Sequence[str], seconds: float, *more: str) -> Part:
        # Its rows are written as they come: where its time ends, what was measured until then stays.
        command = [python, "-m", "benchmarks", what, "--device", "cuda", "--dtype", *dtypes]
        return Part(part, [*command, "--json", str(out / f"{name}.json"), *more], "benchmarks.log", seconds)

    return [
        Part("build", [python, "setup.py", "build_ext", "--inplace"], "tests.log", 240, "nvcc"),
        Part("tests", [*pytest, *parallel, "-m", "cuda", "--durations", "15"], "tests.log", 200, "pytest"),
        benchmark("operators", "operators", ["float32", "bfloat16"], 150),
        benchmark("occlusion", "occlusion", ["float32"], 140, "--plot", str(out)),
        *(
            Part(
                tool,
                [*sanitizer, "--tool", tool, *spared, *pytest, *OPERATORS, "-k", SANITIZED],
                "sanitizers.log",
                45,
                "compute-sanitizer",
            )
            for tool, spared in (
                ("memcheck", without_torchs),
                ("racecheck", without_torchs),
                ("initcheck", []),  # which would take for unwritten what torch's kernels wrote
                ("synccheck", without_torchs),
            )
        ),
        benchmark("deconvnet", "deconvnet", ["float32"], 60),
        benchmark("training", "training", ["bfloat16", "float32"], 100),
        Part("profile", [python, "-m", "benchmarks.profiling", str(out / "profile.txt")], "benchmarks.log", 45),
        benchmark("occlusion_bfloat16", "occlusion", ["bfloat16"], 60),
    ]


def present(needs: str | None) -> bool:
    if needs is None or shutil.which(needs) or importlib.util.find_spec(needs.replace("-", "_")):
        return True
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return (Path(home) / "bin" / needs).exists()


def run(part: Part, out: Path, seconds: float) -> str:
    """Runs a part and says its outcome: ok, skipped or FAILED, with the reason."""
    if not present(part.needs):
        return f"skipped: no {part.needs} here"
    path = out / part.log
    with path.open("a") as log:
        log.write(f"$ {' '.join(part.command)}\n")
        log.flush()
        try:
            code = _within(part.command, log.fileno(), seconds)
        except OSError as error:
            return f"FAILED: {error}"
    _shorten(path)
    if code is None:
        return f"FAILED: not done after {seconds:.0f} s"
    if code == 5 and "pytest" in part.command:
        return "FAILED: no test was selected"
    return "ok" if code == 0 else f"FAILED: exit status {code}, see {part.log}"


def _within(command: Sequence[str], log: int, seconds: float) -> int | None:
    """Runs a command -> its exit status; None where the time ended. What the command has started ends with it."""
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        return process.wait(seconds)
    except BaseException as ending:  # Ctrl-C too
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(ending, subprocess.TimeoutExpired):
            return None
        raise


def _shorten(path: Path) -> None:
    text = path.read_bytes()
    if len(text) > 2 * LOG_BYTES:
        path.write_bytes(text[:LOG_BYTES] + b"\n[... left out ...]\n" + text[-LOG_BYTES:])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="All that a GPU can prove.")
    parser.add_argument("out", type=Path, help="a folder for logs and results")
    parser.add_argument("parts", nargs="*", metavar="PART", help="these alone (default: all)")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    if not torch.cuda.is_available():
        print("benchmarks.gpu: torch sees no CUDA device")
        return 1
    os.environ["TORCH_CUDA_ARCH_LIST"] = ".".join(map(str, torch.cuda.get_device_capability()))
    os.environ["ZFCUDA_CUDA"] = "1"
    os.environ["PYTHONUNBUFFERED"] = "1"
    os.environ.setdefault("MAX_JOBS", str(os.cpu_count() or 2))
    every = parts(out, short_name(torch.device("cuda")))
    unknown = set(arguments.parts) - {part.name for part in every}
    if unknown:
        parser.error(f"PART: expected of {[part.name for part in every]}, got {sorted(unknown)}")
    begin, outcome = time.monotonic(), {}
    for part in every:
        if arguments.parts and part.name not in arguments.parts:
            continue
        left = LIMIT - (time.monotonic() - begin)
        started = time.monotonic()
        result = run(part, out, min(part.seconds, left)) if left > 5 else "FAILED: no time left"
        outcome[part.name] = f"{time.monotonic() - started:6.0f} s  {result}"
        print(f"{part.name:22} {outcome[part.name]}", flush=True)
        lines = [f"{name:22} {said}" for name, said in outcome.items()]
        (out / "summary.txt").write_text("\n".join(lines) + "\n")
    for draft in out.glob("*.draft"):  # left by a part whose time ended while it wrote
        draft.unlink()
    for optional in OPTIONAL:
        if importlib.util.find_spec(optional) is None:
            print(f"not installed here, what needs it was left out: {optional}")
    failed = [part for part, result in outcome.items() if "FAILED" in result]
    print(f"failed: {', '.join(failed)}" if failed else "all parts passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
