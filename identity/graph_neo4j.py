"""The graph in Neo4j 5, through its official driver. Its nodes and edges are in `graph_neo4j_schema`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from neo4j import GraphDatabase, ManagedTransaction, NotificationMinimumSeverity, Query, Session, unit_of_work
from neo4j.exceptions import (
    AuthError,
    ClientError,
    ConnectionPoolError,
    ConstraintError,
    DatabaseError,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
    TransientError,
    UnsupportedServerProduct,
)

from cdp.errors import ConfigurationError, GraphConflict, LeaseLost, StoreUnavailable
from cdp.model import Identifier, Millis, PersonId, SetId
from identity import graph_neo4j_read as read
from identity.gate import Gate
from identity.graph import (
    LEASE,
    Commit,
    Head,
    Neighbourhood,
    PairKey,
    SeenValue,
    SetMember,
    StoredRefusal,
    StoredTurn,
    Value,
    Whole,
)
from identity.graph_neo4j_address import FORM, SETTING, address_of, check_version
from identity.graph_neo4j_commit import ADD_VERSION, pair_key, write
from identity.graph_neo4j_schema import rules
from identity.observation import Node, Observation, ObservationId, Proof
from identity.resolve import Refusal

STORE = "graph"

CONNECT_S, ACQUIRE_S, READ_S, WRITE_S, SCAN_S = 5.0, 10.0, 30.0, 120.0, 600.0
RETRY_S, FIRST_RETRY_S = 5.0, 0.1
SCAN_ROWS = 10_000
_CUT_OFF = (".TransactionTimedOut", ".Transaction.Terminated")
_AWAY = (ServiceUnavailable, SessionExpired, ConnectionPoolError, TransientError, DatabaseError, AuthError)


class Neo4jGraph:
    """`identity.graph.Graph` on one Neo4j database, which holds nothing else under these labels.

    What a reader sees of a commit that is just being applied Neo4j leaves open, so a commit's last step waits for the
    reads of this process and they for it. Reads of other processes may for some milliseconds see a part of it.
    """

    def __init__(self, url: str) -> None:
        """Opens it, and makes constraints and indexes that are missing.

        Raises ConfigurationError for what cannot be an address of Neo4j, a refused password, a database that is not
        there and a server that is too old; StoreUnavailable where nobody answers.
        """
        address = address_of(url)
        self._database = address.database
        self._token: int | None = None
        # The last commit of which surely nothing is still being applied.
        self._whole = 0
        self._gate = Gate()
        self._driver = GraphDatabase.driver(
            address.uri,
            auth=address.auth,
            connection_timeout=CONNECT_S,
            connection_acquisition_timeout=ACQUIRE_S,
            max_transaction_retry_time=RETRY_S,
            initial_retry_delay=FIRST_RETRY_S,
            notifications_min_severity=NotificationMinimumSeverity.OFF,
            telemetry_disabled=True,
        )
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    # Evidence

    def head(self) -> Head:
        with self._reading():
            while rows := self._rows(read.HEAD):
                head = Head(*rows[0])
                if head.seq <= self._whole:
                    return head
                # Another process's, and perhaps being applied just now.
                self._rows(read.AWAIT, seq=head.seq)
                self._whole = head.seq
        return Head(0, 0)

    def known(self, observations: Collection[ObservationId]) -> set[ObservationId]:
        return {ObservationId(each) for (each,) in self._found(read.KNOWN, observations)}

    def observations(self, ids: Collection[ObservationId]) -> list[tuple[Observation, str]]:
        return [(read.observation_of(row), row[-2] or "") for row in self._found(read.OBSERVATIONS, ids)]

    def mentioning(self, bases: Collection[int]) -> list[Observation]:
        return [read.observation_of(row) for row in self._found(read.MENTIONING, bases)]

    def values(self, pids: Collection[PersonId]) -> list[Value]:
        return [read.value_of(row) for row in self._found(read.VALUES, pids)]

    def pairs(self, keys: Collection[PairKey]) -> dict[PairKey, Proof]:
        return read.pairs_of(self._found(read.PAIRS, [pair_key(key) for key in keys]))

    def pairs_at(self, numbers: Collection[int]) -> dict[PairKey, Proof]:
        return read.pairs_of(self._found(read.PAIRS_AT, numbers))

    def neighbourhood(self, components: Collection[int], *, pairs: bool) -> Neighbourhood:
        if not components:
            return Neighbourhood([], {})
        keys = sorted(components)
        with self._reading():
            values = self._rows(read.VALUES_OF_COMPONENTS, keys=keys)
            inside = self._rows(read.PAIRS_INSIDE, keys=keys) if pairs else []
        return Neighbourhood([read.value_of(row) for row in values], read.pairs_of(inside))

    def commit(self, commit: Commit) -> None:
        version = {
            "seq": commit.seq,
            "at": commit.at,
            "policy": commit.policy,
            "fence": self._token,
            "forgets": bool(commit.forgotten),
        }
        with _reachable(), ExitStack() as gate, self._session() as session:

            @unit_of_work(timeout=WRITE_S, metadata={} if self._token is None else {"fence": self._token})
            def work(transaction: ManagedTransaction) -> None:
                gate.close()  # of an attempt before this one
                _add_version(transaction, version)
                write(_runner(transaction), commit)
                gate.enter_context(self._gate.alone())

            session.execute_write(work)
        self._whole = commit.seq

    def fence(self, token: int) -> None:
        """Adds an empty commit: it is by the number of a commit that two writers meet."""
        self._cut_off(token)
        row = {"seq": self.head().seq + 1, "fence": token}
        with _reachable(), self._session() as session:
            session.execute_write(_add_version, row)
        self._whole, self._token = row["seq"], token

    def _cut_off(self, token: int) -> None:
        with self._reading():
            ((database,),) = self._rows(read.DATABASE)
            if begun := [each for (each,) in self._rows(read.BEGUN, database=database, token=token)]:
                self._rows(read.CUT_OFF, begun=begun)

    # Sets

    def members(self, sets: Collection[SetId]) -> dict[SetId, list[SetMember]]:
        return read.members_by_set(self._found(read.MEMBERS, sets))

    def holding(self, bases: Collection[int]) -> set[SetId]:
        return {SetId(each) for (each,) in self._found(read.HOLDING, bases)}

    def moved_since(self, seq: int) -> set[SetId]:
        return {SetId(each) for (each,) in self._look(read.MOVED, SCAN_S, seq=seq)}

    # Persons

    def value(self, pid: PersonId) -> tuple[Value, PersonId | None] | None:
        rows = self._look(read.VALUE, pid=pid)
        return (read.value_of(rows[0][:-1]), rows[0][-1]) if rows else None

    def whole(self, pid: PersonId) -> Whole | None:
        with self._reading():
            owned = self._rows(read.OWNED, pid=pid)
            members = self._rows(read.MEMBERS, keys=sorted({each for row in owned for each in row[-1]}))
        seen = [
            SeenValue(Identifier(kind, value), owner or "", first, last, read.epochs_of(epochs))
            for _, _, kind, value, owner, first, last, epochs, _ in owned
        ]
        return Whole(PersonId(owned[0][0]), seen, read.members_by_set(members)) if owned else None

    def identifiers(self, person: int) -> list[Value]:
        return [read.value_of(row) for row in self._look(read.OF_PERSON, person=person)]

    def links(self, person: int) -> list[tuple[Node, Node, Proof]]:
        return [(*read.ends_of(row), read.proof_of(row[7:])) for row in self._look(read.LINKS, person=person)]

    def history(self, values: Collection[int]) -> list[tuple[int, Millis, StoredTurn]]:
        return [read.turn_of(row) for row in self._found(read.HISTORY, values)]

    def turns_since(self, seq: int, limit: int) -> list[tuple[int, Millis, StoredTurn]]:
        return [read.turn_of(row) for row in self._look(read.TURNS, seq=seq, limit=limit)]

    def refusals(self, values: Collection[int]) -> list[Refusal]:
        return [Refusal(*read.ends_of(row), row[-1]) for row in self._found(read.REFUSALS, values)]

    # The whole store

    def every_observation(self) -> Iterator[Observation]:
        last = -1
        while rows := self._look(read.PAGE, SCAN_S, last=last, limit=SCAN_ROWS):
            yield from map(read.observation_of, rows)
            last = max(row[0] for row in rows)

    def every_set(self) -> Iterator[SetId]:
        last = -1
        while rows := self._look(read.SETS, SCAN_S, last=last, limit=SCAN_ROWS):
            yield from (SetId(each) for (each,) in rows)
            last = rows[-1][0]

    def every_value(self) -> list[Value]:
        return [read.value_of(row) for row in self._look(read.EVERY_VALUE, SCAN_S)]

    def every_pair(self) -> dict[PairKey, Proof]:
        return read.pairs_of(self._look(read.EVERY_PAIR, SCAN_S))

    def every_refusal(self) -> set[StoredRefusal]:
        return {StoredRefusal(*row) for row in self._look(read.EVERY_REFUSAL, SCAN_S)}

    def notes(self, source: str) -> list[tuple[Observation, str]]:
        return [(read.observation_of(row), row[-2] or "") for row in self._look(read.NOTES, SCAN_S, source=source)]

    def policy(self) -> str:
        rows = self._look(read.POLICY)
        return str(rows[0][0]) if rows else ""

    def seq_at(self, at: Millis) -> int:
        rows = self._look(read.SEQ_AT, at=at)
        return int(rows[0][0]) if rows else 0

    def members_as_of(self, seq: int) -> dict[PersonId, set[Node]]:
        return read.nodes_by_person(self._look(read.MEMBERS_AS_OF, SCAN_S, seq=seq))

    def person_as_of(self, pid: PersonId, seq: int) -> tuple[PersonId, set[Node]] | None:
        return next(iter(read.nodes_by_person(self._look(read.PERSON_AS_OF, pid=pid, seq=seq)).items()), None)

    def pids(self, numbers: Collection[int]) -> dict[int, PersonId]:
        return {number: PersonId(pid) for number, pid in self._found(read.PIDS, numbers)}

    def ask(self, statement: str, **parameters: Any) -> list[list[Any]]:
        """The rows of a statement of `graph_neo4j_rows`."""
        return self._look(statement, SCAN_S, **parameters)

    def fill(self, statements: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Run statements of `graph_neo4j_rows` for these rows: durable on return, and nothing of it where it raises."""

        @unit_of_work(timeout=WRITE_S)
        def work(transaction: ManagedTransaction) -> None:
            for statement in statements:
                transaction.run(statement, {"rows": rows}).consume()

        with _reachable(), self._session() as session:
            session.execute_write(work)

    def probe(self) -> None:
        self.head()

    def close(self) -> None:
        self._driver.close()

    # Asking

    def _open(self) -> None:
        try:
            with _reachable():
                agent = self._driver.get_server_info().agent
                check_version(agent)
                self._make_rules()
        except StoreUnavailable as error:
            if isinstance(error.__cause__, AuthError):
                raise ConfigurationError(
                    SETTING, came="an address whose user or password Neo4j refuses", allowed=FORM
                ) from None
            raise
        except UnsupportedServerProduct:
            raise ConfigurationError(SETTING, came="the address of another product", allowed=FORM) from None
        except ClientError as error:
            if not (error.code or "").endswith(".DatabaseNotFound"):
                raise
            came = f"an address of database {self._database!r}, which that server does not have"
            raise ConfigurationError(SETTING, came=came, allowed=FORM) from None

    def _make_rules(self) -> None:
        there = {name for (name,) in self._rows("SHOW INDEXES YIELD name, state WHERE state = 'ONLINE' RETURN name")}
        missing = [cypher for name, cypher in rules() if name not in there]
        for cypher in missing:
            try:
                self._rows(cypher, SCAN_S)
            except ClientError as error:
                # In spite of IF NOT EXISTS, where another process makes it just now.
                if not (error.code or "").endswith("AlreadyExists"):
                    raise
        if missing:
            self._rows(f"CALL db.awaitIndexes({SCAN_S:.0f})", SCAN_S)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What is asked inside sees one state."""
        with self._gate.together(), _reachable():
            yield

    def _look(self, statement: str, timeout_s: float = READ_S, **parameters: Any) -> list[list[Any]]:
        with self._reading():
            return self._rows(statement, timeout_s, **parameters)

    def _found(self, statement: str, keys: Collection[Any]) -> list[list[Any]]:
        """The rows for these `$keys`."""
        return self._look(statement, keys=sorted(keys)) if keys else []

    def _rows(self, statement: str, timeout_s: float = READ_S, **parameters: Any) -> list[list[Any]]:
        """In one round trip. Asked again where the server was restarted since its last answer."""
        try:
            return self._ask(statement, timeout_s, parameters)
        except (ServiceUnavailable, SessionExpired):
            return self._ask(statement, timeout_s, parameters)

    def _ask(self, statement: str, timeout_s: float, parameters: Mapping[str, Any]) -> list[list[Any]]:
        with self._session() as session:
            return session.run(Query(statement, timeout=timeout_s), dict(parameters)).values()

    def _session(self) -> Session:
        # Of a cluster, the leader answers reads too: what was committed last must be seen.
        return self._driver.session(database=self._database, fetch_size=-1)


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except _AWAY as error:
        raise StoreUnavailable(STORE, _cause(error)) from error
    except Neo4jError as error:
        if not any(each in (error.code or "") for each in _CUT_OFF):
            raise
        raise StoreUnavailable(STORE, _cause(error)) from error


def _cause(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _add_version(transaction: ManagedTransaction, row: Mapping[str, Any]) -> None:
    try:
        made = transaction.run(ADD_VERSION, rows=[row]).consume().counters.nodes_created
    except ConstraintError as error:
        raise GraphConflict(row["seq"]) from error
    if not made:
        raise LeaseLost(LEASE)


def _runner(transaction: ManagedTransaction) -> Callable[..., tuple[int, int]]:
    def run(statement: str, /, **parameters: Any) -> tuple[int, int]:
        made = transaction.run(statement, parameters).consume().counters
        return made.nodes_created, made.relationships_created

    return run
