"""Float networks on the host and on the emulated Cortex-M4F: error, instructions, memory, and where the time goes.

    python benchmarks/float_models.py [--write]

Networks: examples/digits, and the three MLPerf Tiny float networks where a folder with them is given by
EDGEWRIGHT_MODELS or found beside the checkout (shared/models); each `NAME_fp32.onnx` with `NAME_fp32.npz`.
With --write the tables replace those in docs/BENCHMARKS.md.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from document import REPOSITORY, write_table

from edgewright.boards import load_target
from edgewright.report.result import Result

TARGETS = ("host", "mps2-an386")


def networks() -> list[tuple[str, Path, Path]]:
    folder = Path(os.environ.get("EDGEWRIGHT_MODELS", REPOSITORY.parent / "shared" / "models"))
    digits = REPOSITORY / "examples" / "digits"
    found = [("digits", digits / "digits.onnx", digits / "digits_test.npz")]
    for name in ("kws", "ic", "ad"):
        model, data = folder / f"{name}_fp32.onnx", folder / f"{name}_fp32.npz"
        if model.is_file() and data.is_file():
            found.append((name, model, data))
        else:
            print(f"{name}: left out, {model.name} is not there", file=sys.stderr)
    return found


def deploy(model: Path, data: Path, target: str, optimize: str) -> tuple[Result, float]:
    """Run the command as a user would; returns its result and the seconds of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "r.json"
        words = ["deploy", model, "-t", target, "-d", data, "--optimize", optimize, "--json", out, "-q"]
        begin = time.monotonic()
        subprocess.run([sys.executable, "-m", "edgewright", *map(str, words)], check=True)
        return Result.model_validate_json(out.read_text()), time.monotonic() - begin


def tables() -> str:
    rows, times = [], []
    for name, model, data in networks():
        for target in TARGETS:
            for optimize in ("speed", "balanced", "size"):
                print(name, target, optimize, file=sys.stderr)
                result, whole = deploy(model, data, target, optimize)
                run, build = result.run, result.build
                count = run.instructions_per_inference
                per_mac = "" if count is None else f"{count / result.model.macs:.2f}"
                latency = "" if run.latency_us is None else f"{run.latency_us.p50:,.1f}"
                rows.append(
                    f"| {name} | {target} | {optimize} | {'' if count is None else f'{count:,.0f}'} | {per_mac} "
                    f"| {latency} | {build.code_bytes:,} | {build.flash_bytes:,} | {build.ram_bytes:,} "
                    f"| {build.arena_bytes:,} | {build.arena_lower_bound_bytes:,} "
                    f"| {'' if build.stack_bytes is None else build.stack_bytes} "
                    f"| {result.fidelity.max_error_of_range:.1e} |"
                )
                if optimize == "balanced":
                    s = result.seconds
                    order = ("import", "plan", "emit", "build", "flash", "run")
                    stages = " | ".join(f"{s.get(stage, 0):.2f}" for stage in order)
                    times.append(
                        f"| {name} | {target} | {run.samples} | {s['first_result']:.2f} | {whole:.2f} | {stages} "
                        f"| {s['reference']:.2f} |"
                    )
    compilers = ", ".join(sorted({load_target(t).toolchain.compiler for t in TARGETS}))
    head = f"Made by `python benchmarks/float_models.py --write` with {compilers} on {platform.machine()}."
    return "\n".join([
        head, "",
        "| network | target | optimize | instructions | a MAC | latency p50 us | code B | flash B | RAM B | arena B "
        "| bound B | stack B | error of range |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", *rows, "",
        "Seconds from the start of `deploy` to the first batch's results, of the whole process, and of each stage:", "",
        "| network | target | samples | first result | process | import | plan | emit | build | flash | run "
        "| reference |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", *times, "",
    ])  # fmt: skip


def main() -> None:
    text = tables()
    print(text)
    if "--write" in sys.argv[1:]:
        write_table("float_models", text)


if __name__ == "__main__":
    main()
