"""Compiles every .cu as C++17 and C++20 where there is an nvcc, warnings as errors; no GPU needed. Run by `make
lint`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch.utils import cpp_extension

ROOT = Path(__file__).resolve().parent.parent


def compile_one(nvcc: str, source: Path, standard: str, architecture: str, folder: str) -> str:
    """The compiler's complaint, empty where there is none."""
    includes = [f"-I{path}" for path in [ROOT / "csrc", *cpp_extension.include_paths()]]
    command = [
        nvcc, f"-std={standard}", f"-arch={architecture}", "-c", str(source), "-o",
        f"{folder}/{source.stem}.{standard}.o",
        "-DZFCUDA_WITH_CUDA", "-Werror", "all-warnings", "-Xcompiler", "-fPIC,-Wno-psabi",
        # torch's own headers warn; they are not ours to mend.
        *[flag.replace("-I", "-isystem=", 1) if "torch" in flag else flag for flag in includes],
    ]  # fmt: skip
    if torch.version.cuda is None:
        command.append("-DC10_CUDA_NO_CMAKE_CONFIGURE_FILE")  # a header that only torch's CUDA builds bring
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stdout + result.stderr if result.returncode else ""


def main() -> int:
    home = os.environ.get("CUDA_HOME") or cpp_extension.CUDA_HOME
    nvcc = os.path.join(home, "bin", "nvcc") if home else shutil.which("nvcc")
    if not nvcc or not os.path.exists(nvcc):
        print("compile_cuda: no nvcc here, the .cu files were not compiled")
        return 0
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True).stdout
    architecture = "sm_90" if "compute_90" in listed else "sm_" + re.findall(r"compute_(\d+)", listed)[-1]
    sources = sorted(ROOT.glob("csrc/cuda/*.cu"))
    # From torch 2.13 its own headers need C++20; older ones are C++17.
    standards = ["c++17", "c++20"]
    failed = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {
            (source, standard): pool.submit(compile_one, nvcc, source, standard, architecture, folder)
            for source in sources
            for standard in standards
        }
        for (source, standard), job in jobs.items():
            complaint = job.result()
            print(
                f"compile_cuda: {source.relative_to(ROOT)} {standard} {architecture}: {'FAILED' if complaint else 'ok'}"
            )
            if complaint:
                failed += 1
                print(complaint)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
