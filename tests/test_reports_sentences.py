"""Every sentence that an audit can put on a page is known in Spanish: those in the code, and those put together."""

import ast
import itertools
from pathlib import Path

import pytest

from audit.findings import Link, MetricResult, RuleResult, Skipped, many
from audit.gate.outcome import sentence, weighed
from audit.gate.rules import judged
from audit.originality.baseline import Baseline, Estimate, Group
from audit.originality.report import OriginalityReport
from audit.originality.windows import Measured, Setting, Window
from audit.policy import read_policy
from metrics.measure import SPECS, MetricSkipped, features, measure
from music.key import NAMES
from music.notes import build
from reports.language.translation import language
from reports.pages.originality import originality_sentence
from tests.report_cases import finding, sound, waiver

ROOT = Path(__file__).parent.parent
SPANISH = language("es")
FRAGMENTS: dict[str, set[str]] = {
    "audit/gate/rules.py": {
        *("opted out", "without a licence on file", "without a consent on file", "7 7", ": 7", ": 7, ...", "7; 7"),
        *(
            "7 near-duplicate not clear",
            "7 of 7 7",
            "7 of 7 7: x.mid",
            "7 (7)",
            "7: 7",
            "7 (7) is 7",
            ", 7 of them waived",
        ),
    },
    "audit/gate/context_rules.py": {
        *("7 of 7 7", "7 of 7 7: x.mid", "; 7 pieces can't be read", "; 1 piece can't be read", "7 7", "by 7 "),
        "the corpus has 7 works 7to compare with, and 7 are needed",
    },
    "audit/opening.py": {
        *("7, and there is no index of the store, which can't be made without it", "chance and style levels"),
    },
    "audit/track.py": {"7 (7) is 7: 7"},
    "audit/find.py": set(),
    "audit/measures/metrics.py": set(),
    "audit/measures/sound.py": set(),
    "metrics/measure.py": set(),
    "metrics/bleu.py": {
        *("none of 7 references has 7 tokens", "7 sets of references for 7 candidates; one each, not empty"),
        "7 candidate(s); self-BLEU compares at least two",
    },
    "metrics/chord_f1.py": {
        *("key 7: a key begins with one of 7", "the annotation cannot be used: 7"),
        "7 annotated and 7 found chords; both need at least one",
    },
    "metrics/distributions.py": {
        "all distances are equal: they have no density, and so no overlapped area",
        *("7 references and 7 candidates; at least 3 and 2", "feature tables of shapes 7 and 7; wanted (n, d), (m, d)"),
    },
    "metrics/phash.py": {
        "hashes 7 and 7; wanted some, of one length",
        "mel of shape 7, 7 bits; wanted (bands, frames > 0) and 64 or 256 bits",
    },
    "ledger/verify.py": {
        *("7 7s", "7 7", "key 7...", "; the signature leaves out 7 and more", "; the signature leaves out 7", "7 7; 7"),
        *("made by the model", "trained on", "not at 7", "its place is not known", "7 (7)"),
        *("7, nor in the search folders; its digest is 7...", "7; 7", "7, and 7"),
    },
    "ledger/anchors/chain_checks.py": {
        *("root 0x7...", "token 0x7...", "7 of 7, locked, contract 7 on 7", "7 of 7, contract 7 on 7"),
        *("7 s after 1970", "%Y-%m-%d %H:%M:%S UTC"),
    },
    "music/render.py": {"7: cannot be read: 7", "sample rate 7 Hz; 8000..96000 are rendered"},
}
"""Files whose texts reach a page, each with what is a part of a sentence, or what an audit never meets."""
COMPOSED = (
    *(
        "2 of 9 opted out",
        "2 of 9 without a licence on file: a.mid, b.mid, c.mid, ...",
        "1 near-duplicate not clear: a",
    ),
    *("1 of 9 without a consent on file: a.mid; 3 pieces can't be read", "0 near-duplicates not clear"),
    "the corpus has 3 works by 'A. Person' to compare with, and 20 are needed",
    "the corpus has 3 works to compare with, and 20 are needed",
    "the track holds no notes",
    "not measured; fail_below 6",
    "not rendered: the hash compares sound; fail_below 3, review_below 6",
    "simulated: root 0xab... in block 2 of chain 7, 2026-11-26 11:37:38 UTC, by 0x12; simulated: an embedded chain on "
    "this machine",
    "w.toml: line 3: of 00ab, expired on 2026-01-01; w.toml: line 9: of 00ac, expired on 2026-01-02",
    "anchor (x.mid) is unchecked: the proof leads to the root 0xab...; no chain was asked for it",
    "data set (store) is missing",
    "composition all, lyrics none; nothing of vocals",
    "content as signed by CN=label",
    "3 files as signed by key 00ab...; the signature leaves out a, b",
    "not at model, nor in the search folders; its digest is 00ab...",
    "its place is not known, nor in the search folders; its digest is 00ab...",
    "made by the model model; bars 16, seed 7",
    "trusted: signed by 'label' at 2026-11-26 11:37:38 UTC; trainedAlgorithmicMedia",
    "signer unknown: the certificate of 'label' is not trusted here; add the signer's key or authority if it should be",
    "trained on store; no settings named",
    "2 edit, 1 prompt; as signed",
    "token 0xab... of 0x12, locked, contract 0x34 on chain 7; its block is not finalized yet",
)
ENGLISH = ("the ", " is ", " are ", " of ", " not ", " and ", " was ", " its ", " by ", " this ")


def expanded(node: ast.AST) -> list[str]:
    """Return every text that an expression can give, 7 in the place of its values."""
    match node:
        case ast.Constant(value):
            made = [str(value)]
        case ast.JoinedStr(values):
            made = ["".join(parts) for parts in itertools.product(*map(expanded, values))]
        case ast.FormattedValue(value):
            made = expanded(value)
        case ast.IfExp(_, body, orelse):
            made = expanded(body) + expanded(orelse)
        case ast.BinOp(left, ast.Add(), right):
            made = [a + b for a in expanded(left) for b in expanded(right)]
        case ast.Call(ast.Name("listed")):
            made = ["", ": x.mid"]
        case ast.Call(ast.Name("many"), [_, ast.Constant(noun)]):
            made = [many(1, noun), many(7, noun)]
        case _:
            made = ["7"]
    return made


def literals(file: str) -> set[str]:
    """Return the texts of a file that hold a space, docstrings left out."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    bodies = (n.body for n in ast.walk(tree) if isinstance(n, ast.Module | ast.FunctionDef | ast.ClassDef))
    told = {n.value for body in bodies for n in body if isinstance(n, ast.Expr)}
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if node in told:
            continue
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            found |= {text for text in expanded(node) if " " in text.strip()}
        else:
            waiting += ast.iter_child_nodes(node)
    return found


def known(text: str) -> bool:
    """Whether a text has a Spanish form, also where it begins small within another sentence."""
    return SPANISH.translated(text) is not None or SPANISH._inner(text) != text


def english_left(text: str) -> list[str]:
    """Return the English words that the Spanish form of a text holds."""
    return [word for word in ENGLISH if word in f" {SPANISH.translated(text)} "]


@pytest.mark.parametrize("file", FRAGMENTS)
def test_every_sentence_of_the_code_has_a_translation(file: str) -> None:
    found = literals(file)
    assert {text for text in found if not known(text)} - FRAGMENTS[file] == set()


def test_a_sentence_without_a_translation_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.py").write_text('"""Told."""\n\n\ndef f(n):\n    """Told too."""\n    return f"new and {n} long"\n')
    monkeypatch.setattr("tests.test_reports_sentences.ROOT", tmp_path)
    assert literals("x.py") == {"new and 7 long"}
    assert not known("new and 7 long")


@pytest.mark.parametrize("text", COMPOSED)
def test_sentences_that_are_put_together_are_wholly_translated(text: str) -> None:
    assert SPANISH.translated(text) is not None
    assert english_left(text) == []


def test_what_no_metric_can_measure_is_said_in_spanish() -> None:
    empty, short = build([], [], []), build([0.0, 1.0, 2.0], [1.0] * 3, [60, 62, 64])
    reasons = {
        found.reason
        for one, two in itertools.product((empty, short), repeat=2)
        for found in measure(features(one), features(two)).values()
        if isinstance(found, MetricSkipped)
    }
    assert len(reasons) >= 4
    assert [reason for reason in reasons if SPANISH.translated(reason) is None] == []


def test_what_led_to_a_verdict_is_said_in_spanish() -> None:
    policy = read_policy("label-release")
    broken = Link("model", "m", "broken", "it is not what was used: the statement names ab..., here is cd...")
    gaps = (Skipped("copy", "needs notes: the track is sound, and none are read out of it", True),)
    metrics = (MetricResult("phash_64", "", 2.0, 25.0, 18.0, "lower", "a.mid", "review"),)
    given = waiver("00000000000000aa", state="applied")
    findings, sounds = (finding(1), finding(2, waiver=given)), (sound(), sound(waiver=given))
    late = RuleResult("waivers", "No waiver has expired", "fail", "w.toml: line 3: of 00ab, expired on 2026-01-01")
    rules = (*judged(policy, findings, metrics, (broken,), gaps, "", sounds), late)
    said = [rule.detail for rule in rules] + [rule.title for rule in rules]
    for found in ((), findings):
        outcome, reasons = weighed(found, rules, metrics, (broken,), gaps, sounds)
        said += [
            *reasons,
            sentence(outcome, found, reasons, 9, 2, "1 recordings and the rendered openings of 2 of 3 pieces"),
        ]
    assert len(said) > 20
    assert [text for text in said if SPANISH.translated(text) is None] == []
    assert [text for text in said if english_left(text)] == []


def test_the_gate_says_why_in_spanish() -> None:
    lacks = RuleResult(
        "provenance.require_signature",
        "A trusted key signed the track",
        "fail",
        "x.mid has no signature beside it; make one with: contraste sign",
    )
    outcome, reasons = weighed((), (lacks,), (), (), ())
    said = sentence(outcome, (), reasons, 9)
    assert SPANISH.translated(said) == (
        "El control dice que no es apto: la regla provenance.require_signature (una clave de confianza firmó la pista) "
        "no se cumple: x.mid no tiene firma al lado; se hace con: contraste sign."
    )


def test_keys_and_figures_of_the_data_set() -> None:
    assert [SPANISH.translated(f"{name} {mode}") for name in NAMES for mode in ("major", "minor")].count(None) == 0
    assert str(SPANISH.sentence("3/4")) == '<span lang="es">3/4</span>'


def human(low: float, high: float, members: int) -> Group:
    own = Estimate((low + high) / 2, low, high)
    return Group(members, 9 * members, own, own, ())


@pytest.mark.parametrize("count", [0, 1, 2, 12])
@pytest.mark.parametrize("base", [None, (0.2, 0.3), (0.5, 0.6), (0.8, 0.9)])
def test_the_originality_of_a_release_is_said_in_spanish(count: int, base: tuple[float, float] | None) -> None:
    tracks = tuple(Measured("t", 9.0, (Window(0, "", (0.0, 9.0), (1, 2), 24, 11, "a"),), 24, 11) for _ in range(count))
    baseline = base and Baseline(human(*base, 60), tuple(base), base[0])
    found = OriginalityReport(
        Setting(24, "notes"), tracks, human(0.5, 0.6, count) if count else None, baseline or None, (), (), {}, {}
    )
    said = originality_sentence(found)
    assert SPANISH.translated(said) is not None
    assert english_left(said) == []


def test_the_names_of_metrics_have_a_translation() -> None:
    assert [spec.note for spec in SPECS if SPANISH.translated(spec.note) is None] == []
