// Compiles ledger/contracts/{Anchor,Track}.sol to .json beside them: abi, bytecode, deployedBytecode, and where in
// the latter the immutable values go.
// Usage, in this folder: npm ci && npm run build
// `npm run check` compiles and compares with the committed files instead; it exits 1 when they differ.
"use strict";
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const folder = path.join(__dirname, "..", "..", "ledger", "contracts");
const names = ["Anchor", "Track"];
const input = {
  language: "Solidity",
  sources: Object.fromEntries(
    names.map((name) => [`${name}.sol`, { content: fs.readFileSync(path.join(folder, `${name}.sol`), "utf8") }]),
  ),
  settings: {
    evmVersion: "cancun",
    optimizer: { enabled: true, runs: 200 },
    // No metadata hash: the same source gives the same bytes wherever it is compiled.
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode"] } },
  },
};
const findImport = (name) => ({ contents: fs.readFileSync(require.resolve(name), "utf8") });
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
const problems = output.errors || [];
if (problems.length > 0) {
  process.stderr.write(problems.map((problem) => problem.formattedMessage).join("\n"));
  process.exit(1);
}

let differing = 0;
for (const name of names) {
  const contract = output.contracts[`${name}.sol`][name];
  const artefact = {
    contract: name,
    compiler: solc.version(),
    abi: contract.abi,
    bytecode: `0x${contract.evm.bytecode.object}`,
    deployedBytecode: `0x${contract.evm.deployedBytecode.object}`,
    immutables: Object.values(contract.evm.deployedBytecode.immutableReferences).flat(),
  };
  const text = `${JSON.stringify(artefact, null, 1)}\n`;
  const file = path.join(folder, `${name}.json`);
  if (!process.argv.includes("--check")) {
    fs.writeFileSync(file, text);
  } else if (!fs.existsSync(file) || fs.readFileSync(file, "utf8") !== text) {
    process.stderr.write(`${name}.json differs from what ${name}.sol compiles to; run: npm run build\n`);
    differing += 1;
  }
}
process.exit(differing > 0 ? 1 : 0);
