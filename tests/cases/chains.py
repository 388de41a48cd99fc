"""Chains of one dictionary, so that the walk is tested without an EVM."""

from __future__ import annotations

from typing import Any

from ledger.chains.chain import Chain
from ledger.chains.evidence import Evidence
from ledger.chains.networks import ChainIdentity
from ledger.chains.receipts import Entry, Receipt
from ledger.errors import ChainRefused, ContractMismatch


class FakeChain(Chain):
    """A chain of one dictionary, so that the walk is tested without an EVM."""

    simulated = True
    evidence: Evidence | None = None

    def __init__(self, genesis: str = "0x" + "11" * 32) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.chain = ChainIdentity(7, genesis)
        self.fault: Exception | None = None
        self.final = True

    account = "0x" + "22" * 20

    def identity(self) -> ChainIdentity:
        return self.chain

    def anchor(self, root: bytes) -> Receipt:
        entry = self.entries.setdefault(root, Entry("0x" + "33" * 20, self.account, 1000, 5, 0, self.final))
        transaction, place = "0x" + "44" * 32, (entry.contract, entry.issuer)
        return Receipt(
            root, self.chain, self.simulated, *place, transaction, entry.block, entry.time, None, self.evidence
        )

    def lookup(self, root: bytes, leaf: bytes = bytes(32), contract: str | None = None) -> Entry | None:
        if self.fault:
            raise self.fault
        if contract not in (None, "0x" + "33" * 20):
            raise ContractMismatch("no code")
        return self.entries.get(root)

    def block_of(self, transaction: str) -> int | None:
        return 5 if transaction == "0x" + "44" * 32 else None

    def block_hash(self, number: int) -> str:
        return self.evidence.block_hash if self.evidence else "0x" + "77" * 32

    def _unused(self, *_: Any, **__: Any) -> Any:
        raise ChainRefused("not in the fake chain")

    _session = _transact = _call = _code = _block = _emitted_in = is_final = _remembered = _unused


class RealChain(FakeChain):
    """A chain that others run, whose anchors come with evidence (which `proven` has believed)."""

    simulated = False
    evidence = Evidence(b"\xc0", 0, (b"\x80",))
