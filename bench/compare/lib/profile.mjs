// Where a server's time goes while it is under load: samples of perf, told apart by whose code they met.
import { join } from 'node:path';
import { run } from '../../../e2e/lib/process.mjs';
import { tree } from './processes.mjs';

const FREQUENCY = 2000;

/** Whose code a symbol is, the first that matches. What the compiler drew into a caller counts as the caller's. */
const PARTS = [
  ['the kernel', ({ kernel }) => kernel],
  ['Sessile', ({ symbol }) => /sessile/.test(symbol)],
  ['the HTTP library', ({ symbol }) => /\b(hyper|hyper_util|httparse|h2|http|bytes|axum|tower)\b/.test(symbol)],
  ['the runtime', ({ symbol }) => /\b(tokio|mio)\b/.test(symbol)],
  ['cryptography', ({ symbol }) => /^aws_lc_|\bring\b/.test(symbol)],
  ['memory', ({ symbol }) => /^(__libc_)?(malloc|calloc|realloc|cfree|free)\b|^_int_|^malloc_consolidate|^unlink_chunk/.test(symbol)],
  ['copying and comparing', ({ symbol }) => /^__mem|^mem(cpy|move|cmp|set)/.test(symbol)],
  ['the rest', () => true],
];

/**
 * Samples a process and its descendants while they work.
 * @returns {Promise<{shares?: Record<string, number>, why?: string}>} each part's share of the process's time; or why there is none
 */
export async function profile(pid, { seconds, dir }) {
  const data = join(dir, 'perf.data');
  const recorded = await run('perf', ['record', '-q', '-F', String(FREQUENCY), '-o', data, '-p', tree(pid).join(','), '--', 'sleep', String(seconds)], { ms: (seconds + 20) * 1000 });
  if (recorded.code !== 0) return { why: recorded.error ? 'perf is not installed' : 'perf may not sample here' };
  const said = await run('perf', ['report', '-i', data, '--stdio', '-w', '0,200', '--sort', 'symbol', '--percent-limit', '0']);
  return { shares: shares(said.stdout) };
}

/** The parts' shares in what `perf report` says. */
export function shares(said) {
  const found = Object.fromEntries(PARTS.map(([name]) => [name, 0]));
  for (const line of said.split('\n')) {
    const match = /^\s*([\d.]+)%\s+\[(.)\] (.*?)\s*$/.exec(line);
    if (!match) continue;
    const [, percent, kind, symbol] = match;
    const [name] = PARTS.find(([, isIn]) => isIn({ kernel: kind === 'k', symbol: symbol.replace(/\s+-\s+-$/, '') }));
    found[name] += Number(percent) / 100;
  }
  const all = Object.values(found).reduce((sum, share) => sum + share, 0);
  if (all < 0.5) throw new Error(`perf did not say where the time went:\n${said.slice(0, 1000)}`);
  return Object.fromEntries(Object.entries(found).map(([name, share]) => [name, share / all]));
}
