import { createApp } from './app.mjs';
import { ConfigError, readConfig } from './config.mjs';

const STOP_WITHIN_MS = 3000;

try {
  const config = readConfig(process.env);
  const { server, close } = await createApp(config);
  server.once('error', (error) => {
    console.error(`notes: cannot listen on 127.0.0.1:${config.port}: ${error.message}`);
    process.exit(1);
  });
  // Loopback only: the gateway is the way in.
  server.listen(config.port, '127.0.0.1', () => {
    console.log(`notes: ready on http://127.0.0.1:${server.address().port}`);
  });
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.once(signal, () => {
      close();
      setTimeout(() => process.exit(0), STOP_WITHIN_MS).unref();
    });
  }
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  console.error(`notes: cannot start\n${error.message}`);
  process.exit(2);
}
