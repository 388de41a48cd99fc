"""Errors that the program knows, and the exit code of each."""

from __future__ import annotations

import sys

from audit.checked_toml import TomlError
from commands.shared.terminal import FAILED, UNCHECKED, UNREADABLE, USAGE
from corpus.chorales import DemoError
from corpus.pool import EngineError
from corpus.rights import RightsError
from corpus.segment import StoreAlteredError, StoreDamagedError, StoreError
from ledger import errors
from ledger.hashes.manifest import ManifestMismatch
from metrics.tokens import MetricError
from music.notes import MusicError
from reports.json_report import ReportError


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an error that the program knows, or None for a defect."""
    codes: list[tuple[int, tuple[type[Exception], ...]]] = [  # the first that fits: subclasses before their base
        (FAILED, (errors.SignatureInvalid, ManifestMismatch, errors.LogBroken, StoreAlteredError)),
        (UNCHECKED, (StoreDamagedError,)),
        (USAGE, (TomlError, RightsError, DemoError, EngineError)),
        (USAGE, (errors.KeyUnusable, errors.ChainRefused, errors.ExtraMissing)),
        (UNREADABLE, (MusicError, StoreError, MetricError, ReportError, errors.PathRefused, errors.Malformed)),
        (UNCHECKED, (errors.Unsigned, errors.ChainUnreachable, errors.NotFinal, errors.TimeStampUnavailable)),
        (USAGE, (errors.LedgerError,)),  # the rest: a place that can't be written to, as for an OSError
    ]
    if "generator.data.vocabulary" in sys.modules:  # raised only where it was imported
        vocabulary = sys.modules["generator.data.vocabulary"]
        codes += [(USAGE, (vocabulary.SettingError,)), (UNREADABLE, (vocabulary.GeneratorError,))]
    return next((code for code, kinds in codes if isinstance(error, kinds)), None)
