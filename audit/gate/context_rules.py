"""Rules on what lies around a track: the corpus it was searched in, and what is said beside it.

Style
-----
Two pieces are as far apart as the square roots of their histograms (pitch classes, intervals, onset times:
Hellinger's distance) and their density and height (`audit.measures.likeness.describe_piece`), each of these blocks in
units of its spread in the corpus; single bins are not scaled, since one that is rare would set its piece apart from
all others. How far a track lies from the nearest piece is said as the share of pieces that lie nearer to their own
nearest one of another work: near 0 is too close, near 1 too far. At most `SAMPLE` pieces, one of each work, stand for
the corpus.

A store has no clock. It only grows, so one with fewer pieces is an older one; and an index that another process is
about to replace holds fewer pieces than the store's manifest names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audit.findings import Link
from audit.gate.rules import LACKS, RIGHTS, is_lacking, judge_rule, name_some
from audit.measures.likeness import describe_piece
from audit.policy import Policy
from audit.policy_tables import RULES
from audit.report import RuleResult, RuleVerdict
from audit.search.corpus import SearchCorpus
from audit.search.index import SCHEMA as INDEX_SCHEMA
from corpus.census import sources
from ledger.errors import ExtraMissing, LedgerError
from ledger.exchange.declared_roles import gather_roles
from ledger.provenance.record import read_record
from messages import message
from music.notes import FloatArray, NoteSequence

SAMPLE = 300
LEAST = 20  # works; fewer say nothing of how near is usual
BLOCKS = (
    slice(0, 12),
    slice(12, 37),
    slice(37, 53),
    slice(53, 54),
    slice(54, 55),
    slice(55, 56),
)  # of `describe_piece`
HISTOGRAMS = slice(0, 53)
SEED = 20261126


def judge_context(
    policy: Policy, corpus: SearchCorpus, file: Path, track: NoteSequence | None, links: tuple[Link, ...]
) -> tuple[RuleResult, ...]:
    """Check the rules on corpus, disclosure, style and store that the policy sets.

    Parameters
    ----------
    track : NoteSequence, optional
        None for a track that is sound.
    file : Path
        The artefact that the track belongs to, beside which its disclosure lies.
    links : tuple of Link
        Among them the credentials of the track.
    """
    return (
        *_judge_corpus_rights(policy, corpus),
        *_judge_disclosure(policy, file, links),
        *_judge_style(policy, corpus, track),
        *_judge_store(policy, corpus),
    )


@lru_cache(maxsize=1)  # all tracks of a run ask the same
def _lacking(policy: Policy, corpus: SearchCorpus) -> dict[str, list[str]]:
    """Name the pieces that lack what each of `RIGHTS` asks for."""
    pieces = list(sources(corpus.store))
    return {about: [p["piece"] for p in pieces if is_lacking(policy, about, p)] for about in RIGHTS}


def _judge_corpus_rights(policy: Policy, corpus: SearchCorpus) -> Iterator[RuleResult]:
    for about in RIGHTS:
        rule = f"rights.corpus.{about}"
        if policy.level(rule) == "ignore":
            continue
        names = _lacking(policy, corpus)[about]
        total, gone = len(corpus.store.pieces), len(corpus.store.pieces) - int(corpus.store.present.sum())
        detail = name_some(message(LACKS[about], count=len(names), total=total), names)
        if gone:
            detail = message("{detail:text}; {gone:d} {gone:piece|pieces} can't be read", detail=detail, gone=gone)
        yield judge_rule(policy, rule, False if names else None if gone else True, detail)


def _judge_disclosure(policy: Policy, file: Path, links: tuple[Link, ...]) -> Iterator[RuleResult]:
    if policy.level("disclosure.credential") != "ignore":
        credentials = [link for link in links if link.name == "credential"]
        best = next((link for link in credentials if link.verdict == "ok"), credentials[0] if credentials else None)
        holds: bool | None = best is not None and best.verdict == "ok"
        detail = best.detail if best else message("{file} has none in it or beside it", file=file.name)
        if best and not holds and (best.verdict == "unchecked" or best.code == ExtraMissing.code):
            holds = None
        yield judge_rule(policy, "disclosure.credential", holds, detail)
    if policy.level("disclosure.roles") != "ignore":
        yield judge_rule(policy, "disclosure.roles", *_roles(file, policy.disclosure.role_names))


def _roles(file: Path, wanted: Sequence[str]) -> tuple[bool, str]:
    """Say whether every wanted role has a share of AI, and which."""
    try:
        shares = gather_roles(file, read_record(file))
    except LedgerError as error:
        return False, str(error)
    shown = ", ".join(f"{role} {share}" for role, share in shares.items()) or message("nothing is said")
    missing = [role for role in wanted if role not in shares]
    if missing and shares:
        shown = message("{roles}; nothing of {names}", roles=shown, names=", ".join(missing))
    return not missing, shown


class _Usual(NamedTuple):
    """Descriptions of the sampled pieces, the spread of each column's block, and sorted distances to the nearest."""

    table: FloatArray
    spread: FloatArray
    nearest: FloatArray


def _describe(piece: NoteSequence) -> FloatArray:
    row = describe_piece(piece)
    row[HISTOGRAMS] = np.sqrt(row[HISTOGRAMS])
    return row


def describe_usual(pieces: Iterable[NoteSequence]) -> _Usual:
    """Describe pieces, at least two, and how near to one another is usual."""
    table = np.array([_describe(piece) for piece in pieces])
    variance, spread = table.var(axis=0), np.ones(table.shape[1])
    for block in BLOCKS:
        spread[block] = np.sqrt(variance[block].sum()) or 1.0
    table /= spread
    apart = np.array([_distances(table, row) for row in table])
    np.fill_diagonal(apart, np.inf)
    return _Usual(table, spread, np.sort(apart.min(axis=1)))


@lru_cache(maxsize=1)
def _usual(policy: Policy, corpus: SearchCorpus) -> _Usual | str:
    """Describe the pieces that a track is compared with; or say why that can't be done."""
    artist, store = policy.style.artist, corpus.store
    rows = np.flatnonzero(store.present & (store.groups == np.arange(len(store.groups))))
    if artist:
        rows = np.array([row for row in rows if store.pieces[int(row)].artist == artist], dtype=np.int64)
    sample = np.sort(np.random.default_rng(SEED).permutation(rows)[:SAMPLE])
    if len(sample) < LEAST:
        if not artist:
            return message(
                "the corpus has {count:d} works to compare with, and {least:d} are needed",
                count=len(sample),
                least=LEAST,
            )
        return message(
            "the corpus has {count:d} works by {artist} to compare with, and {least:d} are needed",
            count=len(sample),
            artist=repr(artist),
            least=LEAST,
        )
    return describe_usual(store.notes(int(row)) for row in sample)


def _distances(table: FloatArray, row: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(((table - row) ** 2).sum(axis=1)))


def style_share(usual: _Usual, track: NoteSequence) -> float:
    """Share of pieces that lie nearer to their nearest other one than the track to its own, in [0, 1]."""
    distance = float(_distances(usual.table, _describe(track) / usual.spread).min())
    return float(np.searchsorted(usual.nearest, distance, side="left")) / len(usual.nearest)


def _judge_style(policy: Policy, corpus: SearchCorpus, track: NoteSequence | None) -> Iterator[RuleResult]:
    if not policy.asks("style"):
        return
    required = policy.requires("style") or policy.style.can_fail
    usual = _usual(policy, corpus) if track is not None and len(track) else message("the track holds no notes")
    if track is None or isinstance(usual, str):
        yield RuleResult("style", RULES["style"].title, "skipped", str(usual), required)
        return
    share = style_share(usual, track)
    verdict = policy.style.judge(share)
    detail = message(
        "{share:.3g} % of {count:d} pieces lie nearer to their nearest neighbour; {bounds}",
        share=100 * share,
        count=len(usual.nearest),
        bounds=str(policy.style),
    )
    judged: RuleVerdict = "pass" if verdict == "clear" else verdict
    yield RuleResult("style", RULES["style"].title, judged, detail, required)


def _judge_store(policy: Policy, corpus: SearchCorpus) -> Iterator[RuleResult]:
    """Check how old the index is; where it is older than asked, what was searched is not what had to be."""
    asked, store = policy.store, corpus.store
    unsearched = corpus.left_out.pieces
    held = len(store.pieces) - unsearched
    if asked.min_pieces:
        holds = held >= asked.min_pieces or None
        detail = message("{held:d} pieces of the {least:d} that the policy asks for", held=held, least=asked.min_pieces)
        yield judge_rule(policy, "store.min_pieces", holds, detail)
    if asked.min_index:
        version = int(INDEX_SCHEMA.rpartition("/")[2])
        holds = version >= asked.min_index or None
        detail = message("version {version:d} of at least {least:d}", version=version, least=asked.min_index)
        yield judge_rule(policy, "store.min_index", holds, detail)
    if asked.complete:
        now = hashlib.sha256((store.path / "manifest.json").read_bytes()).hexdigest()
        why = ""
        if now != store.digest:
            why = message("the store has grown since; wait for 'contraste ingest' to end")
        elif unsearched:
            why = message("{count:d} of {total:d} pieces are not in it", count=unsearched, total=len(store.pieces))
        whole = message("{count:d} {count:piece|pieces}, all that there are", count=held)
        yield judge_rule(policy, "store.complete", None if why else True, why or whole)
