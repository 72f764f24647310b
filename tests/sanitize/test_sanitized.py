"""The CPU kernels under AddressSanitizer and UndefinedBehaviorSanitizer: the operators' tests, the kept fuzz cases.

Fresh memory is full of NaN. At the end bugs are planted in a copy of the sources, and each is caught.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.emulation.build import SOURCES
from tests.harness.sanitized import build

pytestmark = [
    pytest.mark.skipif(build.missing() is not None, reason=str(build.missing())),
    pytest.mark.skipif(build.LIBRARY in os.environ, reason="already in such a process"),
]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "ops"
# A GPU's, the random cases, NumPy's twins, and memory that is used again, which a sanitizer does without.
ELSEWHERE = ("cuda", "fuzz", "im2col", "outputs")
OPERATORS = [path for path in sorted(FOLDER.glob("test_*.py")) if path.stem.removeprefix("test_") not in ELSEWHERE]
PLANTED = "ZFCUDA_PLANTED"
# What differentiates, compiles or asks for errors runs no other kernels, and takes long; the rest starts processes.
TESTS = "not (numerically or opcheck or compiles or inference or named or without_kernels or narrower)"


def run(library: Path, isa: str, arguments: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
    """pytest with the library in zfcuda._C's place."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-s",
        "-p",
        "tests.harness.sanitized.plugin",
        "-p",
        "no:cacheprovider",
    ]
    # Several processes at once, so one thread each.
    environment = build.environment(library, ZFCUDA_ISA=isa, OMP_NUM_THREADS="1", **more)
    return subprocess.run([*command, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True)


def test_sanitizers_find_nothing() -> None:
    library = build.build()
    arguments = [*map(str, OPERATORS), str(FOLDER / "test_fuzz.py"), "-k", TESTS, "-m", "not cuda"]
    sets = build.instruction_sets()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda isa: run(library, isa, arguments), sets))
    for isa, result in zip(sets, results, strict=True):
        assert result.returncode == 0, f"{isa}: {(result.stdout + result.stderr)[-5000:]}"
        assert re.search(r"\d{3,} passed", result.stdout), result.stdout


# ---------------------------------------------------------------- the test of the test

# Per bug: the file under csrc, what stands there, what in its place (PLANTED is true where the bug acts), and how it
# shows: by a sanitizer's words, or by a wrong answer.
WRONG = r"AssertionError"
# "heap-buffer-overflow", or "unknown-crash" where only the end of a vector lies beyond.
BEYOND = r"ERROR: AddressSanitizer: (heap-buffer-overflow|unknown-crash)[\s\S]*zfcuda::cpu::"
BUGS = {
    "row_read_beyond_its_end": (
        "cpu/simd.inl",
        "return whole() ? Simd<T>::load(p) : load_part(p, n);",
        "return whole() || PLANTED ? Simd<T>::load(p) : load_part(p, n);",
        BEYOND,
    ),
    "end_of_a_row_not_written": (
        "cpu/simd.inl",
        "whole() ? Simd<T>::store(p, v) : store_part(p, v, n);",
        "whole() ? Simd<T>::store(p, v) : store_part(p, v, n - PLANTED);",
        WRONG,
    ),
    "stride_of_the_outputs_over_the_inputs": (
        "cpu/switches_loops.inl",
        "const int64_t image = p.y.inputs * p.x.inputs * p.channels;",
        "const int64_t image = p.y.inputs * (PLANTED ? p.x.outputs : p.x.inputs) * p.channels;",
        WRONG,
    ),
    "switch_followed_out_of_the_image": (
        "cpu/switches_loops.inl",
        "const bool inside = tap < taps && y >= 0 &&",
        "const bool inside = (PLANTED || tap < taps) && (PLANTED || y >= 0) &&",
        rf"AddressSanitizer|{WRONG}",
    ),
    "difference_overflows": (
        "patches.h",
        "return static_cast<uint64_t>(a) - static_cast<uint64_t>(b);",
        "return PLANTED ? static_cast<uint64_t>(a - b) : static_cast<uint64_t>(a) - static_cast<uint64_t>(b);",
        r"patches.h:\d+:\d+: runtime error: signed integer overflow",
    ),
    "patch_not_checked": (
        "cpu/tables.h",
        "h.start >= 0 && area <= patch_rows &&",
        "PLANTED || h.start >= 0 && area <= patch_rows &&",
        rf"AddressSanitizer|{WRONG}",
    ),
    "switch_beyond_the_map_not_checked": (
        "cpu/conv_winners_loops.inl",
        "if (at < 0 || grad[c] == 0.0f",
        "if ((at < 0 && !PLANTED) || grad[c] == 0.0f",
        rf"AddressSanitizer|{WRONG}",
    ),
    "bias_read_beyond_its_end": (
        "cpu/gemm_tile.inl",
        "if (count >= kLanes) return load_as<FloatV>(from);",
        "if (count >= kLanes || PLANTED) return load_as<FloatV>(from);",
        BEYOND,
    ),
    "texture_not_around_its_border": (
        "cpu/texture.cpp",
        "std::min(count, from.width - x);",
        "std::min(count, from.width - x + (PLANTED ? 1 : 0));",
        rf"AddressSanitizer|{WRONG}",
    ),
}
NUMBERS = {bug: i for i, bug in enumerate(BUGS, 1)}
# Compiled from the copy: what has the bugs in it, without the halves, which would only take time.
CHANGED = ["cpu/switches.cpp", "cpu/patches.cpp", "cpu/linear_rows.cpp", "cpu/conv_winners.cpp", "cpu/texture.cpp"]
NO_HALVES = ("AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, ", "AT_DISPATCH_FLOATING_TYPES(")
PLANTED_HEADER = f"""#pragma once
#include <cstdlib>
inline int planted_bug() {{
  static const int bug = std::atoi(std::getenv("{PLANTED}"));
  return bug;
}}
"""


@pytest.fixture(scope="module")
def planted() -> Path:
    """A library with all bugs planted, of which PLANTED chooses one."""
    texts = {path.relative_to(SOURCES): path.read_text() for path in SOURCES.rglob("*.*") if path.is_file()}
    for bug, (file, right, wrong, _) in BUGS.items():
        assert right in texts[Path(file)], f"{bug}: {file} no longer has {right!r}"
        wrong = wrong.replace("PLANTED", f"(planted_bug() == {NUMBERS[bug]})")
        texts[Path(file)] = texts[Path(file)].replace(right, wrong)
    parallel = Path("cpu/parallel.h")
    assert NO_HALVES[0] in texts[parallel]
    texts[parallel] = texts[parallel].replace(*NO_HALVES)
    texts[Path("planted.h")] = PLANTED_HEADER
    folder = build.FOLDER / "planted"
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_text() != text:
            target.write_text(text)
    return build.build(csrc=folder, changed=CHANGED, extra=["-include", str(folder / "planted.h"), "-Wno-parentheses"])


def test_planted_bugs_are_caught(planted: Path) -> None:
    # The narrowest: with AVX-512 some ends of rows are read by instructions that the sanitizer does not see into.
    tests = "(test_pool_is or test_unpool_adds or corrupted or test_gather or table or linear_rows or one_leaf)"
    tests += " and not (float64 or float16 or fills or compiles or opcheck or inference)"
    arguments = [*map(str, OPERATORS), "-k", tests, "-m", "not cuda"]

    def examine(bug: str) -> subprocess.CompletedProcess[str]:
        return run(planted, "baseline", arguments, **{PLANTED: str(NUMBERS.get(bug, 0))})

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(["none", *BUGS], pool.map(examine, ["none", *BUGS]), strict=True))
    said = {bug: result.stdout + result.stderr for bug, result in results.items()}
    assert results["none"].returncode == 0, said["none"][-5000:]
    missed = [b for b, (*_, sign) in BUGS.items() if results[b].returncode == 0 or not re.search(sign, said[b])]
    assert not missed, "\n".join(f"{bug}: {said[bug][-1500:]}" for bug in missed)
