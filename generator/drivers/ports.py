"""Finds a board's serial port by what is plugged in: "auto" for the only USB port, "VID:PID" for a kind of adapter.

In: what the user gave as a port. Out: the path of a device, or the same text where it is one already.
"""

from __future__ import annotations

import re

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from edgewright.errors import PortError

_AUTO = "auto"
_VID_PID = re.compile(r"([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})(?::(.+))?")  # the third: a serial number


def resolve_port(url: str) -> str:
    """Return the device for "auto", "VID:PID" or "VID:PID:SERIAL"; anything else as it is.

    Raises: PortError where none or more than one fits; it names what is there.
    """
    wanted = _VID_PID.fullmatch(url)
    if url != _AUTO and wanted is None:
        return url
    usb = [port for port in list_ports.comports() if port.vid is not None]
    fits = [port for port in usb if wanted is None or _is(port, *wanted.groups())]
    if len(fits) == 1:
        return str(fits[0].device)
    there = ", ".join(f"{port.device} ({_name(port)})" for port in (fits or usb)) or "no USB serial port is there"
    if not fits:
        raise PortError(f"no port fits '{url}': {there}")
    raise PortError(f"{len(fits)} ports fit '{url}', say which: {there}")


def _is(port: ListPortInfo, vid: str, pid: str, serial: str | None) -> bool:
    return port.vid == int(vid, 16) and port.pid == int(pid, 16) and serial in (None, port.serial_number)


def _name(port: ListPortInfo) -> str:
    serial = f":{port.serial_number}" if port.serial_number else ""
    return f"{port.vid:04x}:{port.pid:04x}{serial}"
