"""The link on bad lines until enough frames have travelled: `python benchmarks/link_faults.py --frames 1000000`.

Each run takes a device program with the link's C core, a line that flips, drops, duplicates, inserts and delays bytes
at a rate between 1e-5 and 1e-2, and sometimes cuts it for a while or resets the device. It has to end, within its
limit of time, with results that are equal to the bit, or with a clear error. Anything else ends the program with status
1.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from document import REPOSITORY, write_table
from line_proxy import Board, Faults, board

from edgewright.drivers.link import Link
from edgewright.errors import DeviceError, PortError
from edgewright.resources import resource_dir

RUN_LIMIT_S = 60.0
TIMEOUT_S = 0.3  # of an answer; five of these without any are the end
BODIES = (128, 1024)  # EW_LINK_MAX_BODY of the device programs
RATES = (1e-5, 1e-4, 1e-3, 1e-2)
SEED = 20261122
_CUT_SHARE, _RESET_SHARE = 0.05, 0.4  # of the runs


@dataclass
class Tally:
    """What came of the runs at one rate."""

    frames: int = 0
    runs: int = 0
    done: int = 0
    errors: int = 0
    wrong: int = 0
    late: int = 0
    retransmits: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)


def compile_device(folder: Path, max_body: int) -> Path:
    """Build tests/c/link_device.c for this computer."""
    runtime = resource_dir("runtime_c")
    output = folder / f"device{max_body}"
    sources = [REPOSITORY / "tests" / "c" / "link_device.c", *sorted((runtime / "link").glob("*.c"))]
    subprocess.run(
        [shutil.which("cc") or "cc", "-std=c11", "-O2", "-DEW_PORT_HAS_BAUD",
         f"-DEW_LINK_MAX_BODY={max_body}", f"-I{runtime / 'include'}",
         f"-I{runtime / 'link'}", *sources, "-o", output],
        check=True,
    )  # fmt: skip
    return output


def make_samples(rng: np.random.Generator, count: int, elements: int) -> tuple[np.ndarray, np.ndarray]:
    """Return packed samples of link_device.c and the outputs it must give."""
    x = rng.integers(-1000, 1000, (count, elements)).astype("<f4")
    bias = rng.integers(0, 256, (count, 5), dtype=np.uint8)
    samples = np.zeros((count, -(-(4 * elements + 5) // 8) * 8), np.uint8)
    samples[:, : 4 * elements] = x.view(np.uint8)
    samples[:, 4 * elements : 4 * elements + 5] = bias
    outputs = np.zeros((count, -(-4 * elements // 8) * 8), np.uint8)
    outputs[:, : 4 * elements] = (2 * x + bias[:, np.arange(elements) % 5]).astype("<f4").view(np.uint8)
    return samples, outputs


def disturb(chosen: random.Random, device: Board, counts: Counter[str], stop: threading.Event) -> None:
    """Cut the line or reset the board once or more, until `stop`."""
    cut = chosen.random() < _CUT_SHARE / (_CUT_SHARE + _RESET_SHARE)
    for _ in range(1 if cut else chosen.randint(1, 2)):
        if stop.wait(chosen.uniform(0.001, 0.15)):
            return
        if cut:
            counts["cut"] += 1
            device.proxy.cut.set()
            stop.wait(chosen.uniform(0.2, 2.0))
            device.proxy.cut.clear()
        else:
            counts["reset"] += 1
            device.reset()


def one_run(seed: int, programs: dict[int, Path], rate: float, tally: Tally, samples_max: int) -> None:
    """Make one run with what the seed says, and add it to the tally."""
    chosen = random.Random(seed)  # noqa: S311
    body = BODIES[0] if rate >= RATES[-1] and chosen.random() < 0.9 else chosen.choice(BODIES)
    elements = chosen.choice((1, 6, 30, 300))
    batch_size = chosen.choice((None, None, 1, 7, 50))
    most = 500 if batch_size == 1 else samples_max // elements  # each batch costs some turns of the line
    count = chosen.randint(1, max(1, min(most, samples_max // elements)))
    samples, wanted = make_samples(np.random.default_rng(seed), count, elements)
    memory = chosen.randint(1, min(count, 400)) * (samples.shape[1] + wanted.shape[1] + 8) + 32
    exact = rate * math.exp(chosen.uniform(-1, 0))
    ways = Faults(seed, exact), Faults(seed + 1, exact)
    overlap = chosen.random() < 0.6
    stop = threading.Event()
    began = time.monotonic()
    tally.runs += 1
    with board([programs[body], elements, memory], *ways) as device:
        helper = threading.Thread(target=disturb, args=(chosen, device, tally.faults, stop))
        if chosen.random() < _CUT_SHARE + _RESET_SHARE:
            helper.start()
        link = Link.open(device.proxy.url, timeout_s=TIMEOUT_S, connect_timeout_s=20)
        try:
            run = link.run_batches(samples, batch_size, 10.0, overlap=overlap)
            right = np.array_equal(run.outputs, wanted) and run.ticks.shape == (count,)
            tally.done += right
            tally.wrong += not right
        except (DeviceError, PortError) as error:
            tally.errors += 1
            tally.words["no answer" if "no device answered" in str(error) else str(error).split(": ")[-1][:60]] += 1
        finally:
            stop.set()
            if helper.ident is not None:
                helper.join()
            traffic = link.traffic
            tally.frames += traffic.frames_sent + traffic.frames_received
            tally.retransmits += traffic.retransmits
            link.close()
    tally.late += time.monotonic() - began > RUN_LIMIT_S
    for way in ways:
        tally.faults.update(way.counts)


def soak(frames: int, seed: int, samples_max: int = 6000) -> dict[float, Tally]:
    """Make runs until `frames` frames have travelled; returns what came of them at each rate."""
    tallies = {rate: Tally() for rate in RATES}
    with tempfile.TemporaryDirectory() as folder:
        programs = {body: compile_device(Path(folder), body) for body in BODIES}
        while sum(tally.frames for tally in tallies.values()) < frames:
            rate = RATES[seed % len(RATES)]
            tally = tallies[rate]
            before = tally.wrong + tally.late
            one_run(seed, programs, rate, tally, samples_max)
            if tally.wrong + tally.late > before:
                print(f"seed {seed}, rate {rate:g}: wrong or late", file=sys.stderr, flush=True)
            seed += 1
    return tallies


def table(tallies: dict[float, Tally]) -> str:
    """Return the table of docs/BENCHMARKS.md."""
    rows = []
    for rate, t in tallies.items():
        bytes_hit = sum(n for kind, n in t.faults.items() if kind not in ("cut", "reset"))
        rows.append(
            f"| {rate / math.e:.1e} to {rate:.0e} | {t.runs:,} | {t.frames:,} | {bytes_hit:,} | {t.faults['cut']} "
            f"| {t.faults['reset']} | {t.retransmits:,} | {t.done:,} | {t.errors:,} | {t.wrong} | {t.late} |"
        )
    return "\n".join([
        f"Made by `python benchmarks/link_faults.py --frames 1000000 --write`, seed {SEED}.", "",
        "| faults a byte | runs | frames | bytes hit | cuts | resets | sent again | right | clear error "
        "| wrong | late |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", *rows, "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--frames", type=int, default=100_000, help="stop after so many, both directions together")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--write", action="store_true", help="put the table into docs/BENCHMARKS.md")
    options = parser.parse_args()
    tallies = soak(options.frames, options.seed)
    text = table(tallies)
    if options.write:
        write_table("link_faults", text)
    print(text)
    for rate, tally in tallies.items():
        for words, n in tally.words.most_common():
            print(f"{rate:g}: {n} x {words}")
    if any(tally.wrong or tally.late for tally in tallies.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
