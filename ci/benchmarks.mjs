// The tables of docs/benchmarks.md, made from docs/measured/benchmarks.json. Used by measured.mjs. Every figure of the page is
// of that file or follows from it here.

import { bytes, figure } from "./scale.mjs";
import { filledWith } from "./tables.mjs";

// ---- arithmetic

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const cpu = (round) => round.user_micros + round.kernel_micros;

// What is compared: of which rounds, and so that more of the ratio is better or, with `less`, less of it. CPU is turned round, so
// that it reads as throughput does: requests for the same work.
const FIGURES = {
  throughput: { rounds: "full", of: (ours, theirs) => ours.per_second / theirs.per_second },
  cpu: { rounds: "full", of: (ours, theirs) => cpu(theirs) / cpu(ours) },
  p99: { rounds: "half", of: (ours, theirs) => ours.p99_micros / theirs.p99_micros },
};

/** The ratio of each round in which both were measured, one right after the other. */
export function ratios(one, { subject, peer, figure: name }) {
  const { rounds, of } = FIGURES[name];
  const [ours, theirs] = [subject, peer].map((each) => one.subjects[each]?.[rounds] ?? []);
  if (ours.length === 0 || ours.length !== theirs.length) throw new Error(`benchmarks.json has no rounds of ${subject} beside ${peer} in ${one.name}`);
  return ours.map((round, i) => of(round, theirs[i]));
}

/** Whether the median keeps to the target. */
export function met(target, ratio) {
  return target.at_least === undefined ? ratio <= target.at_most : ratio >= target.at_least;
}

// ---- words

const table = (head, rows) => [`| ${head.join(" | ")} |`, `|${"---|".repeat(head.length)}`, ...rows.map((row) => `| ${row.join(" | ")} |`)];
const micros = (number) => (number >= 1000 ? `${figure(number / 1000)} ms` : `${figure(number)} µs`);
const percent = (share) => `${Math.round(share * 100)} %`;

/** Median, and from where to where. */
function spread(numbers, words = figure) {
  return `${words(median(numbers))} (${words(Math.min(...numbers))}–${words(Math.max(...numbers))})`;
}

const WHAT = { throughput: (unit) => `${unit}s per second`, cpu: (unit) => `${unit}s per CPU second`, p99: () => "p99 at half load" };
const goal = (target) => (target.at_least === undefined ? `at most ${target.at_most} ×` : `at least ${target.at_least} ×`);

// ---- tables

export const TABLES = {
  targets: ({ cases }) => {
    const rows = cases.flatMap((one) =>
      one.targets.map((target) => {
        const each = ratios(one, target);
        const verdict = met(target, median(each)) ? "met" : "**missed**";
        const forTheSame = `${figure(median(ratios(one, { ...target, figure: "cpu" })))} ×`;
        return [one.title, target.subject, target.peer, WHAT[target.figure](one.unit), `${spread(each)} ×`, goal(target), verdict, forTheSame];
      }),
    );
    return table(["", "What", "Beside", "Compared", "Ratio", "Target", "", "Per CPU second"], rows);
  },

  cases: ({ cases }) => cases.flatMap((one, i) => [...(i > 0 ? [""] : []), ...caseTable(one)]),

  profile: ({ cases }) => {
    const profiled = cases.flatMap(({ title, subjects }) => Object.entries(subjects).filter(([, { profile }]) => profile).map(([name, { profile, full }]) => ({ title, name, profile, full })));
    const parts = [...new Set(profiled.flatMap(({ profile }) => Object.keys(profile.shares ?? {})))];
    const rows = profiled.map(({ title, name, profile: { shares, why }, full }) => {
      const whole = median(full.map(cpu));
      return [title, name, micros(whole), ...(shares ? parts.map((part) => micros(shares[part] * whole)) : [why])];
    });
    return table(["", "", "CPU of a request", ...parts.map((part) => `of that: ${part}`)], rows);
  },

  machine: ({ date, machine, load_average: load, plan, took_seconds: took, cases }) => [
    `${date}: ${machine.cpu}, ${machine.processors} processors, ${bytes(machine.memory_bytes)} of memory, Linux ${machine.kernel};`,
    `load average ${figure(load)} at the start. ${plan.rounds} rounds of each, ${plan.seconds} s at full load, or less where the table`,
    `says so, and ${plan.half_seconds} s at half load; ${cases.length} cases in ${figure(took / 60)} minutes.`,
  ],

  versions: ({ versions }) => table(["", "Version"], Object.entries(versions)),

  unmeasured: ({ not_measured: all }) => table(["Not measured", "Why"], all.map(({ peer, why }) => [peer, why])),

  configurations: ({ cases }) => {
    const known = new Set();
    return cases.flatMap(({ title, configs }) =>
      Object.entries(configs)
        .filter(([, text]) => !known.has(plain(text)) && known.add(plain(text)))
        .flatMap(([name, text]) => ["", "<details>", `<summary>${name.replaceAll("`", "")} – ${title}</summary>`, "", "```", text.trim(), "```", "", "</details>"]),
    ).slice(1);
  },
};

// The ports are others in each case, and that is all.
const plain = (text) => text.replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:PORT");

function caseTable(one) {
  const { title, unit, seconds, connections, streams, rate } = one;
  const load = `${connections} connections at a time${streams > 1 ? ` with ${streams} streams each` : ""}`;
  const head = ["", `${unit}s/s`, ...(rate ? [`p50 at ${figure(rate)}/s`, "p99"] : []), `CPU of a ${unit}`, "user / kernel", "Memory", "Core of the server busy", "of the load"];
  const rows = Object.entries(one.subjects).map(([name, { full, half }]) => {
    const of = (read) => median(full.map(read));
    const paced = half.length === 0 ? ["–", "–"] : [spread(half.map((round) => round.p50_micros), micros), spread(half.map((round) => round.p99_micros), micros)];
    if (name === one.ceiling) return [`${name} (ceiling)`, spread(full.map((round) => round.per_second)), ...(rate ? paced : []), "–", "–", "–", percent(of((round) => round.busy.server)), percent(of((round) => round.busy.load))];
    return [
      name,
      spread(full.map((round) => round.per_second)),
      ...(rate ? paced : []),
      spread(full.map(cpu), micros),
      `${micros(of((round) => round.user_micros))} / ${micros(of((round) => round.kernel_micros))}`,
      bytes(of((round) => round.memory_bytes)),
      percent(of((round) => round.busy.server)),
      percent(of((round) => round.busy.load)),
    ];
  });
  return [`### ${title}`, "", `${load}, ${seconds} s a round.`, "", ...table(head, rows)];
}

/** The page with every table anew. */
export const filled = (text, measured) =>
  filledWith(text, TABLES, measured, { file: "docs/benchmarks.md", isOthers: (name) => name.startsWith("node") });

/** Shows that a verdict can be the other one, and that a table which lacks its figures is no table. */
export function selfTest() {
  const round = (perSecond, p99) => ({ per_second: perSecond, user_micros: 3e5 / perSecond, kernel_micros: 7e5 / perSecond, p99_micros: p99 });
  const target = { subject: "a", peer: "b", figure: "throughput", at_least: 0.9 };
  const made = (ours) => ({ name: "c", subjects: { a: { full: ours, half: ours }, b: { full: [round(100, 10), round(100, 10), round(200, 10)], half: [round(100, 10), round(100, 10), round(200, 10)] } } });
  const middle = (one, how) => median(ratios(one, { ...target, ...how }));
  const same = made([round(100, 10), round(100, 10), round(200, 10)]);
  const slow = made([round(50, 30), round(50, 30), round(100, 30)]);
  const fails = (act) => { try { act(); return false; } catch { return true; } };
  const cases = [
    ["the same throughput", middle(same), 1],
    ["half of it", middle(slow), 0.5],
    ["half of it for the same work", middle(slow, { figure: "cpu" }), 0.5],
    ["a p99 three times as long", middle(slow, { figure: "p99" }), 3],
    ["a target met", met(target, 0.9), true],
    ["a target missed", met(target, 0.89), false],
    ["a limit kept", met({ at_most: 1.2 }, 1.2), true],
    ["a limit not kept", met({ at_most: 1.2 }, 1.21), false],
    ["rounds that were not measured", fails(() => ratios(made([]), target)), true],
    ["a page without its tables", fails(() => filled("", {})), true],
  ];
  for (const [what, found, right] of cases) {
    if (typeof right === "number" ? Math.abs(found - right) > 1e-9 : found !== right) throw new Error(`${what}: found ${found}, right is ${right}`);
  }
  return cases.length;
}
