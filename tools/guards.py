"""Guards, each switched off: the test that holds it must fail. `python -m tools.guards [NUMBER …]`

A copy of the project is changed in one place and the test is run in it, first as it is, then changed. Prints a line for
each guard, and exits with 1 if a test passes without the guard that it is there for. Rows of `docs/reliability.md` name
these numbers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 240.0  # a test that hangs without its guard has failed
_FOLDERS = ("gigastt", "tests", "benchmarks", "examples", "tools")
_API, _POOL = "gigastt/gateway/api", "gigastt/gateway/pool"
_RESUMED = "tests/gateway/api/test_resumption.py"


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard of the program.

    what: what it guards against.
    file: where it stands.
    changes: pairs of what is there, and what switches it off.
    test: that fails without it.
    """

    what: str
    file: str
    changes: tuple[tuple[str, str], ...]
    test: str


GUARDS = (
    Guard(
        "a lost connection is no end of the session",
        f"{_API}/link.py",
        (("return self.is_resumable and self._asks_to_resume()", "return False"),),
        f"{_RESUMED}::test_a_session_goes_on_where_its_connection_was_cut",
    ),
    Guard(
        "finals that nobody was told are told again",
        f"{_API}/link.py",
        (("self._remembered.append(", "_ = (lambda remembered: None)("),),
        f"{_RESUMED}::test_finals_that_were_told_to_nobody_are_told_again",
    ),
    Guard(
        "a half-closed connection of a client that can resume is a lost one",
        f"{_API}/link.py",
        (("half_closed = isinstance(message, InputEnded)", "half_closed = False and isinstance(message, InputEnded)"),),
        f"{_RESUMED}::test_a_connection_that_is_half_closed_is_a_lost_one",
    ),
    Guard(
        "a token is of use to its key only",
        f"{_API}/resumption.py",
        (
            ("return owner == self._owner and", "return True and"),
            ("if point is not None and point.owner == self._owner else None", "if point is not None else None"),
        ),
        f"{_RESUMED}::test_a_token_is_good_for_its_key_only",
    ),
    Guard(
        "a token that was changed is none",
        "gigastt/gateway/access/tokens.py",
        (("if hmac.compare_digest(signature, self._signature(purpose, payload)) else None", ""),),
        "tests/gateway/access/test_tokens.py",
    ),
    Guard(
        "a final that the client has is not told by the next server",
        f"{_API}/teller.py",
        (("if seq < self._resumption.told_from:", "if seq < 0:"),),
        f"{_RESUMED}::test_an_old_token_tells_no_final_again",
    ),
    Guard(
        "flushes are carried out once, over all connections",
        f"{_API}/resumption.py",
        (("self._flushes += 1", "self._flushes += 0"),),
        "tests/examples/test_python_client.py::test_flushes_survive_cuts",
    ),
    Guard(
        "clients are told to go before a drain",
        f"{_API}/resumption.py",
        (("await tell(self._dialect.ask_to_go(seconds))", "await tell(())"),),
        f"{_RESUMED}::test_a_server_that_stops_asks_its_clients_to_go",
    ),
    Guard(
        "who has a place needs none at the entrance",
        f"{_API}/entrance.py",
        (("if joins(first.result()):", "if first.result() and False:"),),
        f"{_RESUMED}::test_a_full_server_takes_back_who_has_a_place_there",
    ),
    Guard(
        "a session that has ended can be asked for its last final",
        f"{_API}/resumption.py",
        (("at_once=self.link.ended is None or not self.link.can_resume", "at_once=True"),),
        f"{_RESUMED}::test_the_last_final_can_be_fetched_after_the_end",
    ),
    Guard(
        "state of the recogniser goes along to the next server",
        f"{_POOL}/binding.py",
        (("return TrackCheckpoint(self.committed, self._analysed, self._silent_until, self._resume)",
          "return TrackCheckpoint(self.committed, self._analysed, 0, self._resume)"),),
        "tests/gateway/pool/test_checkpoints.py",
    ),
    Guard(
        "a kill from outside convicts no audio",
        f"{_POOL}/routing.py",
        (("touched = {touch.stream: Span(touch.start, touch.end) for touch in touches}",
          "touched = {stream: Span(0, 1 << 40) for stream in range(1 << 10)}"),),
        "tests/gateway/pool/test_routing.py::test_kills_from_outside_convict_nobody_however_many_there_are",
    ),
    Guard(
        "a suspect shares no pass",
        f"{_POOL}/binding.py",
        (("alone=self._fatal is not None", "alone=False"),),
        "tests/gateway/pool/test_routing.py::test_a_track_whose_audio_crashed_a_worker_shares_no_pass_until_it_commits",
    ),
    Guard(
        "a worker that keeps dying is spawned ever later",
        f"{_POOL}/replacing.py",
        (("2 ** min(slot.early_deaths - 1, 10)", "1"),),
        "tests/gateway/pool/test_restart.py",
    ),
    Guard(
        "a stopped worker is killed",
        f"{_POOL}/lifesigns.py",
        (('if state.letter in "Tt":', "if False:"),),
        "tests/gateway/pool/test_lifesigns.py",
    ),
    Guard(
        "a spinning worker is killed by its processor time",
        f"{_POOL}/lifesigns.py",
        (("if used > self.allowance:", "if False:"),),
        "tests/gateway/pool/test_lifesigns.py",
    ),
    Guard(
        "a late gateway excuses silence",
        f"{_POOL}/lifesigns.py",
        (("self._heard_at += seconds", "pass"),),
        "tests/gateway/pool/test_lifesigns.py::test_a_late_gateway_excuses_the_silence",
    ),
    Guard(
        "recycling by memory does not go on for ever",
        f"{_POOL}/replacing.py",
        ((" and now - self.since >= LEAST_SECONDS", ""),),
        "tests/gateway/pool/test_wear.py",
    ),
    Guard(
        "what is on its way is bounded",
        f"{_POOL}/sources.py",
        (("min(consumed + CREDIT_SAMPLES, committed + KEPT_SAMPLES)", "(consumed + KEPT_SAMPLES * 100)"),),
        "tests/gateway/pool/test_flow.py",
    ),
    Guard(
        "a place goes to the client that holds the fewest",
        f"{_POOL}/admission.py",
        (("min(self._queues, key=self._held.__getitem__)", "next(iter(self._queues))"),),
        "tests/gateway/pool/test_admission.py",
    ),
    Guard(
        "connections of one address are bounded",
        "gigastt/gateway/server/caps.py",
        (("return 0 < self._caps.per_address <=", "return False and 0 < self._caps.per_address <="),),
        "tests/gateway/server/test_caps.py",
    ),
    Guard(
        "a full /dev/shm is a capacity error",
        "gigastt/audio/shared.py",
        (("errno.ENOMEM, errno.EFBIG,", "errno.ENOMEM,"),),
        "tests/audio/test_shared.py::test_full_memory_is_a_capacity_error_that_may_be_tried_again",
    ),
    Guard(
        "a decompression bomb is refused",
        "gigastt/gateway/files/unpacking.py",
        (("MOST_TIMES: Final = 100", "MOST_TIMES: Final = 100_000_000"),),
        "tests/gateway/files/test_unpacking.py",
    ),
    Guard(
        "meaningless frames without end are a violation",
        f"{_API}/conversation.py",
        (("MOST_GARBAGE_FRAMES = 100\n", "MOST_GARBAGE_FRAMES = 10**9\n"),),
        "tests/gateway/api/test_conversation.py",
    ),
    Guard(
        "half a character in a client's JSON is told as a whole one",
        "gigastt/client_json.py",
        (('in text or "', 'in "" and "'),),
        "tests/test_client_json.py",
    ),
    Guard(
        "members of a packed body are bounded",
        "gigastt/gateway/files/unpacking.py",
        (("if self._members > FREE_MEMBERS + self._made // LEAST_MEMBER_BYTES:", "if False:"),),
        "tests/gateway/files/test_unpacking.py",
    ),
    Guard(
        "a client over TCP that does not read is dropped",
        f"{_API}/tcp.py",
        (("        super().pause_writing()\n", ""),),
        "tests/gateway/api/test_wyoming.py::test_a_client_that_asks_and_never_reads_is_dropped",
    ),
    Guard(
        "sessions that are over are bounded",
        "gigastt/gateway/waiting_room.py",
        (("if len(self._ended) > MOST_OVER:", "if False:"),),
        "tests/gateway/test_waiting_room.py",
    ),
    Guard(
        "messages of calls that have ended are bounded",
        "gigastt/gateway/feeds.py",
        (("(self._ended_bytes > MOST_ENDED_BYTES and len(self._ended) > 1)", "False"),),
        "tests/gateway/api/test_following.py",
    ),
    Guard(
        "TLS handshakes of one address that are not finished are bounded",
        "gigastt/gateway/server/doorway.py",
        (("return len(self._opening) >= self._most_handshakes and", "return False and"),),
        "tests/gateway/server/test_doorway.py",
    ),
    Guard(
        "jobs that have not ended are bounded",
        "gigastt/gateway/jobs/turns.py",
        (("len(self._jobs) >= MOST_JOBS or", "False or"),),
        "tests/gateway/jobs/test_turns.py",
    ),
    Guard(
        "recordings of speakers count for the quota of jobs",
        "gigastt/gateway/jobs/job.py",
        (("return 0 if self.speakers is None else len(encode_wishes(self.speakers))", "return 0"),),
        "tests/gateway/jobs/test_job_speakers.py",
    ),
    Guard(
        "a job is there for its own key only",
        "gigastt/gateway/jobs/jobs.py",
        (("if job is None or job.order.owner != owner:", "if job is None:"),),
        "tests/gateway/jobs/test_jobs.py::test_a_job_is_there_for_its_own_key_only",
    ),
    Guard(
        "a token for the captions of a session does nothing else",
        "gigastt/gateway/access/policy.py",
        (("if not self._is_good_for(grant, scope):", "if False:"),),
        "tests/gateway/api/test_following.py::test_a_token_for_the_session_reads_it_and_no_other",
    ),
    Guard(
        "only hosts that are listed are fetched from and called",
        "gigastt/gateway/webhook.py",
        (('if host not in allowed and f"{host}:{port}" not in allowed:', "if False:"),),
        "tests/gateway/jobs/test_jobs.py::test_what_cannot_be_a_job_is_refused",
    ),
)  # fmt: skip


def holds(guard: Guard, folder: Path, *, switched_off: bool) -> bool:
    """Run the test of a guard in a copy of the project; return whether it passes."""
    path = folder / guard.file
    original = path.read_text(encoding="utf-8")
    text = original
    for before, after in guard.changes if switched_off else ():
        assert text.count(before) == 1, f"{guard.file} has no single {before!r}"
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", guard.test]
    try:
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return False
    finally:
        path.write_text(original, encoding="utf-8")
    return run.returncode == 0


def main(numbers: list[int]) -> int:
    """Try the guards of these numbers, or all."""
    idle = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in _FOLDERS:
            shutil.copytree(ROOT / each, folder / each, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        for each in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / each, folder)
        for number, guard in enumerate(GUARDS, 1):
            if numbers and number not in numbers:
                continue
            passes = holds(guard, folder, switched_off=False)
            still = holds(guard, folder, switched_off=True)
            verdict = "held" if passes and not still else "NOT HELD" if still else "its test fails by itself"
            print(f"{number:2} {verdict:10} {guard.what} ({guard.test})", flush=True)
            idle += [] if verdict == "held" else [number]
    return 1 if idle else 0


if __name__ == "__main__":
    sys.exit(main([int(argument) for argument in sys.argv[1:]]))
