"""Chords side by side, and the two windows of sound with the bits of their hashes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from audit.report import ChordBlock, Harmony, SoundWindows
from reports.drawings.svg import number
from reports.language.translation import Language

BEATS, PIXELS_A_BEAT, ROW, GAP = 96.0, 22.0, 30.0, 22.0  # quarters that are drawn; and pixels
DEGREES = ("I", "\u266dII", "II", "\u266dIII", "III", "IV", "\u266fIV", "V", "\u266dVI", "VI", "\u266dVII", "VII")


def chord_strips(harmony: Harmony, say: Language) -> Markup:
    """Draw the chords of the track above those of the piece: label and degree, and between them where they agree."""
    end = max(block.end_beat for block in (*harmony.track, *harmony.piece))
    width = min(end, BEATS) * PIXELS_A_BEAT + 4
    below = 4 + ROW + GAP
    joined = "".join(
        f"M{number(2 + a * PIXELS_A_BEAT)} {number(4 + ROW)}h{number((min(b, BEATS) - a) * PIXELS_A_BEAT)}"
        f"v{number(GAP)}H{number(2 + a * PIXELS_A_BEAT)}z"
        for a, b in harmony.agreeing
        if a < BEATS
    )
    agreeing = Markup('<path class="agree" d="{}"/>').format(joined)
    inside = _strip(harmony.track, 4) + agreeing + _strip(harmony.piece, below)
    share = (
        2
        * sum(b - a for a, b in harmony.agreeing)
        / sum(block.end_beat - block.start_beat for block in (*harmony.track, *harmony.piece))
    )
    label = say("Chords of track and piece: the same degree {share} of the time", share=say.words.percent(share))
    size = Markup('viewBox="0 0 {0} {1}" width="{0}" height="{1}"').format(number(width), number(below + ROW + 4))
    return Markup('<svg class="strips" role="img" aria-label="{}" {}>{}</svg>').format(label, size, inside)


def _strip(blocks: Sequence[ChordBlock], y: float) -> Markup:
    out = []
    for block in blocks:
        if block.start_beat >= BEATS:
            break
        x, w = 2 + block.start_beat * PIXELS_A_BEAT, (min(block.end_beat, BEATS) - block.start_beat) * PIXELS_A_BEAT - 1
        name, _, quality = block.label.partition(":")
        short = name + {"maj": "", "min": "m", "min7": "m7"}.get(quality, quality)
        text = f"{short} {DEGREES[block.degree]}" if w > 60 else short if w > 24 else ""
        out.append(
            Markup(
                '<rect class="chord" x="{}" y="{}" width="{}" height="{}" rx="3"/>'
                '<text class="chord-name" x="{}" y="{}">{}</text>'
            ).format(number(x), number(y), number(max(w, 1)), number(ROW), number(x + w / 2), number(y + 20), text)
        )
    return Markup("").join(out)


@dataclass(frozen=True, slots=True)
class SoundPictures:
    """Data URIs of both spectrograms, the bits of both hashes, and how many of them differ."""

    track: Markup
    piece: Markup
    bits: tuple[tuple[bool, bool], ...]
    distance: int


def sound_pictures(sound: SoundWindows) -> SoundPictures:
    """Turn the windows of a report into pictures."""
    ours, theirs = (_bits(text) for text in (sound.track_hash, sound.piece_hash))
    pairs = tuple(zip(ours, theirs, strict=True))
    uris = [_png(text, sound.width, sound.height) for text in (sound.track_picture, sound.piece_picture)]
    return SoundPictures(uris[0], uris[1], pairs, sum(a != b for a, b in pairs))


def _bits(text: str) -> list[bool]:
    return [bool(byte >> (7 - k) & 1) for byte in bytes.fromhex(text) for k in range(8)]


def _png(points: str, width: int, height: int) -> Markup:
    from PIL import Image

    out = io.BytesIO()
    Image.frombytes("L", (width, height), base64.b64decode(points)).save(out, "PNG", optimize=True)
    return Markup("data:image/png;base64,") + base64.b64encode(out.getvalue()).decode("ascii")


def hash_grid(pictures: SoundPictures, say: Language) -> Markup:
    """Draw the 64 bits of the track's hash, eight by eight; those that differ from the piece's are crossed."""
    cells = "".join(
        f'<rect class="bit-{"on" if ours else "off"}" x="{2 + 14 * (k % 8)}" y="{2 + 14 * (k // 8)}" width="13"'
        ' height="13"/>'
        for k, (ours, _) in enumerate(pictures.bits)
    )
    crosses = "".join(
        f"M{4 + 14 * (k % 8)} {4 + 14 * (k // 8)}l9 9m0 -9l-9 9"
        for k, (ours, theirs) in enumerate(pictures.bits)
        if ours != theirs
    )
    label = say("Bits of the track\u2019s hash: {n} of 64 differ", n=pictures.distance)
    return Markup(
        '<svg class="bits" role="img" aria-label="{}" viewBox="0 0 115 115" width="115" height="115">{}</svg>'
    ).format(label, Markup(f'{cells}<path class="bit-cross" d="{crosses}"/>'))
