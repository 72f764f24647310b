"""Builds zfcuda._C: the CPU kernels always, the CUDA kernels where torch and nvcc allow it (see cuda_toolkit)."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.egg_info import egg_info

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
HINT = f"set CUDA_HOME to the folder of a toolkit of CUDA {torch.version.cuda}"
HOST = [
    "-O3",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-Wall",
    "-Wno-psabi",
    "-Wno-maybe-uninitialized",
]

if torch.torch_version.TorchVersion(torch.__version__) < (2, 10):
    sys.exit(f"zfcuda needs torch >= 2.10, found {torch.__version__}")

# `make wheel` sets it. Whoever gets the library without the sources needs the torch that it was compiled with, and the
# wheel says so; it names no folder of this machine. Whoever has the sources can build them again for another torch.
FOR_OTHERS = os.environ.get("ZFCUDA_WHEEL") == "1"
RELEASE = torch.__version__.partition("+")[0]
if FOR_OTHERS:
    HOST += [f"-ffile-prefix-map={Path(torch.__file__).parent}=torch", f"-ffile-prefix-map={ROOT}=zfcuda"]


@dataclass(frozen=True)
class Toolkit:
    """A CUDA toolkit: its folder, its compiler and the compiler's version, where that looks for libraries."""

    home: Path
    nvcc: str
    version: str
    libraries: list[str]


def toolkit() -> Toolkit | None:
    """The toolkit in CUDA_HOME, or that of the nvcc on the PATH, which may be a link or a script outside of it."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    path = f"{home}/bin/nvcc" if home else shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    # Through a link nvcc looks for its own files beside the link; a link to a cache of compilers has to stay one.
    for nvcc in (os.path.realpath(path), path) if os.access(path, os.X_OK) else ():
        version = re.search(r"release (\d+\.\d+)", output(nvcc, "--version"))
        # What nvcc would run, and with which folders: it alone knows where they lie.
        plan = dict(re.findall(r"^#\$ (\w+)=(.*)$", output(nvcc, "--dryrun", "-x", "cu", os.devnull), re.MULTILINE))
        if version and "TOP" in plan:
            libraries = [x.removeprefix("-L") for x in shlex.split(plan.get("LIBRARIES", "")) if x.startswith("-L")]
            return Toolkit(Path(plan["TOP"]).resolve(), nvcc, version[1], libraries)
    return None


def output(*command: str) -> str:
    """All that a command says."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.stdout


def cuda_toolkit() -> Toolkit | str:
    """The toolkit if the CUDA kernels are to be built; why not otherwise."""
    wanted = torch.version.cuda
    if os.environ.get("ZFCUDA_CUDA") == "0":
        return "a wheel for the CPU" if FOR_OTHERS else "ZFCUDA_CUDA=0"
    if wanted is None:
        return f"torch {torch.__version__} was built without CUDA"
    found = toolkit()
    if found is None:
        return f"no nvcc was found; {HINT}"
    if found.version.split(".")[0] != wanted.split(".")[0]:
        return f"nvcc is {found.version}, but torch was built for CUDA {wanted}; {HINT}"
    return found


def sources(more: str = "*.cpp") -> list[str]:
    """The sources of the CPU kernels, and others."""
    return sorted({str(p.relative_to(ROOT)) for end in ("*.cpp", "cpu/*.cpp", more) for p in ROOT.glob(f"csrc/{end}")})


def common() -> dict[str, list[str]]:
    """What both extensions are built with. They depend on every header, so that an edited one rebuilds."""
    headers = [p for end in ("*.h", "*.cuh", "*.inl") for p in ROOT.glob(f"csrc/**/{end}")]
    return {
        "include_dirs": [str(ROOT / "csrc")],
        "depends": sorted(str(p.relative_to(ROOT)) for p in headers),
        "extra_link_args": ["-fopenmp", "-Wl,-s"],
    }


def cpu_extension() -> Extension:
    return cpp_extension.CppExtension("zfcuda._C", sources(), extra_compile_args={"cxx": HOST}, **common())


def cuda_extension(found: Toolkit) -> Extension | str:
    """The extension with the CUDA kernels; why it cannot be linked otherwise, found out in a second."""
    cpp_extension.CUDA_HOME = str(found.home)  # torch's guess takes a link to nvcc for the toolkit
    os.environ["TORCH_CUDA_ARCH_LIST"] = architectures(found.nvcc)
    define = [
        "-DZFCUDA_WITH_CUDA",
        f'-DZFCUDA_CUDA_ARCHITECTURES="{os.environ["TORCH_CUDA_ARCH_LIST"].replace(";", " ")}"',
    ]
    extension = cpp_extension.CUDAExtension(
        "zfcuda._C",
        sources("cuda/*.cu"),
        extra_compile_args={
            "cxx": HOST + define,
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
        **common(),
    )
    extension.library_dirs += found.libraries
    failure = trial(found, extension)
    own = cudart_of_torch()
    if failure and own:
        extension.libraries.remove("cudart")
        extension.extra_objects.append(own)
        failure = trial(found, extension)
    return f"nvcc {found.version} in {found.home}: {failure}; {HINT}" if failure else extension


def cudart_of_torch() -> str | None:
    """The CUDA runtime in the wheels that torch came with, under a name at which -lcudart does not look."""
    wheels = importlib.util.find_spec("nvidia")
    folders = list(wheels.submodule_search_locations or []) if wheels else []
    name = f"libcudart.so.{torch.version.cuda.split('.')[0]}"
    found = [path for folder in folders for path in Path(folder).glob(f"*/lib/{name}")]
    return str(found[0]) if found else None


def trial(found: Toolkit, extension: Extension) -> str:
    """Compiles and links an empty kernel as the extension will be. Returns what went wrong, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        source, compiled = f"{folder}/trial.cu", f"{folder}/trial.o"
        Path(source).write_text("#include <cuda_runtime.h>\n__global__ void f() {}\nvoid g() { f<<<1, 1>>>(); }\n")
        places = [f"-L{path}" for path in extension.library_dirs] + [f"-l{name}" for name in extension.libraries]
        compiler = shlex.split(os.environ.get("CXX", "c++"))
        for command in (
            [found.nvcc, "-c", source, "-o", compiled, "-Xcompiler", "-fPIC"],
            [*compiler, "-shared", compiled, *extension.extra_objects, *places, "-o", f"{folder}/trial.so"],
        ):
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
            )
            if done.returncode:
                lines = done.stdout.strip().splitlines() or [f"{command[0]} failed"]
                return next((line for line in lines if re.search("error|cannot find", line)), lines[0])
    return ""


def architectures(nvcc: str) -> str:
    """TORCH_CUDA_ARCH_LIST, or those of ARCHITECTURES that this nvcc knows."""
    chosen = os.environ.get("TORCH_CUDA_ARCH_LIST")
    if chosen:
        return chosen
    known = set(re.findall(r"compute_(\d+)\b", output(nvcc, "--list-gpu-arch")))
    names = [a for a in ARCHITECTURES.split() if a.removesuffix("+PTX").replace(".", "") in known]
    if names and "+PTX" not in names[-1]:
        names[-1] += "+PTX"
    return ";".join(names)


def extension() -> tuple[Extension, str]:
    """The extension, and why it has no CUDA kernels, "" where it has them."""
    wish = os.environ.get("ZFCUDA_CUDA")
    if wish not in (None, "", "0", "1"):
        sys.exit(f"ZFCUDA_CUDA: expected 0 or 1, got {wish!r}")
    found = cuda_toolkit()
    built = cuda_extension(found) if isinstance(found, Toolkit) else found
    if not isinstance(built, str):
        return built, ""
    if wish == "1":
        sys.exit(f"zfcuda: ZFCUDA_CUDA=1, but the CUDA kernels cannot be built: {built}")
    print(f"zfcuda: building the CPU kernels alone ({built})", file=sys.stderr)
    return cpu_extension(), built


built, without_cuda = extension()


class BuildExtension(cpp_extension.BuildExtension):
    """Leaves beside the library for which torch it was built, which is asked before loading, and why without CUDA."""

    def run(self) -> None:
        super().run()
        folder = Path(self.get_ext_fullpath("zfcuda._C")).parent
        (folder / "_built_for.py").write_text(f"TORCH = {str(torch.__version__)!r}\nWITHOUT_CUDA = {without_cuda!r}\n")


class EggInfo(egg_info):
    """Names torch and kernels in the version of a wheel for others, so that one folder can hold wheels for several."""

    def finalize_options(self) -> None:
        kernels = "cpu" if without_cuda else f"cu{torch.version.cuda.replace('.', '')}"
        self.tag_build = f"+torch{RELEASE}.{kernels}" if FOR_OTHERS else ""
        super().finalize_options()


setup(
    ext_modules=[built],
    cmdclass={"build_ext": BuildExtension, "egg_info": EggInfo},
    install_requires=[
        f"torch=={RELEASE}" if FOR_OTHERS else "torch>=2.10",
        "numpy",
        "pillow>=10",
        "tqdm",
        "safetensors",
    ],
)
