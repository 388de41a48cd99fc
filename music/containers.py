"""What lies in a sound file, by its own structure: where its streams begin and end, and what none of them accounts for.

Decoders are kind: they stop where a header says that the sound ends, skip what they do not know, and take a file that
was cut off for a short one. Here the structure is walked by itself, so that files joined to one file are all read, and
that what is missing or left over is said.

Chunks: RIFF and RF64 (EBU Tech 3306), W64, AIFF, CAF; AU; Ogg pages (RFC 3533); MPEG-4 boxes (ISO/IEC 14496-12); FLAC
(RFC 9639); MPEG audio frames (ISO/IEC 11172-3) with the Xing header; tags: ID3v1, ID3v2, APE.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

MPEG_RATES = ((11025, 12000, 8000), (0, 0, 0), (22050, 24000, 16000), (44100, 48000, 32000))
MPEG_KBITS = {  # (MPEG-1, layer): of bitrate index 0..14
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
UNKNOWN_SIZES = (0xFFFFFFFF, 2**63 - 1, 2**64 - 1)  # of a stream whose writer could not go back to its header
MAX_STREAMS, MAX_TAGS = 1000, 10_000
"""Streams in one file, each of which is decoded by itself; and streams, tags and runs of zeros."""
MAX_PARTS = 500_000
"""Chunks, boxes or pages of one stream: three hours of Ogg pages of 20 ms. What stands after more is not walked."""
W64_RIFF, W64_DATA = b"riff\x2e\x91\xcf\x11", b"data\xf3\xac\xd3\x11"


@dataclass(frozen=True, slots=True)
class Stream:
    """Bytes start..end - 1 of a file, which are one stream of sound; `kind` is one of `sniff`."""

    kind: str
    start: int
    end: int
    promised_s: float | None = None  # what its header says that it lasts


def sniff(head: bytes) -> str:
    """Name the kind of sound that some bytes begin with, "" for none.

    "riff", "w64", "aiff", "caf", "au", "flac", "ogg", "mov" (MPEG-4), "aac" (ADTS) or "mp3" (MPEG audio).
    """
    if head[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX") and head[8:12] == b"WAVE":
        return "riff"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    for magic, kind in ((W64_RIFF, "w64"), (b"caff", "caf"), (b".snd", "au"), (b"fLaC", "flac"), (b"OggS", "ogg")):
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        return "mov"
    if len(head) >= 7 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0 and _adts_length(head) >= 7:
        return "aac"
    return "mp3" if _mpeg_length(head) else ""


def streams(data: bytes) -> tuple[list[Stream], list[str]]:
    """Walk a file: the streams in it, one after another, and what none of them accounts for, in words.

    Parameters
    ----------
    data : bytes-like
        The whole file; may be a memory map.
    """
    streams: list[Stream] = []
    unread: list[str] = []
    at = pieces = 0
    while at < len(data):
        pieces += 1
        if len(streams) == MAX_STREAMS or pieces > MAX_TAGS:
            unread.append(f"too many streams and tags: {len(data) - at} bytes from byte {at} on are not looked at")
            break
        kind = sniff(bytes(data[at : at + 64]))
        if not kind and (skipped := _tag(data, at)):
            at += skipped
            continue
        if not kind and not streams and (ahead := _mpeg_ahead(data, at)):
            kind = "mp3"  # after some bytes of another kind, as servers and recorders leave them
            at = ahead
        if not kind:
            unread.append(f"{len(data) - at} bytes from byte {at} on are no sound that is known")
            break
        end, promised, remarks = _WALKS[kind](data, at)
        streams.append(Stream(kind, at, end, promised))
        unread += remarks
        at = max(end, at + 1)
    return streams, unread


Walk = tuple[int, float | None, list[str]]
"""Where a stream ends, the seconds that its header promises, and what is missing or left over in it."""
TOO_MANY = f"it has more than {MAX_PARTS} parts, and what comes after them is not looked at"


def _tag(data: bytes, at: int) -> int:
    """Length of the tag, or of the zeros up to the end of the file or 64 KiB, that begin at a place; 0 for neither."""
    head = bytes(data[at : at + 32])
    if head[:3] == b"ID3" and len(head) >= 10:
        size = (head[6] & 127) << 21 | (head[7] & 127) << 14 | (head[8] & 127) << 7 | head[9] & 127
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:3] == b"TAG" and len(data) - at <= 128:
        return len(data) - at
    if head[:8] == b"APETAGEX" and len(head) == 32:
        size, flags = struct.unpack("<I4xI", head[12:24])
        return 32 + (size if flags >> 29 & 1 else 0)  # a header, of which the items follow; a footer stands last
    block = bytes(data[at : at + 65536])
    return len(block) - len(block.lstrip(b"\0"))


def _chunks(
    data: bytes, at: int, first: int, head: Callable[[bytes], tuple[bytes, int]], align: int, sound: bytes
) -> Walk:
    """Walk chunks from `first` on: `head` reads a chunk's name and the bytes from its beginning to its end."""
    length = {8: 24, 2: 8, 1: 12}[align]
    place, held, parts = first, 0, 0
    remarks: list[str] = []
    while place + length <= len(data):
        parts += 1
        if parts > MAX_PARTS:
            return len(data), None, [*remarks[:3], TOO_MANY]
        name, size = head(bytes(data[place : place + length]))
        if name == sound:
            held += 1
            if size - length in UNKNOWN_SIZES or size >= 2**63:
                return len(data), None, remarks
            if place + size > len(data):
                there = max(len(data) - place - length, 0)
                remarks.append(
                    f"it is cut off: its header promises {size - length} bytes of sound, of which {there} are there"
                )
        elif held and (not name.replace(b" ", b"").isalnum() or sniff(bytes(data[place : place + 64]))):
            break  # no chunk any more: something else was joined to the file
        if size < length:
            break
        place += -(-size // align) * align
    if held > 1:
        remarks.append(f"it holds {held} chunks of sound, of which one is read")
    return min(max(place, at + 12), len(data)), None, remarks[:3]


def _riff(data: bytes, at: int) -> Walk:
    big = bytes(data[at : at + 4]) == b"RIFX"
    sizes = None
    if bytes(data[at + 12 : at + 16]) == b"ds64":
        sizes = struct.unpack("<Q", bytes(data[at + 28 : at + 36]).ljust(8, b"\0"))[0]  # of the data chunk

    def head(raw: bytes) -> tuple[bytes, int]:
        size = struct.unpack(">I" if big else "<I", raw[4:8])[0]
        if raw[:4] == b"data" and size == 0xFFFFFFFF and sizes is not None:
            size = sizes
        return raw[:4], size + 8

    end, promised, remarks = _chunks(data, at, at + 12, head, 2, b"data")
    return end, promised, remarks


def _w64(data: bytes, at: int) -> Walk:
    return _chunks(data, at, at + 40, lambda raw: (raw[:8], struct.unpack("<Q", raw[16:24])[0]), 8, W64_DATA)


def _aiff(data: bytes, at: int) -> Walk:
    return _chunks(data, at, at + 12, lambda raw: (raw[:4], struct.unpack(">I", raw[4:8])[0] + 8), 2, b"SSND")


def _caf(data: bytes, at: int) -> Walk:
    return _chunks(data, at, at + 8, lambda raw: (raw[:4], struct.unpack(">Q", raw[4:12])[0] + 12), 1, b"data")


def _au(data: bytes, at: int) -> Walk:
    offset, size = struct.unpack(">II", bytes(data[at + 4 : at + 12]).ljust(8, b"\0"))
    if size == 0xFFFFFFFF:
        return len(data), None, []
    end = at + offset + size
    there = max(len(data) - at - offset, 0)
    missing = f"it is cut off: its header promises {size} bytes of sound, of which {there} are there"
    return min(end, len(data)), None, [missing] if end > len(data) else []


def _flac(data: bytes, at: int) -> Walk:
    bits = int.from_bytes(bytes(data[at + 18 : at + 26]), "big")
    rate, total = bits >> 44, bits & (2**36 - 1)
    return len(data), total / rate if rate and total else None, []


def _boxes(data: bytes, at: int) -> Walk:
    place, parts = at, 0
    while place + 8 <= len(data):
        parts += 1
        if parts > MAX_PARTS:
            return len(data), None, [TOO_MANY]
        size, name = struct.unpack(">I4s", bytes(data[place : place + 8]))
        if name == b"ftyp" and place > at:
            return place, None, []
        if size == 1:
            size = struct.unpack(">Q", bytes(data[place + 8 : place + 16]).ljust(8, b"\0"))[0]
        if size == 0:
            return len(data), None, []
        if size < 8 or not all(32 <= letter < 127 for letter in name[1:]):
            break
        if place + size > len(data):
            return len(data), None, [f"it is cut off: its box {name.decode('latin-1')!r} has {size} bytes, "
                                     f"of which {len(data) - place} are there"]  # fmt: skip
        place += size
    return place, None, []


def _ogg(data: bytes, at: int) -> Walk:
    """One link of a chain: pages up to those that begin other streams after the first have ended."""
    place, serials, order, lost = at, dict[int, bool](), dict[int, int](), 0
    remarks: list[str] = []
    begun = parts = 0  # streams that have no last page yet; pages
    while place + 27 <= len(data) and bytes(data[place : place + 4]) == b"OggS":
        parts += 1
        if parts > MAX_PARTS:
            return len(data), None, [*remarks[:3], TOO_MANY]
        flags = data[place + 5]
        serial, sequence = struct.unpack("<II", bytes(data[place + 14 : place + 22]))
        if flags & 2 and serials and (not begun or serial in serials):
            break  # another link
        segments = data[place + 26]
        size = 27 + segments + sum(bytes(data[place + 27 : place + 27 + segments]))
        if place + size > len(data):
            break
        lost += max(sequence - order.get(serial, sequence - 1) - 1, 0)
        order[serial] = sequence
        ended = serials.get(serial)
        if ended and len(remarks) < 3:
            remarks.append(f"pages of stream {serial:08x} follow its end")
        begun += (ended is not False) - bool(flags & 4)
        serials[serial] = bool(flags & 4)
        place += size
        if bytes(data[place : place + 4]) != b"OggS" and begun:
            ahead = data.find(b"OggS", place, place + 2**20)
            if ahead > 0:  # damaged between two pages
                place = ahead
    if lost:
        remarks.append(f"{lost} of its pages are missing")
    if begun:
        remarks.append("it is cut off: its last page is missing")
        place = len(data) if place + 27 > len(data) or bytes(data[place : place + 4]) == b"OggS" else place
    if len(serials) > 1:
        remarks.append(f"it holds {len(serials)} streams side by side, of which one is read")
    return place, None, remarks[:3]


def _mpeg(data: bytes, at: int) -> Walk:
    first = bytes(data[at : at + 256])
    promised = None
    for name in (b"Xing", b"Info"):
        k = first.find(name)
        if k > 4 and len(first) >= k + 12 and first[k + 7] & 1:
            low = first[1] >> 3 & 3 != 3  # MPEG-2 has frames of half the length
            rate = MPEG_RATES[first[1] >> 3 & 3][first[2] >> 2 & 3]
            promised = struct.unpack(">I", first[k + 8 : k + 12])[0] * (576 if low else 1152) / rate
    return len(data), promised, []


_WALKS: dict[str, Callable[[bytes, int], Walk]] = {
    "riff": _riff, "w64": _w64, "aiff": _aiff, "caf": _caf, "au": _au, "flac": _flac, "ogg": _ogg, "mov": _boxes,
    "aac": lambda data, at: (len(data), None, []), "mp3": _mpeg,
}  # fmt: skip


def frame_length(head: bytes) -> int:
    """Bytes that the frame of MPEG audio or ADTS at the beginning of `head` has by its header; 0 for none."""
    if len(head) >= 7 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return _adts_length(head)
    return _mpeg_length(head)


def _adts_length(head: bytes) -> int:
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5


def _mpeg_length(head: bytes) -> int:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer, index, rate = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or index in (0, 15) or rate == 3:
        return 0
    bits = MPEG_KBITS[version == 3, layer][index] * 1000
    padding, hertz = head[2] >> 1 & 1, MPEG_RATES[version][rate]
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // hertz + padding


def _mpeg_ahead(data: bytes, at: int) -> int:
    """Place of the first of three MPEG frames in a row within 64 KiB; 0 for none."""
    block = bytes(data[at : at + 65536 + 8192])
    k = block.find(b"\xff")
    while 0 <= k < 65536:
        place = k
        for _ in range(3):
            length = _mpeg_length(block[place : place + 4])
            place += length
            if not length:
                break
        else:
            return at + k
        k = block.find(b"\xff", k + 1)
    return 0
