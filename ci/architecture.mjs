// Checks what ARCHITECTURE.md says of the crates and of the three gates. Reads `cargo metadata` and the sources;
// runs nothing. `node ci/architecture.mjs --self-test` shows that each check can fail.

import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

// Which of our crates may depend on which, and who alone may name a driver.
const MAY_DEPEND = {
  "sessile-core": [],
  "sessile-aws-lc": ["sessile-core"],
  "sessile-store": ["sessile-core"],
  sessile: ["sessile-core", "sessile-aws-lc", "sessile-store"],
  "sessile-lab": [],
  "sessile-instruments": [],
  "sessile-scale": ["sessile-core", "sessile-aws-lc", "sessile-store", "sessile"],
  "sessile-exact": ["sessile-core", "sessile-aws-lc", "sessile-store", "sessile", "sessile-server"],
  "sessile-bench-node": ["sessile-core", "sessile-aws-lc", "sessile-store", "sessile", "sessile-instruments", "sessile-scale"],
  "sessile-server": ["sessile-core", "sessile-aws-lc", "sessile-store", "sessile", "sessile-lab"],
};
const CORE_MAY_USE = ["base64", "serde", "serde_json", "subtle", "zeroize"];
const ONLY_FOR = {
  redis: ["sessile-store", "sessile-instruments", "sessile-scale", "sessile-bench-node"],
  rusqlite: ["sessile-store", "sessile-scale", "sessile-bench-node"],
  "aws-lc-rs": ["sessile-aws-lc", "sessile-lab", "sessile-exact"],
  argon2: ["sessile"],
  hyper: ["sessile-server", "sessile-lab", "sessile-bench-node"],
  "tokio-postgres": ["sessile-store", "sessile-instruments", "sessile-scale", "sessile-bench-node"],
  "tokio-postgres-rustls": ["sessile-store"],
  "tokio-rustls": ["sessile-server"],
  clap: ["sessile-server", "sessile-instruments", "sessile-bench-node"],
  indicatif: ["sessile-server"],
};
// rsa: RUSTSEC-2023-0071 has no patch. ring, openssl: one provider of primitives is enough.
const BANNED = ["rsa", "ring", "openssl", "openssl-sys", "native-tls", "sqlx", "reqwest"];
const ONE_VERSION = ["hyper", "rustls", "http", "tokio", "axum", "aws-lc-rs"];

// Licences that may be linked without asking anybody.
const LICENCES = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unicode-3.0", "Unlicense", "CC0-1.0", "MIT-0", "BSL-1.0", "0BSD", "OpenSSL", "CDLA-Permissive-2.0"];

// The gates: who may make these values.
const GATES = [
  { what: "Admitted", pattern: /\bAdmitted\s*\{\s*token/, only: ["crates/sessile-core/src/session/evaluate.rs"] },
  { what: "Stored", pattern: /after_acknowledged_write\(/, only: ["crates/sessile-store/src/vault/", "crates/sessile-core/src/rotation.rs"] },
  {
    what: "VerifiedIdentity",
    pattern: /VerifiedIdentity::vouched\(/,
    only: ["crates/sessile/src/password/sign_in.rs", "crates/sessile-server/src/gateway/sign_in.rs"],
  },
];

function metadata() {
  const json = execFileSync("cargo", ["metadata", "--format-version", "1", "--no-deps", "--locked"], { cwd: root, maxBuffer: 1 << 28 });
  return JSON.parse(json);
}

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (entry.name.endsWith(".rs")) yield { path: relative(root, path), text: readFileSync(path, "utf8") };
  }
}

function checkCrates({ packages }) {
  const faults = [];
  const ours = packages.filter((p) => p.name in MAY_DEPEND);
  for (const name of Object.keys(MAY_DEPEND)) if (!ours.some((p) => p.name === name)) faults.push(`crate ${name} is gone`);
  for (const crate of ours) {
    const normal = crate.dependencies.filter((d) => d.kind === null).map((d) => d.name);
    for (const name of normal) {
      if (name in MAY_DEPEND && !MAY_DEPEND[crate.name].includes(name)) faults.push(`${crate.name} must not depend on ${name}`);
      if (ONLY_FOR[name] && !ONLY_FOR[name].includes(crate.name)) faults.push(`${crate.name} must not use ${name}: it belongs to ${ONLY_FOR[name]}`);
      if (crate.name === "sessile-core" && !CORE_MAY_USE.includes(name)) faults.push(`sessile-core must not use ${name}`);
    }
  }
  return faults;
}

// What is linked, without development dependencies. `cargo metadata` would count features nobody enables.
function linked() {
  const args = ["tree", "--workspace", "--locked", "-e", "normal,build", "--prefix", "none", "--format", "{p}|{l}", "--target", "all"];
  const lines = execFileSync("cargo", args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 }).split("\n");
  const packages = new Map();
  for (const line of lines) {
    const [id, licence] = line.replace(" (*)", "").split("|");
    const [name, version] = id.split(" ");
    if (name) packages.set(`${name} ${version}`, { name, version, licence });
  }
  return [...packages.values()];
}

function checkGraph(graph) {
  const faults = [];
  for (const name of BANNED) if (graph.some((p) => p.name === name)) faults.push(`${name} is in the dependency graph`);
  for (const name of ONE_VERSION) {
    const versions = graph.filter((p) => p.name === name).map((p) => p.version);
    if (versions.length > 1) faults.push(`${name} is there in several versions: ${versions.join(", ")}`);
  }
  return faults;
}

// A licence expression is fine if each of its AND parts offers an allowed choice.
function licenceAllowed(expression) {
  const flat = expression.replace(/[()]/g, "").replaceAll("/", " OR ");
  return flat.split(" AND ").every((part) => part.split(" OR ").some((licence) => LICENCES.includes(licence.trim())));
}

function checkLicences(graph) {
  return graph.filter((p) => !licenceAllowed(p.licence ?? "")).map((p) => `${p.name} has the licence ${p.licence || "(none stated)"}`);
}

function checkGates(files) {
  const faults = [];
  for (const { what, pattern, only } of GATES) {
    const makers = files.filter((f) => f.path.includes("/src/") && pattern.test(f.text)).map((f) => f.path);
    if (makers.length === 0) faults.push(`nobody makes ${what}: the check has lost its subject`);
    for (const path of makers) if (!only.some((allowed) => path.startsWith(allowed))) faults.push(`${path} must not make ${what}`);
  }
  return faults;
}

function checkCore(files) {
  const lib = files.find((f) => f.path === "crates/sessile-core/src/lib.rs");
  const faults = [];
  if (!lib || !/^#!\[no_std\]$/m.test(lib.text)) faults.push("sessile-core must be no_std");
  for (const file of files.filter((f) => f.path.startsWith("crates/sessile-core/src/"))) {
    if (/\bstd::/.test(file.text.replace(/^\s*\/\/.*$/gm, "")) && !/cfg\(test\)/.test(file.text)) faults.push(`${file.path} names std`);
    if (/\basync\b/.test(file.text.replace(/^\s*\/\/.*$/gm, ""))) faults.push(`${file.path}: a function that decides does not wait`);
  }
  return faults;
}

function selfTest() {
  const dep = (name) => ({ name, kind: null });
  const crates = Object.keys(MAY_DEPEND).map((name) => ({ name, dependencies: [] }));
  const withDep = (crate, name) => crates.map((p) => (p.name === crate ? { ...p, dependencies: [dep(name)] } : p));
  const gate = (path, text) => [{ path, text }];
  const cases = [
    ["a forbidden edge", checkCrates({ packages: withDep("sessile-core", "sessile-store") }), checkCrates({ packages: crates })],
    ["a driver in the wrong crate", checkCrates({ packages: withDep("sessile", "rusqlite") }), checkCrates({ packages: crates })],
    ["a banned crate", checkGraph([{ name: "rsa", version: "1" }]), checkGraph([])],
    ["two versions", checkGraph([{ name: "hyper", version: "1" }, { name: "hyper", version: "2" }]), checkGraph([])],
    ["a licence", checkLicences([{ name: "x", licence: "GPL-3.0 OR AGPL-3.0" }]), checkLicences([{ name: "x", licence: "(MIT OR GPL-3.0) AND Unicode-3.0" }])],
    ["a second gate", checkGates(gate("crates/sessile/src/layer.rs", "Admitted { token }")), []],
    ["std in core", checkCore(gate("crates/sessile-core/src/lib.rs", "#![no_std]\nuse std::fs;")), checkCore(gate("crates/sessile-core/src/lib.rs", "#![no_std]\n"))],
  ];
  for (const [what, bad, good] of cases) {
    if (bad.length === 0) throw new Error(`${what} went unnoticed`);
    if (good.length > 0) throw new Error(`${what}: the good twin was refused: ${good}`);
  }
  console.log(`architecture: ${cases.length} checks can fail`);
}

if (process.argv.includes("--self-test")) {
  selfTest();
} else {
  const graph = linked();
  const files = [...sources(join(root, "crates"))];
  const faults = [...checkCrates(metadata()), ...checkGraph(graph), ...checkLicences(graph), ...checkGates(files), ...checkCore(files)];
  for (const fault of faults) console.error(`architecture: ${fault}`);
  if (faults.length > 0) process.exit(1);
  console.log(`architecture: ${graph.length} crates linked, edges and gates as ARCHITECTURE.md says`);
}
