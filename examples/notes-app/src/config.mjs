// The environment this service reads, checked once at start.

/** Thrown with every mistake in one message, so that one start tells all. */
export class ConfigError extends Error {}

/**
 * @param {Record<string, string | undefined>} env
 * @returns {{port: number, jwks: URL, issuer: string, audience: string, notesFile: string | undefined, accounts: Map<string, string>}}
 */
export function readConfig(env) {
  const mistakes = [];
  const need = (name, why) => {
    if (!env[name]) mistakes.push(`${name} is not set: ${why}`);
    return env[name] ?? '';
  };

  const port = Number(env.PORT ?? 3000);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    mistakes.push(`PORT must be a port number, not ${JSON.stringify(env.PORT)}`);
  }
  const jwks = need('SESSILE_JWKS', 'the URL of the gateway’s key set, ending in /.well-known/jwks.json');
  if (jwks && !/^https?:$/.test(safeUrl(jwks)?.protocol ?? '')) {
    mistakes.push(`SESSILE_JWKS must be an http(s) URL, not ${JSON.stringify(jwks)}`);
  }
  const issuer = need('SESSILE_ISSUER', 'the exact "iss" of the tokens to accept');
  const audience = need('SESSILE_AUDIENCE', 'the "aud" that means this service');

  let accounts = new Map();
  if (env.NOTES_ACCOUNTS) {
    try {
      accounts = new Map(Object.entries(JSON.parse(env.NOTES_ACCOUNTS)));
      if (![...accounts.values()].every((value) => typeof value === 'string' && value !== '')) throw new Error();
    } catch {
      mistakes.push('NOTES_ACCOUNTS must be a JSON object of account names and passwords');
    }
  }

  if (mistakes.length > 0) throw new ConfigError(mistakes.join('\n'));
  return { port, jwks: new URL(jwks), issuer, audience, notesFile: env.NOTES_FILE || undefined, accounts };
}

function safeUrl(text) {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}
