"""The recorder of one service's process: a flag that the event loop reads, a bounded queue, and one thread that writes.

The event loop never touches a file and never waits for this. The thread looks at the ticket, redacts, writes and ends
the recording; where the queue is full, a request is not recorded and counted. No raw text is ever written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.recording.session import Session, Taken, utc_now
from services.recording.ticket import Ticket, TicketError, parse, ticket_path
from services.recording.traffic import Traffic

MAX_WAITING = 64
"""Bodies that may wait for the thread: with MAX_BODY_BYTES each, 2 MiB at most."""

LOOK_EVERY_S = 0.5
log = logging.getLogger("cutover.recording")


class Recorder:
    """Use as `async with` around the app. `may_record` false: nothing is watched, whatever lies in the state folder."""

    def __init__(
        self,
        *,
        service: str,
        path: str,
        state_dir: Path,
        may_record: bool,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        chance: Callable[[], float] = random.random,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self.service = service
        self.path = path
        self.may_record = may_record
        self._state_dir = state_dir
        self._clock, self._now, self._chance, self._look_every_s = clock, now, chance, look_every_s
        self._queue: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING)
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._looked_s = float("-inf")
        self._finished = ""
        self._problem: str | None = None
        self._requests = Counter(
            "recording_requests", "Requests seen by a recording.", ("service", "outcome"), registry=registry
        )
        self._active = Gauge(
            "recording_active",
            "1 while requests are recorded.",
            ("service",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._active.labels(service).set(0)
        for taken in Taken:
            self._requests.labels(service, taken)

    async def __aenter__(self) -> Recorder:
        if self.may_record:
            self._thread = threading.Thread(target=self._run, name=f"record-{self.service}", daemon=True)
            self._thread.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._leaving.set()
        with contextlib.suppress(queue.Full):  # where it is full the thread is awake and sees that we leave
            self._queue.put_nowait(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def status(self) -> dict[str, Any]:
        """For operators: whether it may, whether it does, and what is wrong. No I/O."""
        session = self._session
        return {
            "allowed": self.may_record,
            "id": session.ticket.id if session else None,
            "problem": self._problem,
            "state_dir": str(self._state_dir),
        }

    def traffic(self) -> Traffic | None:
        """Where to count a request that comes now; None while nothing is recorded, which is nearly always."""
        session = self._session
        return session.traffic if session else None

    def body_bytes(self) -> int:
        """How much of a request's body is kept until it is answered; 0 for one that is not drawn."""
        session = self._session
        return session.ticket.body_bytes if session and self._chance() < session.ticket.share else 0

    def offer(self, body: bytes) -> None:
        """Hand over the body of a request. Returns at once, whatever the disk does."""
        try:
            self._queue.put_nowait(body)
        except queue.Full:
            self.leave_out(Taken.DROPPED)

    def leave_out(self, why: Taken) -> None:
        """Count a request that is not recorded."""
        self._requests.labels(self.service, why).inc()
        if self._session is not None:
            self._session.left_out(why)

    def _run(self) -> None:
        while not self._leaving.is_set():
            try:
                self._look()
                self._take(self._queue.get(timeout=self._look_every_s))
            except queue.Empty:
                continue
            except Exception as exc:  # noqa: BLE001  # the thread's loop top: our mistake ends the recording, nothing else
                log.error("recording_broke service=%s error=%s", self.service, type(exc).__name__)
                self._end(f"an unexpected {type(exc).__name__}")
        self._end("")

    def _look(self) -> None:
        """At the ticket and at the bounds, no more often than every `look_every_s`."""
        now_s = self._clock()
        if now_s - self._looked_s < self._look_every_s:
            return
        self._looked_s = now_s
        ticket = self._ticket()
        session = self._session
        if session is not None and (ticket is None or ticket.id != session.ticket.id):
            self._drain()
            self._end("stopped")
        elif session is not None:
            self._tell(session)
        if self._session is None and ticket is not None and ticket.id != self._finished:
            self._begin(ticket)

    def _ticket(self) -> Ticket | None:
        path = ticket_path(self._state_dir, self.service)
        try:
            ticket = parse(path.read_text(encoding="utf-8"), where=str(path))
        except FileNotFoundError:
            self._problem = None
            return None
        except (OSError, UnicodeDecodeError, TicketError) as exc:
            self._problem = str(exc)
            return None
        return ticket if ticket.service == self.service else None

    def _begin(self, ticket: Ticket) -> None:
        try:
            found = Session(ticket, self._state_dir, now=self._now(), started_s=self._clock())
        except (OSError, ValueError) as exc:
            self._finished, self._problem = ticket.id, f"cannot record: {exc}"
            log.warning("recording_refused service=%s id=%s error=%s", self.service, ticket.id, exc)
            return
        self._session, self._problem = found, None
        self._active.labels(self.service).set(1)
        log.info("recording_began service=%s id=%s by=%s until=%s", self.service, ticket.id, ticket.by, ticket.until)

    def _drain(self) -> None:
        """What came before the end is of the recording, as far as its bounds reach."""
        with contextlib.suppress(queue.Empty):
            while self._session is not None:
                self._take(self._queue.get_nowait())

    def _take(self, body: bytes | None) -> None:
        session = self._session
        if session is None or body is None:
            return
        try:
            self._requests.labels(self.service, session.take(body)).inc()
        except OSError as exc:
            self.leave_out(Taken.FAILED)
            self._end(f"cannot write: {exc.strerror or exc}")
            return
        if over := session.over(self._clock()):
            self._end(over)

    def _tell(self, session: Session) -> None:
        try:
            session.tell(self._clock())
        except OSError as exc:
            self._end(f"cannot write: {exc.strerror or exc}")
            return
        if over := session.over(self._clock()):
            self._end(over)

    def _end(self, reason: str) -> None:
        """End it for good; without a reason the process ends, and the next one may go on."""
        session, self._session = self._session, None
        if session is None:
            return
        self._active.labels(self.service).set(0)
        self._finished = session.ticket.id if reason else ""
        self._problem = f"the recording ended: {reason}" if reason.startswith(("cannot", "an unexpected")) else None
        log.info("recording_ended service=%s id=%s reason=%s", self.service, session.ticket.id, reason or "shutdown")
        try:
            session.close(self._clock(), reason)
        except OSError as exc:
            log.warning("recording_account_lost service=%s id=%s error=%s", self.service, session.ticket.id, exc)
