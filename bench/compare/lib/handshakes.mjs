// TLS handshakes from `openssl s_time`: a connection, its handshake, and the next one.
import { run } from '../../../e2e/lib/process.mjs';
import { CORES } from './processes.mjs';

const CLIENTS = 8;

/**
 * @param {{port: number, resumed: boolean, version: '1.2' | '1.3'}} target
 * @param {{seconds: number}} how whole seconds, at least one
 * @returns {Promise<{requests: number, per_second: number}>}
 */
export async function handshakes({ port, resumed, version }, { seconds }) {
  const whole = Math.max(1, Math.round(seconds));
  const how = [resumed ? '-reuse' : '-new', `-tls${version.replace('.', '_')}`, '-time', String(whole)];
  const began = performance.now();
  const clients = Array.from({ length: CLIENTS }, () => run('taskset', ['-c', String(CORES.load), 'openssl', 's_time', '-connect', `127.0.0.1:${port}`, ...how]));
  const said = await Promise.all(clients);
  const took = (performance.now() - began) / 1000;
  const requests = said.reduce((sum, one) => sum + counted(one, resumed), 0);
  return { requests, per_second: requests / took };
}

/** Handshakes of one client, each of which it marks: `*` for a full one, `r` for a resumed one. */
export function counted({ code, output }, resumed) {
  const marks = /^[*r]+$/m.exec(output)?.[0] ?? '';
  const total = Number(/^(\d+) connections in \d+ real seconds/m.exec(output)?.[1] ?? 0);
  const right = marks.split(resumed ? 'r' : '*').length - 1;
  if (code !== 0 || right === 0 || right !== marks.length || right !== total) {
    throw new Error(`s_time wanted ${resumed ? 'resumed' : 'full'} handshakes and had ${right} of ${total}:\n${output.slice(-500)}`);
  }
  return right;
}
