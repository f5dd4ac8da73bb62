// A world of one test: its own data, ports, certificate, upstreams and gateway, all gone afterwards.
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from './client.mjs';
import { closeAll } from './closing.mjs';
import { Cutter } from './cutter.mjs';
import { freePorts, makeCertificate } from './network.mjs';
import { PASSWORD } from './names.mjs';
import { Child, runOk } from './process.mjs';
import { ROOT, Sessile } from './sessile.mjs';
import { startEcho, startSite } from './sites.mjs';
import { toToml } from './toml.mjs';

const NOTES_APP = join(ROOT, 'examples/notes-app');

/**
 * @param {object} options
 * @param {boolean} [options.https] serve https://app.test instead of http://localhost
 * @param {string} [options.host] another host name: one under app.test or localhost
 * @param {object} [options.certificate] a certificate made before, for worlds that share a browser
 * @param {boolean} [options.notes] start the notes app
 * @param {boolean} [options.echo] start the echo upstream
 * @param {object} [options.pages] what the echo upstream answers on paths of its own
 * @param {boolean} [options.site] start the hostile site (https only)
 * @param {boolean} [options.cutter] put the cutter in front of the gateway
 * @param {(urls: {notes?: string, echo?: string}) => object} [options.config] configuration file as an object
 * @param {object} [options.env] environment of the gateway, SESSILE_...
 * @param {object} [options.notesEnv] environment of the notes app, NOTES_...
 * @param {string[]} [options.users] accounts to make
 */
export async function startWorld({ https = false, host, certificate, notes = false, echo = !notes, pages, site = false, cutter = false, config, env = {}, notesEnv = {}, users = ['ada'], bin } = {}) {
  const closers = [];
  const world = {
    dir: mkdtempSync(join(tmpdir(), 'sessile-e2e-')),
    close: () => closeAll(closers, world.dir),
  };

  try {
    const [publicPort, behindPort, opsPort, notesPort] = await freePorts(4);
    const gatewayPort = cutter ? behindPort : publicPort;
    world.data = join(world.dir, 'data');
    world.host = host ?? (https ? 'app.test' : 'localhost');
    world.origin = `${https ? 'https' : 'http'}://${world.host}:${publicPort}`;
    world.gatewayPort = gatewayPort;
    if (https) world.certificate = certificate ?? (await makeCertificate(world.dir));

    const urls = {};
    if (echo) {
      world.echo = await startEcho(pages);
      closers.push(world.echo.close);
      urls.echo = world.echo.url;
    }
    if (notes) urls.notes = `http://127.0.0.1:${notesPort}`;

    const gatewayEnv = { ...env };
    if (https) {
      gatewayEnv.SESSILE_SERVER_TLS_CERT = world.certificate.cert;
      gatewayEnv.SESSILE_SERVER_TLS_KEY = world.certificate.key;
    }
    let configFile;
    if (config) {
      configFile = join(world.dir, 'sessile.toml');
      writeFileSync(configFile, toToml(config(urls)));
    }
    world.sessile = new Sessile({
      bin,
      data: world.data,
      listen: gatewayPort,
      ops: opsPort,
      publicUrl: world.origin,
      upstream: config ? undefined : (urls.notes ?? urls.echo),
      config: configFile,
      env: gatewayEnv,
    });
    for (const name of users) await world.sessile.addUser(name, PASSWORD[name]);

    if (notes) {
      world.notesUrl = urls.notes;
      world.notes = await startNotes({ port: notesPort, origin: world.origin, certificate: world.certificate, env: notesEnv });
      closers.push(() => world.notes.stop());
    }
    closers.push(() => world.sessile.stop());
    await world.sessile.start();

    if (cutter) {
      world.cutter = new Cutter({
        gatewayPort,
        tls: https ? { ...world.certificate, servername: world.host } : undefined,
      });
      closers.push(() => world.cutter.close());
      await world.cutter.open(publicPort);
    }
    if (site) {
      world.site = await startSite(world.certificate);
      closers.push(world.site.close);
    }

    /** Starts the gateway again on the same data with another configuration. */
    world.reconfigure = async (config) => {
      await world.sessile.stop();
      writeFileSync(configFile, toToml(config(urls)));
      await world.sessile.start();
    };
    /** A client that talks to the gateway itself, past the cutter. */
    world.client = () => new Client({ origin: world.origin, port: gatewayPort, ca: world.certificate?.certPem });
    world.signedIn = async (name = 'ada', options) => {
      const client = world.client();
      client.session = await client.signIn(name, PASSWORD[name], options);
      return client;
    };
    return world;
  } catch (error) {
    const said = world.sessile?.output.slice(-4000);
    await world.close().catch(() => {});
    if (said) error.message += `\n--- sessile said:\n${said}`;
    throw error;
  }
}

/** The notes app, told where this world's keys, issuer and audience are. */
export async function startNotes({ port, origin, certificate, env = {} }) {
  if (!existsSync(join(NOTES_APP, 'node_modules'))) {
    await runOk('npm', ['ci', '--no-audit', '--no-fund'], { cwd: NOTES_APP, ms: 300_000 });
  }
  const child = new Child(process.execPath, ['--import', new URL('./resolve-test-names.mjs', import.meta.url).href, 'src/main.mjs'], {
    cwd: NOTES_APP,
    env: {
      PORT: String(port),
      SESSILE_JWKS: `${origin}/.well-known/jwks.json`,
      SESSILE_ISSUER: origin,
      SESSILE_AUDIENCE: origin,
      ...(certificate ? { NODE_EXTRA_CA_CERTS: certificate.cert } : {}),
      ...env,
    },
  });
  await child.until(() => child.output.includes('notes: ready'));
  return child;
}
