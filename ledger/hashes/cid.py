"""IPFS content identifiers (CID, version 1), computed here; nothing is uploaded.

A CID is multibase base32 ("b") of version, codec and SHA-256 multihash. Content of up to one chunk is a raw block
(codec 0x55). Longer content is cut into chunks, the leaves of a balanced tree of DAG-PB nodes (codec 0x70) that hold
UnixFS file headers: the layout of ``ipfs add --cid-version=1`` with chunks of 256 KiB and at most 174 links a node.
Other chunk sizes give other CIDs for the same bytes, so the SHA-256 is always kept beside a CID.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ledger.errors import PathRefused
from ledger.hashes.digest import Digest

CHUNK = 262_144
LINKS = 174
RAW, DAG_PB = 0x55, 0x70


@dataclass(frozen=True, slots=True)
class _Node:
    """A block of the tree: its binary CID, the bytes of content below it, and those of all blocks below and itself."""

    cid: bytes
    content: int
    total: int


def cid_of_digest(sha256: Digest) -> str:
    """Return the CID of content of at most `CHUNK` bytes, of which the SHA-256 is known."""
    return _text(_binary(RAW, sha256.value))


def cid_of_file(path: Path) -> str:
    """Return the CID of a file's content; raises `PathRefused` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return cid_of_stream(file)
    except OSError as error:
        raise PathRefused(f"cannot read {path}: {error.strerror}") from None


def cid_of_stream(stream: BinaryIO, chunk: int = CHUNK, links: int = LINKS) -> str:
    """Return the CID of all that a binary stream holds.

    Parameters
    ----------
    stream : BinaryIO
        Read to its end.
    chunk : int
        Bytes in a leaf.
    links : int
        Most children of a node, at least 2.
    """
    nodes = [_leaf(data) for data in _chunks(stream, chunk)]
    while len(nodes) > 1:
        nodes = [_parent(nodes[start : start + links]) for start in range(0, len(nodes), links)]
    return _text(nodes[0].cid)


def _chunks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    yield stream.read(size)  # an empty file is one empty leaf
    while data := stream.read(size):
        yield data


def _leaf(data: bytes) -> _Node:
    return _Node(_binary(RAW, hashlib.sha256(data).digest()), len(data), len(data))


def _parent(children: list[_Node]) -> _Node:
    """Return the node above some: PBNode{Links, Data}, where Data is UnixFS{Type File, filesize, blocksizes}."""
    content = sum(child.content for child in children)
    sizes = b"".join(b"\x20" + _varint(child.content) for child in children)
    unixfs = b"\x08\x02\x18" + _varint(content) + sizes
    links = b""
    for child in children:
        link = b"\x0a" + _varint(len(child.cid)) + child.cid + b"\x12\x00\x18" + _varint(child.total)
        links += b"\x12" + _varint(len(link)) + link
    block = links + b"\x0a" + _varint(len(unixfs)) + unixfs
    total = len(block) + sum(child.total for child in children)
    return _Node(_binary(DAG_PB, hashlib.sha256(block).digest()), content, total)


def _binary(codec: int, sha256: bytes) -> bytes:
    return bytes((1, codec, 0x12, 0x20)) + sha256


def _text(cid: bytes) -> str:
    return "b" + b32encode(cid).decode().lower().rstrip("=")


def _varint(number: int) -> bytes:
    """Return an unsigned LEB128 number, as protocol buffers have it."""
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*parts, number))
