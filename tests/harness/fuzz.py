"""Fuzzes the CPU operators under AddressSanitizer and UndefinedBehaviorSanitizer, against their twins in plain torch.

    python -m tests.harness.fuzz --seconds 600      new cases until one fails, whose seed is named
    python -m tests.harness.fuzz --seed 123         one case again (--isa baseline, avx2 or avx512)
    python -m tests.harness.fuzz --keep 30000       chooses fuzz_seeds.txt: of so many cases those that reach new code

A case is one integer (fuzz_cases.py). The seeds that are kept run in tests/ops/test_fuzz.py.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.harness.sanitized import build

SEEDS = Path(__file__).with_name("fuzz_seeds.txt")
PORTION = 5000  # cases of one process: AddressSanitizer keeps what was freed for a while


def kept() -> list[int]:
    """The seeds in SEEDS, in its order; a line may say more after #."""
    return [int(line.split("#")[0]) for line in SEEDS.read_text().splitlines() if line.split("#")[0].strip()]


def work(seeds: Iterable[int], deadline: float) -> None:
    """In a process of its own: prints each seed before it runs, so that the last one printed is the one that failed."""
    build.use(os.environ[build.LIBRARY])
    from tests.harness import fuzz_cases

    for seed in seeds:
        if time.time() > deadline:
            break
        print(seed, flush=True)
        fuzz_cases.run(seed)


def reach(seeds: Iterable[int]) -> None:
    """In a process of its own: prints the seeds that reach code which none before them did."""
    library = os.environ[build.LIBRARY]
    build.use(library)
    from tests.harness import fuzz_cases

    places = ctypes.CDLL(library)

    def pick(seeds: Iterable[int]) -> list[int]:
        places.reached_forget()
        before, picked = 0, []
        for seed in seeds:
            fuzz_cases.run(seed)
            if (now := places.reached()) > before:
                before = now
                picked.append(seed)
        print(f"{before} places, {len(picked)} seeds", file=sys.stderr)
        return picked

    # Later cases may reach what several earlier ones did.
    print(*sorted(pick(pick(seeds)[::-1])), sep="\n")


def start(library: Path, isa: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.harness.fuzz", *arguments]
    environment = build.environment(library, ZFCUDA_ISA=isa, OMP_WAIT_POLICY="passive")
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def portion(library: Path, isa: str, first: int, cases: int, deadline: float) -> tuple[int, str]:
    """How many cases ran, and what the last of them complained of, empty where nothing."""
    result = start(library, isa, ["--work", str(first), str(cases), str(deadline)])
    seeds = result.stdout.split()
    if result.returncode == 0:
        return len(seeds), ""
    # Without a seed the process did not come as far as its first case.
    again = (
        f"seed {seeds[-1]}, again: python -m tests.harness.fuzz --seed {seeds[-1]} --isa {isa}"
        if seeds
        else "no case ran"
    )
    return len(seeds), f"{result.stderr[-6000:]}\n{again}"


def fuzz(seconds: float, first: int, jobs: int) -> int:
    library, sets = build.build(), build.instruction_sets()
    deadline = time.time() + seconds
    print(f"fuzz: from seed {first} on, for {seconds:.0f} s, on {', '.join(sets)}", flush=True)
    ran: Counter[str] = Counter()
    complaints: list[str] = []

    def worker(job: int) -> None:
        turn = job
        while time.time() < deadline and not complaints:
            isa = sets[turn % len(sets)]
            count, complaint = portion(library, isa, first + turn * PORTION, PORTION, deadline)
            ran[isa] += count
            complaints.extend(filter(None, [complaint]))
            turn += jobs

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(worker, range(jobs)))
    print(*complaints, sep="\n\n")
    cases = ", ".join(f"{isa} {count}" for isa, count in ran.items())
    print(f"fuzz: {sum(ran.values())} cases ({cases}): {'FAILED' if complaints else 'clean'}")
    return 1 if complaints else 0


def keep(cases: int) -> int:
    library = build.build(reached=True)
    found: set[int] = set()
    for isa in build.instruction_sets():
        result = start(library, isa, ["--reach", str(cases)])
        print(f"{isa}: {result.stderr}")
        if result.returncode:
            return 1
        found |= {int(seed) for seed in result.stdout.split()}
    failed = [line for line in SEEDS.read_text().splitlines() if line.split("#")[0] and "#" in line]
    found -= {int(line.split("#")[0]) for line in failed}
    head = "# Cases that reach code which no case before them does; after each that once failed stands why."
    SEEDS.write_text("\n".join([head, *failed, *map(str, sorted(found))]) + "\n")
    print(f"{len(found)} seeds in {SEEDS}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--first", type=int, default=random.SystemRandom().randrange(10**6, 10**12))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--isa", default="avx512")
    parser.add_argument("--keep", type=int)
    parser.add_argument("--work", nargs=3, metavar=("FIRST", "CASES", "DEADLINE"), help=argparse.SUPPRESS)
    parser.add_argument("--reach", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        first, cases = int(arguments.work[0]), int(arguments.work[1])
        work(range(first, first + cases), float(arguments.work[2]))
        return 0
    if arguments.reach:
        reach(range(arguments.reach))
        return 0
    if reason := build.missing():
        print(f"fuzz: {reason}")
        return 1
    if arguments.keep:
        return keep(arguments.keep)
    if arguments.seed is not None:
        _, complaint = portion(build.build(), arguments.isa, arguments.seed, 1, time.time() + 3600)
        print(complaint or "clean")
        return 1 if complaint else 0
    return fuzz(arguments.seconds, arguments.first, arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())
