"""Inputs that several commands read: stores, music, policies; what is left out of them is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from audit.findings import count_noun
from audit.policy import Policy, PolicyError
from commands.shared.terminal import FAILED, OK, UNCHECKED, UNREADABLE, USAGE, progress, say, stop
from corpus.census import sources
from corpus.segment import StoreError
from corpus.store import Store
from ledger.errors import LedgerError
from music.notes import MusicError
from music.read import LeftOut, listing

if TYPE_CHECKING:
    from audit.search.corpus import SearchCorpus


def explain_error(file: Path, error: Exception) -> str:
    """Say why one file could not be dealt with; errors that are no fault of it are raised again."""
    ours = isinstance(error, StoreError | PolicyError | typer.Exit)
    if ours or (isinstance(error, LedgerError) and str(file) not in str(error)):
        raise error
    if isinstance(error, MusicError | LedgerError):
        return str(error)
    return f"{file}: it cannot be processed: {type(error).__name__}: {error}"


def open_store(path: Path, partial: bool = False) -> Store:
    """Open a store; with `partial`, say which of its segments are left out."""
    store = Store.open(path, partial=partial)
    for name, reason in store.missing:
        say(f"{path}: segment {name} is left out: {reason}")
    if store.missing:
        say(f"{path}: {int((~store.present).sum())} of {len(store.pieces)} pieces are not searched")
        if not store.present.any():
            stop(f"{path}: no piece of the store can be read", UNCHECKED)
    return store


def open_search(store: Store, partial: bool = False) -> SearchCorpus:
    """Open what a search needs of a store; say what is left out and what can't be kept."""
    from audit.opening import open_search_corpus

    corpus = open_search_corpus(store, progress, partial=partial)
    name_gaps(corpus)
    return corpus


def name_gaps(corpus: SearchCorpus) -> None:
    """Say what a corpus leaves out and can't keep; end the command where nothing is left."""
    store, pieces = corpus.store, corpus.left_out.pieces
    for name, reason in corpus.index.missing:
        say(f"{store.path}: index segment {name} is left out: {reason}")
    if corpus.index.missing:
        say(f"{store.path}: {pieces} of {len(store.pieces)} pieces are not searched")
        if pieces == len(store.pieces):
            stop(f"{store.path}: no piece of the store can be searched", UNCHECKED)
    for name, reason in corpus.index.unsaved.items():
        say(f"{store.path}: {name} can't be kept ({reason}), so it is worked out anew each time")


def list_music(paths: list[Path], sound: bool = False) -> tuple[list[Path], list[LeftOut]]:
    """List notes at or below the paths, and sound where asked; name what is left out, and return what of that weighs.

    Ends the command where there are none.
    """
    listed = listing(*paths)
    left_out = list(listed.left_out)
    files = [*listed.notes, *(listed.sound if sound else ())]
    if not sound:
        notes = {file.with_suffix("") for file in listed.notes}
        reason = "sound, and notes are searched here; contraste audit hears it"
        left_out += [
            LeftOut(file, reason, "none" if file.with_suffix("") in notes else "unchecked") for file in listed.sound
        ]
    weighing = [one for one in left_out if one.weight != "none"]
    for one in weighing:
        say(f"left out {one.path}: {one.reason}")
    rest = len(left_out) - len(weighing)
    if rest:
        say(
            f"{count_noun(rest, 'other file')}: no music"
            f"{'' if sound else ', or sound that has notes of its name beside it'}"
        )
    if not files:
        stop(f"{paths[0]}: holds no MIDI or MusicXML files{' and no sound' if sound else ''}", UNREADABLE)
    order = {path: k for k, path in enumerate(paths)}
    return sorted(
        files, key=lambda file: (min((order[p] for p in (file, *file.parents) if p in order), default=0), file)
    ), weighing


def is_notes(file: Path) -> bool:
    """Whether a file holds notes, and not sound."""
    return not listing(file).sound


def name_unmatched(rules: Policy, store: Store) -> None:
    """Name the entries of a policy that match nothing in the store; end the command where they may not stand there."""
    lost = rules.find_unmatched(sources(store, recordings=True))
    for one in lost:
        say(f"policy {rules.name}: {one}")
    if any(one.meant for one in lost) or (lost and rules.gate.entries_must_match):
        stop(f"policy {rules.name}: {lost[0].key}: write entries as the store has them, or take them out", USAGE)


def gate_exit_code(outcomes: set[str], unread: bool, review_blocks: bool) -> int:
    """Return the exit code of an audit: that of the gravest thing that happened to any track."""
    if "fail" in outcomes or ("review" in outcomes and review_blocks):
        return FAILED
    if unread:
        return UNREADABLE
    return UNCHECKED if "incomplete" in outcomes else OK
