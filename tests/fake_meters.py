"""Power meters that are not there: each speaks the real one's protocol, at the level at which a driver meets it."""

from __future__ import annotations

import json
import math
import os
import queue
import socket
import sys
import threading
import time
import tty
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

LINGER_S = 0.2  # that samples still come: on a busy computer a pulse may reach the fake late

PPK2_METADATA = {
    "Calibrated": "0", "R0": "1003.35", "R1": "101.55", "R2": "10.28", "R3": "0.95", "R4": "0.048",
    **{f"GS{i}": f"{1 + i}" for i in range(5)}, **{f"GI{i}": f"{0.98 + i / 100}" for i in range(5)},
    **{f"O{i}": f"{100 + 10 * i}" for i in range(5)}, **{f"S{i}": f"{i}e-7" for i in range(5)},
    **{f"I{i}": f"{i}e-8" for i in range(5)}, **{f"UG{i}": f"{1 + i / 1000}" for i in range(5)},
    "VDD": "3000", "mode": "2", "HW": "9173", "IA": "56",
}  # fmt: skip


def ppk2_amperes(code: int, current_range: int, volts: float) -> float:
    """The current of a converter's code in one range, by Nordic's formula."""
    m = {name: float(value) for name, value in PPK2_METADATA.items()}
    r = current_range
    raw = (code * 4 - m[f"O{r}"]) * (1.8 / 163840 / m[f"R{r}"])
    return m[f"UG{r}"] * (raw * (m[f"GS{r}"] * raw + m[f"GI{r}"]) + m[f"S{r}"] * volts + m[f"I{r}"])


class _Pty:
    """The device's end of a pseudo terminal, with a thread that serves it."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        os.set_blocking(self._master, False)
        while not self._closed.is_set():
            try:
                data = os.read(self._master, 4096)
            except (BlockingIOError, OSError):
                data = b""
            if data:
                self.take(data)
            self.step()
            time.sleep(0.001)

    def send(self, data: bytes) -> None:
        while data and not self._closed.is_set():
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                time.sleep(0.001)

    def take(self, data: bytes) -> None:
        raise NotImplementedError

    def step(self) -> None:
        """Called again and again."""

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)


class FakePpk2(_Pty):
    """Binary commands in, metadata and samples out. What is not idle is `play`ed: (code, range, logic, samples)."""

    LENGTHS = {0x06: 1, 0x07: 1, 0x0C: 2, 0x0D: 3, 0x11: 2, 0x19: 1}

    def __init__(self, idle: tuple[int, int, int] = (200, 1, 0)) -> None:
        self.idle, self.commands = idle, list[bytes]()
        self.measures, self.loses, self.pauses = False, 0, 0
        self._count, self._heard, self._ends_at = 0, b"", math.inf
        self._script: queue.Queue[tuple[int, int, int, int]] = queue.Queue()
        super().__init__()

    def play(self, code: int, current_range: int, logic: int, samples: int) -> None:
        self._script.put((code, current_range, logic, samples))

    def take(self, data: bytes) -> None:
        self._heard += data
        while self._heard and len(self._heard) >= self.LENGTHS[self._heard[0]]:
            size = self.LENGTHS[self._heard[0]]
            command, self._heard = self._heard[:size], self._heard[size:]
            self.commands.append(command)
            if command[0] == 0x19:
                text = "\n".join(f"{name}: {value}" for name, value in PPK2_METADATA.items())
                half = len(text) // 2 if self.pauses else 0
                self.send(text[:half].encode("ascii"))
                time.sleep(0.15 if half else 0)
                self.pauses = max(self.pauses - 1, 0)
                self.send(f"{text[half:]}\nEND\n".encode("ascii"))
            if command[0] == 0x06:
                self.measures, self._ends_at = True, math.inf
            if command[0] == 0x07:
                self._ends_at = time.monotonic() + LINGER_S

    def step(self) -> None:
        if time.monotonic() > self._ends_at:
            self.measures = False
        if not self.measures:
            return
        self._samples(*self.idle, 40)
        while not self._script.empty():
            self._samples(*self._script.get())
            self._samples(*self.idle, 40)

    def _samples(self, code: int, current_range: int, logic: int, samples: int) -> None:
        counts = (self._count + np.arange(samples, dtype=np.uint32)) & 63
        self._count += samples + self.loses
        self.loses = 0
        words = np.uint32(code | current_range << 14 | logic << 24) | counts << np.uint32(18)
        self.send(words.astype("<u4").tobytes())


class FakeLpm01a(_Pty):
    """Lines in, lines out; `script`: joules and 'event' in the order in which they come after idle samples."""

    KNOWN = ("htc", "hrc", "acqtime", "trigdelay", "trigsrc", "eventsrc", "output", "format", "freq", "volt", "pwr",
             "pwrend", "start", "stop")  # fmt: skip

    def __init__(self, refuses: str = "") -> None:
        self.commands, self.refuses = list[str](), refuses
        self.script: queue.Queue[str] = queue.Queue()
        self.measures = False
        self._heard, self._events = b"", 0
        super().__init__()

    def take(self, data: bytes) -> None:
        self._heard += data
        while b"\r\n" in self._heard:
            line, _, self._heard = self._heard.partition(b"\r\n")
            command = line.decode("ascii")
            self.commands.append(command)
            if command.split()[0] not in self.KNOWN or command == self.refuses:
                self.send(f"\r\nPowerShield > error {command}\r\nError detail: unknown\r\n".encode("ascii"))
                continue
            self.send(f"\r\nPowerShield > ack {command}\r\n\r\n".encode("ascii"))
            if command == "start":
                self.measures = True
                self.send(b"TimeStamp: 000s 000ms, buff 00%\r\n")
            if command == "stop":
                self.measures = False
                self.send(b"end\r\nsummary beg\r\nsummary end\r\n\r\nPowerShield > Acquisition completed\r\n")

    def wait_for(self, command: str) -> None:
        deadline = time.monotonic() + 5
        while command not in self.commands and time.monotonic() < deadline:
            time.sleep(0.001)

    def step(self) -> None:
        if self.measures:
            self.send(b"1000-09\r\n" * 5)  # 1 uJ in 200 us: 5 mW
            while not self.script.empty():
                item = self.script.get()
                self._events += item == "event"
                self.send((f"event {self._events:02} ris" if item == "event" else item).encode("ascii") + b"\r\n")


class FakeOtii:
    """The Otii app's TCP server with one device; what it recorded is given beforehand."""

    def __init__(self, current: list[float], voltage: list[float], edges: list[tuple[float, bool]]) -> None:
        self.channels: dict[str, Any] = {"mc": (current, 1 / 4000), "mv": (voltage, 1 / 1000), "i1": edges}
        self.from_s = 0.5
        self.logged_in, self.reserved = True, 0
        self.commands: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)  # else the thread that accepts keeps it open
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with peer, peer.makefile("rb") as lines:
                self._say(peer, {"type": "information", "info": "connected", "data": {"protocol_version": "0.1"}})
                for line in lines:
                    request = json.loads(line)
                    self.commands.append(request["cmd"])
                    base = {"cmd": request["cmd"], "trans_id": request["trans_id"]}
                    self._say(peer, {"type": "progress", **base, "progress_value": 0.5})
                    try:
                        answer = self._answer(request["cmd"], request.get("data", {}))
                        self._say(peer, {"type": "response", **base, "data": answer})
                    except (KeyError, ValueError) as error:
                        data = {"message": str(error)}
                        self._say(peer, {"type": "error", **base, "errorcode": "Invalid command", "data": data})

    def _say(self, peer: socket.socket, message: dict[str, Any]) -> None:
        peer.sendall(json.dumps(message).encode("utf-8") + b"\r\n")

    def _answer(self, command: str, data: dict[str, Any]) -> dict[str, Any]:
        if command.startswith(("arc_", "project_start", "project_stop")):
            assert data.get("device_id", "Arc1") == "Arc1" and data.get("project_id", 7) == 7
            return {}
        if command in ("otii_reserve_license", "otii_return_license"):
            self.reserved += 1 if command == "otii_reserve_license" else -1
            return {}
        if command == "recording_get_channel_data_count":
            entries = self.channels[data["channel"]]
            return {"count": len(entries if data["channel"] == "i1" else entries[0])}
        if command == "recording_get_channel_data":
            if data["count"] > 40_000:
                raise ValueError("too many")
            part = slice(data["index"], data["index"] + data["count"])
            if data["channel"] == "i1":
                values = [{"timestamp": at, "value": level} for at, level in self.channels["i1"][part]]
                return {"data_type": "digital", "values": values}
            values, interval = self.channels[data["channel"]]
            at = self.from_s + data["index"] * interval
            return {"data_type": "analog", "timestamp": at, "interval": interval, "values": values[part]}
        licence = {"id": 3, "type": "Automation", "available": True, "reserved_to": "", "hostname": ""}
        return {
            "otii_is_logged_in": {"logged_in": self.logged_in}, "otii_get_licenses": {"licenses": [licence]},
            "otii_get_devices": {"devices": [{"device_id": "Arc1", "name": "Arc I", "type": "Arc"},
                                             {"device_id": "u", "name": "uart", "type": "Uart"}]},
            "otii_get_active_project": {"project_id": -1}, "otii_create_project": {"project_id": 7},
            "project_get_last_recording": {"recording_id": 9, "name": "Recording 1"},
        }[command]  # fmt: skip


class FakeJoulescope:
    """Stands for the module pyjoulescope_driver: topics and blocks as its documentation has them."""

    PATH = "u/js220/001234"

    def __init__(self, current: np.ndarray, voltage: np.ndarray, line: np.ndarray) -> None:
        self.published: dict[str, Any] = {}
        self._signals = {"s/i": current, "s/v": voltage, "s/gpi/0": line}
        self._subscribers: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        self.loses = self.is_open = False

    def module(self) -> types.ModuleType:
        module = types.ModuleType("pyjoulescope_driver")
        module.Driver = lambda: self  # type: ignore[attr-defined]
        return module

    def device_paths(self) -> list[str]:
        return [self.PATH]

    def open(self, path: str, mode: str | None = None, timeout: float | None = None) -> None:
        assert path == self.PATH and mode == "defaults"
        self.is_open = True

    def close(self, path: str, timeout: float | None = None) -> None:
        self.is_open = False

    def finalize(self, timeout: float | None = None) -> None:
        pass

    def subscribe(self, topic: str, flags: list[str], fn: Callable[..., None], timeout: float | None = None) -> None:
        assert flags == ["pub"]
        self._subscribers[topic] = fn

    def unsubscribe(self, topic: str, fn: Callable[..., None], timeout: float | None = None) -> None:
        assert self._subscribers.pop(topic) == fn

    def publish(self, topic: str, value: Any, timeout: float | None = None) -> None:
        self.published[topic.removeprefix(f"{self.PATH}/")] = value
        if topic.endswith("/ctrl") and value and all(self.published.get(f"{s}/ctrl") for s in self._signals):
            threading.Thread(target=self._stream).start()

    def _stream(self) -> None:
        """All blocks at once; signals begin at different samples, and blocks have sizes that are no multiple of 8."""
        for number, (signal, values) in enumerate(self._signals.items()):
            at, size = 5 * number, 1003
            while at < len(values):
                if self.loses and at > 3000:
                    at += 64
                    self.loses = False
                part = values[at : at + size]
                bits = np.packbits(part.astype(np.uint8), bitorder="little")
                data = bits if "gpi" in signal else part.astype(np.float32)
                topic = f"{self.PATH}/{signal}/!data"
                block = {"sample_id": 1_000_000 + at, "sample_rate": 1_000_000, "decimate_factor": 1, "data": data}
                if topic in self._subscribers:
                    self._subscribers[topic](topic, block)
                at += size


@contextmanager
def installed(fake: FakeJoulescope) -> Iterator[None]:
    """Have `import pyjoulescope_driver` give the fake."""
    before = sys.modules.get("pyjoulescope_driver")
    sys.modules["pyjoulescope_driver"] = fake.module()
    try:
        yield
    finally:
        del sys.modules["pyjoulescope_driver"]
        if before is not None:
            sys.modules["pyjoulescope_driver"] = before
