"""int8 networks of MLPerf Tiny's shapes on the emulated boards: instructions, modelled cycles, memory, by --optimize.

    python benchmarks/mcu.py [--write] [--networks kws,ic] [--boards mps2-an386] [--optimize speed,size] [--profile]

Networks: the shapes of mcu_networks.py, with seeded weights; and `NAME_int8_qdq.onnx` with `NAME_int8.npz` of a folder
given by EDGEWRIGHT_MODELS or found beside the checkout (shared/models), as NAME-reference. Every output is compared
with the integer reference: one bit that differs ends the run. With --write the table replaces the one in
docs/BENCHMARKS.md; --profile prints each run's steps.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from document import REPOSITORY, write_table
from mcu_networks import NETWORKS, make
from rich.console import Console

import edgewright as ew
from edgewright.boards import Target, list_targets
from edgewright.doctor import check_tool
from edgewright.errors import MemoryPlanError
from edgewright.report.result import Result
from edgewright.report.tables import profile_tables

SAMPLES = 3
LEVELS = ("speed", "balanced", "size")


def networks(scratch: Path) -> Iterator[tuple[str, Path, np.ndarray]]:
    """Name, file and samples of each network."""
    for name in NETWORKS:
        model, x = make(name, SAMPLES)
        path = scratch / f"{name}.onnx"
        onnx.save(model, path)
        yield name, path, x
    folder = Path(os.environ.get("EDGEWRIGHT_MODELS", REPOSITORY.parent / "shared" / "models"))
    for name in NETWORKS:
        path, data = folder / f"{name}_int8_qdq.onnx", folder / f"{name}_int8.npz"
        if path.is_file() and data.is_file():
            with np.load(data) as arrays:
                yield f"{name}-reference", path, arrays["x"][:SAMPLES]


def measure(path: Path, x: np.ndarray, board: Target, optimize: str) -> Result | None:
    """Deploy and run; None where the board is too small. Ends the program where an output is not the reference's."""
    try:
        built = ew.generate(ew.load(path), board, optimize=optimize).build()  # type: ignore[arg-type]
        with built.flash(profile=True) as device:
            result = device.predict(x).report()
    except MemoryPlanError:
        return None
    if result.fidelity.reference != "numpy-integer" or result.fidelity.mismatching_elements:
        sys.exit(f"{path.name} on {board.name} at {optimize}: not the integer reference's outputs: {result.fidelity}")
    return result


def row(name: str, board: str, optimize: str, result: Result) -> str:
    run, build = result.run, result.build
    count, cycles = run.instructions_per_inference, run.cycles_per_inference
    figures = (
        f"{count:,.0f}", "" if cycles is None else f"{cycles:,.0f}",
        "" if cycles is None else f"{result.model.macs / cycles:.2f}",
        *(f"{size:,}" for size in (build.code_bytes, build.flash_bytes, build.ram_bytes, build.arena_bytes,
                                   build.arena_lower_bound_bytes)),
    )  # fmt: skip
    return f"| {name} | {board} | {optimize} | " + " | ".join(figures) + " |"


def chosen(text: str | None, known: list[str], what: str) -> list[str]:
    words = text.split(",") if text else known
    for word in words:
        if word not in known:
            sys.exit(f"no {what} '{word}'; there are {', '.join(known)}")
    return words


def table(options: argparse.Namespace) -> str:
    boards = {target.name: target for target in list_targets() if target.emulator is not None}
    for name, target in list(boards.items()):
        missing = [tool.name for tool in target.tool if check_tool(target, tool).version is None]
        if missing:
            print(f"{name}: left out, {', '.join(missing)} is not installed", file=sys.stderr)
            del boards[name]
    names = chosen(options.boards, list(boards), "board")
    levels = chosen(options.optimize, list(LEVELS), "level")
    rows: list[str] = []
    too_big: dict[tuple[str, str], list[str]] = {}
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        found = {name: (path, x) for name, path, x in networks(Path(scratch))}
        for name in chosen(options.networks, list(found), "network"):
            for board in names:
                for optimize in levels:
                    print(name, board, optimize, file=sys.stderr)
                    result = measure(*found[name], boards[board], optimize)
                    if result is None:
                        too_big.setdefault((name, board), []).append(optimize)
                        continue
                    rows.append(row(name, board, optimize, result))
                    if options.profile:
                        console.print(*profile_tables(result), crop=False)
    refused = [
        f"{name} on {board}" + ("" if failed == levels else f" ({', '.join(failed)})")
        for (name, board), failed in too_big.items()
    ]
    compilers = ", ".join(sorted({boards[name].toolchain.compiler for name in names}))
    return "\n".join([
        f"Made by `python benchmarks/mcu.py --write` with {compilers} on {platform.machine()}.", "",
        "| network | board | optimize | instructions | modelled cycles | MAC a cycle | code B | flash B | RAM B "
        "| arena B | bound B |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", *rows, "",
        *([f"Too big for the board: {', '.join(refused)}.", ""] if refused else []),
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace the table in docs/BENCHMARKS.md")
    parser.add_argument("--profile", action="store_true", help="print each run's steps")
    for name in ("networks", "boards", "optimize"):
        parser.add_argument(f"--{name}", help="only these, separated by commas")
    options = parser.parse_args()
    text = table(options)
    print(text)
    if options.write:
        write_table("mcu", text)


if __name__ == "__main__":
    main()
