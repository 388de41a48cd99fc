"""`reports.language.words` in Spanish: the same functions, with the same exactness. Numbers are written as there."""

from __future__ import annotations

import math

from audit.findings import Finding, MetricResult, SoundMatch
from reports.language import words
from reports.language.words import LONG_ODDS, clean, figure, percent, span

INTERVALS = (
    *("unísono", "semitono", "tono", "tercera menor", "tercera mayor", "cuarta justa", "tritono"),
    *("quinta justa", "sexta menor", "sexta mayor", "séptima menor", "séptima mayor"),
)
NOUNS = {
    "note": ("nota", "notas"),
    "piece": ("pieza", "piezas"),
    "passage": ("pasaje", "pasajes"),
    "link": ("eslabón", "eslabones"),
    "other work": ("otra obra", "otras obras"),
    "octave": ("octava", "octavas"),
    "semitone": ("semitono", "semitonos"),
    "rule": ("regla", "reglas"),
    "work": ("obra", "obras"),
    "track": ("pista", "pistas"),
    "human piece": ("pieza humana", "piezas humanas"),
}


def bars(numbers: tuple[int, int] | tuple[str, str]) -> str:
    """Name bars, e.g. ``compases 17\u201327`` or ``compás 7``."""
    first, last = numbers
    return f"compás {first}" if first == last else f"compases {first}\u2013{last}"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, given in English."""
    return f"{number:,} {NOUNS[noun][number != 1]}"


def odds(chances: float) -> str:
    """Write ``1 de cada N`` for N = `chances` >= 1 at two significant digits."""
    shown = float(f"{chances:.2g}")
    if shown >= 1e6:
        size = f"{shown / 1e6:,.3g}"
        return f"1 de cada {'millón' if size == '1' else f'{size} millones'}"
    return f"1 de cada {shown:,.2g}" if shown < 10 else f"1 de cada {shown:,.0f}"


def evalue_words(evalue: float) -> str:
    """Say what an E-value means: odds below 1, a number of passages above."""
    if not math.isfinite(evalue):
        return "No se pudo calcular cada cuánto da el azar un pasaje tan fuerte."
    if evalue >= 0.95:
        number = figure(evalue, 2) if evalue >= 10 else f"{evalue:.0f}"
        what = "pasaje" if number == "1" else "pasajes"
        return f"Del azar solo se esperan unos {number} {what} tan fuertes en una búsqueda de este tamaño."
    chances = 1.0 / -math.expm1(-evalue) if evalue > 0 else math.inf
    share = "Menos de 1 de cada billón de" if chances > LONG_ODDS else f"Cerca de {odds(chances)}"
    return (
        f"{share} búsquedas de este tamaño con música sin relación hallaría un pasaje tan "
        "fuerte, según el modelo del azar."
    )


def percentile_words(percentile: float, human_pieces: int | None = None) -> str:
    """Say what a percentile means, rounded down."""
    sample = f"las {'' if human_pieces is None else f'{human_pieces:,} '}piezas humanas de la muestra"
    if not 0 < percentile < math.inf:
        return f"Cada una de {sample} toma tanto o más de otra obra."
    return f"Más fuerte que el mayor préstamo de otra obra en el {percent(percentile)} de {sample}."


def transposition_words(semitones: int) -> str:
    """Say where the track lies against the piece."""
    if not semitones:
        return "a la misma altura"
    octaves, rest = divmod(abs(semitones), 12)
    names = [counted(octaves, "octave")] if octaves else []
    names += [INTERVALS[rest]] if rest else []
    side = "más agudo" if semitones > 0 else "más grave"
    named = f" ({' y '.join(names)})" if abs(semitones) > 1 else ""
    return f"{counted(abs(semitones), 'semitone')} {side}{named}"


def tempo_words(ratio: float) -> str:
    """Say how fast the track runs against the piece."""
    if not 0 < ratio < math.inf:
        return "a un tempo que no se puede comparar"
    if abs(ratio - 1) < 0.015:
        return "al mismo tempo"
    return f"a {figure(1 / ratio)}\u202f\u00d7 la velocidad"


def finding_words(finding: Finding) -> str:
    """Say the finding in one plain sentence."""
    if finding.matched < finding.notes:
        notes = f"{finding.matched:,} de {counted(finding.notes, 'note')} coinciden en altura"
    else:
        notes = f"las {counted(finding.notes, 'note')} coinciden en altura"
    others = ""
    if finding.all_notes > finding.notes:
        sounding = counted(finding.all_notes, "note")
        others = f" Con las demás partes coinciden {finding.all_matched:,} de las {sounding} que suenan ahí."
    several = finding.query_shown[0] != finding.query_shown[1]
    here, there = bars(finding.query_shown), bars(finding.piece_shown)
    to_there = f"con {'los' if finding.piece_shown[0] != finding.piece_shown[1] else 'el'} {there}"
    title = f"«{finding.title or finding.piece}»{f', de {finding.artist}' if finding.artist else ''}"
    return (
        f"{'Los' if several else 'El'} {here} de la pista {'coinciden' if several else 'coincide'} {to_there} de "
        f"{clean(title)}: {notes}, {finding.in_time:,} de ellas con el mismo ritmo; la pista suena "
        f"{transposition_words(finding.transposition)} y va {tempo_words(finding.tempo_ratio)}.{others}"
    )


COMMONPLACE = "El pasaje es sobre todo esta figura, que comparte mucha música, así que necesita pruebas más fuertes."


def prior_art_words(other_works: int) -> str:
    """Say how many other works share the passage, and what follows."""
    if not other_works:
        return "Ninguna otra obra del corpus, de las buscadas, comparte esta parte de la pista."
    return (
        f"{counted(other_works, 'other work')} del corpus {'comparte' if other_works == 1 else 'comparten'} esta parte "
        "de la pista: cuantas más sean, más probable es que sea patrimonio común."
    )


def sound_words(match: SoundMatch) -> str:
    """Say in one sentence what sound was found where."""
    what = "una síntesis del comienzo de" if match.kind == "render" else "la grabación"
    return (
        f"El sonido de la pista en {span(match.query_span_s)} es el de {what} "
        f"{clean(match.title or match.piece)} en {span(match.piece_span_s)}: "
        f"difieren {match.distance} de {match.bits} bits de la ventana más cercana."
    )


def metric_words(metric: MetricResult) -> str:
    """Say on which side of chance a metric lies."""
    said = {
        "not comparable": "no comparable",
        "more alike than chance": "más parecido que el azar",
        "within chance": "dentro del azar",
    }
    return said[words.metric_words(metric)]


def style_words(metric: MetricResult) -> str:
    """Say where a metric lies among human pieces; "" without a range of them."""
    said = {
        "": "",
        "as near to its closest piece as human pieces are": "tan cerca de su pieza más próxima como las humanas",
        "nearer to its closest piece than 95 % of human pieces": (
            "más cerca de su pieza más próxima que el 95 % de las humanas"
        ),
        "farther from its closest piece than 95 % of human pieces": (
            "más lejos de su pieza más próxima que el 95 % de las humanas"
        ),
    }
    return said[words.style_words(metric)]
