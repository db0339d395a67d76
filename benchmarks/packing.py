"""How near an arena comes to its lower bound on hard packing problems, beside greedy placement by size alone.

The problems are those of packing_cases.py. Ratios are exact and repeat; seconds are processor time on this computer.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time

import numpy as np
from document import write_table
from packing_cases import CASES_PER_FAMILY, FAMILIES, case

from edgewright.plan.lifetimes import Lifetime
from edgewright.plan.pack import ARENA_ALIGN_BYTES, PROVEN, pack
from edgewright.plan.packing_problem import Problem, first_fit, greedy_orders


def greedy_ratio(pieces: list[Lifetime]) -> float:
    problem = Problem.of_spans(ARENA_ALIGN_BYTES, [(p.size_bytes, p.first, p.last) for p in pieces])
    positions = first_fit(problem, greedy_orders(problem)["greedy by size"])
    return problem.arena_bytes(positions) / problem.lower_bound_bytes


def row(name: str, buffers: list[int], measured: list[tuple[float, float, bool, float]]) -> str:
    greedy, ratio, proven, seconds = (np.array(column) for column in zip(*measured, strict=True))
    return (
        f"| {name} | {len(measured)} | {min(buffers)} to {max(buffers)} | {greedy.mean():.4f} | {greedy.max():.4f} "
        f"| {ratio.mean():.4f} | {ratio.max():.4f} | {100 * proven.mean():.0f} % | {seconds.mean():.2f} "
        f"| {seconds.max():.2f} |"
    )


def table(time_limit_s: float) -> str:
    rows, all_buffers, everything = [], [], []
    for family in FAMILIES:
        print(family, file=sys.stderr)
        buffers, measured = [], []
        for number in range(CASES_PER_FAMILY):
            pieces = case(family, number)
            began = time.process_time()
            packing = pack(pieces, time_limit_s=time_limit_s)
            seconds = time.process_time() - began
            ratio = packing.arena_bytes / packing.lower_bound_bytes
            measured.append((greedy_ratio(pieces), ratio, packing.method == PROVEN, seconds))
            buffers.append(len(pieces))
        rows.append(row(family, buffers, measured))
        all_buffers += buffers
        everything += measured
    rows.append(row("all", all_buffers, everything))
    return "\n".join([
        f"Made by `python benchmarks/packing.py --write` on {platform.machine()}, time limit {time_limit_s:g} s.", "",
        "| family | cases | buffers | greedy, mean | greedy, worst | arena / bound, mean | worst | proven "
        "| s, mean | s, worst |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", *rows, "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace the table in docs/BENCHMARKS.md")
    parser.add_argument("--time-limit", type=float, default=2.0, help="seconds a case (default: 2)")
    options = parser.parse_args()
    text = table(options.time_limit)
    print(text)
    if options.write:
        write_table("packing", text)


if __name__ == "__main__":
    main()
