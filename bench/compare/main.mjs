// Measures every case of `cases/` and writes what came out. `bench/run` installs and builds what this needs.
//
//   node bench/compare/main.mjs [--quick] [--only CASE]... [--out FILE]
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { closeAll } from '../../e2e/lib/closing.mjs';
import { ROOT } from '../../e2e/lib/sessile.mjs';
import { bodies, oidc, small } from './cases/gateway.mjs';
import { forwardAuth, layer, libraryRedis, librarySqlite } from './cases/services.mjs';
import { stores } from './cases/stores.mjs';
import { tls } from './cases/tls.mjs';
import { machine, versions } from './lib/machine.mjs';
import { measure } from './lib/rounds.mjs';

const CASES = [small, oidc, ...bodies, stores, forwardAuth, layer, libraryRedis, librarySqlite, ...tls];

// What would be good to have beside it and is in no registry that this installs from.
const NOT_MEASURED = [
  { peer: 'oauth2-proxy, Authelia, Traefik, Envoy, Pomerium', why: 'no package of Debian 12, crate or npm package' },
];

const FULL = { rounds: 3, seconds: 3, half_seconds: 3, connections: 64 };
const QUICK = { rounds: 2, seconds: 1, half_seconds: 1, connections: 64 };

try {
  await main();
} catch (error) {
  console.error(`compare: ${error.message}`);
  process.exit(1);
}

async function main() {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, only: { type: 'string', multiple: true }, out: { type: 'string' } },
  });
  const chosen = values.only ? values.only.map(named) : CASES;
  // A part of the cases, or a quick look, is nothing to keep.
  const kept = !values.only && !values.quick;
  const out = values.out ?? (kept ? join(ROOT, 'docs/measured/benchmarks.json') : undefined);

  const plan = values.quick ? QUICK : FULL;
  const began = Date.now();
  const report = {
    date: new Date().toISOString().slice(0, 10),
    machine: machine(),
    versions: await versions(),
    load_average: Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]),
    plan,
    not_measured: NOT_MEASURED,
    cases: [],
  };
  for (const one of chosen) report.cases.push(await measured(one, plan));
  report.took_seconds = Math.round((Date.now() - began) / 1000);
  if (out) writeFileSync(out, `${JSON.stringify(report, null, 1)}\n`);
  console.log(out ? `wrote ${out} after ${report.took_seconds} s` : `done after ${report.took_seconds} s; nothing written, --out FILE does`);
}

async function measured(one, plan) {
  console.log(`${one.name}: ${one.title}`);
  const world = { dir: mkdtempSync(join(tmpdir(), 'sessile-bench-')), closers: [] };
  const forget = () => rmSync(world.dir, { recursive: true, force: true });
  // Not only at its end: whoever interrupts it leaves no keys behind.
  process.once('exit', forget);
  const how = {
    rounds: plan.rounds,
    seconds: Math.min(plan.seconds, one.seconds ?? plan.seconds),
    halfSeconds: one.half ? plan.half_seconds : 0,
    connections: one.connections ?? plan.connections,
    streams: one.streams ?? 1,
    full: one.full,
    profiled: one.profiled ?? [],
  };
  try {
    const { subjects, configs } = await one.start(world);
    const raw = await measure(subjects, { ...how, dir: world.dir, say: (line) => console.log(`  ${line}`) }, one.ceiling);
    const { name, title, unit = 'request', targets, ceiling } = one;
    const { seconds, halfSeconds, connections, streams } = how;
    return { name, title, unit, targets, ceiling, seconds, half_seconds: halfSeconds, connections, streams, ...raw, configs };
  } finally {
    await closeAll(world.closers, world.dir);
    process.off('exit', forget);
  }
}

function named(name) {
  const found = CASES.find((one) => one.name === name);
  if (!found) throw new Error(`There is no case ${name}. There are: ${CASES.map((one) => one.name).join(', ')}`);
  return found;
}
