"""Commands that compare music: search, compare, originality."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from audit.findings import count_noun
from audit.policy import read_policy
from commands.shared.inputs import explain_error, gate_exit_code, list_music, name_unmatched, open_search, open_store
from commands.shared.options import Json, Lang, Partial, PolicyFile, Tracks
from commands.shared.terminal import OK, UNCHECKED, UNREADABLE, USAGE, progress, say, stop, tell, tell_json
from metrics import compare as comparison
from music.midi import write_atomically
from music.read import read_music
from reports.json_report import plain
from reports.language.translation import language
from reports.search_result import SearchResult


def search(
    store: Annotated[Path, typer.Argument(help="The store to search.")],
    queries: Annotated[list[Path], typer.Argument(help="Files or folders.")],
    top: Annotated[int, typer.Option(min=1, max=1000, help="Number of pieces to list per query.")] = 10,
    jsonl: Annotated[Path | None, typer.Option(help="Write one JSON object per query and line to this file.")] = None,
    policy: PolicyFile = None,
    partial: Partial = False,
) -> None:
    """Find what each query shares with the store, and say how surprising it is."""
    from audit.find import judge, match, search_best, unsearchable
    from audit.search.passages import lines_of

    rules = read_policy(policy)
    corpus = open_search(open_store(store, partial), partial)
    name_unmatched(rules, corpus.store)
    files, left_out_files = list_music(queries)
    records: list[bytes] = []
    verdicts: list[str] = ["unreadable" if one.weight == "unreadable" else "incomplete" for one in left_out_files]
    with progress("search") as show:
        for done, file in enumerate(files):
            try:
                query = read_music(file)
                here = lines_of(corpus.index, query)
                judged = judge(corpus, query, here, search_best(corpus, here, top), rules, top)
                gaps = tuple(skipped.reason for skipped in unsearchable(query))
                result = SearchResult(
                    str(file), tuple(match(corpus, query, judged)), corpus.left_out, gaps, tuple(query.remarks)
                )
            except Exception as error:  # whatever one file does, the others are searched
                result = SearchResult(str(file), unreadable=explain_error(file, error))
            verdicts.append(result.verdict)
            if jsonl:  # kept as bytes: a thousand findings for each of a thousand queries are gigabytes as objects
                records.append(json.dumps(result.to_json(), ensure_ascii=False).encode() + b"\n")
            else:
                _print_search(result)
            show(done + 1, len(files))
    if jsonl:
        write_atomically(jsonl, b"".join(records))
    kinds = ("fail", "review", "clear", "incomplete", "unreadable")
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in kinds if v in verdicts)
    say(f"{len(files)} searched in {count_noun(len(corpus.store.pieces) - corpus.left_out.pieces, 'piece')}: {counts}")
    raise typer.Exit(gate_exit_code({*verdicts}, "unreadable" in verdicts, False))


def _print_search(result: SearchResult) -> None:
    tell(f"{result.query}: {result.verdict} {result.unreadable}".rstrip())
    for gap in result.not_searched:
        tell(f"  not searched: {gap}")
    for remark in result.remarks:
        tell(f"  in reading: {remark}")
    for m in result.matches:
        (a, b), (c, d) = m.query_span_s, m.piece_span_s
        tell(
            f"  {m.verdict:6s} {m.piece}  {a:.1f}-{b:.1f} s = {c:.1f}-{d:.1f} s  {m.transposition:+d} st  "
            f"x{m.tempo_ratio:.2f}  {m.matched}/{m.notes} notes  E={m.evalue:.1e}  p{100 * m.percentile:.0f}"
        )


def originality(
    store: Annotated[Path, typer.Argument(help="The store to compare with.")],
    tracks: Tracks,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for originality.html and .json.")] = None,
    window: Annotated[str, typer.Option(help="Length of a window, like '24 notes' or '8 bars'.")] = "24 notes",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures as JSON to this file.")] = None,
    lang: Lang = "en",
    partial: Partial = False,
) -> None:
    """Say how much of some tracks the store holds, compared with what human pieces share with one another."""
    from audit.originality import baseline, report, windows
    from reports.pages.originality import originality_html, originality_json, originality_lines, originality_sentence

    try:
        setting = windows.Setting.parse(window)
    except ValueError as error:
        stop(f"--window {error}", USAGE)
    corpus = open_search(open_store(store, partial), partial)
    files, left_out_files = list_music(tracks)
    above = os.path.commonpath([file.parent for file in files])  # reports name no folders of this machine
    names = [file.relative_to(above).as_posix() for file in files]
    with progress("human baseline") as show:
        human = baseline.human_baseline(corpus.store, corpus.index, setting, show)
    results = []
    unreadable: list[tuple[str, str]] = []
    with progress("originality") as show:
        for done, (file, name) in enumerate(zip(files, names, strict=True)):
            try:
                results.append(report.measure_originality(corpus.store, corpus.index, name, read_music(file), setting))
            except Exception as error:  # whatever one file does, the others are measured
                reason = explain_error(file, error)
                say(f"unreadable {file}: {reason}")
                unreadable.append((name, reason.removeprefix(f"{file}: ")))
            show(done + 1, len(files))
    measured = report.originality_report(corpus, setting, results, human, unreadable)
    for path in ([json_file] if json_file else []) + ([out / "originality.json"] if out else []):
        write_atomically(path, originality_json(measured))
    if out:
        write_atomically(out / "originality.html", originality_html(measured, language(lang)).encode())
    tell(*originality_lines(measured))
    for skipped in measured.skipped:
        say(f"skipped {skipped.check}: {skipped.reason}")
    say(originality_sentence(measured), *([f"report: {out / 'originality.html'}"] if out else []))
    lost = unreadable or any(one.weight == "unreadable" for one in left_out_files)
    raise typer.Exit(UNREADABLE if lost else OK if measured.tracks and not left_out_files else UNCHECKED)


def compare(
    reference: Annotated[Path, typer.Argument(help="The piece to compare with.")],
    candidate: Annotated[Path, typer.Argument(help="The track.")],
    as_json: Json = False,
) -> None:
    """Print every similarity metric of two pieces, each with the score of unrelated pieces."""
    from audit.measures.metrics import render_features

    rows = comparison.compare(render_features(read_music(reference)), render_features(read_music(candidate)))
    if as_json:
        tell_json([plain(asdict(row)) for row in rows])
        return
    tell(f"{'metric':24s} {'value':>8s} {'chance':>8s} {'5 % pass':>9s}")
    for row in rows:
        if isinstance(row, comparison.MetricValue):
            mark = {True: "more alike than chance", False: "", None: "no chance level"}[row.beyond_chance]
            chance = (f"{x:.3g}" if x is not None else "-" for x in (row.chance_mean, row.chance_p95))
            tell(f"{row.name:24s} {row.value:8.3g} {next(chance):>8s} {next(chance):>9s}  {mark}".rstrip())
        else:
            tell(f"{row.name:24s} skipped: {row.reason}")
