"""Qoitech's Otii Arc and Ace, by the TCP server of the Otii app: one JSON object a line, request and response.

The app records; afterwards the currents, voltages and edges of a general purpose input are fetched. Requests are those
of Qoitech's own client. The app has to run, with a user logged in, and an Automation licence.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import Any

import numpy as np

from edgewright.drivers.meters.core import SETTLE_S, Lock, Meter, MeterOptions
from edgewright.drivers.meters.windows import Recording
from edgewright.errors import MeterError

PORT = 1905
_CHUNK = 40_000  # values that the server gives at once
_ANSWER_S = 10.0
_DATA_S = 120.0
_POWER_UP_S = 0.3
_KINDS = ("Arc", "Ace", "Simulator")
_LICENCES = ("Automation", "Enterprise", "Admin", "All")  # kinds that allow what this does


class Otii(Meter):
    """It feeds the board. Address: HOST:PORT of the server, and /NAME of the device where there are several."""

    title = "Otii"
    channels = ("GPI1", "GPI2")
    supply_range_v = (0.5, 5.0)

    def __init__(self, options: MeterOptions) -> None:
        super().__init__(options)
        address, _, self._name = (options.address or "").partition("/")
        host, _, port = address.partition(":")
        self._at = f"{host or '127.0.0.1'}:{port or PORT}"
        self._heard, self._requests = b"", 0
        self._licence: int | None = None
        self._socket: socket.socket | None = None
        self._lock = Lock(f"Otii {self._at}")
        try:
            self._socket = socket.create_connection((host or "127.0.0.1", int(port or PORT)), _ANSWER_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connect()
        except (OSError, ValueError) as error:
            self.close()
            raise MeterError(
                f"Otii: no server at {self._at} ({error}). Start the Otii app, and its TCP server in the settings"
            ) from error
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        """Say hello, find the device, set it up, switch the board on."""
        self._next(time.monotonic() + _ANSWER_S, "information")
        if not self._ask("otii_is_logged_in").get("logged_in", False):
            raise MeterError("Otii: nobody is logged in. Log in in the Otii app")
        self._take_licence()
        devices = self._ask("otii_get_devices", timeout=5).get("devices", [])
        devices = [each for each in devices if each["type"] in _KINDS]
        fits = [each for each in devices if self._name in ("", each["name"], each["device_id"])]
        if len(fits) != 1:
            there = ", ".join(each["name"] for each in devices) or "none"
            raise MeterError(f"Otii: expected one device, there is {there}: say which by --meter otii:{self._at}/NAME")
        self._device, self._kind = fits[0]["device_id"], fits[0]["type"]
        project = self._ask("otii_get_active_project").get("project_id", -1)
        self._project = project if project != -1 else self._ask("otii_create_project")["project_id"]
        self._on_device("arc_add_to_project")
        self._on_device("arc_set_main_voltage", value=self.supply_v)
        self._on_device("arc_set_exp_voltage", value=self.supply_v)
        self._on_device("arc_enable_exp_port", enable=True)
        for channel in ("mc", "mv", self._input):
            self._on_device("arc_enable_channel", channel=channel, enable=True)
        self._on_device("arc_set_main", enable=True)
        time.sleep(_POWER_UP_S)

    @property
    def _input(self) -> str:
        return f"i{self.channel[-1]}"

    def _take_licence(self) -> None:
        """Reserve a licence, if none is reserved for this user on this computer."""
        fits = [each for each in self._ask("otii_get_licenses")["licenses"] if each["type"] in _LICENCES]
        usable = [each for each in fits if each["available"]]
        if any(each["reserved_to"] for each in usable):
            return
        free = [each for each in usable if not each["reserved_to"]]
        if not free:
            raise MeterError("Otii: there is no Automation licence to be had for the user of the Otii app")
        self._ask("otii_reserve_license", license_id=free[0]["id"])
        self._licence = free[0]["id"]

    def close(self) -> None:
        """Give the licence back and close the connection; the board stays powered, and the project open in the app."""
        line, licence = self._socket, self._licence
        if line is not None and licence is not None:
            with contextlib.suppress(MeterError):
                self._ask("otii_return_license", license_id=licence)
        self._socket = self._licence = None
        if line is not None:
            line.close()
        self._lock.close()

    def start(self) -> None:
        """Begin to record."""
        self._ask("project_start_recording", project_id=self._project)
        time.sleep(2 * SETTLE_S)

    def stop(self) -> Recording:
        """End, and fetch what was recorded."""
        time.sleep(2 * SETTLE_S)
        self._ask("project_stop_recording", project_id=self._project)
        self._recording = self._ask("project_get_last_recording", project_id=self._project)["recording_id"]
        current, from_s, period = self._analog("mc")
        voltage, volts_from_s, volts_period = self._analog("mv")
        at = from_s + np.arange(len(current)) * period
        volts = np.interp(at, volts_from_s + np.arange(len(voltage)) * volts_period, voltage)
        edges, starts_high = self._edges(from_s)
        return Recording(current, volts, period, edges, starts_high, f"Otii {self._kind}", self.channel)

    def _analog(self, channel: str) -> tuple[np.ndarray, float, float]:
        """Values of a channel, when the first was, and the time between them, in seconds."""
        count = self._on_recording("recording_get_channel_data_count", channel)["count"]
        values: list[float] = []
        first: dict[str, Any] = {}
        while len(values) < count:
            part = self._on_recording(
                "recording_get_channel_data", channel, index=len(values), count=min(_CHUNK, count - len(values))
            )
            first = first or part
            if not part["values"]:
                break
            values += part["values"]
        if len(values) < 2 or len(values) != count:
            raise MeterError(f"Otii: {len(values)} of {count} values of {channel} came")
        return np.asarray(values, dtype=np.float64), float(first["timestamp"]), float(first["interval"])

    def _edges(self, from_s: float) -> tuple[np.ndarray, bool]:
        """When the marker changed, from `from_s` on, and its level before: what the first entry says, or else low."""
        entries: list[dict[str, Any]] = []
        count = self._on_recording("recording_get_channel_data_count", self._input)["count"]
        if count:
            entries = self._on_recording("recording_get_channel_data", self._input, index=0, count=count)["values"]
        before = [bool(each["value"]) for each in entries if each["timestamp"] <= from_s]
        starts_high = level = before[-1] if before else False
        edges = []
        for each in entries[len(before) :]:
            if bool(each["value"]) != level:
                level = not level
                edges.append(float(each["timestamp"]) - from_s)
        return np.asarray(edges, dtype=np.float64), starts_high

    def _on_device(self, command: str, **data: Any) -> dict[str, Any]:
        return self._ask(command, device_id=self._device, **data)

    def _on_recording(self, command: str, channel: str, **data: Any) -> dict[str, Any]:
        return self._ask(command, recording_id=self._recording, device_id=self._device, channel=channel, **data)

    def _ask(self, command: str, **data: Any) -> dict[str, Any]:
        """Send a request and return the data of its response. Raises: MeterError."""
        if self._socket is None:
            raise MeterError("Otii: the connection is closed")
        self._requests += 1
        request: dict[str, Any] = {"type": "request", "cmd": command, "trans_id": str(self._requests)}
        if data:
            request["data"] = data
        try:
            self._socket.sendall(json.dumps(request).encode("utf-8") + b"\r\n")
        except OSError as error:
            raise MeterError(f"Otii at {self._at}: {error}") from error
        answer = self._next(time.monotonic() + _DATA_S, "response", str(self._requests))
        got = answer.get("data")
        return got if isinstance(got, dict) else {}

    def _next(self, deadline: float, kind: str, number: str | None = None) -> dict[str, Any]:
        """Wait for an object of a kind; progress and information in between are passed over. Raises: MeterError."""
        assert self._socket is not None  # noqa: S101
        while True:
            line, found, rest = self._heard.partition(b"\r\n")
            if not found:
                try:
                    self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                    came = self._socket.recv(1 << 17)
                except OSError as error:
                    raise MeterError(f"Otii at {self._at} did not answer: {error}") from error
                if not came:
                    raise MeterError(f"Otii at {self._at} closed the connection")
                self._heard += came
                continue
            self._heard = rest
            try:
                answer = json.loads(line)
                answered = answer["type"]
            except (ValueError, KeyError, TypeError) as error:
                raise MeterError(f"Otii at {self._at} sent what is no answer: {line[:60]!r}") from error
            if answered == "error":
                detail = answer.get("data") or {}
                said = detail.get("message", "") if isinstance(detail, dict) else ""
                what = f"'{answer.get('cmd', '?')}': {answer.get('errorcode', '?')} {said}".rstrip()
                raise MeterError(f"Otii refuses {what}")
            if answered == kind and (number is None or answer.get("trans_id") == number):
                return dict(answer)
