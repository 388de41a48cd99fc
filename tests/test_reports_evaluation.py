import copy

import pytest

from reports.pages.evaluation import evaluation_html, evaluation_rows

SCORE = {"tokens": 100, "notes": 40, "perplexity": 4.0, "bits_per_note": 5.0}
ESTIMATE = {"mean": 0.8, "low": 0.7, "high": 0.9}
RATE = {"pieces": 8, "completed": 8, "rate": 1.0, "low": 0.68, "high": 1.0}
NONE = {"pieces": 0, "completed": 0, "rate": None, "low": None, "high": None}
TABLE = {"tracks": 2, "distinct_chords": 20.0, "longest_hold": 3.0, "repeated_windows": 0.1, "in_key": 0.9}
DATA = {
    "schema": "contraste-evaluation/1",
    "model": {"name": "<b>model", "digest": "a" * 64},
    "store": {"name": "store", "digest": "b" * 64},
    "settings": {"n": 2, "bars": 8, "seed": 0, "artist": "Bach"},
    "learned_here": False,
    "vocabulary_digest": "c" * 64,
    "likelihood": {"valid": {"pieces": 3, "model": SCORE, "ngram": [{"order": 1, **SCORE, "bits_per_note": 9.0}]}},
    "memorisation": {
        "verdict": "memorised", "p": 0.001, "prompt_notes": 32, "completed_notes": 16, "train": RATE, "held_out": NONE,
    },
    "canaries": {"count": 2, "others": 511, "exposure": [9.0, 8.0], "mean": 8.5, "most": 9.0, "chance": 1.43},
    "forgetting": {"pieces": 4, "base": 5.0, "model": 5.25, "rise": 0.05},
    "decoding": {"real": TABLE, "nucleus": TABLE, "beam 5": {**TABLE, "repeated_windows": 0.2}},
    "self_bleu": {"real": 0.1, "tracks": 0.2},
    "overlap": {"intervals": 0.9, "onset_times": None},
    "style": {"auc": 0.9, "share": 0.5, "share_artist": 0.8, "share_others": 0.1},
    "originality": {"tracks": ESTIMATE, "human": ESTIMATE, "low": 0, "measured": 2, "curve": [ESTIMATE] * 3,
                    "human_curve": [ESTIMATE] * 3},
    "skipped": [{"check": "style", "reason": "<i>no"}],
}  # fmt: skip


def test_rows_round_and_stand_beside_something() -> None:
    rows = {what: (value, beside) for what, value, beside in evaluation_rows(DATA)}
    assert rows["bits a note, valid (3 pieces)"] == ("5.00", "best n-gram (order 1) 9.00")
    assert rows["repeated windows of 4 chords, share"] == ("0.10", "beam 5 0.20, real 0.10")
    assert rows["bits a note on the base's store"] == ("5.25", "base 5.00, rise 5.0 %")
    assert rows["overlap with real music, onset times"][0] == "-"
    assert rows["tracks given to Bach"][0] == "50.0 %"


def test_the_page_fetches_nothing_and_escapes_names() -> None:
    html = evaluation_html(DATA)
    assert "&lt;b&gt;model" in html
    assert "<b>model" not in html
    assert "knows pieces by heart" in html
    assert html.count('role="img"') == 3
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")


@pytest.mark.parametrize("name", ["canaries", "forgetting", "self_bleu", "overlap", "style"])
def test_what_was_not_measured_is_left_out(name: str) -> None:
    data = copy.deepcopy(DATA) | {name: None}
    assert len(evaluation_rows(data)) < len(evaluation_rows(DATA))
    assert evaluation_html(data)
