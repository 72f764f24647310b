"""Builds zfcuda._C: the CPU kernels always, the CUDA kernels where torch and nvcc allow it (see build_cuda)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup

try:
    import torch
    from torch.utils import cpp_extension
except ImportError:
    # Under pip's build isolation torch would be fetched anew, and the kernels built against that one.
    sys.exit(
        "zfcuda is built against the torch that you have: install torch >= 2.10 first, then run "
        "`pip install --no-build-isolation .`"
    )

ROOT = Path(__file__).resolve().parent
ARCHITECTURES = "7.5 8.0 8.6 9.0 10.0+PTX"

if torch.torch_version.TorchVersion(torch.__version__) < (2, 10):
    sys.exit(f"zfcuda needs torch >= 2.10, found {torch.__version__}")


def nvcc() -> tuple[str, str] | None:
    """(path, version) of the CUDA compiler that torch's cpp_extension would use."""
    home = cpp_extension.CUDA_HOME
    path = os.path.join(home, "bin", "nvcc") if home else shutil.which("nvcc")
    if not path or not os.path.exists(path):
        return None
    match = re.search(r"release (\d+\.\d+)", subprocess.run([path, "--version"], capture_output=True, text=True).stdout)
    return (path, match[1]) if match else None


def build_cuda() -> str | None:
    """The path of nvcc if the CUDA kernels are to be built; says why not otherwise."""
    wish, found = os.environ.get("ZFCUDA_CUDA"), nvcc()
    if wish not in (None, "", "0", "1"):
        sys.exit(f"ZFCUDA_CUDA: expected 0 or 1, got {wish!r}")
    if wish == "0":
        reason = "ZFCUDA_CUDA=0"
    elif torch.version.cuda is None:
        reason = f"torch {torch.__version__} was built without CUDA"
    elif found is None:
        reason = "no nvcc was found"
    elif found[1].split(".")[0] != torch.version.cuda.split(".")[0]:
        reason = f"nvcc is {found[1]}, but torch was built for CUDA {torch.version.cuda}"
    else:
        return found[0]
    if wish == "1":
        sys.exit(f"zfcuda: ZFCUDA_CUDA=1, but the CUDA kernels cannot be built: {reason}")
    print(f"zfcuda: building the CPU kernels alone ({reason})", file=sys.stderr)
    return None


def architectures(compiler: str) -> str:
    """TORCH_CUDA_ARCH_LIST, or those of ARCHITECTURES that this nvcc knows."""
    chosen = os.environ.get("TORCH_CUDA_ARCH_LIST")
    if chosen:
        return chosen
    listed = subprocess.run([compiler, "--list-gpu-arch"], capture_output=True, text=True).stdout
    known = set(re.findall(r"compute_(\d+)\b", listed))
    names = [a for a in ARCHITECTURES.split() if a.removesuffix("+PTX").replace(".", "") in known]
    if names and "+PTX" not in names[-1]:
        names[-1] += "+PTX"
    return ";".join(names)


def extension() -> object:
    host = [
        "-O3",
        "-fopenmp",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fvisibility=hidden",
        "-Wall",
        "-Wno-psabi",
        "-Wno-maybe-uninitialized",
    ]
    sources = sorted(str(p.relative_to(ROOT)) for p in [*ROOT.glob("csrc/*.cpp"), *ROOT.glob("csrc/cpu/*.cpp")])
    # Depends on every header, so that an edited one rebuilds.
    common = dict(
        include_dirs=[str(ROOT / "csrc")],
        depends=sorted(
            str(p.relative_to(ROOT)) for end in ("*.h", "*.cuh", "*.inl") for p in ROOT.glob(f"csrc/**/{end}")
        ),
        extra_link_args=["-fopenmp", "-Wl,-s"],
    )
    compiler = build_cuda()
    if compiler is None:
        return cpp_extension.CppExtension("zfcuda._C", sources, extra_compile_args={"cxx": host}, **common)
    os.environ["TORCH_CUDA_ARCH_LIST"] = architectures(compiler)
    define = [
        "-DZFCUDA_WITH_CUDA",
        f'-DZFCUDA_CUDA_ARCHITECTURES="{os.environ["TORCH_CUDA_ARCH_LIST"].replace(";", " ")}"',
    ]
    return cpp_extension.CUDAExtension(
        "zfcuda._C",
        sources + sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("csrc/cuda/*.cu")),
        extra_compile_args={
            "cxx": host + define,
            # Only normalisation divides floats: to two units in the last place, in half the instructions.
            "nvcc": [
                "-O3",
                "-DZFCUDA_WITH_CUDA",
                "-Xcompiler",
                "-fvisibility=hidden",
                "-prec-div=false",
                "-prec-sqrt=false",
            ],
        },
        **common,
    )


class BuildExtension(cpp_extension.BuildExtension):
    """Leaves beside the library for which torch it was built; zfcuda/_extension.py reads it before loading."""

    def run(self) -> None:
        super().run()
        folder = Path(self.get_ext_fullpath("zfcuda._C")).parent
        (folder / "_built_for.py").write_text(f'TORCH = "{torch.__version__}"\n')


setup(ext_modules=[extension()], cmdclass={"build_ext": BuildExtension})
