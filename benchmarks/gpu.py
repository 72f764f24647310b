"""`python -m benchmarks.gpu OUT`: all that a GPU can prove, on a bare machine, within 9 minutes.

Builds for the GPU that is here, runs every test on CUDA, compute-sanitizer over the operator tests, then benchmarks.
Needs torch built for CUDA, nvcc of the same major version, ninja, pybind11 and pytest; no network. What is missing is
skipped and named. Goes on past a failing part and says at the end which failed. Leaves logs, NAME.json and
occlusion_NAME.json in OUT.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.device import short_name

LIMIT = 530.0  # seconds for everything
# The operators once, on awkward sizes: the sanitizers slow each kernel down many times.
SANITIZED = (
    "cuda and (on_paper or corrupted or single_seeds or empty_batch or inference_mode or occlude or gather_patches "
    "or gathered)"
)


@dataclass
class Part:
    """One step: its command, the log that it goes to, and its share of the time in seconds."""

    name: str
    command: list[str]
    log: str
    seconds: float
    needs: str | None = None  # a module or program; the part is skipped where it is missing


def parts(out: Path, name: str) -> list[Part]:
    python = sys.executable
    pytest = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    parallel = ["-n", "8"] if importlib.util.find_spec("xdist") else []
    sanitizer = ["compute-sanitizer", "--error-exitcode", "1", "--kernel-name-exclude", "regex:at::"]
    benchmarks = [python, "-m", "benchmarks"]
    settings = ["--device", "cuda", "--dtype", "float32", "bfloat16"]
    operators = ["tests/test_operators.py", "-k", SANITIZED]
    return [
        Part("build", [python, "setup.py", "build_ext", "--inplace"], "build.log", 240, "nvcc"),
        Part("tests", [*pytest, *parallel, "-m", "cuda", "--durations", "15"], "tests.log", 150, "pytest"),
        *(
            Part(tool, [*sanitizer, "--tool", tool, *pytest, *operators], "sanitizer.log", 60, "compute-sanitizer")
            for tool in ("memcheck", "racecheck", "initcheck", "synccheck")
        ),
        Part(
            "benchmarks",
            [*benchmarks, "operators", *settings, "--json", str(out / f"{name}.json")],
            "benchmarks.log", 100,
        ),
        # Its rows are written as they come: where the time ends, what was measured until then stays.
        Part(
            "occlusion",
            [*benchmarks, "occlusion", *settings, "--json", str(out / f"occlusion_{name}.json"), "--plot", str(out)],
            "occlusion.log", 180,
        ),
    ]  # fmt: skip


def present(needs: str | None) -> bool:
    if needs is None or shutil.which(needs) or importlib.util.find_spec(needs.replace("-", "_")):
        return True
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return (Path(home) / "bin" / needs).exists()


def run(part: Part, out: Path, seconds: float) -> str:
    """Its outcome: ok, skipped or FAILED, with the reason."""
    if not present(part.needs):
        return f"skipped: no {part.needs} here"
    with (out / part.log).open("a") as log:
        log.write(f"$ {' '.join(part.command)}\n")
        log.flush()
        try:
            code = subprocess.run(part.command, stdout=log, stderr=subprocess.STDOUT, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            return f"FAILED: not done after {seconds:.0f} s"
        except OSError as error:
            return f"FAILED: {error}"
    if code == 5 and "pytest" in part.command:
        return "FAILED: no test was selected"
    return "ok" if code == 0 else f"FAILED: exit status {code}, see {part.log}"


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    if not torch.cuda.is_available():
        print("benchmarks.gpu: torch sees no CUDA device")
        return 1
    os.environ["TORCH_CUDA_ARCH_LIST"] = ".".join(map(str, torch.cuda.get_device_capability()))
    os.environ["ZFCUDA_CUDA"] = "1"
    os.environ.setdefault("MAX_JOBS", str(os.cpu_count() or 2))
    name = short_name(torch.device("cuda"))
    begin, outcome = time.monotonic(), {}
    for part in parts(out, name):
        left = LIMIT - (time.monotonic() - begin)
        started = time.monotonic()
        result = run(part, out, min(part.seconds, left)) if left > 5 else "FAILED: no time left"
        outcome[part.name] = result
        print(f"{part.name:12} {time.monotonic() - started:6.0f} s  {result}", flush=True)
    for optional in ("captum", "ruff", "mypy", "xdist"):
        if importlib.util.find_spec(optional) is None:
            print(f"not installed here, what needs it was left out: {optional}")
    failed = [part for part, result in outcome.items() if result.startswith("FAILED")]
    print(f"failed: {', '.join(failed)}" if failed else "all parts passed")
    (out / "summary.txt").write_text("\n".join(f"{k}: {v}" for k, v in outcome.items()) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
