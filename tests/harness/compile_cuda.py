"""Compiles every .cu with setup.py's flags where there is an nvcc, warnings as errors; no GPU needed.

Run by `make lint`. In the standard of torch's headers for all of ARCHITECTURES, in the other one for one of them. Fails
where a kernel spills registers, or where docs/kernels.md, the table of the kernels' registers, lists other kernels.
`python tests/harness/compile_cuda.py --table docs/kernels.md` writes it anew.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils import cpp_extension

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "kernels.md"
ARCHITECTURES = [80, 90, 100]
# From torch 2.13 its own headers need C++20; older ones are C++17.
STANDARDS = ["c++20", "c++17"] if torch.torch_version.TorchVersion(torch.__version__) >= (2, 13) else ["c++17", "c++20"]
TYPES = {"c10::Half": "float16", "c10::BFloat16": "bfloat16", "float": "float32", "double": "float64"}
TYPES |= {"int": "int32", "long": "int64", "unsigned char": "uint8", "unsigned short": "uint16"}
TYPES |= {"unsigned int": "uint32", "unsigned long": "uint64"}


# ---------------------------------------------------------------- compiling


def find_nvcc() -> str | None:
    home = os.environ.get("CUDA_HOME")
    nvcc = os.path.join(home, "bin", "nvcc") if home else shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    return os.path.realpath(nvcc) if os.path.exists(nvcc) else None  # through a link it does not find its own files


def setup_flags() -> list[str]:
    """setup.py's for nvcc: the list beside the key "nvcc", or the one of the name that stands there."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    named = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
            if isinstance(key, ast.Constant) and key.value == "nvcc":
                flags = named[value.id] if isinstance(value, ast.Name) else value
                return [str(flag) for flag in ast.literal_eval(flags)]
    raise LookupError('setup.py: no list of flags beside "nvcc"')


def compile_one(nvcc: str, source: Path, standard: str, architectures: list[int], folder: str) -> tuple[bool, str]:
    """Whether it went well, and all that the compiler said, ptxas's numbers included."""
    includes = [f"-I{path}" for path in [ROOT / "csrc", *cpp_extension.include_paths()]]
    command = [
        nvcc,
        *cpp_extension.COMMON_NVCC_FLAGS,
        *setup_flags(),
        f"-std={standard}",
        "-c",
        str(source),
        "-o",
        f"{folder}/{source.stem}.{standard}.o",
        "-Werror",
        "all-warnings",
        "-Xcompiler",
        "-fPIC,-Wno-psabi",
        "-Xptxas",
        "-v",
        *[f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures],
        # torch's own headers warn; they are not ours to mend.
        *[flag.replace("-I", "-isystem=", 1) if "torch" in flag else flag for flag in includes],
    ]
    if torch.version.cuda is None:
        command.append("-DC10_CUDA_NO_CMAKE_CONFIGURE_FILE")  # a header that only torch's CUDA builds bring
    result = subprocess.run(command, capture_output=True, text=True)
    return result.returncode == 0, result.stdout + result.stderr


# ---------------------------------------------------------------- what ptxas says of each kernel


@dataclass(frozen=True)
class Kernel:
    source: str
    name: str  # without what it is instantiated for
    values: tuple[str, ...]  # of its template parameters, "N = 4"
    types: tuple[str, ...]  # of the others, "T = float32"
    architecture: int
    registers: int
    stack: int
    spilled: int  # bytes, written and read
    shared: int

    @property
    def row(self) -> str:
        return f"{self.name}<{', '.join(self.values)}>" if self.values else self.name


def split(arguments: str) -> list[str]:
    """At the commas that stand in no brackets."""
    parts, depth = [""], 0
    for letter in arguments:
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def parameters_of(text: str) -> dict[str, list[str]]:
    """Per struct and kernel of the sources, the names of its template parameters."""
    bounds = r"__launch_bounds__\((?:[^()]|\([^()]*\))*\)\s*"
    pattern = rf"template\s*<([^<>]*)>\s*(?:struct\s+|__global__\s+void\s+(?:{bounds})?)(\w+)"
    return {name: [p.split("=")[0].split()[-1] for p in split(found)] for found, name in re.findall(pattern, text)}


def enumerators_of(text: str) -> dict[str, list[str]]:
    return {name: split(found) for name, found in re.findall(r"enum class (\w+)[^{;]*\{([^}]*)\}", text)}


def describe(demangled: str, text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """(name, values, types) of a kernel; of one that only calls its body for each index, those of the body."""
    plain = re.sub(r"\b(?:zfcuda::)?(?:cuda::)?\(anonymous namespace\)::|zfcuda::cuda::|zfcuda::", "", demangled)
    plain = plain.removeprefix("void ")
    name, arguments = plain.split("(")[0].strip() if "<" not in plain else plain[: plain.index("<")], []
    if "<" in plain:
        depth, end = 0, len(plain)
        for i, letter in enumerate(plain):
            depth += (letter == "<") - (letter == ">")
            if letter == ">" and depth == 0:
                end = i
                break
        arguments = split(plain[plain.index("<") + 1 : end])
    if name == "each_kernel" and "<" in arguments[-1]:
        return describe(arguments[-1], text)
    names = parameters_of(text).get(name, [])
    values, types = [], []
    for i, argument in enumerate(arguments):
        parameter = names[i] if i < len(names) else f"#{i + 1}"
        enum = re.fullmatch(r"\((?:\w+::)*(\w+)\)(\d+)", argument)
        if enum:
            found = enumerators_of(text).get(enum[1], [])
            values.append(found[int(enum[2])] if int(enum[2]) < len(found) else f"{enum[1]} {enum[2]}")
        elif re.fullmatch(r"-?\d+[ul]*|true|false", argument):
            values.append(f"{parameter} = {argument.rstrip('ul') if argument[0] not in 'tf' else argument}")
        else:
            short = re.sub(r"[\w:]+(?: \w+)*", lambda m: TYPES.get(m[0], m[0]), argument)
            types.append(f"{parameter} = {short.replace('> >', '>>')}")
    return name, tuple(values), tuple(types)


def demangle(names: list[str], nvcc: str) -> list[str]:
    beside = Path(nvcc).with_name("cu++filt")
    tool = str(beside) if beside.exists() else shutil.which("c++filt")
    if tool is None:
        raise FileNotFoundError("neither cu++filt nor c++filt is here, to read the kernels' names")
    return subprocess.run(
        [tool], input="\n".join(names), capture_output=True, text=True, check=True
    ).stdout.splitlines()


def kernels_in(said: str, source: Path, nvcc: str) -> list[Kernel]:
    """The kernels in what ptxas -v said of a source."""
    blocks = re.split(r"Compiling entry function ", said)[1:]
    heads = [re.match(r"'(\S+)' for 'sm_(\d+)\w*'", block) for block in blocks]
    mangled = [head[1] for head in heads if head]
    headers = [*ROOT.glob("csrc/*.h"), *ROOT.glob("csrc/*.inl"), *ROOT.glob("csrc/cuda/*.cuh")]
    text = "\n".join(p.read_text() for p in [source, *headers])
    kernels = []
    for demangled, head, block in zip(demangle(mangled, nvcc), heads, blocks, strict=True):
        assert head is not None
        own = block[block.index(f"Function properties for {head[1]}") :]
        stack, stores, loads = (int(n) for n in re.findall(r"(\d+) bytes (?:stack|spill stores|spill loads)", own)[:3])
        used = re.search(r"Used (\d+) registers[^\n]*", block)
        assert used is not None, block
        shared = re.search(r"(\d+) bytes smem", used[0])
        numbers = (int(head[2]), int(used[1]), stack, stores + loads, int(shared[1]) if shared else 0)
        kernels.append(Kernel(source.name, *describe(demangled, text), *numbers))
    return kernels


# ---------------------------------------------------------------- the table


def span(numbers: list[int]) -> str:
    return str(min(numbers)) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def types_of(kernels: list[Kernel]) -> str:
    """ "T: float32, float64; I: int32": the values of each parameter."""
    found: dict[str, set[str]] = defaultdict(set)
    for kernel in kernels:
        for parameter, value in (t.split(" = ", 1) for t in kernel.types):
            found[parameter].add(value)
    return "; ".join(f"{parameter}: {', '.join(sorted(values))}" for parameter, values in found.items()) or "-"


def table(kernels: list[Kernel], nvcc: str) -> str:
    rows: dict[tuple[str, str], list[Kernel]] = defaultdict(list)
    for kernel in kernels:
        rows[kernel.source, kernel.row].append(kernel)
    architectures = sorted({kernel.architecture for kernel in kernels})
    said = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    version = re.search(r"V(\d+(?:\.\d+)*)", said)
    columns = ["source", "kernel", "of types", *[f"registers, sm_{a}" for a in architectures]]
    columns += ["stack, bytes", "spilled, bytes", "shared, bytes"]
    lines = [
        "# The CUDA kernels",
        "",
        "Registers of a thread, its stack, what is spilled of its registers, and the shared memory that a block has",
        "from the start (a launch may add more). A row is one kernel, or the element function that a kernel calls for",
        "each index; where it is compiled for several types, from the least to the most. `make lint` fails where a",
        "kernel spills, or where this table lists other kernels than are compiled.",
        "",
        "Made by `python tests/harness/compile_cuda.py --table docs/kernels.md` with nvcc "
        f"{version[1] if version else '?'}:",
        f"what `ptxas -v` says under setup.py's flags, `{' '.join(setup_flags())}`.",
        "Another nvcc may give other numbers.",
        "",
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
    ]
    for (source, row), group in sorted(rows.items()):
        registers = [span([k.registers for k in group if k.architecture == a]) for a in architectures]
        rest = [span([getattr(k, what) for k in group]) for what in ("stack", "spilled", "shared")]
        lines.append(f"| {' | '.join([source, f'`{row}`', types_of(group), *registers, *rest])} |")
    return "\n".join(lines) + "\n"


def names_in(text: str) -> set[str]:
    """The first three columns: what does not depend on the compiler."""
    return {"|".join(line.split("|")[1:4]) for line in text.splitlines() if re.match(r"\| \w+\.cu \|", line)}


def complaints(kernels: list[Kernel], made: str) -> list[str]:
    wrong = [
        f"sm_{k.architecture}: {k.source} {k.row} ({', '.join(k.types)}) spills {k.spilled} bytes of registers"
        for k in kernels
        if k.spilled
    ]
    listed, compiled = names_in(TABLE.read_text()) if TABLE.exists() else set(), names_in(made)
    wrong += [f"{TABLE.relative_to(ROOT)} lacks{name}" for name in sorted(compiled - listed)]
    wrong += [f"{TABLE.relative_to(ROOT)} has, and no source has{name}" for name in sorted(listed - compiled)]
    if listed != compiled:
        wrong.append(f"write it anew: python tests/harness/compile_cuda.py --table {TABLE.relative_to(ROOT)}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="write the table of kernels there")
    arguments = parser.parse_args()
    nvcc = find_nvcc()
    if nvcc is None:
        print("compile_cuda: no nvcc here, the .cu files were not compiled")
        return 0
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True).stdout
    architectures = [a for a in ARCHITECTURES if re.search(rf"compute_{a}\b", listed)]
    sources = sorted(ROOT.glob("csrc/cuda/*.cu"), key=lambda p: -p.stat().st_size)  # the slowest first
    failed, kernels = False, []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {
            (source, standard, tuple(some)): pool.submit(compile_one, nvcc, source, standard, some, folder)
            for standard, some in zip(STANDARDS, (architectures, architectures[-2:-1] or architectures), strict=True)
            for source in sources
        }
        for (source, standard, some), job in jobs.items():
            well, said = job.result()
            how = f"{standard} {', '.join(f'sm_{a}' for a in some)}"
            print(f"compile_cuda: {source.relative_to(ROOT)} {how}: {'ok' if well else 'FAILED'}", flush=True)
            if not well:
                failed = True
                print(re.sub(r"(?m)^(?:ptxas info|\s+\d+ bytes stack).*\n", "", said))
            elif standard == STANDARDS[0]:
                kernels += kernels_in(said, source, nvcc)
    if failed:
        return 1
    made = table(kernels, nvcc)
    if arguments.table:
        arguments.table.parent.mkdir(parents=True, exist_ok=True)
        arguments.table.write_text(made)
    wrong = complaints(kernels, made)
    print(*wrong, sep="\n") if wrong else print(f"compile_cuda: {len(kernels)} kernels, none spills")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
