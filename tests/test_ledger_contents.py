"""What else a sound file holds is there, bit for bit, after it was given a credential; or the file is as it was."""

import random
import struct
import time
from pathlib import Path

import pytest

from ledger.exchange.contents import difference, parts
from ledger.exchange.credential import read_credential
from ledger.media import media_type
from ledger.paths import beside
from ledger.verify import verify_path
from tests.credential_cases import FILES, TAMPER, World, box, full_box

pytest.importorskip("c2pa")

MP3, WAV, FLAC, M4A = (FILES[kind]() for kind in ("mp3", "wav", "flac", "m4a"))
PICTURE = b"\xff\xd8\xff\xe0" + b"\xff\x00\xff\xe1abc" * 200 + random.Random(1).randbytes(3000) + b"\xff\xd9"


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def _syncsafe(number):
    return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))


def _unsynchronised(content):
    out = bytearray()
    for at, byte in enumerate(content):
        out.append(byte)
        if byte == 0xFF and (at + 1 == len(content) or content[at + 1] >= 0xE0 or content[at + 1] == 0):
            out.append(0)
    return bytes(out)


def _frame(version, name, content, flags=0):
    if version == 2:
        return name + len(content).to_bytes(3, "big") + content
    size = _syncsafe(len(content)) if version == 4 else struct.pack(">I", len(content))
    return name + size + struct.pack(">H", flags) + content


def _tag(version, *frames, flags=0, padding=0, extended=b""):
    body = extended + b"".join(frames) + bytes(padding)
    head = bytes([version, 0, flags]) + _syncsafe(len(body))
    return b"ID3" + head + body + (b"3DI" + head if flags & 0x10 else b"")


def _texts(version, encoding=3):
    title = "Mañana".encode({0: "latin-1", 1: "utf-16", 3: "utf-8"}[encoding])
    return _frame(version, b"TT2" if version == 2 else b"TIT2", bytes([encoding]) + title)


def _picture(version, encoding=3, flags=0):
    content = bytes([encoding]) + b"image/jpeg\0\3cover\0" + PICTURE
    if flags & 2:
        plain, content = content, _unsynchronised(content)
        content = (_syncsafe(len(plain)) if flags & 1 else b"") + content
    return _frame(version, b"APIC", content, flags)


def _riff(*chunks, base=WAV, after=True, padded=True, rest=b""):
    added = b"".join(
        name + struct.pack("<I", len(content)) + content + (b"\0" if padded and len(content) % 2 else b"")
        for name, content in chunks
    )
    body = base[12:] + added if after else added + base[12:]
    return base[:4] + struct.pack("<I", 4 + len(body)) + base[8:12] + body + rest


def _blocks(*blocks):
    """Put metadata blocks after the first one of a FLAC file."""
    added = b"".join(bytes([kind]) + len(content).to_bytes(3, "big") + content for kind, content in blocks)
    return FLAC[:42] + added + FLAC[42:]


def _flac_picture():
    kind = struct.pack(">II", 3, 10) + b"image/jpeg" + bytes(4)
    return kind + struct.pack(">5I", 1, 1, 24, 0, len(PICTURE)) + PICTURE


ILST = box(b"ilst", box(b"\xa9nam", box(b"data", struct.pack(">II", 1, 0), b"Title")), box(b"covr", PICTURE))
UDTA = box(b"udta", full_box(b"meta", full_box(b"hdlr", bytes(4), b"mdirappl", bytes(9)), ILST), box(b"\xa9xyz", b"x"))


def _movie(*order, udta=b"", free=100):
    """Put the boxes of the track in another order, with `udta` in moov, and offsets that still lead to the sound."""
    at = M4A.index(b"moov") - 4
    size = struct.unpack(">I", M4A[at : at + 4])[0]
    moov = box(b"moov", M4A[at + 8 : at + size], udta)
    boxes = {"ftyp": M4A[:at], "moov": moov, "mdat": M4A[at + size :], "free": box(b"free", bytes(free))}
    boxes["skip"] = box(b"skip", b"left by an editor")
    place = sum(len(boxes[name]) for name in order[: order.index("mdat")]) + 8
    table = boxes["moov"].index(b"stco") + 12
    boxes["moov"] = boxes["moov"][:table] + struct.pack(">I", place) + boxes["moov"][table + 4 :]
    return b"".join(boxes[name] for name in order)


def _fragmented(*, based=True):
    """Return a movie whose sound is in one fragment, with the table of random access that ends such files."""
    moov = M4A[M4A.index(b"moov") - 4 :]
    moov = moov[: struct.unpack(">I", moov[:4])[0]]
    head = M4A[: M4A.index(b"moov") - 4] + box(
        b"moov", moov[8:], box(b"mvex", full_box(b"trex", struct.pack(">5I", 1, 1, 1024, 200, 0)))
    )
    trun = full_box(b"trun", struct.pack(">I", 2), struct.pack(">II", 100, 100), flags=0x200)

    def moof(base):
        where = struct.pack(">IQ", 1, base) if based else struct.pack(">I", 1)
        traf = box(b"traf", full_box(b"tfhd", where, flags=1 if based else 0x20000), trun)
        return box(b"moof", full_box(b"mfhd", struct.pack(">I", 1)), traf)

    sound = box(b"mdat", bytes(range(200)))
    base = len(head) + len(moof(0)) + 8
    access = full_box(b"tfra", struct.pack(">IIIII3B", 1, 0, 1, 0, len(head), 1, 1, 1))
    mfra = box(b"mfra", access, full_box(b"mfro", struct.pack(">I", len(access) + 24)))
    return head + moof(base) + sound + mfra


UTF_8 = (_texts(4), _picture(4), _frame(4, b"PRIV", b"x\0" + bytes(range(256))))
OTHER_OBJECT = _frame(4, b"GEOB", b"\3text/plain\0a.txt\0mine\0content")
INSIDE = {
    "mp3: ID3v2.4 in UTF-8": ("mp3", _tag(4, *UTF_8) + MP3),
    "mp3: with room": ("mp3", _tag(4, *UTF_8, padding=2048) + MP3),
    "mp3: an object of somebody's": ("mp3", _tag(4, *UTF_8, OTHER_OBJECT) + MP3),
    "mp3: two tags": ("mp3", _tag(4, *UTF_8) + _tag(3, _texts(3, 1), _picture(3, 0)) + MP3),
    "mp3: ID3v1": ("mp3", MP3 + b"TAG" + b"Title".ljust(125, b"\0")),
    "mp3: APE": ("mp3", MP3 + b"APETAGEX" + struct.pack("<4I", 2000, 32, 0, 1 << 31) + bytes(8)),
    "mp3: APE, then ID3v1": (
        "mp3",
        MP3 + b"APETAGEX" + struct.pack("<4I", 2000, 32, 0, 1 << 31) + bytes(8) + b"TAG" + bytes(125),
    ),
    "wav: chunks before": ("wav", _riff((b"LIST", b"INFOINAM\5\0\0\0Title\0"), (b"bext", bytes(602)), after=False)),
    "wav: odd chunks after": ("wav", _riff((b"junk", b"123"), (b"cue ", struct.pack("<I", 0)), (b"iXML", b"<a/>\n"))),
    "wav: ID3 in a chunk": ("wav", _riff((b"id3 ", _tag(3, _texts(3, 1), _picture(3, 0))))),
    "wav: two of a name": ("wav", _riff((b"LIST", b"adtllabl\6\0\0\0\1\0\0\0a\0"), (b"LIST", b"INFOICMT\2\0\0\0x\0"))),
    "flac: picture and room": ("flac", _blocks((6, _flac_picture()), (1, bytes(500)), (2, b"riffxyz"))),
    "flac: ID3 in UTF-8 before": ("flac", _tag(4, *UTF_8) + _blocks((6, _flac_picture()))),
    "flac: ID3v1 after": ("flac", FLAC + b"TAG" + bytes(125)),
    "m4a: tags": ("m4a", _movie("ftyp", "moov", "free", "mdat", udta=UDTA)),
    "m4a: moov last": ("m4a", _movie("ftyp", "free", "mdat", "skip", "moov", udta=UDTA)),
    "m4a: empty free box": ("m4a", _movie("ftyp", "free", "moov", "mdat", "skip", free=0)),
    "m4a: fragments": ("m4a", _fragmented()),
    "m4a: fragments without places": ("m4a", _fragmented(based=False)),
}
BESIDE = {
    "mp3: ID3v2.2": ("mp3", _tag(2, _texts(2, 0)) + MP3, "ID3v2.2 tag"),
    "mp3: ID3v2.2, unsynchronised": ("mp3", _tag(2, _unsynchronised(_texts(2, 1)), flags=0x80) + MP3, "ID3v2.2 tag"),
    "mp3: ID3v2.3": ("mp3", _tag(3, _texts(3, 1), _picture(3, 0), padding=100) + MP3, "ID3v2.3 tag"),
    "mp3: ID3v2.3, unsynchronised": (
        "mp3", _tag(3, _unsynchronised(_texts(3, 1) + _picture(3, 0)), flags=0x80) + MP3, "ID3v2.3 tag"
    ),
    "mp3: ID3v2.3, extended": (
        "mp3", _tag(3, _texts(3, 0), flags=0x40, extended=b"\0\0\0\6" + bytes(6)) + MP3, "ID3v2.3 tag"
    ),
    "mp3: ID3v2.4, extended": ("mp3", _tag(4, *UTF_8, flags=0x40, extended=b"\0\0\0\6\1\0") + MP3, "ID3v2.4 tag"),
    "mp3: ID3v2.4, footer": ("mp3", _tag(4, *UTF_8, flags=0x10) + MP3, "ID3v2.4 tag"),
    "mp3: ID3v2.4, only the tag says unsynchronised": ("mp3", _tag(4, *UTF_8, flags=0x80) + MP3, "ID3v2.4 tag"),
    "mp3: frame unsynchronised": ("mp3", _tag(4, _texts(4), _picture(4, flags=2)) + MP3, "ID3 frame 'APIC'"),
    "mp3: data length indicator": ("mp3", _tag(4, _texts(4), _picture(4, flags=3)) + MP3, "ID3 frame 'APIC'"),
    "mp3: title in UTF-16": ("mp3", _tag(4, _texts(4, 1), _picture(4)) + MP3, "ID3 frame 'TIT2'"),
    "mp3: two comments": (
        "mp3", _tag(4, *(_frame(4, b"COMM", b"\3eng\0" + text) for text in (b"one", b"two"))) + MP3, "ID3 frame 'COMM'"
    ),
    "flac: ID3v2.3 before": ("flac", _tag(3, _texts(3, 1)) + FLAC, "ID3v2.3 tag"),
    "wav: bytes after": ("wav", _riff(rest=b"left by a recorder"), "the 18 bytes after the RIFF chunk"),
    "wav: a tag after": ("wav", _riff(rest=b"TAG" + bytes(125)), "the 128 bytes after the RIFF chunk"),
}  # fmt: skip


def _check(world, path, before):
    """All is as it was in the file, its credential is trusted, and so is the whole track."""
    after = path.read_bytes()
    assert difference(before, after, media_type(path)) == ""
    found = read_credential(path, world.trust)
    assert found.verdict == "trusted", found.detail
    return after


@pytest.mark.parametrize("name", INSIDE)
def test_what_else_is_in_a_file_stays_there(world, name):
    kind, before = INSIDE[name]
    path = world.track(kind, content=before)
    after = _check(world, path, before)
    assert not beside(path, ".c2pa").exists()
    assert after != before
    world.issuer(mining="allowed").issue(path)  # another credential, of which this one is the parent
    assert _check(world, path, before) != after


@pytest.mark.parametrize("name", INSIDE)
def test_it_stays_where_a_strangers_credential_was(world, name):
    kind, before = INSIDE[name]
    path = world.track(kind, content=before)
    TAMPER["signed by a stranger"].change(world, path)
    assert difference(before, path.read_bytes(), media_type(path)) == ""
    world.issuer().issue(path)
    _check(world, path, before)


@pytest.mark.parametrize("name", BESIDE)
def test_a_file_that_could_not_keep_it_is_left_as_it_was(world, name):
    kind, before, lost = BESIDE[name]
    path = world.write(kind, content=before)
    ((holder, why),) = world.issuer().issue(path).items()
    assert (holder, why.split(", ")[0]) == (beside(path, ".c2pa"), lost)
    assert path.read_bytes() == before
    _check(world, path, before)
    first = holder.read_bytes()
    assert list(world.issuer().issue(path)) == [holder]
    assert holder.read_bytes() == first
    world.issuer(mining="allowed").issue(path)
    assert (path.read_bytes() == before, holder.read_bytes() == first) == (True, False)
    _check(world, path, before)


def test_a_credential_beside_a_sound_file_is_as_good_as_one_inside(world):
    kind, before, _ = BESIDE["mp3: ID3v2.3, unsynchronised"]
    path = world.track(kind, content=before)
    links = {link.name: link.verdict for link in verify_path(path, world.trust).links}
    assert (links["credential"], links["track"]) == ("ok", "ok")
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert read_credential(path, world.trust).verdict == "tampered"
    path.write_bytes(before)
    beside(path, ".c2pa").unlink()
    verification = verify_path(path, world.trust)
    assert verification.verdict != "ok"
    assert "missing" in [link.verdict for link in verification.links if link.name == "credential"]


def test_a_strangers_credential_inside_stays_where_ours_lies_beside(world):
    """What lies after the RIFF chunk came there after the stranger had signed."""
    path = world.track("wav", content=WAV)
    TAMPER["signed by a stranger"].change(world, path)
    theirs = path.read_bytes() + b"left by a recorder"
    path.write_bytes(theirs)
    ((holder, _),) = world.issuer().issue(path).items()
    assert holder == beside(path, ".c2pa")
    assert path.read_bytes() == theirs
    found = read_credential(path, world.trust)
    assert found.verdict == "trusted", found.detail
    (parent,) = (part for part in found.manifest["ingredients"] if part["relationship"] == "parentOf")
    assert parent["active_manifest"]


CHANGES = {
    "sound of a WAV": ("wav", WAV, WAV[:-4] + b"abcd", "chunk 'data'"),
    "a WAV cut off": ("wav", WAV, WAV[:-4], "chunk 'data'"),
    "chunk gone": ("wav", _riff((b"junk", b"123")), WAV, "chunk 'junk'"),
    "chunks in another order": (
        "wav", _riff((b"aaaa", b"1"), (b"bbbb", b"2")), _riff((b"bbbb", b"2"), (b"aaaa", b"1")), "the order of its"
    ),
    "a chunk added": ("wav", WAV, _riff((b"junk", b"123")), "the order of its parts"),
    "frame": ("mp3", _tag(4, *UTF_8) + MP3, _tag(4, *UTF_8[1:]) + MP3, "ID3 frame 'TIT2'"),
    "flags of a frame": (
        "mp3", _tag(4, _texts(4)) + MP3, _tag(4, _frame(4, b"TIT2", "\3Mañana".encode(), 0x4000)) + MP3, "'TIT2'"
    ),
    "not only zeros after the frames": (
        "mp3", _tag(4, *UTF_8, b"\0\0x") + MP3, _tag(4, *UTF_8) + MP3, "the rest of the ID3 tag"
    ),
    "sound of an MP3": ("mp3", MP3, MP3[:-1] + b"!", "sound and what follows it"),
    "picture of a FLAC": ("flac", _blocks((6, _flac_picture())), FLAC, "sound and what follows it"),
    "place of the sound": ("m4a", _movie("ftyp", "moov", "mdat"), _movie("ftyp", "free", "moov", "mdat"), "box 'moov'"),
    "tags of an M4A": ("m4a", _movie("ftyp", "moov", "mdat", udta=UDTA), _movie("ftyp", "moov", "mdat"), "box 'moov'"),
    "sound of an M4A": ("m4a", M4A, M4A[:-1] + bytes([M4A[-1] ^ 1]), "box 'mdat'"),
    "an M4A cut off": ("m4a", M4A, M4A[:-1], "box 'mdat'"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_seen(name):
    kind, before, after, lost = CHANGES[name]
    assert lost in difference(before, after, media_type(Path(f"x.{kind}")))
    assert difference(before, before, media_type(Path(f"x.{kind}"))) == ""


@pytest.mark.parametrize("table", [b"stco", b"tfhd", b"tfra"])
def test_a_place_that_was_not_moved_with_what_it_leads_to_is_seen(table):
    """What a writer does that puts a box before the sound, and forgets a table of places."""
    before = _movie("ftyp", "moov", "mdat") if table == b"stco" else _fragmented()
    at = len(M4A[: M4A.index(b"moov") - 4])
    credential = box(b"uuid", bytes.fromhex("d8fec3d61b0e483c92975828877ec481"), b"store")
    moved = bytearray(before[:at] + credential + before[at:])
    fields = {b"stco": (12, 4), b"tfhd": (12, 8), b"tfra": (24, 4)}
    for name, (distance, size) in fields.items():
        place = moved.find(name) + distance
        if name in moved and name != table:
            value = int.from_bytes(moved[place : place + size], "big") + len(credential)
            moved[place : place + size] = value.to_bytes(size, "big")
    assert difference(before, bytes(moved), "audio/mp4") in ("box 'moov'", "box 'moof'", "box 'mfra'")
    place = moved.find(table) + fields[table][0]
    value = int.from_bytes(moved[place : place + fields[table][1]], "big") + len(credential)
    moved[place : place + fields[table][1]] = value.to_bytes(fields[table][1], "big")
    assert difference(before, bytes(moved), "audio/mp4") == ""


def test_hostile_files_are_taken_apart_in_linear_time():
    """Boxes in boxes, counts and lengths that lie: no file makes it slow, and all that is left over is one part."""
    nested = b""
    for _ in range(20000):
        nested = struct.pack(">I4s", 8 + len(nested), b"moov") + nested if len(nested) < 160000 else nested
    begun = time.process_time()
    for kind, content in {
        "audio/mp4": nested,
        "audio/mp4 ": full_box(b"stco", b"\xff\xff\xff\xff") * 100000,
        "audio/mpeg": _tag(4, b"TIT2\0\0\0\0\0\0" * 200000),
        "audio/wav": b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 200000,
    }.items():
        assert parts(content, kind.strip())
    assert time.process_time() - begun < 20
    for kind in ("audio/wav", "audio/mpeg", "audio/flac", "audio/mp4"):
        assert parts(b"", kind) == parts(b"", kind)
        assert parts(b"ID3", kind)
