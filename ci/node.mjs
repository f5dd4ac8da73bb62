// The tables of docs/benchmarks.md that compare Sessile with its own machine, made from docs/measured/node.json, which
// bench/node writes. A pure renderer: every figure of a table is one of that file's.

import { figure } from "./scale.mjs";
import { END, filledWith, selfTestOf } from "./tables.mjs";

// ---- figures and their words

const number = (value) => {
  if (!Number.isFinite(value)) throw new Error(`a figure of node.json is ${value}`);
  return value < 0 ? `−${figure(-value)}` : figure(value);
};
const UNITS = {
  per_second: (value) => `${number(value)}/s`,
  micros: (value) => (Math.abs(value) >= 10_000 ? `${number(value / 1000)} ms` : `${number(value)} µs`),
  bytes: (value) => `${number(value / 1e6)} MB`,
};
const times = (value) => `${number(value)} ×`;

const table = (head, rows) => [`| ${head.join(" | ")} |`, `|${"---|".repeat(head.length)}`, ...rows.map((row) => `| ${row.join(" | ")} |`)];

const bound = (target, words) => (target.least === undefined ? `at most ${words(target.most)}` : `at least ${words(target.least)}`);

/** Whether the median is within its bound. */
export const isMet = ({ target, median }) => (target.least === undefined ? median <= target.most : median >= target.least);

const spread = ({ median, low, high }, words) => {
  if (!(low <= median && median <= high)) throw new Error(`a figure of node.json is no median: ${low}, ${median}, ${high}`);
  return [words(median), low === high ? "–" : `${words(low)} to ${words(high)}`];
};

const judged = (measured, words) => {
  const { target } = measured;
  return target ? [bound(target, words), isMet(measured) ? "met" : "**missed**"] : ["–", "–"];
};

// ---- tables

const HEAD = ["", "median", "lowest and highest round", "target", ""];
const wordsOf = ({ name, unit }) => {
  if (!UNITS[unit]) throw new Error(`node.json counts ${name} in ${unit}`);
  return UNITS[unit];
};

const row = (measured, words) => [measured.what, ...spread(measured, words), ...judged(measured, words)];

function ofCase(name) {
  return ({ cases }) => {
    const found = cases[name];
    if (!found) throw new Error(`node.json has no case "${name}"`);
    const { method, figures, comparisons, load } = found;
    for (const { of, beside } of comparisons) {
      for (const side of [of, beside]) if (!figures.some((one) => one.name === side)) throw new Error(`node.json compares ${side}, which it does not hold`);
    }
    return [
      ...table(HEAD, [...comparisons.map((one) => row(one, times)), ...figures.map((one) => row(one, wordsOf(one)))]),
      "",
      `${method} ${figures[0].rounds.length} rounds; the load average before them was ${number(load)}.`,
    ];
  };
}

export const TABLES = {
  node: ({ date, machine, cores, versions, cases }) => {
    const rows = Object.values(cases).flatMap(({ figures, comparisons }) => [
      ...comparisons.filter(({ target }) => target).map((one) => row(one, times)),
      ...figures.filter(({ target }) => target).map((one) => row(one, wordsOf(one))),
    ]);
    const said = Object.entries(versions).map(([name, version]) => `${name}: ${version}`).join("; ");
    return [
      ...table(HEAD, rows),
      "",
      `Measured on ${date.slice(0, 10)}: ${machine.processor}, ${machine.cores} cores, ${number(machine.memory / 1e9)} GB, Linux ${machine.kernel}; ` +
        `writing 4 kB over and syncing them took ${number(machine.sync_ms * 1000)} µs. Gateways on core ${cores.gateway}, loads on core ${cores.load}. ${said}.`,
    ];
  },
  node_renewals: ofCase("renewals"),
  node_sessions: ofCase("sessions"),
  node_memory: ofCase("memory"),
  node_revocation: ofCase("revocation"),
  node_cold: ofCase("cold"),
};

/** The page with its tables as they should be. Tables whose names do not begin with `node` are somebody else's. */
export function filled(text, data) {
  if (data.quick) throw new Error("node.json is of a short run: measure without --quick");
  return filledWith(text, TABLES, data, { file: "docs/benchmarks.md", isOthers: (name) => !name.startsWith("node") });
}

/** Shows that the checks can fail. Answers how many. */
export function selfTest(data) {
  const others = `<!-- measured: begin other. x -->\nkept\n${END}`;
  const { good, refuses, changed } = selfTestOf("node", TABLES, filled, data, { before: [others], unknown: "node_nothing" });
  refuses("a case that was not measured", changed(({ cases }) => { delete cases.cold; }));
  refuses("a figure that is compared and gone", changed(({ cases }) => { cases.cold.figures.shift(); }));
  refuses("a figure that is no number", changed(({ cases }) => { cases.cold.figures[0].median = null; }));
  refuses("a unit nobody knows", changed(({ cases }) => { cases.cold.figures[0].unit = "miles"; }));
  refuses("a short run", changed((copy) => { copy.quick = true; }));
  if (!good.includes(others)) throw new Error("node: somebody else's table was touched");
  const missed = changed(({ cases }) => { Object.assign(cases.cold.comparisons[0], { median: 99, low: 99, high: 99 }); });
  if (!missed().includes("**missed**")) throw new Error("node: a target that was missed went unnoticed");
  if (isMet({ target: { least: 2 }, median: 1 }) || !isMet({ target: { most: 2 }, median: 1 })) throw new Error("node: a bound is read the wrong way");
  return 12;
}
