"""An instrument loop beside the main loop of a window.

A reading takes the instrument 50 ms, and its driver holds up whoever asks. In a host of its own it holds up nobody: the
window submits a reading and goes on drawing. When the answer is there, the future's callback, on another thread, hands
it to the main loop; only the main thread touches the window. `MainLoop` stands for the one of Qt or any other toolkit.
"""

from __future__ import annotations

import math
import selectors
import socket
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable


class Instrument:
    """A slow device."""

    def __init__(self) -> None:
        self.angle = 0.0

    def read(self) -> float:
        """The next point of a sine."""
        time.sleep(0.05)  # the driver waits for the hardware
        self.angle += 0.5
        return math.sin(self.angle)


class MainLoop:
    """Runs functions on the main thread, one after another, and draws a frame every 5 ms."""

    def __init__(self) -> None:
        self.frames = 0
        self.functions: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self.ready, self.wake = socket.socketpair()

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have the main thread call a function; may be used from any thread."""
        self.functions.put(function)
        self.wake.send(b"!")

    def run_while(self, is_needed: Callable[[], bool]) -> None:
        """The main loop."""
        with selectors.DefaultSelector() as selector, self.ready, self.wake:
            selector.register(self.ready, selectors.EVENT_READ)
            while is_needed():
                if selector.select(timeout=0.005):
                    self.ready.recv(1)
                    self.functions.get()()
                self.frames += 1  # a frame is drawn


class Plot:
    """Asks for readings one after another and shows each."""

    def __init__(self, loop: MainLoop, instrument: Instrument) -> None:
        self.loop, self.instrument = loop, instrument
        self.readings: list[float] = []

    def ask(self) -> None:
        """Start a reading, and have it shown when it is there."""
        reading = elsewhere.submit(self.instrument.read)
        reading.add_done_callback(lambda done: self.loop.call_soon(lambda: self.show(done.result())))

    def show(self, reading: float) -> None:
        """Show a reading and ask for the next."""
        print(f"{reading:+.2f}, shown on {threading.current_thread().name}")
        self.readings.append(reading)
        if len(self.readings) < 5:
            self.ask()


if __name__ == "__main__":
    loop = MainLoop()
    with elsewhere.Host(name="instrument") as host:
        plot = Plot(loop, host.spawn(Instrument))
        plot.ask()
        loop.run_while(lambda: len(plot.readings) < 5)
    print(f"{loop.frames} frames drawn during {len(plot.readings)} readings of 50 ms")
