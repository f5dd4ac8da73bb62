// A real pooler in front of PostgreSQL, in transaction mode: what listens through it hears nothing.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './network.mjs';
import { Child } from './process.mjs';

/** @returns {Promise<{port: number, close: () => Promise<void>}>} */
export async function startPgbouncer(postgresPort) {
  const dir = mkdtempSync(join(tmpdir(), 'sessile-pgbouncer-'));
  const [port] = await freePorts(1);
  const file = join(dir, 'pgbouncer.ini');
  writeFileSync(file, `[databases]
* = host=127.0.0.1 port=${postgresPort} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
ignore_startup_parameters = extra_float_digits
${process.getuid() === 0 ? 'user = nobody' : ''}
`, { mode: 0o644 });
  // It runs as somebody else than root, who must reach its file.
  chmodSync(dir, 0o755);
  const child = new Child('pgbouncer', [file]);
  const answers = () => new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
  await child.until(answers);
  return {
    port,
    async close() {
      await child.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
