"""Settings in, a system out: every store opened, and the parts put together on them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from cdp import erasure
from cdp.aftermath import Aftermath
from cdp.begun import Notes
from cdp.eraser import Eraser
from cdp.erasure import Keeping, refuse_half_done
from cdp.erasure_hits import Look
from cdp.erasure_jobs import ErasureBook
from cdp.imports import Importer
from cdp.imports import Tools as ImportTools
from cdp.imports_files import ImportFiles
from cdp.imports_jobs import ImportBook
from cdp.imports_report import Reporter
from cdp.imports_undo import Undoing
from cdp.imports_versions import Versions
from cdp.kept_hits import KeptHits
from cdp.lease import Lease, fence
from cdp.live import LiveFeed
from cdp.log import LogReader
from cdp.moments import now_ms
from cdp.outbox import Outbox
from cdp.personal import REMEMBERED_SETS, Personal
from cdp.pipeline import Tools
from cdp.policy import policy_in_force, put_in_force
from cdp.progress import Processed, Progress, StoredProgress
from cdp.records import is_shared, purge_sqlite
from cdp.redactions import Redactions
from cdp.replays import ReplayBook, Replays
from cdp.roles import APP, Role
from cdp.seen import SeenIds
from cdp.segment_work import SegmentWork
from cdp.settings import Settings
from cdp.shared_gate import SharedGate, open_gate
from cdp.stores import (
    kind_of,
    open_events,
    open_graph,
    open_live,
    open_log_consumer,
    open_log_reader,
    open_log_writer,
    open_records,
)
from cdp.tombstones import Tombstones
from cdp.vault import KNOWN_TOKENS, Vault
from cdp.worker import Replayer, Worker
from collectors.registry import ENQUIRIES, TRANSLATORS
from collectors.sources import LiveSources, SourceBook
from identity.calls import key_of
from identity.engine import IdentityEngine
from identity.gate import Gate
from identity.graph import Graph
from identity.kinds import Policy
from identity.leader import Leader
from identity.remote import RemoteIdentity
from identity.verbs import Identity
from leads.capture import LeadDesk
from leads.similar import SimilarLeads
from leads.watching import Watching
from profiles.interests import Topics, load_topics
from profiles.owners import Owners
from profiles.profile import CACHED_PROFILES, ProfileReader
from profiles.store import EventStore
from profiles.whose import Whose
from segments.book import SegmentBook
from segments.desk import SegmentDesk
from segments.evaluate import Evaluator
from segments.fresh import Freshness
from segments.lead_rows import LeadRows
from segments.live import LiveSegments
from segments.live_touched import Toucher
from segments.members import Membership

SIMILAR_LOOK_S = 1.0
SEGMENTS_LOOK_S = 0.2
"""Between two looks for what other processes noted."""
IDLE_LOOK_S = 1.0
NOT_LEASED: Mapping[Role, int] = {}


@dataclass(frozen=True, slots=True)
class System:
    """Everything that a process holds that opens the stores: they, and what works on them. Made by `open_system`.

    Nothing of it runs by itself: `cdp.at_work` starts what a process is there for. Whoever takes evidence in is in
    `gate` together with others; an erasure is there alone.
    """

    settings: Settings
    records: Engine
    log: LogReader
    hits: KeptHits
    graph: Graph
    events: EventStore
    vault: Vault
    book: SourceBook
    sources: LiveSources
    identity: Identity
    profiles: ProfileReader
    leads: LeadDesk
    similar: SimilarLeads
    live: LiveFeed
    outbox: Outbox
    aftermath: Aftermath
    gate: Gate
    progress: Processed
    worker: Worker
    eraser: Eraser
    importer: Importer
    replays: ReplayBook
    replaying: Replays
    forget_answers: list[Callable[[Collection[str]], None]]
    segment_work: SegmentWork
    segment_book: SegmentBook
    membership: Membership
    evaluator: Evaluator
    segments: SegmentDesk
    live_segments: LiveSegments

    @property
    def run_folder(self) -> Path:
        """Where the processes of this machine say what they serve."""
        return self.settings.data / "run"

    def close(self) -> None:
        """Let go of all stores; call it after the worker has ended."""
        self.live.close()
        self.gate.close()
        self.events.close()
        self.graph.close()
        self.log.close()
        self.records.dispose()


def open_system(settings: Settings, roles: Collection[Role] = APP, tokens: Mapping[Role, int] = NOT_LEASED) -> System:
    """Open every store, bring its schema up to date, and put the parts together for a process of these roles.

    Where the records are a server's, other processes may share all of it; `tokens` are the fencing tokens of roles that
    are this process's alone. Raises ConfigurationError for a URL of no adapter, StoreUnavailable where a store cannot
    be reached; nothing stays open then.
    """
    with ExitStack() as opened:
        stores = _open_stores(settings, tokens, opened)
        system = _put_together(settings, roles, stores)
        opened.pop_all()
    return system


@dataclass(frozen=True, slots=True)
class _Stores:
    records: Engine
    gate: Gate
    log: LogReader
    graph: Graph
    events: EventStore
    live: LiveFeed


def _open_stores(settings: Settings, tokens: Mapping[Role, int], opened: ExitStack) -> _Stores:
    """What was opened is closed with `opened`, also where a later store is away."""
    records = open_records(settings)
    opened.callback(records.dispose)
    if Role.SCHEDULER in tokens:
        fence(records, Role.SCHEDULER.value, tokens[Role.SCHEDULER])
    gate = opened.enter_context(closing(open_gate(records)))
    log = opened.enter_context(closing(open_log_reader(settings, records)))
    graph = opened.enter_context(closing(open_graph(settings)))
    if Role.IDENTITY in tokens:
        graph.fence(tokens[Role.IDENTITY])
    events = opened.enter_context(closing(open_events(settings)))
    with gate.turn("upgrade"):
        events.bring_up()
    live = opened.enter_context(closing(open_live(settings, shared=is_shared(records))))
    return _Stores(records, gate, log, graph, events, live)


def _put_together(settings: Settings, roles: Collection[Role], stores: _Stores) -> System:
    policy = policy_in_force(settings.policy)
    secret = settings.secret_bytes
    records, gate, events = stores.records, stores.gate, stores.events
    shared = is_shared(records)
    hits = KeptHits(stores.log, secret)
    vault = Vault(records, secret, settings.vault_key_bytes, remembered=0 if shared else KNOWN_TOKENS)
    book = SourceBook(records, secret)
    sources = LiveSources(book)
    identity = _identity(settings, records, stores.graph, vault, policy, roles)
    profiles = ProfileReader(events, 0 if shared else CACHED_PROFILES)
    topics = load_topics(settings.topics)
    tombstones = Tombstones(records, vault)
    erasures = ErasureBook(records, secret, clock=now_ms)
    if isinstance(gate, SharedGate):
        gate.entering += [tombstones.refresh, partial(refuse_half_done, erasures)]
    among_others = Watching.AMONG_OTHERS if Role.WORKER in roles else Watching.BY_OTHERS
    watching = among_others if shared else Watching.ALONE
    segment_work, membership = SegmentWork(), Membership(records)
    segment_book, evaluator = SegmentBook(records, segment_work), Evaluator(events, membership.held)
    owners = Owners(identity, events, Whose(identity, events), records)
    lead_rows = LeadRows(records, segment_work, events.leads)
    freshness = Freshness(records, segment_work, owners, lead_rows, gate)
    leads = LeadDesk(
        records,
        identity,
        events,
        vault,
        topics,
        region=settings.region,
        gate=gate,
        watching=watching,
        segment_work=segment_work,
        segments_of=membership.segments_of,
    )
    outbox = Outbox(records, identity, stores.live, shared=shared)
    outbox.tell()
    aftermath = Aftermath(profiles, leads, outbox)
    look_s = SIMILAR_LOOK_S if shared else None
    similar = SimilarLeads(records, identity, vault, gate=gate, regrouped=aftermath.regrouped, look_s=look_s)
    if Role.SCHEDULER in roles:
        leads.follow(similar)
    done = Progress(rests=not shared)
    progress: Processed = StoredProgress(records) if shared else done
    tools = Tools(
        dialects=TRANSLATORS,
        sources=sources,
        seen=SeenIds(),
        policy=policy,
        personal=_personal(settings, vault, policy, tombstones),
        vault=vault,
        identity=identity,
        events=events,
        profiles=profiles,
        leads=leads,
        live=stores.live,
        outbox=outbox,
        records=records,
        tombstones=tombstones,
        redactions=Redactions(records, stores.log, secret),
        segment_work=segment_work,
        gate=gate,
    )
    consumer = partial(open_log_consumer, settings, stores.log)
    worker = Worker(tools, stores.log, consumer, hits, progress=done, clock=now_ms)
    replays = ReplayBook(records, clock=now_ms)
    again = replace(tools, personal=_personal(settings, vault, policy, tombstones), notes=Notes())
    replayer = Replayer(again, stores.log, hits, processed=progress.wait_for, clock=now_ms)
    erasing = _erasing(settings, tools, stores.log, hits, topics, erasures)
    eraser = Eraser(erasing)
    if Role.SCHEDULER in roles:
        eraser.resume()
    return System(
        settings=settings,
        records=records,
        log=stores.log,
        hits=hits,
        graph=stores.graph,
        events=events,
        vault=vault,
        book=book,
        sources=sources,
        identity=identity,
        profiles=profiles,
        leads=leads,
        similar=similar,
        live=stores.live,
        outbox=outbox,
        aftermath=aftermath,
        gate=gate,
        progress=progress,
        worker=worker,
        eraser=eraser,
        importer=_importer(settings, tools, erasing, aftermath, progress),
        replays=replays,
        replaying=Replays(replays, records, stores.log, replayer),
        forget_answers=erasing.answers,
        segment_work=segment_work,
        segment_book=segment_book,
        membership=membership,
        evaluator=evaluator,
        segments=SegmentDesk(
            segment_book, membership, evaluator, tz=settings.tz, clock=now_ms, catch_up=freshness.catch_up
        ),
        live_segments=_live_segments(tools, Evaluator(events, membership.held, aside=True), owners, lead_rows),
    )


def _live_segments(tools: Tools, evaluator: Evaluator, owners: Owners, lead_rows: LeadRows) -> LiveSegments:
    records, identity, work = tools.records, tools.identity, tools.segment_work
    toucher = Toucher(records, work, identity, owners, lead_rows, tools.events.mirror, tools.gate)
    look_s = SEGMENTS_LOOK_S if is_shared(records) else IDLE_LOOK_S
    return LiveSegments(records, work, identity, toucher, evaluator, tools.live.tell, clock=now_ms, look_s=look_s)


def _erasing(
    settings: Settings, tools: Tools, log: LogReader, hits: KeptHits, topics: Topics, book: ErasureBook
) -> erasure.Tools:
    personal = _personal(settings, tools.vault, tools.policy, tools.tombstones)
    return erasure.Tools(
        records=tools.records,
        log=log,
        identity=tools.identity,
        whose=Whose(tools.identity, tools.events),
        events=tools.events,
        profiles=tools.profiles,
        vault=tools.vault,
        leads=tools.leads,
        topics=topics,
        look=Look(TRANSLATORS, tools.sources, personal),
        open_payload=hits.open_payload,
        tombstones=tools.tombstones,
        redactions=tools.redactions,
        segment_work=tools.segment_work,
        book=book,
        gate=tools.gate,
        clock=now_ms,
        keeping=_keeping(settings, log, tools.events),
    )


def _importer(
    settings: Settings, tools: Tools, erasing: erasure.Tools, aftermath: Aftermath, progress: Processed
) -> Importer:
    """Undoing an import takes away what erasing does."""
    folder, secret = settings.data / "imports", settings.secret_bytes
    versions = Versions(tools.records, tools.identity, tools.vault, tools.tombstones)
    undoing = Undoing(
        records=tools.records,
        log=erasing.log,
        identity=tools.identity,
        erasing=tools.events.erasing,
        profiles=tools.profiles,
        vault=tools.vault,
        leads=tools.leads,
        topics=erasing.topics,
        redactions=tools.redactions,
        segment_work=tools.segment_work,
        aftermath=aftermath,
        versions=versions,
        gate=tools.gate,
        folder=folder,
        secret=secret,
        answers=erasing.answers,
    )
    # Rows of a file hardly ever name the same together.
    personal = _personal(settings, tools.vault, tools.policy, tools.tombstones, remembered=1)
    importing = ImportTools(
        records=tools.records,
        log=erasing.log,
        open_writer=partial(open_log_writer, settings),
        open_payload=erasing.open_payload,
        processed=progress.wait_for,
        identity=tools.identity,
        sources=tools.sources,
        reporter=Reporter(tools.records, tools.identity, personal),
        versions=versions,
        aftermath=aftermath,
        gate=tools.gate,
        undoing=undoing,
        book=ImportBook(tools.records, clock=now_ms),
        files=ImportFiles(folder, secret),
        secret=secret,
        region=settings.region,
        zone=settings.zone,
        capture_events=settings.capture_events,
        clock=now_ms,
    )
    return Importer(importing)


def _identity(
    settings: Settings, records: Engine, graph: Graph, vault: Vault, policy: Policy, roles: Collection[Role]
) -> Identity:
    """The engine where this process has the role, else the one that the holder of the lease has."""
    if Role.IDENTITY not in roles:
        lease = Lease(records, Role.IDENTITY.value)
        return RemoteIdentity(graph, policy, Leader(lease.address, key_of(settings.secret_bytes)))
    engine = IdentityEngine(graph, policy)
    put_in_force(engine, vault)
    return engine


def _personal(
    settings: Settings, vault: Vault, policy: Policy, tombstones: Tombstones, *, remembered: int = REMEMBERED_SETS
) -> Personal:
    return Personal(
        vault,
        policy,
        tombstones,
        region=settings.region,
        capture_events=settings.capture_events,
        capture_dialects=ENQUIRIES,
        remembered=remembered,
    )


def _keeping(settings: Settings, reader: LogReader, events: EventStore) -> tuple[Keeping, ...]:
    """The stores that an erasure sweeps at its end; a database server overwrites in its own time."""
    log_kind = kind_of(settings.log_url)
    # A topic forgets with the retention alone.
    kept = [Keeping("log", log_kind, reader.purge if log_kind == "sqlite" else None)]
    kept.append(Keeping("events", kind_of(settings.events_url), events.erasing.purge))
    for store, url in (("graph", settings.graph_url), ("records", settings.records_url)):
        kind, place = kind_of(url), settings.resolved(url)
        kept.append(Keeping(store, kind, partial(purge_sqlite, place, store) if kind == "sqlite" else None))
    return tuple(kept)
