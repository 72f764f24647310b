"""Compiles the CPU sources with AddressSanitizer and UndefinedBehaviorSanitizer into a module in zfcuda._C's place.

Objects are kept in build/sanitized under a hash of all that went into them.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch.utils import cpp_extension

from tests.harness.emulation import build as emulation

HERE = Path(__file__).resolve().parent
FOLDER = emulation.ROOT / "build" / "sanitized"
LIBRARY = "ZFCUDA_SANITIZED"  # the variable with the path of the module that plugin.py loads
# NaN and the largest byte in all fresh memory, so that a number that nobody wrote is not the right one by chance.
ASAN_OPTIONS = "detect_leaks=0:max_malloc_fill_size=1073741824:malloc_fill_byte=255"  # leaks: Python's are not ours


@functools.cache
def runtime_library(name: str) -> str:
    """Where the compiler has it; the bare name if nowhere."""
    command = [str(emulation.compiler()), f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def missing() -> str | None:
    """Why nothing can be built here; None if all is there."""
    if emulation.compiler() is None:
        return "no host compiler"
    if not os.path.isabs(runtime_library("libasan.so")):
        return "the compiler has no libasan.so, gcc's AddressSanitizer"
    return None


def instruction_sets() -> list[str]:
    """Those that the processor has, as ZFCUDA_ISA takes them, the widest first."""
    widest = torch.backends.cpu.get_cpu_capability()
    return ["avx512"] * (widest == "AVX512") + ["avx2"] * widest.startswith("AVX") + ["baseline"]


def _flags(csrc: Path) -> list[str]:
    system = [*cpp_extension.include_paths(), sysconfig.get_paths()["include"]]
    return [
        f"-std={emulation._standard()}",
        "-O1",
        "-fPIC",
        "-fopenmp",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fvisibility=hidden",
        "-Wall",
        "-Wno-psabi",
        "-Wno-maybe-uninitialized",
        "-DTORCH_EXTENSION_NAME=_C",
        f"-I{csrc}",
        *[f"-isystem{path}" for path in system],
    ]


def build(
    *, csrc: Path = emulation.SOURCES, changed: Sequence[str] = (), extra: Sequence[str] = (), reached: bool = False
) -> Path:
    """The module, compiled where needed.

    Args:
        csrc: where the sources are.
        changed: the sources that are compiled from there; the others from the repository.
        extra: flags for those.
        reached: without the sanitizers; instead the module counts the places of the code that ran, see reached.cpp.
    """
    found = emulation.compiler()
    assert found is not None
    FOLDER.mkdir(parents=True, exist_ok=True)
    version = subprocess.run([found, "--version"], capture_output=True).stdout + torch.__version__.encode()
    instruments = ["-fsanitize-coverage=trace-pc"] if reached else emulation.SANITIZERS

    def compile_one(source: Path, flags: Sequence[str]) -> Path:
        root = next(root for root in (csrc, emulation.SOURCES, HERE) if source.is_relative_to(root))
        headers = [p for folder in (root, root / "cpu") for end in ("*.h", "*.inl") for p in sorted(folder.glob(end))]
        command = [found, "-c", str(source), *_flags(root), *flags]
        parts = [p.read_bytes() for p in [source, *headers]]
        target = FOLDER / f"{source.stem}-{emulation._digest(version, *[c.encode() for c in command], *parts)}.o"
        if not target.exists():
            emulation._run(command, target)
        return target

    names = sorted(p.relative_to(emulation.SOURCES) for p in emulation.SOURCES.glob("cpu/*.cpp"))
    # What is changed comes first: of an inline function that several objects have, the linker takes the first.
    names.sort(key=lambda name: str(name) not in changed)
    jobs: list[tuple[Path, Sequence[str]]] = []
    for name in [*names, Path("zfcuda.cpp")]:
        ours = str(name) in changed
        jobs.append(((csrc if ours else emulation.SOURCES) / name, [*instruments, *(extra if ours else ())]))
    if reached:
        jobs.append((HERE / "reached.cpp", ()))
    # The slowest first.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = {
            job[0]: pool.submit(compile_one, *job)
            for job in sorted(jobs, key=lambda j: j[0].stem not in ("lrn", "stage"))
        }
    objects = [started[source].result() for source, _ in jobs]
    libraries = cpp_extension.library_paths()[0]
    command = [found, "-shared", *map(str, objects), *([] if reached else instruments), "-fopenmp", f"-L{libraries}"]
    command += ["-ltorch", "-ltorch_cpu", "-lc10", "-ltorch_python", f"-Wl,-rpath,{libraries}"]
    target = FOLDER / f"_C-{emulation._digest(*[c.encode() for c in command])}.so"
    if not target.exists():
        emulation._run(command, target)
    return target


def use(path: str | os.PathLike[str]) -> None:
    """From here on this process's zfcuda._C is the module at `path`; zfcuda must not have been imported."""
    assert "zfcuda._C" not in sys.modules, "zfcuda was imported before"
    spec = importlib.util.spec_from_file_location("zfcuda._C", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["zfcuda._C"] = module


def environment(library: Path, **more: str) -> dict[str, str]:
    """The environment of a process that has AddressSanitizer from its start, and can `use` the library."""
    paths = [str(emulation.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        LIBRARY: str(library),
        # The second, or a C++ exception is the end.
        "LD_PRELOAD": ":".join(runtime_library(name) for name in ("libasan.so", "libstdc++.so.6")),
        "ASAN_OPTIONS": ASAN_OPTIONS,
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": os.pathsep.join(paths),
        **more,
    }


if __name__ == "__main__":
    print(build())
