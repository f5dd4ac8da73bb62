// What a server's processes are, what they have taken of a processor, and which one they run on.
import { readFileSync, readdirSync } from 'node:fs';
import { runOk } from '../../../e2e/lib/process.mjs';

/** The processor of the server that is measured, and the one of everything else: load, upstream, stores, this process. */
export const CORES = { server: 1, load: 0 };

/** The process and all its descendants. */
export function tree(pid) {
  const children = new Map();
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) ? stat(Number(name))?.parent : undefined;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const all = [pid];
  for (const each of all) all.push(...(children.get(each) ?? []));
  return all;
}

/** Binds every thread of a process and of its descendants to one processor; those they start later inherit it. */
export async function pin(pid, core) {
  for (const each of tree(pid)) await runOk('taskset', ['-a', '-p', '-c', String(core), String(each)]);
}

/**
 * Processor time that a process and its descendants have taken so far, in microseconds. Those that ended count with their parent.
 * @returns {{user: number, kernel: number}}
 */
export function cpu(pid) {
  const taken = tree(pid).map(stat).filter(Boolean);
  const micros = (kind) => taken.reduce((sum, each) => sum + each[kind], 0) * MICROS_A_TICK;
  return { user: micros('user'), kernel: micros('kernel') };
}

/** Bytes of memory that they hold, pages they share divided among those that do (PSS). */
export function memory(pid) {
  const held = tree(pid).map((each) => Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${each}/smaps_rollup`, 'utf8'))[1]));
  return held.reduce((sum, kib) => sum + kib * 1024, 0);
}

/** Ticks that each of CORES was busy and idle since the start of the machine. */
export function coreTicks() {
  const text = readFileSync('/proc/stat', 'utf8');
  return Object.fromEntries(
    Object.entries(CORES).map(([name, core]) => {
      const [user, nice, system, idle, wait, ...rest] = new RegExp(`^cpu${core} (.*)$`, 'm').exec(text)[1].split(' ').map(Number);
      // The last two, time of guests, are in user and nice already.
      return [name, { busy: user + nice + system + rest.slice(0, 3).reduce((sum, ticks) => sum + ticks, 0), idle: idle + wait }];
    }),
  );
}

/** The share of the time between two looks, 0 to 1, in which each core was busy. */
export function busyShares(before, after) {
  return Object.fromEntries(
    Object.keys(CORES).map((name) => {
      const busy = after[name].busy - before[name].busy;
      return [name, busy / Math.max(busy + after[name].idle - before[name].idle, 1)];
    }),
  );
}

// Linux tells processes' times in ticks of 10 ms on every architecture (USER_HZ).
const MICROS_A_TICK = 10_000;

function stat(pid) {
  let text;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined;
    throw error;
  }
  // The name, in brackets, may contain anything. The first field after it is the third of proc(5).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number) => Number(fields[number - 3]);
  return { parent: field(4), user: field(14) + field(16), kernel: field(15) + field(17) };
}
