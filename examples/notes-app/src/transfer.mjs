// Streams of any length, never held in memory: an upload that is only counted and hashed, a download that is made up.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { HttpError, sendJson } from './http.mjs';

const MAX_DOWNLOAD = 16 * 1024 ** 3;
const BLOCK = Buffer.alloc(64 * 1024, 'sessile\n');

export async function receiveUpload(request, response) {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  sendJson(response, 200, { bytes, sha256: hash.digest('hex') });
}

export async function sendDownload(url, response) {
  const text = url.searchParams.get('bytes') ?? '';
  const bytes = Number(text);
  if (!/^\d{1,12}$/.test(text) || bytes > MAX_DOWNLOAD) {
    throw new HttpError(400, `bytes must be a number from 0 to ${MAX_DOWNLOAD}.`);
  }
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': bytes,
    'content-disposition': 'attachment; filename="download.bin"',
    'cache-control': 'no-store',
  });
  await pipeline(Readable.from(blocks(bytes)), response);
}

function* blocks(bytes) {
  for (let left = bytes; left > 0; left -= BLOCK.length) {
    yield left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left);
  }
}
