// TLS handshakes, mostly from `openssl s_time`: a connection, its handshake, and the next one.
import { fileURLToPath } from 'node:url';
import { run } from '../../../e2e/lib/process.mjs';
import { CORES } from './processes.mjs';

/**
 * @param {{port: number, resumed: boolean, version: '1.2' | '1.3'}} target
 * @param {{seconds: number, connections: number}} how whole seconds, at least one; clients at a time
 * @returns {Promise<{requests: number, per_second: number}>}
 */
export async function handshakes(target, { seconds, connections }) {
  const whole = String(Math.max(1, Math.round(seconds)));
  const began = performance.now();
  const clients = Array.from({ length: connections }, () => run('taskset', ['-c', String(CORES.load), ...command(target, whole)], { ms: (Number(whole) * 4 + 20) * 1000 }));
  const said = await Promise.all(clients);
  const took = (performance.now() - began) / 1000;
  const requests = said.reduce((sum, one) => sum + counted(one, target.resumed), 0);
  return { requests, per_second: requests / took };
}

// s_time leaves before the tickets of TLS 1.3 arrive.
function command({ port, resumed, version }, seconds) {
  if (resumed && version === '1.3') return [process.execPath, RESUMES, String(port), seconds];
  return ['openssl', 's_time', '-connect', `127.0.0.1:${port}`, resumed ? '-reuse' : '-new', `-tls${version.replace('.', '_')}`, '-time', seconds];
}

const RESUMES = fileURLToPath(new URL('resumes.mjs', import.meta.url));

/** Handshakes of one client, each of which it marks: `*` for a full one, `r` for a resumed one. */
export function counted({ code, output }, resumed) {
  const marks = /^[*r]+$/m.exec(output)?.[0] ?? '';
  const total = Number(/^(\d+) connections in \d+ real seconds/m.exec(output)?.[1] ?? 0);
  const right = marks.split(resumed ? 'r' : '*').length - 1;
  if (code !== 0 || right === 0 || right !== marks.length || right !== total) {
    throw new Error(`The client wanted ${resumed ? 'resumed' : 'full'} handshakes and had ${right} of ${total}:\n${output.slice(-500)}`);
  }
  return right;
}
