"""Evidence that a contract emitted an event in a block: the block's header, and the receipt's proof under it.

A header is RLP (Yellow Paper 4.4.3, with the fields that EIP-1559, 4895, 4844, 4788 and 7685 appended); its keccak256
is the block's hash. Its ``receiptsRoot`` is that of a Merkle Patricia trie (Yellow Paper, appendix D) from transaction
index to receipt (EIP-2718), and a receipt holds the logs. So header and proof show, without a node, that a block of
this hash holds the event; what is left to ask a node is whether that block is part of the chain.

Receipts do not name their transaction, so the transaction's hash is not covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ledger.errors import Malformed, NotFinal, requires_extra
from ledger.hashes.merkle import keccak256

HEADER_FIELDS = (
    "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "difficulty",
    "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce", "baseFeePerGas", "withdrawalsRoot",
    "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash",
)  # fmt: skip
NUMBERS = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas"}
RECEIPTS_ROOT, NUMBER, TIMESTAMP = (HEADER_FIELDS.index(name) for name in ("receiptsRoot", "number", "timestamp"))
MAX_HEADER, MAX_NODES, MAX_PROOF = 4096, 16, 1 << 18
"""Bytes of a header, and nodes and bytes of a proof; ours have about 600, 4 and 3,000."""
MAX_DEPTH = 16
"""Of lists in one another: a receipt's topics are four deep, and small nodes of a trie lie in one another."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a contract emitted: its address (20 bytes) and the topics of 32 bytes."""

    contract: bytes
    topics: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class MinedReceipt:
    """The receipt of a transaction: its hash (``0x...``), the encoded receipt (EIP-2718), gas and events."""

    transaction: str
    encoded: bytes
    gas_used: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A block: hash (``0x...``), time (s, Unix), RLP of the header, and all receipts in order."""

    hash: str
    time: int
    header: bytes
    receipts: tuple[MinedReceipt, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A block's header and the way from its receipts root to one receipt.

    Parameters
    ----------
    header : bytes
        RLP of the header.
    index : int
        Index of the transaction in the block, from 0.
    proof : tuple of bytes
        Nodes of the receipts trie, RLP.
    """

    header: bytes
    index: int
    proof: tuple[bytes, ...]

    @property
    def block_hash(self) -> str:
        """Hash of the block, ``0x`` and 64 hexadecimal digits."""
        return "0x" + keccak256(self.header).hex()

    def check(self, event: Event, block: int, time: int) -> None:
        """Return None if the header is that of the block and time, and a receipt under it holds the event.

        Raises
        ------
        Malformed
            Otherwise, with the first thing that is wrong.
        ExtraMissing
            If the extra ``chain`` is not installed.
        """
        with requires_extra():
            rlp, trie = import_module("rlp"), import_module("trie")
            odd = import_module("trie.exceptions")
            garbage = import_module("rlp.exceptions").RLPException
        wrong = (odd.BadTrieProof, odd.ValidationError, odd.InvalidNode, odd.InvalidNibbles, garbage)
        if len(self.header) > MAX_HEADER or len(self.proof) > MAX_NODES or sum(map(len, self.proof)) > MAX_PROOF:
            raise Malformed("the block's header or the receipt's proof is too long")
        if any(map(_is_deep, (self.header, *self.proof))):
            raise Malformed("the block's header or the receipt's proof is nested too deeply")
        try:
            fields = rlp.decode(self.header)
            if not 15 <= len(fields) <= 64 or any(not isinstance(field, bytes) for field in fields):
                raise Malformed("the block's header is no header")
            stated = int.from_bytes(fields[NUMBER], "big"), int.from_bytes(fields[TIMESTAMP], "big")
            if stated != (block, time):
                raise Malformed(f"the header is of block {stated[0]} at {stated[1]}, not of block {block} at {time}")
            nodes = [rlp.decode(node) for node in self.proof]
            key = rlp.encode(self.index)
            receipt = trie.HexaryTrie.get_from_proof(fields[RECEIPTS_ROOT], key, nodes)
            if not receipt:
                raise Malformed("the header's receipts root covers no receipt at this index")
            body = receipt if receipt[0] >= 0xC0 else receipt[1:]
            if _is_deep(body):
                raise Malformed("the receipt is nested too deeply")
            status, _, _, logs = rlp.decode(body)
            events = [Event(contract, tuple(topics)) for contract, topics, _ in logs]
        except wrong as error:
            raise Malformed(f"the receipt's proof does not lead to the header: {type(error).__name__}") from None
        except (TypeError, ValueError, KeyError, IndexError, AssertionError):  # trie's own answers to odd nodes
            raise Malformed("the block's header or the receipt's proof is malformed") from None
        if status != b"\x01":
            raise Malformed("the receipt is that of a reverted transaction")
        if event not in events:
            raise Malformed("the receipt holds no event of this contract for this root and issuer")


def evidence_of(block: Block, event: Event) -> tuple[str, int, Evidence | None]:
    """Return hash and gas of the transaction that emitted an event, and the evidence for it.

    The evidence is None where header or receipts have another form than Ethereum's, as on some other chains.

    Raises
    ------
    NotFinal
        If no receipt of the block holds the event: the block is another one than a moment ago.
    """
    with requires_extra():
        rlp, trie = import_module("rlp"), import_module("trie")
    position = next((i for i, receipt in enumerate(block.receipts) if event in receipt.events), None)
    if position is None:
        raise NotFinal(f"the chain was reorganised at its block {block.hash} meanwhile; run the command again")
    receipts = trie.HexaryTrie({})
    for index, receipt in enumerate(block.receipts):
        receipts[rlp.encode(index)] = receipt.encoded
    nodes = tuple(rlp.encode(node) for node in receipts.get_proof(rlp.encode(position)))
    evidence = Evidence(block.header, position, nodes)
    root = rlp.decode(block.header)[RECEIPTS_ROOT]
    whole = evidence.block_hash == block.hash and receipts.root_hash == root and sum(map(len, nodes)) <= MAX_PROOF
    return block.receipts[position].transaction, block.receipts[position].gas_used, evidence if whole else None


def encode_header(fields: dict[str, str]) -> bytes:
    """Return the RLP of a header given as JSON-RPC gives it; what a chain does not have yet is left off the end.

    Raises
    ------
    KeyError, ValueError
        If a field up to ``nonce`` is absent, or one is not hexadecimal.
    """
    names = HEADER_FIELDS[:15] + tuple(name for name in HEADER_FIELDS[15:] if fields.get(name) is not None)
    return _rlp([_quantity(fields[name]) if name in NUMBERS else _bytes(fields[name]) for name in names])


def encode_receipt(receipt: dict[str, Any]) -> bytes:
    """Return a receipt given as JSON-RPC gives it, encoded by EIP-2718.

    Raises
    ------
    KeyError, TypeError, ValueError
        If a field is absent or malformed.
    """
    logs = [
        [_bytes(log["address"]), [_bytes(topic) for topic in log["topics"]], _bytes(log["data"])]
        for log in receipt["logs"]
    ]
    status, gas = _quantity(receipt["status"]), _quantity(receipt["cumulativeGasUsed"])
    body = _rlp([status, gas, _bytes(receipt["logsBloom"]), logs])
    return _quantity(receipt.get("type", "0x0")) + body


def _is_deep(data: bytes) -> bool:
    """Whether lists of an RLP text lie in one another deeper than `MAX_DEPTH`; its decoder calls itself for each."""
    at, ends = 0, list[int]()
    while at < len(data):
        while ends and at >= ends[-1]:
            ends.pop()
        first, at = data[at], at + 1
        length = first - (0xC0 if first >= 0xC0 else 0x80)
        if length > 55:  # so many bytes hold the length
            size = length - 55
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if first >= 0xC0:
            ends.append(at + length)
            if len(ends) > MAX_DEPTH:
                return True
        else:
            at += max(length, 0)
    return False


def _rlp(value: Sequence[Any]) -> bytes:
    with requires_extra():
        return bytes(import_module("rlp").encode(value))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _quantity(text: str) -> bytes:
    """Return a number as RLP wants it: big-endian without leading zeros, empty for 0."""
    number = int(text, 16)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
