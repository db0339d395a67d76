"""The arena of int8 networks: without shared bytes, as planned for speed, and as small as it gets, on emulated boards.

    python benchmarks/memory.py [--write] [--networks kws,ic] [--boards mps2-an386]

Networks as in mcu.py, and MobileNetV2. `apart` is the arena where no two tensors that are alive at one time share
bytes, and the largest sum of such tensors: where both are equal no such plan is smaller. The three levels are deployed
and run: every output is compared with the integer reference, one bit that differs ends the run. With --write the table
replaces the one in docs/BENCHMARKS.md.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path

import onnx
from document import write_table
from mcu import SAMPLES, chosen, measure, networks
from mcu_networks import LARGE_NETWORKS, make

import edgewright as ew
from edgewright.boards import Target, load_target
from edgewright.kernels import Core
from edgewright.passes import run_passes
from edgewright.plan import PlanOptions, make_plan
from edgewright.report.result import Result

LEVELS = ("speed", "balanced", "ram")
BOARDS = ("mps2-an385", "mps2-an386", "mps3-an547")


def apart(path: Path, board: Target) -> tuple[int, int]:
    """Arena and lower bound of a plan in which no bytes are shared. Units: bytes."""
    core = Core(frozenset(board.features))
    plan = make_plan(run_passes(ew.load(path).graph), core, PlanOptions("speed", overlay=False))
    return plan.arena_bytes, plan.lower_bound_bytes


def figures(result: Result | None) -> tuple[str, str]:
    if result is None:
        return "", ""
    return f"{result.build.arena_bytes:,}", f"{result.run.instructions_per_inference:,.0f}"


def table(options: argparse.Namespace) -> str:
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        found = {name: (path, x) for name, path, x in networks(Path(scratch)) if name != "digits"}
        for name in LARGE_NETWORKS:
            model, x = make(name, SAMPLES)
            found[name] = Path(scratch) / f"{name}.onnx", x
            onnx.save(model, found[name][0])
        for name in chosen(options.networks, list(found), "network"):
            for board in (load_target(board) for board in chosen(options.boards, list(BOARDS), "board")):
                print(name, board.name, file=sys.stderr)
                arena, bound = apart(found[name][0], board)
                results = [measure(*found[name], board, level) for level in LEVELS]
                cells = [f"{arena:,}", f"{bound:,}", *(cell for result in results for cell in figures(result))]
                counts = [result.run.instructions_per_inference if result else None for result in results]
                cells.append(f"{counts[2] / counts[1]:.2f}" if counts[1] and counts[2] else "")
                rows.append(f"| {name} | {board.name} | " + " | ".join(cells) + " |")
    return "\n".join([
        f"Made by `python benchmarks/memory.py --write` with arm-none-eabi-gcc on {platform.machine()}.", "",
        "| network | board | apart B | its bound B | `speed` B | instructions | `balanced` B | instructions | `ram` B "
        "| instructions | ratio |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", *rows, "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--networks", help="comma-separated; all, if not given")
    parser.add_argument("--boards", help=f"of {', '.join(BOARDS)}")
    parser.add_argument("--write", action="store_true", help="put the table into docs/BENCHMARKS.md")
    options = parser.parse_args()
    text = table(options)
    if options.write:
        write_table("memory", text)
    print(text)


if __name__ == "__main__":
    main()
