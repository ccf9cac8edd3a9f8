"""Takes erasures through their steps, one after the other, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext

import structlog

from cdp.erasure import ALONE, FIRST, STEPS, Step, Tools, destroyed, make_plan
from cdp.erasure_jobs import Job, Plan, State
from cdp.errors import GateLost, Retryable
from cdp.model import PersonId
from cdp.records import writing

log = structlog.get_logger()

IDLE_S = 1.0
"""Between two looks for what another process asked for, or left to be redacted; this one calls."""
AGAIN_S = 30.0
"""After a fault of ours."""


class Stopped(Exception):
    """The process ends; the job goes on with its next start."""


class Eraser:
    """Thread-safe but for `resume`, `drain` and `run`, of which one may be under way."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._stopping = threading.Event()
        # What the pipeline rings when it met something that must be redacted.
        self._due = tools.redactions.due

    def request(self, person: PersonId, *, reason: str, by: str) -> Job:
        """Ask for a person to be erased; durable on return."""
        job = self._tools.book.request(person, reason=reason, by=by)
        self._due.set()
        return job

    def find(self, job_id: str) -> tuple[Job, Plan | None] | None:
        """A job, and its plan while it is under way."""
        job = self._tools.book.find(job_id)
        return None if job is None else (job, self._tools.book.plan(job))

    def resume(self) -> None:
        """What a crash cut off of the steps that are done alone, before anything else is taken in.

        Raises StoreUnavailable: then nothing must be taken in either.
        """
        for job in self._tools.book.unfinished():
            if job.state is State.RUNNING and job.steps < len(FIRST):
                with self._tools.gate.alone():
                    self._through(job, self._tools.book.plan(job) or make_plan(self._tools, job), FIRST)

    def drain(self) -> None:
        """Do everything that was asked for; for tests."""
        while self._step():
            pass

    def run(self) -> None:
        """Until `stop`; a store that is away is waited for."""
        while not self._stopping.is_set():
            try:
                if not self._step():
                    self._due.wait(IDLE_S)
            except Stopped:
                return
            except Retryable as error:
                log.warning("erasure_waits", reason=str(error))
                self._stopping.wait(error.retry_after_s)
            except Exception:
                log.exception("erasure_failed")
                self._stopping.wait(AGAIN_S)

    def stop(self) -> None:
        """From any thread: end after the present step."""
        self._stopping.set()
        self._due.set()

    def _step(self) -> bool:
        """Do what is due first; whether there was anything."""
        if self._tools.redactions.rewrite_late():
            return True
        jobs = self._tools.book.unfinished()
        if jobs:
            self._erase(jobs[0])
        return bool(jobs)

    def _erase(self, job: Job) -> None:
        tools = self._tools
        if job.steps < len(FIRST):
            with tools.gate.alone():
                plan = tools.book.plan(job) or make_plan(tools, job)
                job = self._through(job, plan, FIRST, patient=True)
        plan = tools.book.plan(job) or make_plan(tools, job)
        job = self._through(job, plan, STEPS)
        hits = tools.redactions.count(job.id)
        receipt = tools.book.receipt_of(job, plan, hits, destroyed(tools))
        with writing(tools.records) as connection:
            tools.book.finish(connection, job, receipt)
            tools.redactions.drop(connection, job.id)
        log.info("person_erased", job=job.id)
        for each in tools.keeping:
            # The plan, too, must leave the files.
            if each.store == "records" and each.purge is not None:
                each.purge()

    def _through(self, job: Job, plan: Plan, steps: Sequence[Step], *, patient: bool = False) -> Job:
        """Do those of the steps that are not done; `patient` where a store that is away must be waited for inside."""
        while job.steps < len(steps):
            if self._stopping.is_set():
                raise Stopped
            step = steps[job.steps]
            alone = step in ALONE and step not in FIRST
            try:
                with self._tools.gate.alone() if alone else nullcontext():
                    self._do(step, job, plan)
            except Retryable as error:
                if not patient or isinstance(error, GateLost):
                    raise
                log.warning("erasure_waits", reason=str(error))
                self._stopping.wait(error.retry_after_s)
                continue
            job = job._replace(steps=job.steps + 1, state=State.RUNNING)
        return job

    def _do(self, step: Step, job: Job, plan: Plan) -> None:
        write = step(self._tools, job, plan)
        with writing(self._tools.records) as connection:
            if write is not None:
                write(connection)
            self._tools.gate.check()
            self._tools.book.save(connection, job._replace(steps=job.steps + 1), plan)
