"""Emulated boards that are disturbed in mid-run: `python benchmarks/board_faults.py --runs 40`.

Each run starts an emulator with a small network, on a line that damages bytes, and cuts that line for up to three
seconds, resets the machine through the emulator's monitor, and has an inference fault, overflow the stack or hang (the
watchdog is on). The results have to be equal to the bit and in order. Anything else ends the program with status 1.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from document import REPOSITORY
from line_proxy import Faults, Proxy

sys.path.insert(0, str(REPOSITORY / "tests"))
from crashing import FAULT, HANG, ONCE, OVERFLOW, build_failing, expected, samples

from edgewright.boards import Target, load_target
from edgewright.build import Firmware
from edgewright.drivers.emulator import start_emulator
from edgewright.drivers.link import Link
from edgewright.errors import DeviceError, PortError, ToolError

SEED = 20261122
TARGETS = ("mps2-an386", "mps2-an505", "lm3s6965evb")
WATCHDOG_S = 1.0
TIMEOUT_S = 1.0  # of an answer; five of these without any are the end
CUT_S = (0.2, 3.0)
RUN_LIMIT_S = 60.0
RATES = (0.0, 1e-5, 1e-4)


def is_watched(target: Target) -> bool:
    """Whether the emulator models the board's watchdog."""
    return target.watchdog is not None and "cmsdk" in target.watchdog.source


def address(url: str) -> tuple[str, int]:
    """Return the host and port of a socket's URL."""
    host, _, port = url.removeprefix("socket://").rpartition(":")
    return host, int(port)


@contextmanager
def machine(firmware: Firmware, ways: tuple[Faults, Faults]) -> Iterator[tuple[Proxy, socket.socket]]:
    """Start the emulator, and return the line to it and its monitor."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    emulator = firmware.target.emulator
    if emulator is None:
        raise ToolError(f"'{firmware.target.name}' has no emulator")
    argv = list(emulator.argv)
    argv[argv.index("-monitor") + 1] = f"tcp:127.0.0.1:{port},server=on,wait=off"
    target = firmware.target.model_copy(update={"emulator": emulator.model_copy(update={"argv": tuple(argv)})})
    with (
        start_emulator(target, firmware.elf, mode="none") as running,
        socket.create_connection(address(running.url)) as line,
    ):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        proxy = Proxy(line.fileno(), line.fileno(), *ways)
        try:
            with socket.create_connection(("127.0.0.1", port)) as monitor:
                yield proxy, monitor
        finally:
            proxy.close()


def one_run(firmware: Firmware, seed: int, counts: Counter[str]) -> bool:
    """Make one run with what the seed says; returns whether its results are right."""
    chosen = random.Random(seed)  # noqa: S311
    total, batch = chosen.choice((300, 1000, 3000)), chosen.choice((1, 7, 50, 200))
    total = min(total, 400 if batch == 1 else total)
    failure = chosen.choice((0, FAULT, OVERFLOW, HANG))
    if failure == HANG and not is_watched(firmware.target):
        failure = FAULT
    x = samples(total, {chosen.randrange(total): failure + ONCE} if failure else {})
    counts["faults, overflows, hangs"] += failure > 0
    disturbances = sorted(
        (chosen.randrange(total), chosen.choice(("cut", "reset"))) for _ in range(chosen.randint(1, 3))
    )
    rate = chosen.choice(RATES)
    cuts: list[threading.Timer] = []

    def on_progress(done: int) -> None:
        while disturbances and done >= disturbances[0][0]:
            _, kind = disturbances.pop(0)
            counts[kind] += 1
            time.sleep(chosen.uniform(0, 0.01))
            if kind == "reset":
                monitor.sendall(b"system_reset\n")
            else:
                proxy.cut.set()
                cuts.append(threading.Timer(chosen.uniform(*CUT_S), proxy.cut.clear))
                cuts[-1].start()

    ways = Faults(seed, rate), Faults(seed + 1, rate)
    with machine(firmware, ways) as (proxy, monitor), Link.open(proxy.url, timeout_s=TIMEOUT_S) as link:
        try:
            packed = np.ascontiguousarray(x.reshape(total, 4)).view(np.uint8)
            run = link.run_batches(packed, batch, 20.0, on_progress, overlap=chosen.random() < 0.5)
        finally:
            for timer in cuts:
                timer.cancel()
        counts["frames"] += link.traffic.frames_sent + link.traffic.frames_received
    counts["bytes hit"] += sum(sum(way.counts.values()) for way in ways)
    for reset in run.resets:
        counts[f"told: {reset.cause.name.lower()}"] += 1
    return np.array_equal(run.outputs.view(np.float32), expected(x).reshape(total, 4))


def soak(runs: int, seed: int = SEED, targets: tuple[str, ...] = TARGETS) -> tuple[Counter[str], list[str]]:
    """Make `runs` runs on each board; returns what was done to them, and a line for each that was wrong."""
    counts: Counter[str] = Counter()
    wrong = []
    for name in targets:
        with tempfile.TemporaryDirectory() as folder:
            period = WATCHDOG_S if is_watched(load_target(name)) else None
            firmware = build_failing(Path(folder), name, watchdog=period).firmware
            for number in range(seed, seed + runs):
                began = time.monotonic()
                try:
                    right = one_run(firmware, number, counts)
                    words = "" if right else "wrong results"
                except (DeviceError, PortError) as error:
                    words = str(error)
                if time.monotonic() - began > RUN_LIMIT_S:
                    words += " late"
                counts["runs"] += 1
                if words:
                    wrong.append(f"{name}, seed {number}: {words}")
    return counts, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="on each board")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--target", action="append", help="an emulated board; repeatable")
    options = parser.parse_args()
    counts, wrong = soak(options.runs, options.seed, tuple(options.target or TARGETS))
    print(", ".join(f"{kind} {n:,}" for kind, n in sorted(counts.items())))
    print("\n".join(wrong) if wrong else "all right")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
