"""From a sentence to conditions: a small parser of English, which says what it understood and what it did not.

It looks for what it knows, the longest phrases first, and takes each phrase out of the text: chord progressions, keys,
meters, tempos, voices, densities, instruments, artists. Names behind "like", "by", "in the style of" are the model's
artists or are refused, since a name that a model was not given the right to is not to be imitated by it. Moods and most
genres are no attributes that can be computed from notes, so they are reported as not understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from generator.data.attributes import DENSITIES
from generator.data.vocabulary import SettingError
from generator.writing.condition_words import parse_chords, parse_conditions, parse_key
from generator.writing.conditions import ANYTHING, PROGRAMS, Conditions, refuse_artist, tempo_range

T = TypeVar("T")
_METERS = {
    "waltz": "3/4", "minuet": "3/4", "mazurka": "3/4", "sarabande": "3/4", "jig": "6/8", "gigue": "6/8",
    "slip jig": "9/8", "tarantella": "6/8", "polka": "2/4", "march": "4/4", "reel": "4/4", "common time": "4/4",
    "four four": "4/4",
    "three four": "3/4", "six eight": "6/8", "two four": "2/4",
}  # fmt: skip
_TEMPOS = {
    "slow": "slow", "slowly": "slow", "largo": "slow", "lento": "slow", "adagio": "slow", "grave": "slow",
    "medium tempo": "medium", "mid tempo": "medium", "moderate": "medium", "moderato": "medium", "andante": "medium",
    "fast": "fast", "quick": "fast", "lively": "fast", "allegro": "fast", "vivace": "fast", "presto": "fast",
    "uptempo": "fast", "up tempo": "fast",
}  # fmt: skip
_DENSITIES = {
    "sparse": "sparse", "thin": "sparse", "minimal": "sparse", "few notes": "sparse", "medium density": "medium",
    "dense": "dense", "busy": "dense", "thick": "dense", "many notes": "dense",
}  # fmt: skip
_VOICES = {
    "monophonic": 1, "single voice": 1, "one voice": 1, "unaccompanied": 1, "duet": 2, "trio": 3, "chorale": 4,
    "quartet": 4,
}  # fmt: skip
_ENSEMBLES = {"string quartet": ("violin", "violin", "viola", "cello"), "piano trio": ("violin", "cello", "piano")}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven")
_PLAIN = {
    "one", "two", "three", "four", "five", "six", "seven",
    "a", "an", "the", "and", "or", "of", "in", "for", "with", "at", "to", "on", "some", "something", "piece", "music",
    "song", "tune", "track", "please", "make", "me", "write", "generate", "create", "compose", "play", "i", "want",
    "would", "it", "is", "that", "very", "quite", "rather", "its", "key", "tempo", "meter", "time", "style", "like",
    "by", "bars", "bar", "chords", "chord", "progression", "instrument", "instruments", "density", "notes", "texture",
    "played", "using", "around", "about", "bpm", "this", "be", "should",
}  # fmt: skip
_NAME_BEFORE = re.compile(
    r"\b(?:in the (?:style|manner) of|(?:sounds?|sounding) like|inspired by|style of|à la|a la|like|by)\s+"
    r"(?P<name>(?:[^,.;:]|(?<=\b\w)\.)+)",
    re.IGNORECASE,
)
_NAME_BEHIND = re.compile(
    r"(?P<name>[A-Z][\w.]*(?: [A-Z][\w.]*)*)(?:'s? style\b|[ -]style\b|[ -]?(?:like|esque|ish)\b)"
)
_NAME_ENDS = re.compile(r"\s+(?:in|with|for|at|on|and|but|using|played|please|as)\s.*$", re.IGNORECASE)
_CHORD_WORD = r"[A-G](?:#|b)?(?:maj7|min7|m7|maj|min|dim|m|M7|7)?"
_PROGRESSION = re.compile(rf"(?<![\w#])(?:{_CHORD_WORD}(?:\s*[-,|]\s*|\s+)){{2,}}{_CHORD_WORD}(?![\w#])")
_KEY = re.compile(r"\b(?:in (?:the key of )?)?([A-Ga-g])[ -]?(#|b|♯|♭|sharp|flat)?[ -]?(major|minor|maj|min)\b")
_KEY_ALONE = re.compile(r"\bin (?:the key of )?([A-G])(#|b)?(m)?(?![\w#])")
_METER = re.compile(r"\b(\d{1,2}/\d{1,2})(?: time| meter)?\b")
_BPM = re.compile(r"\b(?:at |tempo (?:of )?)?(\d{2,3}) ?bpm\b|\b(?:tempo|♩ ?=) ?(?:of )?(\d{2,3})\b", re.IGNORECASE)
_PARTS = re.compile(rf"\b([1-7]|{'|'.join(_NUMBERS[1:])})[ -](?:voices?|parts?|voiced)(?: texture| polyphony)?\b")


@dataclass(frozen=True, slots=True)
class Understood:
    """What a sentence asks for.

    Attributes
    ----------
    conditions : Conditions
    said : tuple of str
        What was understood, like "key: A minor".
    left : tuple of str
        Words that were not.
    """

    conditions: Conditions
    said: tuple[str, ...]
    left: tuple[str, ...]

    def sentence(self) -> str:
        """Say both."""
        left = f"; not understood: {', '.join(self.left)}" if self.left else ""
        return f"understood: {', '.join(self.said) or 'nothing'}{left}"


def parse_prompt(text: str, artists: Sequence[str] = ()) -> Understood:
    """Read a sentence; of two values for one attribute the first in the order of the module counts.

    Parameters
    ----------
    text : str
        English.
    artists : sequence of str
        Whom the model may name.

    Raises
    ------
    SettingError
        When it names an artist who is none of these.
    """
    text, without = _split_negations(text)
    artist, rest = _artist(text, artists)
    understood: dict[str, Conditions] = (
        {f"without: {', '.join(without)}": Conditions(without=without)} if without else {}
    )
    if artist:
        understood[f"artist: {artist}"] = Conditions(artist=artist)

    def take(pattern: re.Pattern[str], read: Callable[[re.Match[str]], Conditions], what: str) -> None:
        nonlocal rest
        match = pattern.search(rest)
        if match:
            conditions = read(match)
            understood[f"{what}: {match[0].strip()}"] = conditions
            rest = f"{rest[: match.start()]} ; {rest[match.end() :]}"

    take(_PROGRESSION, lambda m: Conditions(chords=parse_chords(re.sub(r"[-,|]", " ", m[0]))), "chords")
    take(_KEY, lambda m: Conditions(key=parse_key(f"{m[1]}{m[2] or ''} {m[3]}")), "key")
    take(_KEY_ALONE, lambda m: Conditions(key=parse_key(f"{m[1]}{m[2] or ''} {m[3] or ''}")), "key")
    rest = rest.lower()
    take(_METER, lambda m: parse_conditions(meter=m[1]), "meter")
    take(_BPM, lambda m: parse_conditions(tempo=m[1] or m[2]), "tempo")
    take(_PARTS, lambda m: parse_conditions(polyphony=_number(m[1])), "polyphony")
    take(_words(_ENSEMBLES), lambda m: Conditions(instruments=_entry(_ENSEMBLES, m[0])), "instruments")
    take(_words(_METERS), lambda m: parse_conditions(meter=_entry(_METERS, m[0])), "meter")
    take(_words(_TEMPOS), lambda m: Conditions(tempo=tempo_range(_entry(_TEMPOS, m[0]))), "tempo")
    take(_words(_DENSITIES), lambda m: Conditions(density=DENSITIES[_entry(_DENSITIES, m[0])]), "density")
    take(_words(_VOICES), lambda m: parse_conditions(polyphony=_entry(_VOICES, m[0])), "polyphony")
    instruments: list[str] = []
    pattern = re.compile(rf"(?:\b([1-7]|{'|'.join(_NUMBERS[1:])}) )?({_words(PROGRAMS).pattern})")
    while match := pattern.search(rest):
        count = _number(match[1]) if match[1] else 1
        instruments += [_entry({name: name for name in PROGRAMS}, match[2])] * count
        rest = f"{rest[: match.start()]} ; {rest[match.end() :]}"
    if instruments:
        understood[f"instruments: {', '.join(instruments)}"] = Conditions(instruments=tuple(instruments))
    conditions = ANYTHING
    for part in understood.values():
        conditions = conditions.join(part)
    out = {program for name in without for program in PROGRAMS[name]}
    both = [name for name in conditions.instruments if out.issuperset(PROGRAMS[name])]
    if both:
        raise SettingError(f"the prompt wants {both[0]} and rules it out; say one of both")
    left = [word for word in re.findall(r"[^\W_][\w'#/-]*", rest) if word not in _PLAIN]
    return Understood(conditions, tuple(understood), tuple(dict.fromkeys(left)))


def _split_negations(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the text without what it rules out, and the instruments that it rules out.

    Raises
    ------
    SettingError
        When it rules out anything but instruments: "not fast" says nothing of what the tempo is to be.
    """
    names: list[str] = []
    for pattern in (_WITHOUT, _LACKING):
        while match := pattern.search(text):
            phrase = match["what"]
            matches = re.findall(_words(PROGRAMS).pattern, phrase.lower())
            rest = _words(PROGRAMS).sub(" ", phrase.lower())
            left = [
                w for w in re.findall(r"[^\W_][\w'#/-]*", rest) if w not in _PLAIN and w not in ("nor", "any", "use")
            ]
            if left or not matches:
                raise SettingError(
                    f"{match[0].strip()!r}: only instruments can be ruled out; of all else, say what it is to be"
                )
            names += [_entry({name: name for name in PROGRAMS}, name) for name in matches]
            text = f"{text[: match.start()]} ; {text[match.end() :]}"
    return text, tuple(dict.fromkeys(names))


def understood_or_refused(understood: Understood) -> Conditions:
    """Return the conditions; `SettingError` where not a word was understood."""
    if not understood.said:
        raise SettingError(
            f"nothing of the prompt was understood ({', '.join(understood.left) or 'no words'}); prompts are read in "
            "English and name key, meter, tempo, density, voices, instruments or chords, like "
            "'slow waltz in A minor for guitar, sparse'"
        )
    return understood.conditions


def _artist(text: str, artists: Sequence[str]) -> tuple[str, str]:
    """Find an artist's name; return it, "" for none, and the text without it."""
    for match in [*_NAME_BEFORE.finditer(text), *_NAME_BEHIND.finditer(text)]:
        name = _NAME_ENDS.sub("", match["name"]).strip()
        words = [word for word in re.findall(r"[\w'#/-]+", name.lower()) if word not in _PLAIN]
        if not words or re.match(r"(?:an?|the|some)\b(?! [A-Z])", name) or all(map(_is_known, words)):
            continue  # "like a waltz", "by guitar"
        known = _same_artist(name, artists)
        if known is None:
            raise refuse_artist(name, artists)
        start = match.start("name")
        return known, f"{text[:start]} ; {text[start + len(name) :]}"
    for artist in artists:  # "a Bach chorale"
        surname = artist.split()[-1]
        hit = re.search(rf"\b(?:{re.escape(artist)}|{re.escape(surname)})\b", text, re.IGNORECASE)
        if hit and len(surname) > 3:
            return artist, f"{text[: hit.start()]} ; {text[hit.end() :]}"
    return "", text


def _same_artist(name: str, artists: Sequence[str]) -> str | None:
    """Return the one artist whose name has all the words of `name`, its initials included."""
    words = re.findall(r"\w+", name.casefold())

    def fits(artist: str) -> bool:
        full = re.findall(r"\w+", artist.casefold())
        return bool(full) and words[-1] == full[-1] and all(any(f.startswith(w) for f in full) for w in words)

    fitting = [artist for artist in artists if fits(artist)]
    return fitting[0] if len(fitting) == 1 else None


def _is_known(word: str) -> bool:
    tables = (_METERS, _TEMPOS, _DENSITIES, _VOICES, PROGRAMS)
    return any(_words(table).fullmatch(word) for table in tables)


def _words(table: Iterable[str]) -> re.Pattern[str]:
    """Match any name of a table, in the singular or plural, with blanks or hyphens, the longest first."""
    names = sorted(table, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(re.escape(name).replace(chr(92) + ' ', '[ -]') for name in names)})s?\b")


# A list goes on behind a comma only as far as an "and", "or" or "nor" shows that it is one.
_NO_ITEM = r"(?:and|or|nor|but|in|with\w*|at|for|no|not)\b"
_ITEM = rf"(?:any |the |use (?:of )?)*[^\W\d_][\w'#-]*(?: (?!{_NO_ITEM})[^\W\d_][\w'#-]*)?"
_WITHOUT = re.compile(
    r"(?<![\w-])(?:no|not|without|w/o|never|minus|except(?: for)?|excluding?|omit(?:ting)?|avoid(?:ing)?|neither|"
    r"(?:do not|don't|doesn't|does not)(?: have| use| want| include| contain)?|free of|instead of|rather than|"
    r"anything but|lacking|sans)\s+"
    rf"(?P<what>{_ITEM}(?:(?:, {_ITEM})*,? (?:and|or|nor) {_ITEM})?)",
    re.IGNORECASE,
)
_LACKING = re.compile(rf"(?P<what>{_words(PROGRAMS).pattern[:-2]})(?:[ -]?less|[ -]free)\b", re.IGNORECASE)


def _entry(table: Mapping[str, T], phrase: str) -> T:
    """Look a phrase up that `_words` matched."""
    bare = phrase.lower().replace("-", " ")
    return table[bare] if bare in table else table[bare.removesuffix("s")]


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS.index(word)
