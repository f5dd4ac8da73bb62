// What the browser loads: three static files and one page made on the server.
import { readFileSync } from 'node:fs';
import { escapeHtml } from './http.mjs';

const asset = (name, type) => ({
  body: readFileSync(new URL(`../public/${name}`, import.meta.url)),
  type,
});

/** Every file that is served, by path. A path that is not here does not exist, whatever it spells. */
export const STATIC = new Map([
  ['/', asset('index.html', 'text/html; charset=utf-8')],
  ['/app.js', asset('app.js', 'text/javascript; charset=utf-8')],
  ['/style.css', asset('style.css', 'text/css; charset=utf-8')],
  ['/icon.svg', asset('icon.svg', 'image/svg+xml')],
]);

// No inline script or style anywhere, so the policy can be this short.
const POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

export function sendStatic(response, file, method) {
  response.writeHead(200, {
    'content-type': file.type,
    'content-length': file.body.length,
    'cache-control': 'no-cache',
    'content-security-policy': POLICY,
    'x-content-type-options': 'nosniff',
  });
  response.end(method === 'HEAD' ? undefined : file.body);
}

/** The notes as a plain page, private data in the HTML itself: it must not outlive the session in any cache. */
export function sendPrint(response, subject, notes) {
  const items = notes.map((note) => `<li><p>${escapeHtml(note.text)}</p><time>${escapeHtml(note.created_at)}</time></li>`);
  const body = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Notes of ${escapeHtml(subject)}</title>
<link rel="icon" href="/icon.svg">
<link rel="stylesheet" href="/style.css">
</head>
<body class="print">
<main>
<h1>Notes of ${escapeHtml(subject)}</h1>
${items.length > 0 ? `<ol class="notes">\n${items.join('\n')}\n</ol>` : '<p>No notes yet.</p>'}
<p><a href="/">Back</a></p>
</main>
</body>
</html>
`;
  response.writeHead(200, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'content-security-policy': POLICY,
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
