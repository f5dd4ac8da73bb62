// Exact costs: the instructions and allocations of the hot functions, counted by Valgrind and held against what is kept in
// docs/measured/exact.json; and docs/exact-costs.md, which shows them, with the store operations of store-operations.json.
//
//   node ci/exact.mjs                  counts, and fails if something costs another amount than what is kept
//   node ci/exact.mjs --accept         counts, keeps what it found and prints the page anew
//   node ci/exact.mjs --print          prints the page anew; counts nothing
//   node ci/exact.mjs --check          fails if the page does not show what is kept; counts nothing
//   node ci/exact.mjs --profile CASE   where the instructions of one case go
//   node ci/exact.mjs --self-test      shows that the comparison can fail
//
// Counting is not timing: a run repeats to a few instructions in a thousand, whatever else the machine does.

import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { END, filledWith } from "./tables.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const KEPT = join(root, "docs", "measured", "exact.json");
const OPERATIONS = join(root, "docs", "measured", "store-operations.json");
const PAGE = join(root, "docs", "exact-costs.md");

// Runs of one program differ by up to 0.4 %, and by up to 2.5 % if something else in it has moved: comparing bytes costs more
// across a boundary. What another compiler makes of the same source differs more.
const NOISE = 0.03;
const OTHER_TOOLS = 0.25;
// A first sight is to cost little more than the signature that it must check.
const MOST = [{ name: "cold, hybrid", beside: "bare ES256 verification", times: 1.3 }];
const COUNTED = "sessile_exact::counted";
// aws-lc allocates for itself, and how often depends on the numbers that it draws.
const NOT_OURS = /\baws_lc_/;

const run = promisify(execFile);
const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));
const number = (count) => count.toLocaleString("en-GB");

// ---- counting

function build() {
  execFileSync("cargo", ["build", "--release", "--locked", "--quiet", "-p", "sessile-exact"], { cwd: root, stdio: "inherit" });
  const { target_directory } = JSON.parse(
    execFileSync("cargo", ["metadata", "--format-version", "1", "--no-deps", "--locked"], { cwd: root, maxBuffer: 1 << 28 }),
  );
  return join(target_directory, "release", "sessile-exact");
}

/** What decides about the figures beside the source. */
function tools() {
  const line = (program, ...args) => execFileSync(program, args, { encoding: "utf8" }).split("\n")[0].trim();
  const flags = readFileSync("/proc/cpuinfo", "utf8").match(/^flags.*$/m)?.[0].split(" ") ?? [];
  return {
    rustc: line("rustc", "--version"),
    valgrind: line("valgrind", "--version"),
    libc: line("getconf", "GNU_LIBC_VERSION"),
    // Libraries choose their code by these.
    cpu: ["avx2", "bmi2", "aes", "pclmulqdq"].filter((flag) => flags.includes(flag)).join(" "),
  };
}

async function under(tool, args, binary, name) {
  const folder = mkdtempSync(join(tmpdir(), "sessile-exact-"));
  const out = join(folder, "out");
  try {
    await run("valgrind", [`--tool=${tool}`, `--${tool}-out-file=${out}`, ...args, binary, name], { env: {}, maxBuffer: 1 << 26 });
    return readFileSync(out, "utf8");
  } catch (error) {
    throw new Error(`"${name}" under ${tool}: ${error.stderr ?? error.message}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const callgrind = (binary, name) => under("callgrind", [`--toggle-collect=${COUNTED}*`], binary, name);

/** What one case costs. */
async function count(binary, name) {
  const instructions = Number((await callgrind(binary, name)).match(/^(?:totals|summary): (\d+)$/m)?.[1]);
  // Deep enough that no allocation loses sight of the function that is counted.
  const heap = JSON.parse(await under("dhat", ["--num-callers=200"], binary, name));
  const [inside, foreign] = [(frame) => frame.includes(COUNTED), (frame) => NOT_OURS.test(frame)].map(
    (test) => new Set(heap.ftbl.flatMap((frame, index) => (test(frame) ? [index] : []))),
  );
  const ours = heap.pps.filter(({ fs }) => fs.some((frame) => inside.has(frame)) && !fs.some((frame) => foreign.has(frame)));
  const sum = (field) => ours.reduce((all, point) => all + point[field], 0);
  if (!(instructions > 0) || inside.size === 0 && heap.pps.length === 0) throw new Error(`"${name}": nothing was counted`);
  return { instructions, blocks: sum("tbk"), bytes: sum("tb") };
}

/** What every case costs, in the order of the program. */
async function countAll() {
  const binary = build();
  const names = execFileSync(binary, { encoding: "utf8" }).trim().split("\n");
  const costs = {};
  const left = [...names];
  const worker = async () => {
    for (let name = left.shift(); name; name = left.shift()) costs[name] = await count(binary, name);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return Object.fromEntries(names.map((name) => [name, costs[name]]));
}

// ---- comparing

/** Everything in which what was counted differs from what is kept, in words. */
export function differences(kept, fresh) {
  const others = Object.keys(fresh.tools).filter((tool) => kept.tools[tool] !== fresh.tools[tool]);
  const allowed = others.length > 0 ? { instructions: OTHER_TOOLS, blocks: OTHER_TOOLS, bytes: OTHER_TOOLS } : { instructions: NOISE, blocks: 0, bytes: 0 };
  const out = [];
  for (const [name, now] of Object.entries(fresh.cases)) {
    const was = kept.cases[name];
    if (!was) {
      out.push(`${name}: is new`);
      continue;
    }
    for (const what of Object.keys(allowed)) {
      const by = now[what] / was[what] - 1;
      if (was[what] === now[what] || Math.abs(by) <= allowed[what]) continue;
      const percent = Number.isFinite(by) ? ` (${by > 0 ? "+" : ""}${(by * 100).toFixed(1)} %)` : "";
      out.push(`${name}: ${number(now[what])} ${what}, kept are ${number(was[what])}${percent}`);
    }
  }
  for (const name of Object.keys(kept.cases)) if (!fresh.cases[name]) out.push(`${name}: is gone`);
  for (const { name, beside, times } of MOST) {
    const ratio = fresh.cases[name]?.instructions / fresh.cases[beside]?.instructions;
    if (!(ratio <= times)) out.push(`${name}: ${ratio.toFixed(2)} times ${beside}, at most ${times} is allowed`);
  }
  return { out, others };
}

/** Takes the twins out of what was counted, having seen that each is noticed. */
function withoutTwins(counted) {
  const cases = Object.fromEntries(Object.entries(counted.cases).filter(([name]) => !name.startsWith("twin: ")));
  for (const [twin, what] of [["twin: cold, hybrid", "instructions"], ["twin: warm, hybrid", "blocks"]]) {
    const name = twin.slice("twin: ".length);
    const { out } = differences({ tools: counted.tools, cases }, { tools: counted.tools, cases: { ...cases, [name]: counted.cases[twin] } });
    if (!out.some((line) => line.startsWith(`${name}: `) && line.includes(what))) throw new Error(`"${twin}" costs more ${what}, and that went unnoticed`);
  }
  return { tools: counted.tools, cases };
}

// ---- the page

const TABLES = {
  costs: ({ exact: { cases } }) => [
    "| | Instructions | Allocations | Bytes |",
    "|---|--:|--:|--:|",
    ...Object.entries(cases).map(([name, { instructions, blocks, bytes }]) => `| ${name} | ${number(instructions)} | ${number(blocks)} | ${number(bytes)} |`),
  ],
  tools: ({ exact: { tools, cases } }) => [
    `Counted with ${tools.rustc.replace(/ \(.*/, "")}, ${tools.valgrind.replace("-", " ")} and ${tools.libc}, on a processor with ${tools.cpu || "none of the extensions that matter"}.`,
    ...MOST.map(({ name, beside, times }) => {
      const ratio = cases[name].instructions / cases[beside].instructions;
      return `"${name}" is ${ratio.toFixed(2)} times "${beside}"; at most ${times} is allowed.`;
    }),
  ],
  operations: ({ operations }) => {
    const storages = operations.map(([storage]) => storage);
    const kinds = [...new Set(operations.flatMap(([, kinds]) => kinds.map(([kind]) => kind)))];
    const asked = new Map(operations.flatMap(([storage, kinds]) => kinds.map(([kind, counts]) => [`${storage}, ${kind}`, counts])));
    const cell = (counts) => (counts === undefined ? "" : Object.entries(counts).map(([verb, times]) => (times === 1 ? `\`${verb}\`` : `${times} \`${verb}\``)).join(", ") || "–");
    return [
      `| | ${storages.map((name) => `\`${name}\``).join(" | ")} |`,
      `|---|${"---|".repeat(storages.length)}`,
      ...kinds.map((kind) => `| ${kind} | ${storages.map((storage) => cell(asked.get(`${storage}, ${kind}`))).join(" | ")} |`),
    ];
  },
};

/** The page with its tables as they should be. */
export const filled = (page, data) => filledWith(page, TABLES, data, { file: "docs/exact-costs.md" });

function print({ check }) {
  const page = readFileSync(PAGE, "utf8");
  const right = filled(page, { exact: readJson(KEPT), operations: readJson(OPERATIONS) });
  if (page === right) return;
  if (check) throw new Error("docs/exact-costs.md does not show what docs/measured holds: run `node ci/exact.mjs --print` and commit it");
  writeFileSync(PAGE, right);
}

// ---- that it can fail

function selfTest() {
  const tools = { rustc: "1", valgrind: "1" };
  const cost = (instructions, blocks, bytes) => ({ instructions, blocks, bytes });
  const cases = { "cold, hybrid": cost(1200, 9, 90), "bare ES256 verification": cost(1000, 0, 0), "warm, hybrid": cost(1000, 9, 90) };
  const kept = { tools, cases };
  const changed = (name, change) => ({ tools, cases: { ...cases, [name]: { ...cases[name], ...change } } });
  const found = (fresh) => differences(kept, fresh).out.length;
  const { "warm, hybrid": _, ...fewer } = cases;
  const data = { exact: kept, operations: [["hybrid", [["warm", {}], ["cold", { confirm: 1 }]]]] };
  const page = Object.keys(TABLES).map((name) => `<!-- measured: begin ${name}. x -->\nold\n${END}`).join("\n");
  const refused = (text) => {
    try {
      filled(text, data);
      return 0;
    } catch {
      return 1;
    }
  };
  const checks = [
    ["the same", found(kept), 0],
    ["noise", found(changed("warm, hybrid", { instructions: 1029 })), 0],
    ["more instructions", found(changed("warm, hybrid", { instructions: 1031 })), 1],
    ["fewer instructions, which would hide the next regression", found(changed("warm, hybrid", { instructions: 900 })), 1],
    ["one allocation", found(changed("warm, hybrid", { blocks: 10 })), 1],
    ["a first allocation", found(changed("bare ES256 verification", { blocks: 1 })), 1],
    ["one byte", found(changed("warm, hybrid", { bytes: 91 })), 1],
    ["more than the target", found(changed("bare ES256 verification", { instructions: 920 })), 2],
    ["a case that is new", found({ tools, cases: { ...cases, other: cost(1, 1, 1) } }), 1],
    ["a case that is gone", found({ tools, cases: fewer }), 1],
    ["another compiler", found({ ...changed("warm, hybrid", { instructions: 1200, blocks: 10 }), tools: { ...tools, rustc: "2" } }), 0],
    ["a compiler that makes it much dearer", found({ ...changed("warm, hybrid", { instructions: 1300 }), tools: { ...tools, rustc: "2" } }), 1],
    ["a page that is right", filled(filled(page, data), data) === filled(page, data), true],
    ["another figure on the page", filled(page, data) === filled(page, { ...data, exact: changed("warm, hybrid", { blocks: 8 }) }), false],
    ["a table that is not shown", refused(""), 1],
    ["a table nobody makes", refused(`${page}<!-- measured: begin nothing. x -->${END}`), 1],
    ["a table without an end", refused(page.slice(0, -END.length)), 1],
  ];
  for (const [what, is, right] of checks) if (is !== right) throw new Error(`${what}: found ${is}, right is ${right}`);
  console.log(`exact: ${checks.length} comparisons can fail`);
}

// ----

const [order, name] = process.argv.slice(2);
try {
  if (order === "--self-test") selfTest();
  else if (order === "--check" || order === "--print") print({ check: order === "--check" });
  else if (order === "--profile") {
    const folder = mkdtempSync(join(tmpdir(), "sessile-exact-"));
    const out = join(folder, "out");
    writeFileSync(out, await callgrind(build(), name));
    execFileSync("callgrind_annotate", ["--auto=no", "--threshold=95", out], { stdio: "inherit" });
    rmSync(folder, { recursive: true });
  } else {
    const fresh = withoutTwins({ tools: tools(), cases: await countAll() });
    if (order === "--accept") {
      writeFileSync(KEPT, `${JSON.stringify(fresh, null, 1)}\n`);
      print({ check: false });
    }
    const { out, others } = differences(readJson(KEPT), fresh);
    if (others.length > 0) console.log(`exact: counted with another ${others.join(", ")} than what is kept; up to ${OTHER_TOOLS * 100} % is taken for that`);
    if (out.length > 0) throw new Error(`what things cost has changed:\n  ${out.join("\n  ")}\nIf that is meant, accept it: node ci/exact.mjs --accept, and say in the commit why. Where it goes: node ci/exact.mjs --profile CASE`);
    console.log(`exact: ${Object.keys(fresh.cases).length} cases cost what is kept, and both twins were noticed`);
  }
} catch (error) {
  console.error(`exact: ${error.message}`);
  process.exit(1);
}
