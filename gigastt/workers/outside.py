"""Signals from outside: told apart from a worker's own faults, which end a process with the same ones.

A crash is held against the audio that the worker was looking at. `kill -SEGV` is no evidence, but a process that it has
ended looks the same. So the signals of faults are blocked in every thread. That does not save a process from its own
fault: the kernel ends it at once by a blocked signal that it raises itself. One that another process has sent waits for
the thread here, which ends the worker with SIGKILL: the gateway takes that for what it is, a kill from outside.
"""

from __future__ import annotations

import os
import signal
import threading

from gigastt.processes import FAULTS


def watch_for_signals() -> None:
    """Begin to tell signals from outside apart; call this before any other thread is started, which inherits it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FAULTS)
    threading.Thread(target=_end_by_signal, name="signals", daemon=True).start()


def _end_by_signal() -> None:
    """Wait for a signal from outside, and end the process (watching thread)."""
    while True:
        sent = signal.sigwaitinfo(FAULTS)
        if sent.si_pid == os.getpid():  # sent to itself: as good as a fault
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [sent.si_signo])
            os.kill(os.getpid(), sent.si_signo)
        else:
            os.kill(os.getpid(), signal.SIGKILL)
