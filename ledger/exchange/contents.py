"""What a sound file holds besides its C2PA credential: compared before and after one is put in.

The engine that embeds credentials reads a file's tags and chunks and writes them anew, and what it does not know is
lost: frames of an ID3 tag with unsynchronisation, a second comment in the same language, the encoding of a title,
what follows a RIFF chunk. So a file is taken apart by its own structure, the credential and what has to follow its
length are left out, and the rest must be there bit for bit.

Formats: RIFF (Multimedia Programming Interface 1.0), ID3v2 (id3.org, 2.2 to 2.4), MPEG-4 boxes (ISO/IEC 14496-12);
where the credential stands in them: C2PA 2.1, appendix A.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator

from ledger.hashes.digest import hash_bytes

Part = tuple[str, str]
"""Name of a part of a file, for people, and SHA-256 of its bytes (hex)."""

C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""User type of the ``uuid`` box that holds a credential."""
WITH_OFFSETS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mfra")
"""Boxes in which, at some depth, places in the file are written down."""


def parts(data: bytes, media_type: str) -> list[Part]:
    """Take a file apart: all of it but its credential, in order.

    Parameters
    ----------
    data : bytes
        The whole file.
    media_type : str
        One of those in `ledger.media` that carry a credential inside.

    Returns
    -------
    list of (str, str)
        Equal for two files that differ in nothing but the credential, the lengths and places that it moves, and
        ID3v2 padding. What can't be taken apart further is one part.
    """
    take = {"audio/wav": _wav, "audio/mp4": _boxes}.get(media_type, _split_tags)
    return [(name, hash_bytes(content).hex) for name, content in take(data)]


def difference(before: bytes, after: bytes, media_type: str) -> str:
    """Name what `after` does not hold as `before` does, besides the credential; "" where all is there."""
    old, new = parts(before, media_type), parts(after, media_type)
    if old == new:
        return ""
    lost = [name for name, digest in old if (name, digest) not in new]
    return ", ".join(dict.fromkeys(lost)) or "the order of its parts"


def _wav(data: bytes) -> Iterator[tuple[str, bytes]]:
    end = min(8 + struct.unpack("<I", data[4:8].ljust(4, b"\0"))[0], len(data))
    yield "form", data[:4] + data[8:12]
    at = 12
    while at + 8 <= end:
        name, size = struct.unpack("<4sI", data[at : at + 8])
        if name != b"C2PA":
            yield f"chunk {_show_name(name)}", data[at : min(at + 8 + size, end)]
        at += 8 + size + size % 2  # a chunk of odd length is followed by a byte that belongs to none
    if rest := data[min(at, end) :]:
        yield f"the {len(rest)} bytes after the RIFF chunk", rest


def _split_tags(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the frames of a leading ID3v2 tag, and all that follows: sound, pictures of a FLAC, further tags."""
    end = 0
    if data[:3] == b"ID3" and len(data) >= 10:
        version, flags = data[3], data[5]
        end = 10 + _syncsafe(data[6:10])
        frames = list(_frames(data[10:end])) if version == 4 and not flags else None
        if frames is None:  # written anew in any case, with other frames: kept only where nothing changes
            end += 10 if flags & 0x10 else 0
            yield f"ID3v2.{version} tag", data[:end]
        else:
            yield from frames
    yield "sound and what follows it", data[end:]


def _frames(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the frames of an ID3v2.4 tag with their headers; zeros after the last are free room, and left out."""
    at = 0
    while len(body) - at >= 10 and body[at]:
        size = 10 + _syncsafe(body[at + 4 : at + 8])
        frame = body[at : at + size]
        if not (frame[:4] == b"GEOB" and frame[11:].startswith(b"application/c2pa\0")):
            yield f"ID3 frame {_show_name(frame[:4])}", frame
        at += size
    if rest := body[at:].strip(b"\0"):
        yield "the rest of the ID3 tag", rest


def _syncsafe(digits: bytes) -> int:
    return sum((digit & 127) << shift for digit, shift in zip(digits, (21, 14, 7, 0), strict=True))


Box = tuple[bytes, int, int, int]
"""Name of an MPEG-4 box, where it begins, where its content does, and where it ends."""


def _walk(data: bytes, at: int, end: int) -> Iterator[Box]:
    """Yield the boxes from `at` on; what is none up to `end` has the name ""."""
    while at < end:
        size, name = struct.unpack(">I4s", data[at : at + 8].ljust(8, b"\0"))
        content = at + (16 if size == 1 else 8)
        size = int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size or end - at
        if content > at + size or at + size > end:
            name, content, size = b"", at, end - at
        yield name, at, content, at + size
        at += size


def _boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    boxes = [
        box for box in _walk(data, 0, len(data)) if not (box[0] == b"uuid" and data[box[2] : box[2] + 16] == C2PA_BOX)
    ]
    starts = [start for _, start, _, _ in boxes]

    def place(offset: int) -> bytes:
        """Say where an offset leads, so that it is the same in both files: number of the box, and place in it."""
        number = bisect_right(starts, offset) - 1
        return struct.pack(">qq", number, offset - starts[number] if number >= 0 else offset)

    def content(box: Box, depth: int = 0) -> Iterator[bytes]:
        name, start, inside, end = box
        yield data[start:inside]
        if name in WITH_OFFSETS and depth < len(WITH_OFFSETS):  # none of them belongs into one of its own name
            for inner in _walk(data, inside, end):
                yield from content(inner, depth + 1)
            return
        fields = list(_offsets(name, data[inside:end]))
        for at, size in fields:
            yield data[inside : inside + at]
            yield place(int.from_bytes(data[inside + at : inside + at + size], "big"))
            inside += at + size
        yield data[inside:end]

    for box in boxes:
        yield f"box {_show_name(box[0])}", b"".join(content(box))


def _offsets(name: bytes, body: bytes) -> Iterator[tuple[int, int]]:
    """Yield distance (from the end of the one before) and size of each field of a box that is a place in the file."""
    if name in (b"stco", b"co64"):
        size, count = 4 if name == b"stco" else 8, int.from_bytes(body[4:8], "big")
        for number in range(min(count, (len(body) - 8) // size)):
            yield 0 if number else 8, size
    elif name == b"tfhd" and len(body) >= 16 and body[3] & 1:
        yield 8, 8
    elif name == b"tfra" and len(body) >= 16:
        size, lengths = 8 if body[0] else 4, body[11]
        tail = sum((lengths >> shift & 3) + 1 for shift in (4, 2, 0))
        count = int.from_bytes(body[12:16], "big")
        for number in range(min(count, (len(body) - 16) // (2 * size + tail))):
            yield size + (tail if number else 16), size


def _show_name(name: bytes) -> str:
    return ascii(name.decode("latin-1"))
