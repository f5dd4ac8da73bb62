// Writes docs/requirements.md: for each requirement, invariant, fault row and rule, the tests that name it. With --check
// it only compares, for CI. A row counts as met when a test that can fail proves it; a test says so by naming the row.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, "docs", "requirements.md");
const ROOTS = ["clients", "crates", "e2e", "examples", "instruments", "lab"];
const SKIP = new Set(["node_modules", "target"]);

function* testFiles(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!SKIP.has(entry.name)) yield* testFiles(path);
    } else if (/\.test\.mjs$/.test(entry.name) || (/\.rs$/.test(entry.name) && (/\/tests\//.test(path) || /tests?\.rs$/.test(path)))) {
      yield path;
    }
  }
}

const ROW = /\b(R-\d{3}|JA-\d{2})(?: (?:to|and) (R-\d{3}|JA-\d{2}))?/g;

// The rows named in the comment above a Rust test, or in the title of a Node.js test.
function* tests(path) {
  const text = readFileSync(path, "utf8");
  if (path.endsWith(".mjs")) {
    for (const [, , title] of text.matchAll(/\b(?:test|it|t\.test|describe|subtest|step)\(\s*(['"`])(.*?)\1/gs)) yield [title, title];
    return;
  }
  const pattern = /((?:^[ \t]*\/\/[/!]?.*\n)*)(?:^[ \t]*#\[.*\]\n)*^[ \t]*(?:pub(?:\(crate\))? )?(?:async )?fn (\w+)\(/gm;
  for (const [all, comment, name] of text.matchAll(pattern)) {
    if (/#\[(?:tokio::)?test|proptest!/.test(all) || /#\[test\]/.test(all)) yield [comment + name.replaceAll("_", " "), name];
  }
}

function* rowsIn(text) {
  for (const [, first, last] of text.matchAll(ROW)) {
    const prefix = first.slice(0, first.indexOf("-") + 1);
    const digits = first.length - prefix.length;
    const from = Number(first.slice(prefix.length));
    const to = last?.startsWith(prefix) && / to /.test(text) ? Number(last.slice(prefix.length)) : from;
    for (let n = from; n <= Math.max(from, to); n += 1) yield prefix + String(n).padStart(digits, "0");
    if (last && to === from) yield last;
  }
}

const rows = new Map();
for (const folder of ROOTS) {
  for (const path of [...testFiles(join(root, folder))].sort()) {
    for (const [text, name] of tests(path)) {
      for (const row of rowsIn(text)) {
        if (!rows.has(row)) rows.set(row, new Set());
        rows.get(row).add(`\`${relative(root, path)}\`: ${name.replaceAll("|", "\\|")}`);
      }
    }
  }
}

const lines = [
  "# Requirements and the tests that prove them",
  "",
  "Made by `node ci/requirements.mjs` from the tests themselves. A row that is not here has no test that names it.",
  "`R-0xx` are the requirements, `JA-nn` the attacks on JWTs; both lists are paraphrases of the standards.",
  "",
  "| Row | Proved by |",
  "|---|---|",
];
for (const row of [...rows.keys()].sort()) lines.push(`| ${row} | ${[...rows.get(row)].join("<br>")} |`);
const page = `${lines.join("\n")}\n`;

if (process.argv.includes("--check")) {
  let current = "";
  try {
    current = readFileSync(target, "utf8");
  } catch {
    // Missing counts as different.
  }
  if (current !== page) {
    console.error("docs/requirements.md is out of date: run `node ci/requirements.mjs` and commit it");
    process.exit(1);
  }
  console.log(`requirements: ${rows.size} rows have tests`);
} else {
  writeFileSync(target, page);
  console.log(`wrote ${relative(root, target)}: ${rows.size} rows`);
}
