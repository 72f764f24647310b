"""Compiles the .cu files with the host compiler, under the execution model of cuda_emulation.h, into torch libraries.

Objects are kept in build/emulation under a hash of all that went into them.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch.utils import cpp_extension

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SOURCES = ROOT / "csrc"
FOLDER = ROOT / "build" / "emulation"
KERNELS = ["switches", "unpool", "lrn", "lrn_backward", "stage", "patches", "occlude"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1"]
INT32_ELEMENTS = 2**31 - 1 - 1024  # as in launch.cuh


class Emulation:
    """A loaded library of emulated kernels; its operators are ``torch.ops.<name>``."""

    def __init__(self, path: Path, name: str) -> None:
        torch.ops.load_library(path)
        self.ops = getattr(torch.ops, name)
        self._library = ctypes.CDLL(str(path))
        self._library.emulation_set.argtypes = [ctypes.c_uint] * 3 + [ctypes.c_int64, ctypes.c_uint64]
        self._library.emulation_launches.restype = ctypes.c_int64
        self._library.emulation_kernel.restype = ctypes.c_char_p
        self.set()

    def set(
        self,
        *,
        threads: int = 0,
        most_blocks: int = 0,
        sampled_blocks: int = 0,
        int32_elements: int = INT32_ELEMENTS,
        seed: int = 0,
    ) -> None:
        """How the next launches run.

        Args:
            threads: of a block, most_blocks: of a grid; 0 is what the launch asked for.
            sampled_blocks: run only so many at each end of the grid; 0 runs all.
            int32_elements: with more, kernels count in 64 bits; 0 forces that.
            seed: of the order of blocks and threads.
        """
        self._library.emulation_set(threads, most_blocks, sampled_blocks, int32_elements, seed)

    def plant(self, bug: int) -> None:
        """Which planted bug acts, in a library that has any; 0: none."""
        self._library.emulation_plant(bug)

    @property
    def launches(self) -> int:
        """Kernels launched so far."""
        return int(self._library.emulation_launches())

    def quotients(self, numbers: torch.Tensor, divisor: int) -> torch.Tensor:
        """The kernels' division of int32 numbers by one that they know in advance."""
        result = torch.empty_like(numbers)
        self._library.emulation_quotients(
            ctypes.c_void_p(numbers.data_ptr()),
            ctypes.c_int64(len(numbers)),
            divisor,
            ctypes.c_void_p(result.data_ptr()),
        )
        return result

    @property
    def kernel(self) -> str:
        """The last kernel launched: the types of its parameters, and so of its body."""
        name: bytes = self._library.emulation_kernel()
        return name.decode()


def compiler() -> str | None:
    """The path of the host compiler, CXX or g++; None where there is none."""
    return shutil.which(os.environ.get("CXX") or "g++")


def _standard() -> str:
    # From torch 2.13 its own headers need C++20; older ones are C++17.
    return "c++20" if torch.torch_version.TorchVersion(torch.__version__) >= (2, 13) else "c++17"


def _flags(csrc: Path) -> list[str]:
    system = [*cpp_extension.include_paths(), sysconfig.get_paths()["include"]]
    return [
        f"-std={_standard()}",
        "-O1",
        "-fPIC",
        "-fvisibility=hidden",
        "-fno-gnu-unique",
        "-Wall",
        "-Wextra",
        "-Werror",
        # An instantiation with an index type that always fits compares it for nothing.
        "-Wno-type-limits",
        "-DZFCUDA_WITH_CUDA",
        '-DZFCUDA_CUDA_ARCHITECTURES="emulated"',
        f"-I{HERE}",
        f"-I{csrc}",
        *[f"-isystem{path}" for path in system],
    ]


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part + b"\0")
    return digest.hexdigest()[:16]


def _run(command: Sequence[str], target: Path) -> None:
    """Runs the command with -o; the target appears whole or not at all."""
    passing = target.with_suffix(f".{os.getpid()}.tmp")
    result = subprocess.run([*command, "-o", str(passing)], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
    os.replace(passing, target)


def build(name: str, *, csrc: Path = SOURCES, kernels: Sequence[str] = KERNELS, extra: Sequence[str] = ()) -> Path:
    """The library of `name`, compiled where needed.

    Args:
        name: of the torch library that it registers.
        csrc: where the sources are.
        kernels: the .cu files that are compiled from there; the others from the repository.
        extra: flags for the kernels and the runtime.
    """
    found = compiler()
    assert found is not None
    FOLDER.mkdir(parents=True, exist_ok=True)
    version = subprocess.run([found, "--version"], capture_output=True).stdout + torch.__version__.encode()

    def compile_one(source: Path, root: Path, flags: Sequence[str]) -> Path:
        headers = [*sorted(root.glob("*.h")), *sorted(root.glob("*.inl")), *sorted(HERE.rglob("*.h"))]
        headers += sorted(root.glob("cuda/*.cuh"))
        if source.suffix != ".cu":
            headers += [root / "zfcuda.cpp", *sorted(root.glob("cpu/*.h"))]
        command = [found, "-x", "c++", "-c", str(source), *_flags(root), *flags]
        if source.suffix == ".cu":
            command += ["-include", str(HERE / "cuda_emulation.h")]
        if source.stem == "operators":
            # Its CPU registration is left out, so some checks stand unused.
            command.append("-Wno-unused")
        key = _digest(version, *[part.encode() for part in command], *[p.read_bytes() for p in [source, *headers]])
        target = FOLDER / f"{source.stem}-{key}.o"
        if not target.exists():
            _run(command, target)
        return target

    jobs: list[tuple[Path, Path, Sequence[str]]] = [(HERE / "operators.cpp", SOURCES, ())]
    # The operators take their outputs from it.
    jobs.append((SOURCES / "cpu" / "outputs.cpp", SOURCES, extra))
    for kernel in KERNELS:
        root = csrc if kernel in kernels else SOURCES
        jobs.append((root / "cuda" / f"{kernel}.cu", root, extra))
    jobs.append((HERE / "runtime.cpp", SOURCES, [*extra, f'-DEMULATION_LIBRARY="{name}"']))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda job: compile_one(*job), jobs))
    libraries = cpp_extension.library_paths()[0]
    command = [found, "-shared", *map(str, objects), *extra, f"-L{libraries}", "-ltorch", "-ltorch_cpu", "-lc10"]
    command += ["-ltorch_python", f"-Wl,-rpath,{libraries}"]
    target = FOLDER / f"{name}-{_digest(*[part.encode() for part in command])}.so"
    if not target.exists():
        _run(command, target)
    return target


def load(name: str, path: Path) -> Emulation:
    return Emulation(path, name)


if __name__ == "__main__":
    print(build(sys.argv[1], extra=SANITIZERS if sys.argv[2:] == ["sanitized"] else ()))
