// Load from h2load, and what it says about the answers. A run in which one request was not answered with 2xx is an error.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from '../../../e2e/lib/process.mjs';
import { CORES } from './processes.mjs';

/** A connection that waits for its turn sends at most so many requests a second; see `paced`. */
const PER_CONNECTION = 80;

/**
 * What is asked.
 * @typedef {object} Target
 * @property {string} url
 * @property {[string, string][]} headers
 * @property {string} [body] a file, sent with POST
 * @property {boolean} [h2] HTTP/2 instead of HTTP/1.1
 * @property {number} [port] of 127.0.0.1, where the URL names another host
 */

/**
 * As many requests as it can answer: each connection sends the next one when the last was answered.
 * @param {Target} target
 * @param {{seconds: number, connections: number, streams?: number}} how
 * @returns {Promise<{requests: number, per_second: number}>}
 */
export async function closed(target, { seconds, connections, streams = 1 }) {
  const said = await h2load(target, ['-D', `${Math.round(seconds * 1000)}ms`, '-c', String(connections), '-m', String(streams)], seconds);
  return answered(said);
}

/**
 * Requests at a constant rate. They come from many connections, each in its own rhythm and begun a moment after the other, since
 * h2load's clock ticks a hundred times a second at most: one fast connection would send them in bursts.
 * @param {Target} target
 * @param {{seconds: number, rate: number, dir: string}} how
 * @returns {Promise<{requests: number, per_second: number, p50_micros: number, p99_micros: number}>}
 */
export async function paced(target, { seconds, rate, dir }) {
  const connections = Math.max(1, Math.ceil(rate / PER_CONNECTION));
  const log = join(dir, 'h2load.log');
  rmSync(log, { force: true });
  const rhythm = ['-c', String(connections), '--rps', String(rate / connections), '-r', '1', '--rate-period=1ms'];
  const { requests } = answered(await h2load(target, ['-n', String(Math.round(rate * seconds)), ...rhythm, `--log-file=${log}`], seconds));
  return { requests, ...timings(readFileSync(log, 'utf8')) };
}

async function h2load({ url, headers, body, h2, port }, how, seconds) {
  const what = headers.flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  if (!h2) what.push('--h1');
  if (body) what.push('-d', body);
  if (port) what.push(`--connect-to=127.0.0.1:${port}`);
  const args = ['-c', String(CORES.load), 'h2load', ...how, ...what, url];
  return (await runOk('taskset', args, { ms: (seconds * 4 + 20) * 1000 })).stdout;
}

/** What the last lines of h2load say. Fails unless all requests were answered with 2xx. */
export function answered(said) {
  const requests = /^requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$/m.exec(said);
  const statuses = /^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx$/m.exec(said);
  const rate = /^finished in [^,]+, ([\d.]+) req\/s/m.exec(said);
  if (!requests || !statuses || !rate) throw new Error(`h2load did not say how it went:\n${said}`);
  const [, done, succeeded, failed, errored, late] = requests.slice(1).map(Number);
  const [good, ...others] = statuses.slice(1).map(Number);
  // Answers that had begun when the time was over have a status, and are not done.
  if (succeeded === 0 || succeeded !== done || good < done || [...others, failed, errored, late].some((count) => count > 0)) {
    throw new Error(`Not every request was answered with 2xx:\n${requests[0]}\n${statuses[0]}`);
  }
  return { requests: done, per_second: Number(rate[1]) };
}

/** Rate and percentiles of h2load's log: start in microseconds, status and microseconds to the end of each request. */
export function timings(log) {
  const rows = log.trim().split('\n').map((line) => line.split('\t').map(Number));
  const times = rows.map(([, , micros]) => micros).sort((a, b) => a - b);
  const starts = rows.map(([start]) => start).sort((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.ceil(share * times.length) - 1)];
  return { per_second: ((starts.length - 1) / (starts.at(-1) - starts[0])) * 1e6, p50_micros: at(0.5), p99_micros: at(0.99) };
}
