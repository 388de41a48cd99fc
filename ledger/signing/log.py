"""A log of all that was signed on this machine: an append-only Merkle tree (RFC 9162, section 2.1) in SQLite.

A leaf is the canonical JSON of one entry: time by this machine's clock, the SHA-256 of the signed payload, key id,
predicate type and subjects. Leaf hashes are ``SHA-256(0x00 || leaf)``, nodes ``SHA-256(0x01 || left || right)``. Stored
are the hashes of complete subtrees, so adding and proving cost a logarithm of the size. After each addition the signer
signs the tree head (size and root), so that taking an entry out or changing one needs the key; who kept an older head
sees by a consistency proof whether the log only grew. The latest head of each signer is kept: what somebody signs here
with a key that is not trusted here takes nothing from the entries before. A copy of each head lies outside the file, in
``heads`` beside it, so that a log that was deleted, or put back as it was earlier, is missed.

An entry also names the signature file, so that `ledger.signing.memory` can tell the latest statement about an artefact.
What is done without a signing key (anchors, tokens, revocations of anchors) is noted beside the entries, unsigned: the
notes tell what should be there, and prove nothing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from ledger.errors import LedgerError, LogBroken, LogIncomplete, Malformed, SignerUnknown
from ledger.hashes.digest import Digest, canonical_json, hash_bytes, parse_json, read_bytes, write_atomic
from ledger.paths import make_folder
from ledger.signing.envelope import Envelope, SigningKey, sign_statement
from ledger.signing.log_proofs import check_inclusion, leaf_hash, node_hash, split_size
from ledger.signing.statement import Statement
from ledger.signing.trust import Trust, format_time, verify_envelope

HEAD_PREDICATE = "https://contraste.dev/tree-head/v1"
SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (position INTEGER PRIMARY KEY, payload BLOB, leaf BLOB);
CREATE INDEX IF NOT EXISTS entries_payload ON entries (payload);
CREATE TABLE IF NOT EXISTS nodes (level INTEGER, position INTEGER, hash BLOB, PRIMARY KEY (level, position));
CREATE TABLE IF NOT EXISTS head (key TEXT PRIMARY KEY, bundle BLOB);
CREATE TABLE IF NOT EXISTS notes (payload BLOB, what TEXT, time TEXT, PRIMARY KEY (payload, what));
"""
HEADS = "heads"
"""Folder beside the log with a copy of each signer's latest tree head."""
BYTES = "COALESCE(CAST({} AS BLOB), x'')"
"""A column read as bytes, whatever type somebody gave its values."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry of the log.

    Parameters
    ----------
    position : int
        0-based.
    leaf : bytes
        What is hashed.
    """

    position: int
    leaf: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The leaf's JSON: ``time``, ``payload``, ``key``, ``predicateType``, ``subject``, ``file`` (signature)."""
        try:
            value = parse_json(self.leaf, source=f"log entry {self.position}")
        except Malformed as error:
            raise LogBroken(str(error)) from None
        if not isinstance(value, dict):
            raise LogBroken(f"log entry {self.position} is no JSON object")
        return value


def place_of_file(file: Path) -> str:
    """Return where a file lies on this machine, links in its folders resolved."""
    return os.path.join(os.path.realpath(file.parent), file.name)


@dataclass(frozen=True, slots=True)
class TransparencyLog:
    """The log in one SQLite file, made at the first addition.

    Parameters
    ----------
    file : Path
        Where it lies.
    """

    file: Path

    def append(
        self,
        envelopes: Mapping[Path, Envelope],
        key: SigningKey,
        certificates: Sequence[x509.Certificate] = (),
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Add signed statements, and sign the new tree head with the same key, in one transaction.

        Parameters
        ----------
        envelopes : mapping of Path to Envelope
            By the signature file that they go to.
        key, certificates
            Of the signer.
        then : callable
            What puts the files there; the entries are kept only where it succeeds.

        Raises
        ------
        LogBroken
            If the log that is there is damaged.
        LedgerError
            If it cannot be written, or another process holds it for more than 30 s; and what `then` raises.
        """
        make_folder(self.file.parent)
        with self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            size = self._size(database)
            for file, envelope in envelopes.items():
                leaf = canonical_json(_entry(file, envelope))
                row = (size, hash_bytes(envelope.payload).value, leaf)
                database.execute("INSERT INTO entries VALUES (?, ?, ?)", row)
                node, level, position = leaf_hash(leaf), 0, size
                database.execute("INSERT INTO nodes VALUES (?, ?, ?)", (0, size, node))
                while position % 2:
                    node = node_hash(self._read_node(database, level, position - 1), node)
                    level, position = level + 1, position // 2
                    database.execute("INSERT INTO nodes VALUES (?, ?, ?)", (level, position, node))
                size += 1
            root = self._range(database, 0, size)
            head = {"size": size, "time": format_time(datetime.now(UTC))}
            statement = Statement({"log": Digest("sha256", root)}, HEAD_PREDICATE, head)
            signed = sign_statement(statement, key, certificates)
            database.execute("INSERT OR REPLACE INTO head VALUES (?, ?)", (signed.keyid, signed.to_bytes()))
            then()
            database.execute("COMMIT")
            # Read again, since another process may have added to it: the copy is never newer than the log.
            (latest,) = database.execute("SELECT bundle FROM head WHERE key = ?", (signed.keyid,)).fetchone()
        make_folder(self._heads)
        write_atomic(self._heads / f"{signed.keyid}.sig", latest)

    @property
    def _heads(self) -> Path:
        return self.file.with_name(HEADS)

    def note(self, payload: Digest, what: str) -> None:
        """Note that something else was made for a signed statement: ``anchor``, ``token``, ``time stamp``...

        Parameters
        ----------
        payload : Digest
            SHA-256 of the statement.
        what : str
            ``anchor``, ``token``, ``time stamp`` or ``revoked`` (an anchor that was).
        """
        make_folder(self.file.parent)
        with self._database() as database:
            row = (payload.value, what, format_time(datetime.now(UTC)))
            database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", row)

    def notes(self) -> list[tuple[str, str, str]]:
        """Return what was noted: SHA-256 of the statement (hex), what was made for it, and when."""
        if not self.file.exists():
            return []
        with self._database() as database:
            rows = database.execute(f"SELECT {BYTES.format('payload')}, what, time FROM notes")
            return [(payload.hex(), str(what), str(time)) for payload, what, time in rows]

    def entries(self) -> list[LogEntry]:
        """Return all entries, oldest first; empty where there is no log."""
        if not self.file.exists():
            return []
        with self._database() as database:
            rows = database.execute(f"SELECT position, {BYTES.format('leaf')} FROM entries ORDER BY position")
            return [LogEntry(position, leaf) for position, leaf in rows]

    def find(self, payload: Digest) -> LogEntry | None:
        """Return the latest entry about a signed payload, by its SHA-256; None if there is none.

        Raises
        ------
        LogBroken
            If what is filed under it is about another payload.
        """
        if not self.file.exists():
            return None
        with self._database() as database:
            row = database.execute(
                f"SELECT position, {BYTES.format('leaf')} FROM entries WHERE payload = ? ORDER BY position DESC",
                (payload.value,),
            ).fetchone()
        if row is None:
            return None
        entry = LogEntry(*row)
        if entry.fields.get("payload") != payload.hex:
            raise LogBroken(f"{self.file}: entry {entry.position} is filed under the digest of another statement")
        return entry

    def head(self, trust: Trust) -> tuple[int, bytes]:
        """Return size and root of the largest tree whose head a trusted key signed.

        Raises
        ------
        LogBroken
            If there is no head, one is not what its signer signed, or the log does not hold the trees that were signed.
        LogIncomplete
            If the log, or entries of it, are not there any more.
        SignerUnknown
            If no head is signed by anybody who is trusted.
        """
        kept = self._read_heads()
        if kept and not self.file.exists():
            raise LogIncomplete(f"{self.file}: the log is not there, and {HEADS} beside it says that there was one")
        with self._database() as database:
            rows = database.execute(f"SELECT key, {BYTES.format('bundle')} FROM head ORDER BY key").fetchall()
            size = self._size(database)
            count = int(database.execute("SELECT count(*) FROM entries").fetchone()[0])
            hashed = int(database.execute("SELECT count(*) FROM nodes WHERE level = 0").fetchone()[0])
        if not rows:
            raise LogBroken(f"{self.file}: the log has no signed tree head")
        if count != size:
            kind = LogIncomplete if count < hashed else LogBroken
            raise kind(f"{self.file}: {count} entries, numbered up to {size}; some were taken out or added")
        heads, unknown = [], None
        for key, data in [*rows, *kept]:
            envelope = Envelope.from_bytes(data, source=f"{self.file}: head")
            if envelope.keyid != key:
                raise LogBroken(f"{self.file}: the tree head of {key[:16]}... is signed by another key")
            try:
                statement = verify_envelope(envelope, trust, timeless=True)
            except SignerUnknown as error:
                unknown = error
                continue
            signed = statement.predicate.get("size")
            if (
                statement.predicate_type != HEAD_PREDICATE
                or list(statement.subjects) != ["log"]
                or type(signed) is not int
            ):
                raise LogBroken(f"{self.file}: the statement signed by {key[:16]}... is no tree head")
            if not 0 < signed <= size:
                raise LogIncomplete(f"{self.file}: {size} entries, and {signed} were signed")
            heads.append((signed, statement.subjects["log"].value))
        if not heads and unknown is not None:
            raise SignerUnknown(f"{self.file}: {unknown}")
        for signed, root in heads:
            if self.root(signed) != root:
                raise LogBroken(
                    f"{self.file}: the first {signed} entries do not lead to the signed root {root.hex()[:16]}..."
                )
        return max(heads)

    def _read_heads(self) -> list[tuple[str, bytes]]:
        """Return the copies of tree heads, by the key id of their signers."""
        return [(file.stem, read_bytes(file)) for file in sorted(self._heads.glob("*.sig"))]

    @property
    def exists(self) -> bool:
        """Whether there is a log, or something says that there was one."""
        return self.file.exists() or bool(self._read_heads())

    def inclusion_proof(self, position: int, size: int) -> list[bytes]:
        """Return the proof that an entry is in the tree of the first `size` entries (RFC 9162, 2.1.3.1)."""
        with self._database() as database:

            def path(start: int, stop: int) -> Iterator[bytes]:
                if stop - start == 1:
                    return
                middle = start + split_size(stop - start)
                if position < middle:
                    yield from path(start, middle)
                    yield self._range(database, middle, stop)
                else:
                    yield from path(middle, stop)
                    yield self._range(database, start, middle)

            return list(path(0, size))

    def consistency_proof(self, old_size: int, size: int) -> list[bytes]:
        """Return the proof that the tree of `size` entries extends that of `old_size` (RFC 9162, 2.1.4.1)."""
        if not 0 < old_size <= size:
            raise LogBroken(f"a log of {size} entries has no consistency proof for {old_size}")
        with self._database() as database:

            def path(start: int, stop: int, whole: bool) -> Iterator[bytes]:
                if stop == old_size and start < stop and old_size - start == stop - start:
                    if not whole:
                        yield self._range(database, start, stop)
                    return
                middle = start + split_size(stop - start)
                if old_size <= middle:
                    yield from path(start, middle, whole)
                    yield self._range(database, middle, stop)
                else:
                    yield from path(middle, stop, False)
                    yield self._range(database, start, middle)

            return list(path(0, size, True)) if old_size < size else []

    def root(self, size: int) -> bytes:
        """Return the root of the tree of the first `size` entries (RFC 9162, 2.1.1)."""
        with self._database() as database:
            return self._range(database, 0, size)

    def verify(self, trust: Trust) -> tuple[int, bytes]:
        """Return size and root of the signed tree (see `head`) if entries and stored hashes belong to it.

        Raises
        ------
        LogBroken, LogIncomplete, SignerUnknown
            Otherwise; see `head`.
        """
        size, root = self.head(trust)
        entries, expected = self.entries(), {}
        row, level = [leaf_hash(entry.leaf) for entry in entries], 0
        while row:
            expected.update({(level, position): node for position, node in enumerate(row)})
            row, level = [node_hash(*row[at : at + 2]) for at in range(0, len(row) - 1, 2)], level + 1
        with self._database() as database:
            nodes = database.execute(f"SELECT level, position, {BYTES.format('hash')} FROM nodes")
            stored = {(level, position): node for level, position, node in nodes}
            payloads = database.execute(f"SELECT {BYTES.format('payload')} FROM entries ORDER BY position")
            named = [payload.hex() for (payload,) in payloads]
        if stored != expected or self.root(size) != root:
            raise LogBroken(
                f"{self.file}: entries, stored hashes and the signed root {root.hex()[:16]}... do not agree"
            )
        if [entry.fields.get("payload") for entry in entries] != named:
            raise LogBroken(f"{self.file}: an entry is filed under the digest of another statement")
        return size, root

    def proof_of(self, entry: LogEntry, trust: Trust) -> tuple[int, bytes, list[bytes]]:
        """Return size and root of the log, and the proof, checked, that an entry is in it; raises as `head` does."""
        size, root = self.head(trust)
        if entry.position >= size:
            raise SignerUnknown(f"{self.file}: entry {entry.position} is under no head that a trusted key signed")
        proof = self.inclusion_proof(entry.position, size)
        check_inclusion(leaf_hash(entry.leaf), entry.position, size, proof, root)
        return size, root, proof

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Open the file; errors of SQLite become ours."""
        try:
            if not self.file.exists():  # names of what was signed are nobody else's business, whatever the umask
                os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            database = sqlite3.connect(self.file, timeout=30, isolation_level=None)
            try:
                database.executescript(SCHEMA)
                yield database
            finally:
                database.close()
        except (sqlite3.OperationalError, OSError) as error:
            raise LedgerError(f"{self.file}: the log cannot be used: {error}") from None
        except sqlite3.DatabaseError as error:
            raise LogBroken(f"{self.file}: the log is damaged: {error}") from None

    @staticmethod
    def _size(database: sqlite3.Connection) -> int:
        return int(database.execute("SELECT COALESCE(MAX(position) + 1, 0) FROM entries").fetchone()[0])

    def _read_node(self, database: sqlite3.Connection, level: int, position: int) -> bytes:
        row = database.execute("SELECT hash FROM nodes WHERE level = ? AND position = ?", (level, position)).fetchone()
        if row is None or not isinstance(row[0], bytes):
            raise LogBroken(f"{self.file}: node {position} of level {level} is not there")
        return row[0]

    def _range(self, database: sqlite3.Connection, start: int, stop: int) -> bytes:
        """Return the hash of the subtree over some entries, out of the stored hashes of complete subtrees."""
        count = stop - start
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self._read_node(database, level, start >> level)
        middle = start + split_size(count)
        return node_hash(self._range(database, start, middle), self._range(database, middle, stop))


def _entry(file: Path, envelope: Envelope) -> dict[str, Any]:
    statement = Statement.from_bytes(envelope.payload)
    return {
        "time": format_time(datetime.now(UTC)),
        "payload": hash_bytes(envelope.payload).hex,
        "key": envelope.keyid,
        "predicateType": statement.predicate_type,
        "subject": {name: digest.hex for name, digest in statement.subjects.items()},
        "file": place_of_file(file),
    }
