"""One metrics page for several processes of a role: each writes its figures into shared memory.

Requirements  Any process shows the sum of all; a hung one holds up no page; a counter never goes
              backwards, whichever process answers and whichever was killed.
Solution      Memory shared from before the fork, one slot for each process: it writes its figures
              twice a second and before each page of its own, and reads the others'. One that is
              started again goes on from what its slot holds.
Cost          Others are up to PUBLISH_S old; what one counted in its last PUBLISH_S before a
              kill -9 is missing from then on.

slot := active half (1 byte, 7 unused) | half 0 | half 1
half := written, monotonic seconds (8) | length (4) | CRC-32 of the figures (4) | figures
The half that is not active is written, then made active: a process killed in between leaves the
last figures whole. A reader that is overtaken twice sees it by the CRC, and reads anew.
"""

import asyncio
import mmap
import struct
import time
from collections.abc import Callable
from zlib import crc32

from core.figures import Snapshot, from_bytes, to_bytes, total
from core.metrics import Figures, Meter, Metric, Role
from runtime.log import get_log

log = get_log()
PUBLISH_S = 0.5
STALE_S = 2.0  # a process that has not written for so long does not answer
FIGURES_BYTES_MAX = 64 << 10  # labels are from closed sets: a gateway needs a tenth of it
ACTIVE_BYTES = 8
HALF = struct.Struct("<dII")
HALF_BYTES = HALF.size + FIGURES_BYTES_MAX
SLOT_BYTES = ACTIVE_BYTES + 2 * HALF_BYTES
READS_MAX = 5


class Slots:
    """Memory that a process and those forked from it share; a slot has one writer at a time."""

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = count
        self._memory = mmap.mmap(-1, count * SLOT_BYTES)
        self._clock = clock

    def write(self, number: int, figures: bytes) -> None:
        """Replace a slot's figures. Raises ValueError if they are too large."""
        if len(figures) > FIGURES_BYTES_MAX:
            raise ValueError(f"{len(figures)} bytes of figures are more than {FIGURES_BYTES_MAX}")
        base = number * SLOT_BYTES
        other = 1 - self._memory[base]
        half = HALF.pack(self._clock(), len(figures), crc32(figures)) + figures
        start = base + ACTIVE_BYTES + other * HALF_BYTES
        self._memory[start : start + len(half)] = half
        self._memory[base] = other

    def read(self, number: int) -> tuple[bytes, float]:
        """(a slot's figures, their age in seconds); none yet are no bytes."""
        base = number * SLOT_BYTES
        for _ in range(READS_MAX):
            start = base + ACTIVE_BYTES + self._memory[base] * HALF_BYTES
            half = self._memory[start : start + HALF_BYTES]
            written_s, length, crc = HALF.unpack_from(half)
            figures = half[HALF.size : HALF.size + length]
            if crc32(figures) == crc:
                return figures, self._clock() - written_s
        return b"", 0.0


class SharedFigures:
    """The figures of a role's processes, as the one with this number writes and sees them."""

    def __init__(self, role: Role, meter: Meter, slots: Slots, number: int) -> None:
        self._role: Role = role
        self._meter = meter
        self._slots = slots
        self._number = number
        self._before = from_bytes(role, slots.read(number)[0]).lasting()

    def publish(self) -> None:
        """Write this process's figures, those of its predecessors included."""
        own = total(self._role, (self._meter, self._before))
        self._slots.write(self._number, to_bytes(own))

    async def run(self) -> None:
        """Write them until cancelled."""
        while True:
            self.publish()
            await asyncio.sleep(PUBLISH_S)

    def now(self) -> Figures:
        """The sum over all processes; of one that hangs or is gone, what it last wrote."""
        self.publish()  # else a sibling could show less later than is shown here
        return total(self._role, (self._part(number) for number in range(self._slots.count)))

    def _part(self, number: int) -> Snapshot:
        data, age_s = self._slots.read(number)
        part = from_bytes(self._role, data)
        return part.without(Metric.PROCESSES) if age_s > STALE_S else part


def retire(role: Role, slots: Slots, number: int) -> None:
    """Keep what a process has counted that is gone; its gauges went with it."""
    left = from_bytes(role, slots.read(number)[0])
    slots.write(number, to_bytes(left.lasting()))
