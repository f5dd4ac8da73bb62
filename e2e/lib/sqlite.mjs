// The embedded database from outside, as an operator with the sqlite3 tool would see it.
import { runOk } from './process.mjs';

const SCRIPT = `
import json, sqlite3, sys
path, sql, params = json.load(sys.stdin)
connection = sqlite3.connect(path, timeout=10)
connection.execute("PRAGMA foreign_keys = ON")
cursor = connection.execute(sql, [bytes.fromhex(each["hex"]) if isinstance(each, dict) else each for each in params])
names = [column[0] for column in cursor.description or []]
rows = [{name: value.hex() if isinstance(value, bytes) else value for name, value in zip(names, row)} for row in cursor]
connection.commit()
json.dump({"rows": rows, "changed": cursor.rowcount}, sys.stdout)
`;

/**
 * Runs one statement, also while a gateway has the database open. Blobs come out as hex text.
 * @param {string} path
 * @param {string} sql
 * @param {Array<string | number | {hex: string}>} [params]
 * @returns {Promise<{rows: object[], changed: number}>}
 */
export async function sqlite(path, sql, params = []) {
  const { stdout } = await runOk('python3', ['-c', SCRIPT], { input: JSON.stringify([path, sql, params]) });
  return JSON.parse(stdout);
}

/** A base64url id as the database keeps it. */
export const blob = (id) => ({ hex: Buffer.from(id, 'base64url').toString('hex') });
