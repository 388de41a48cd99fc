// Writes tests/data/ledger_merkle_vectors.json to stdout: what @openzeppelin/merkle-tree makes of the leaves
// [sha256("content i"), sha256("payload i")]; of each tree the root, three proofs, and the SHA-256 of leaf and proof of
// every leaf one after the other.
"use strict";
const crypto = require("crypto");
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");

const sha256 = (data) => crypto.createHash("sha256").update(data).digest("hex");
const sizes = [...Array(40).keys()].map((i) => i + 1);
sizes.push(63, 64, 65, 100, 127, 128, 129, 255, 257, 1000, 1024, 10000);
const trees = sizes.map((leaves) => {
  const values = [...Array(leaves).keys()].map((i) => [`0x${sha256(`content ${i}`)}`, `0x${sha256(`payload ${i}`)}`]);
  const tree = StandardMerkleTree.of(values, ["bytes32", "bytes32"]);
  const all = crypto.createHash("sha256");
  const proofs = {};
  for (let i = 0; i < leaves; i++) {
    const leaf = tree.leafHash(values[i]);
    const proof = tree.getProof(i);
    for (const node of [leaf, ...proof]) all.update(Buffer.from(node.slice(2), "hex"));
    if ([0, leaves >> 1, leaves - 1].includes(i)) proofs[i] = { leaf, proof };
  }
  return { leaves, root: tree.root, all: all.digest("hex"), proofs };
});
process.stdout.write(`${JSON.stringify({ source: "@openzeppelin/merkle-tree 1.0.8; see tests/contracts/merkle.js", trees }, null, 1)}\n`);
