// Loopback ports and a certificate for the names of the tests.
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createHash, X509Certificate } from 'node:crypto';
import { runOk } from './process.mjs';

export const HOSTS = ['localhost', 'app.test', '*.app.test', 'evil.test'];

/** Ports that were free a moment ago, all different. */
export async function freePorts(count) {
  const servers = [];
  for (let i = 0; i < count; i += 1) {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
  }
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/**
 * A self-signed certificate for HOSTS and 127.0.0.1.
 * `spki` is what Chromium's --ignore-certificate-errors-spki-list wants; trusting just this key keeps every
 * other certificate check alive, which ignoring all errors would not.
 */
export async function makeCertificate(dir) {
  const cert = join(dir, 'cert.pem');
  const key = join(dir, 'key.pem');
  const config = join(dir, 'openssl.cnf');
  const names = [...HOSTS.map((name) => `DNS:${name}`), 'IP:127.0.0.1'].join(',');
  writeFileSync(config, `[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=sessile test\n[ext]\nsubjectAltName=${names}\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyCertSign\nextendedKeyUsage=serverAuth\n`);
  await runOk('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-keyout', key, '-out', cert, '-config', config]);
  const pem = readFileSync(cert);
  const spki = createHash('sha256')
    .update(new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64');
  return { cert, key, certPem: pem, keyPem: readFileSync(key), spki };
}
