"""The store: jobs and what has been found of them, in an SQLite file of the jobs' folder.

All of SQLite runs on one thread of its own; the event loop only awaits. What a call has written survives the server's
end by `kill -9`; what a power cut takes is at most the last seconds, never the file.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from gigastt.audio.selection import FileChoice
from gigastt.errors import JobsFull
from gigastt.gateway.jobs.job import (
    Job,
    JobCommit,
    JobFacts,
    JobOrder,
    Settled,
    decode_heard,
    decode_told,
    decode_wishes,
    encode_heard,
    encode_told,
    encode_wishes,
)
from gigastt.gateway.jobs.turns import QueuedJob
from gigastt.transcript import Final, Gap, HeardSpeakers

Answered = TypeVar("Answered")

_FILE = "jobs.sqlite3"
_RETRY_AFTER_MS = 30_000
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS jobs (
        number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL,
        created REAL NOT NULL, ended REAL NOT NULL DEFAULT 0, url TEXT NOT NULL, audio_bytes INTEGER NOT NULL,
        track TEXT NOT NULL, splits INTEGER NOT NULL, webhook TEXT NOT NULL, webhook_secret TEXT NOT NULL,
        webhook_tries INTEGER NOT NULL DEFAULT 0, webhook_at REAL, facts TEXT,
        error_code TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '');
    CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
    CREATE TABLE IF NOT EXISTS told (
        number INTEGER PRIMARY KEY, job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, body TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS told_by_job ON told (job, number);
    CREATE TABLE IF NOT EXISTS commits (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, channel INTEGER NOT NULL, samples INTEGER NOT NULL,
        resume BLOB NOT NULL, is_last INTEGER NOT NULL, PRIMARY KEY (job, channel));
    CREATE TABLE IF NOT EXISTS speakers (
        job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE, wishes BLOB, heard BLOB);
    CREATE TABLE IF NOT EXISTS searches (
        job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE, wishes TEXT NOT NULL);
"""
_COLUMNS = (
    "id, number, owner, track, splits, url, webhook, webhook_secret, state, created, ended, audio_bytes, facts, "
    "error_code, error, (SELECT wishes FROM speakers WHERE job = id), "
    "(SELECT wishes FROM searches WHERE job = id)"
)


class JobStore:
    """The jobs of one folder, for one server at a time.

    Raises, from every method:
        JobsFull: the disk is full or broken; nothing of that call is written.
    """

    def __init__(self, folder: Path) -> None:
        self._thread = ThreadPoolExecutor(1, "jobs")
        self._database = sqlite3.connect(folder / _FILE, check_same_thread=False, isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;"
            + _SCHEMA
        )

    def close(self) -> None:
        """Finish what was begun, and close the file."""
        self._thread.shutdown()
        self._database.close()

    async def add(self, id: str, order: JobOrder, audio_bytes: int) -> None:
        """Put a job at the end of the queue."""
        choice = order.choice
        row = (id, order.owner, "queued", time.time(), order.url, audio_bytes, choice.track, choice.splits_channels,
               order.webhook, order.webhook_secret)  # fmt: skip
        await self._change_together(
            ("INSERT INTO jobs (id, owner, state, created, url, audio_bytes, track, splits, webhook, webhook_secret) "
             "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [row]),
            ("INSERT INTO speakers (job, wishes) VALUES (?, ?)",
             [] if order.speakers is None else [(id, encode_wishes(order.speakers))]),
            ("INSERT INTO searches (job, wishes) VALUES (?, ?)", [(id, order.search_to_json())]),
        )  # fmt: skip

    async def find(self, id: str) -> Job | None:
        """Return a job."""
        jobs = await self._jobs("WHERE id = ?", (id,))
        return jobs[0] if jobs else None

    async def all(self) -> list[Job]:
        """Return all jobs, in the order in which they came."""
        return await self._jobs("ORDER BY number", ())

    async def queued(self) -> list[QueuedJob]:
        """Return the jobs that have not ended, in the order in which they came."""
        rows = await self._read(
            "SELECT number, id, owner, audio_bytes, created, "
            "COALESCE((SELECT LENGTH(wishes) FROM speakers WHERE job = id), 0) "
            "FROM jobs WHERE state = 'queued' ORDER BY number"
        )
        return [QueuedJob(*row) for row in rows]

    async def set_audio(self, id: str, audio_bytes: int) -> None:
        """Note that a job's audio is here."""
        await self._change("UPDATE jobs SET audio_bytes = ? WHERE id = ?", (audio_bytes, id))

    async def set_facts(self, id: str, facts: JobFacts) -> None:
        """Note what decoding has found."""
        await self._change("UPDATE jobs SET facts = ? WHERE id = ?", (facts.to_json(), id))

    async def settle(self, id: str, settled: Settled) -> None:
        """Write what has been found, and how far each channel is by that, in one step."""

        commits = [
            (id, channel, commit.samples, commit.resume, commit.is_last) for channel, commit in settled.commits.items()
        ]
        await self._change_together(
            ("INSERT INTO told (job, body) VALUES (?, ?)", ((id, encode_told(one)) for one in settled.told)),
            ("INSERT OR REPLACE INTO commits VALUES (?, ?, ?, ?, ?)", commits),
        )

    async def commits(self, id: str) -> dict[int, JobCommit]:
        """Return how far each channel is."""
        rows = await self._read("SELECT channel, samples, resume, is_last FROM commits WHERE job = ?", (id,))
        return {row[0]: JobCommit(row[1], row[2], bool(row[3])) for row in rows}

    async def told(self, id: str, after: int = 0) -> list[tuple[int, Final | Gap]]:
        """Return what has been found, with numbers that grow, behind the number `after`."""

        def read() -> list[tuple[int, Final | Gap]]:
            statement = "SELECT number, body FROM told WHERE job = ? AND number > ? ORDER BY number"
            return [(number, decode_told(body)) for number, body in self._database.execute(statement, (id, after))]

        return await self._run(read)

    async def set_speakers(self, id: str, heard: HeardSpeakers) -> None:
        """Note who was heard, in the order in which finals were told."""
        await self._change_together(
            ("UPDATE speakers SET heard = ? WHERE job = ?", ((encode_heard(one), id) for one in [heard]))
        )

    async def speakers(self, id: str) -> HeardSpeakers | None:
        """Return who was heard; None where speakers are not told apart, or not yet."""

        def read() -> HeardSpeakers | None:
            rows = self._database.execute("SELECT heard FROM speakers WHERE job = ? AND heard IS NOT NULL", (id,))
            return next((decode_heard(row[0]) for row in rows.fetchall()), None)

        return await self._run(read)

    async def end(self, id: str, error_code: str = "", error: str = "") -> None:
        """Note that a job is done, or why it failed; what is known of voices is forgotten."""
        now = time.time()
        state = "failed" if error_code else "done"
        await self._change_together(
            ("UPDATE jobs SET state = ?, ended = ?, error_code = ?, error = ?, audio_bytes = 0, "
             "webhook_at = CASE WHEN webhook = '' THEN NULL ELSE ? END WHERE id = ?",
             [(state, now, error_code, error, now, id)]),
            ("DELETE FROM commits WHERE job = ?", [(id,)]),
            ("UPDATE told SET body = json_remove(body, '$.voices') WHERE job = ?1 "
             "AND EXISTS (SELECT 1 FROM speakers WHERE job = ?1)", [(id,)]),
            ("UPDATE speakers SET wishes = NULL WHERE job = ?", [(id,)]),
        )  # fmt: skip

    async def delete(self, id: str) -> None:
        """Forget a job and all that was found."""
        await self._change("DELETE FROM jobs WHERE id = ?", (id,))

    async def delete_ended(self, before: float) -> None:
        """Forget the jobs that ended before a time, in seconds since 1970."""
        await self._change("DELETE FROM jobs WHERE state != 'queued' AND ended < ?", (before,))

    async def next_webhook(self) -> tuple[float, int, Job] | None:
        """Return when the next call is due, how often it was tried, and the job it is about."""
        rows = await self._read(
            "SELECT id, webhook_at, webhook_tries FROM jobs WHERE webhook_at IS NOT NULL ORDER BY webhook_at LIMIT 1"
        )
        job = await self.find(rows[0][0]) if rows else None
        return (rows[0][1], rows[0][2], job) if job else None

    async def set_webhook(self, id: str, tries: int, at: float | None) -> None:
        """Note that a call was tried, and when it is next; None for never."""
        await self._change("UPDATE jobs SET webhook_tries = ?, webhook_at = ? WHERE id = ?", (tries, at, id))

    # -- SQLite

    async def _jobs(self, where: str, values: Sequence[object]) -> list[Job]:
        return [_job_of(row) for row in await self._read(f"SELECT {_COLUMNS} FROM jobs {where}", values)]

    async def _change(self, statement: str, values: Sequence[object]) -> None:
        await self._run(lambda: self._database.execute(statement, values))

    async def _change_together(self, *changes: tuple[str, Iterable[Sequence[object]]]) -> None:
        """Carry out statements, each for all its rows, in one step."""

        def write() -> None:
            database = self._database
            database.execute("BEGIN IMMEDIATE")
            try:
                for statement, rows in changes:
                    database.executemany(statement, rows)
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # SQLite may have ended it by itself
                    database.execute("ROLLBACK")
                raise

        await self._run(write)

    async def _read(self, statement: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        return await self._run(lambda: self._database.execute(statement, values).fetchall())

    async def _run(self, work: Callable[[], Answered]) -> Answered:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as exc:
            raise JobsFull("The disk of the jobs is full or broken.", retry_after_ms=_RETRY_AFTER_MS) from exc


def _job_of(row: sqlite3.Row) -> Job:
    (id, number, owner, track, splits, url, webhook, secret, state, created, ended, audio_bytes, facts, code, error,
     wishes, search) = row  # fmt: skip
    speakers = decode_wishes(wishes) if wishes else None
    order = JobOrder(owner, FileChoice(track, bool(splits)), url, webhook, secret, speakers)
    order = order.with_search(search) if search else order  # a job of an older server has none
    decoded = JobFacts.from_json(facts) if facts else None
    return Job(id, number, order, state, created, ended, audio_bytes, decoded, code, error)
