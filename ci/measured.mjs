// The measured table: what the lab's attacks came to in each browser, kept in docs/measured/ and printed into README.md
// and docs/storages.md; the figures of docs/scale.md, kept there as scale-*.json and printed by scale.mjs; and those of
// docs/benchmarks.md, kept there as benchmarks.json and node.json and printed by benchmarks.mjs and node.mjs. exact.mjs sees
// to the rest.
//
//   node ci/measured.mjs                       prints the tables anew
//   node ci/measured.mjs --check               fails if the printed ones are not those of docs/measured
//   node ci/measured.mjs --take NAME FILE      takes the outcomes of a run (what the lab exports, with its catalogue)
//   node ci/measured.mjs --compare NAME FILE   fails if a run came to anything else than what is kept
//   node ci/measured.mjs --self-test           shows that the comparison can fail

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { filled as filledBenchmarks, selfTest as benchmarksSelfTest } from "./benchmarks.mjs";
import { filled as filledNode, selfTest as nodeSelfTest } from "./node.mjs";
import { filled, rulesOf, selfTest as scaleSelfTest } from "./scale.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, "docs", "measured");
const PAGES = [
  { file: "README.md", table: summary },
  { file: "docs/storages.md", table: everything },
];
const SCALE = "docs/scale.md";
const BENCHMARKS = "docs/benchmarks.md";
const BEGIN = "<!-- measured: begin.";
const END = "<!-- measured: end -->";

const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));

// ---- what is kept

/** A run with its catalogue, reduced to what a reader is told. */
export function reduce({ run, catalogue }) {
  if (run.state !== "done") throw new Error(`the run is ${run.state}, not done`);
  const outcomes = {};
  for (const { id } of catalogue.attacks) outcomes[id] = {};
  for (const { attack, storage, target, outcome } of run.results) if (target === "sessile") outcomes[attack][storage] = outcome;
  return {
    browser: run.browser,
    storages: catalogue.storages.map(({ name }) => name),
    groups: catalogue.groups.map(({ id, title }) => ({ id, title })),
    attacks: catalogue.attacks.map(({ id, group, title, good }) => ({ id, group, title, good })),
    outcomes,
  };
}

/** Every cell in which two measurements differ, in words. */
export function differences(kept, fresh) {
  const out = [];
  for (const list of ["storages", "groups", "attacks"]) {
    if (JSON.stringify(kept[list]) !== JSON.stringify(fresh[list])) out.push(`the list of ${list} has changed`);
  }
  for (const { id } of fresh.attacks) {
    for (const storage of fresh.storages) {
      const [was, is] = [kept.outcomes[id]?.[storage], fresh.outcomes[id]?.[storage]];
      if (was !== is) out.push(`${id} on ${storage}: kept as ${was ?? "nothing"}, now ${is ?? "nothing"}`);
    }
  }
  return out;
}

// ---- what is printed

function measurements() {
  const files = readdirSync(folder).filter((name) => name.endsWith(".json")).sort();
  return files.map((name) => readJson(join(folder, name))).filter(({ browser }) => browser);
}

const kept = (name) => readJson(join(folder, name));

const scale = () => ({
  units: kept("scale-units.json"),
  simulation: kept("scale-simulation.json"),
  rules: rulesOf((file) => readFileSync(join(root, file), "utf8")),
});

const WORDS = { stopped: "stopped", succeeded: "**succeeds**", survives: "survives", lost: "lost", not_applicable: "–", not_measured: "not measured" };

function cell(all, attack, storage) {
  const said = all.map((one) => ({ browser: one.browser.name, outcome: one.outcomes[attack]?.[storage] ?? "not_measured" }));
  const words = [...new Set(said.map(({ outcome }) => WORDS[outcome]))];
  return words.length === 1 ? words[0] : said.map(({ browser, outcome }) => `${WORDS[outcome]} (${browser})`).join(", ");
}

const browsers = (all) => all.map(({ browser }) => `${browser.name} ${browser.version.split(".")[0]}`).join(" and ");

/** The whole table: attacks as rows. */
function everything(all) {
  const [{ storages, groups, attacks }] = all;
  const lines = [`In ${browsers(all)}${all.length > 1 ? "; where they differ, the cell says so" : ""}.`];
  for (const group of groups) {
    lines.push("", `**${group.title}**`, "", `| | ${storages.map((name) => `\`${name}\``).join(" | ")} |`, `|---|${"---|".repeat(storages.length)}`);
    for (const { id, title } of attacks.filter((attack) => attack.group === group.id)) {
      lines.push(`| ${title} | ${storages.map((storage) => cell(all, id, storage)).join(" | ")} |`);
    }
  }
  return lines;
}

// What the first screen says: several attacks in one column are stopped only if each of them is.
const COLUMNS = [
  ["Injected script reads the token", ["script-reads-token"]],
  ["… catches it on its way", ["patched-fetch"]],
  ["Forms and fetches of other sites", ["cross-site-form", "cross-site-fetch", "cross-site-image"]],
  ["A link elsewhere to a GET that changes something", ["cross-site-navigation"]],
  ["Sibling hosts' requests", ["sibling-form", "sibling-fetch"]],
  ["Used after sign-out", ["replay-after-sign-out"]],
  ["Used after revocation", ["replay-after-revocation"]],
  ["Reload", ["survives-reload"]],
  ["New tab", ["survives-new-tab"]],
];

/** The table of the first screen: storages as rows. */
function summary(all) {
  const [{ storages }] = all;
  const lines = [`| \`storage\` | ${COLUMNS.map(([title]) => title).join(" | ")} |`, `|---|${"---|".repeat(COLUMNS.length)}`];
  for (const storage of storages) {
    const cells = COLUMNS.map(([, attacks]) => {
      const each = [...new Set(attacks.map((attack) => cell(all, attack, storage)))];
      return each.find((words) => words.includes("succeeds")) ?? each.find((words) => words.includes("not measured")) ?? each.find((words) => words !== "–") ?? "–";
    });
    lines.push(`| \`${storage}\` | ${cells.join(" | ")} |`);
  }
  lines.push("", `Measured by \`sessile lab\` in ${browsers(all)}; every attack, and what none of these stops: [docs/storages.md](docs/storages.md).`);
  return lines;
}

function printed(text, lines, file) {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${file} has no place for the measured table`);
  const marker = text.slice(begin, text.indexOf("\n", begin));
  return `${text.slice(0, begin)}${marker}\n\n${lines.join("\n")}\n\n${text.slice(end)}`;
}

function print({ check }) {
  const all = measurements();
  if (all.length === 0) throw new Error("docs/measured holds no measurement");
  const stale = [];
  const pages = PAGES.map(({ file, table }) => ({ file, fill: (text) => printed(text, table(all), file) }));
  pages.push({ file: SCALE, fill: (text) => filled(text, scale()) });
  pages.push({ file: BENCHMARKS, fill: (text) => filledNode(filledBenchmarks(text, kept("benchmarks.json")), kept("node.json")) });
  for (const { file, fill } of pages) {
    const path = join(root, file);
    const text = readFileSync(path, "utf8");
    const right = fill(text);
    if (text === right) continue;
    if (check) stale.push(file);
    else writeFileSync(path, right);
  }
  if (stale.length > 0) throw new Error(`${stale.join(" and ")} do not show what docs/measured holds: run \`node ci/measured.mjs\` and commit it`);
  console.log(`measured: ${all.length} browsers, ${all[0].attacks.length} attacks on ${all[0].storages.length} storages`);
}

function selfTest() {
  const one = {
    browser: { name: "B", version: "1.2" }, storages: ["a", "b"], groups: [{ id: "g", title: "G" }],
    attacks: [{ id: "x", group: "g", title: "X", good: "stopped" }], outcomes: { x: { a: "stopped", b: "succeeded" } },
  };
  const changed = (storage, outcome) => ({ ...one, outcomes: { x: { ...one.outcomes.x, [storage]: outcome } } });
  const cases = [
    ["the same", differences(one, structuredClone(one)).length, 0],
    ["another outcome", differences(one, changed("a", "succeeded")).length, 1],
    ["a missing cell", differences(one, changed("b", undefined)).length, 1],
    ["another attack", differences(one, { ...one, attacks: [...one.attacks, { id: "y", group: "g", title: "Y", good: "stopped" }], outcomes: { ...one.outcomes, y: { a: "stopped", b: "stopped" } } }).length > 1, true],
    ["browsers that differ", cell([one, { ...changed("a", "succeeded"), browser: { name: "C", version: "1" } }], "x", "a").includes("(C)"), true],
  ];
  for (const [what, found, right] of cases) if (found !== right) throw new Error(`${what}: found ${found}, right is ${right}`);
  console.log(`measured: ${cases.length + scaleSelfTest(scale()) + benchmarksSelfTest() + nodeSelfTest(kept("node.json"))} comparisons can fail`);
}

const [order, name, file] = process.argv.slice(2);
try {
  if (order === "--self-test") selfTest();
  else if (order === "--take") {
    writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(reduce(readJson(file)), null, 1)}\n`);
    print({ check: false });
  } else if (order === "--compare") {
    const wrong = differences(readJson(join(folder, `${name}.json`)), reduce(readJson(file)));
    if (wrong.length > 0) throw new Error(`what is kept of ${name} and this run disagree:\n  ${wrong.join("\n  ")}`);
    console.log(`measured: this run came to what is kept of ${name}`);
  } else print({ check: order === "--check" });
} catch (error) {
  console.error(`measured: ${error.message}`);
  process.exit(1);
}
