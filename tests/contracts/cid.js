// Writes, as JSON on stdout, what the importer of js-ipfs (the same blocks as `ipfs add --cid-version=1`) makes of bytes
// 0, 1, 2 ... modulo 251: [length, chunk size, links, CID].
"use strict";
const cases = [
  [0, 262144, 174], [1, 262144, 174], [262144, 262144, 174], [262145, 262144, 174], [1000000, 262144, 174],
  [3, 4, 2], [5, 4, 2], [8, 4, 2], [9, 4, 2], [17, 4, 2], [100, 4, 3], [1000, 4, 3], [4 * 174, 4, 174], [4 * 174 + 1, 4, 174],
  [50000, 7, 174],
];
(async () => {
  const { importBytes } = await import("ipfs-unixfs-importer");
  const { fixedSize } = await import("ipfs-unixfs-importer/chunker");
  const { balanced } = await import("ipfs-unixfs-importer/layout");
  const blocks = new Map();
  const store = { put: (cid, bytes) => (blocks.set(cid.toString(), bytes), cid), get: (cid) => blocks.get(cid.toString()) };
  const rows = [];
  for (const [length, chunkSize, maxChildrenPerNode] of cases) {
    const bytes = Uint8Array.from({ length }, (_, i) => i % 251);
    const options = { cidVersion: 1, rawLeaves: true, chunker: fixedSize({ chunkSize }), layout: balanced({ maxChildrenPerNode }) };
    const { cid } = await importBytes(bytes, store, options);
    rows.push([length, chunkSize, maxChildrenPerNode, cid.toString()]);
  }
  process.stdout.write(`[\n${rows.map((row) => ` ${JSON.stringify(row)}`).join(",\n")}\n]\n`);
})();
