"""Hands thousands of damaged and hostile model files to the importer and the generator. Run as a program:

    python tests/fuzz_importer.py --mutants 20000 --seed 1

Each ends in generated C or in one refusal, in bounded time and memory; exit status 1 where one does not. A mutant is
named by its seed, and made again by it: `--mutants 1 --seed N`.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

from mutants import mutant

from edgewright import pipeline
from edgewright.boards import load_target
from edgewright.conformance.cases import collect
from edgewright.conformance.isolation import Outcome, map_isolated
from edgewright.errors import EdgewrightError, InternalError
from edgewright.frontends.onnx import load_onnx

DIGITS = Path(__file__).resolve().parent.parent / "examples" / "digits" / "digits.onnx"
MEMORY_BYTES = 4 << 30  # of address space: a few libraries take one of them
TIMEOUT_S = 60.0


@cache
def models() -> list[bytes]:
    """Every third case of ONNX's own, and a network; the same in every process."""
    return [DIGITS.read_bytes()] * 40 + [case.model for case in collect()[::3]]


def verdict(seed: int, memory_bytes: int = MEMORY_BYTES) -> str:
    """Import, plan and generate one mutant: "generated", or "refused" and why. What else comes out is a fault."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    raw = mutant(models(), seed)
    board = load_target("host")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.onnx"
        path.write_bytes(raw)
        try:
            model = load_onnx(path)
            tree = pipeline.generate(model, pipeline.plan(model, board), board, "balanced")
        except InternalError:
            raise
        except EdgewrightError as error:
            if not str(error).strip():
                raise AssertionError("a refusal without a word") from error
            return f"refused: {type(error).__name__}: {str(error).splitlines()[0]}"
    for name, body in tree.files.items():
        if name.endswith((".c", ".h")) and not name.startswith(("ew/", "target/")):
            text = body.decode()
            assert 'system("x")' not in text and "#include </etc" not in text, f"{name} holds text of the model's"
    return "generated"


def fuzz(seeds: range, jobs: int, show: bool = False) -> dict[int, Outcome]:
    """Return what came of each seed's mutant."""

    def tell(done: int) -> None:
        if show and done % 500 == 0:
            print(f"{done:,} of {len(seeds):,}", file=sys.stderr, flush=True)

    outcomes = map_isolated(verdict, list(seeds), jobs, TIMEOUT_S, tell)
    return dict(zip(seeds, outcomes, strict=True))


def faults(outcomes: dict[int, Outcome]) -> list[str]:
    """Name the mutants that ended in anything but C or a refusal."""
    return [f"seed {seed}: {o.kind}: {o.text}" for seed, o in outcomes.items() if o.kind != "value"]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first mutant; they count up")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    outcomes = fuzz(range(arguments.seed, arguments.seed + arguments.mutants), arguments.jobs, show=True)
    found = faults(outcomes)
    kinds = Counter(o.value.partition(":")[0] if o.kind == "value" else o.kind for o in outcomes.values())
    classes = Counter(o.value.split(": ")[1] for o in outcomes.values() if o.kind == "value" and ": " in o.value)
    print(f"{len(outcomes):,} mutants: " + ", ".join(f"{n:,} {k}" for k, n in kinds.most_common()))
    print("refusals: " + ", ".join(f"{n:,} {k}" for k, n in classes.most_common()))
    print(f"slowest: {max(o.seconds for o in outcomes.values()):.1f} s")
    print("\n".join(found) or "no fault")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
