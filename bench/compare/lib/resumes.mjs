// A client that resumes its TLS 1.3 session for some seconds, each time with the newest ticket, and says of each handshake
// what s_time does.
//
//   node resumes.mjs PORT SECONDS
import { connect } from 'node:tls';

const [port, seconds] = process.argv.slice(2).map(Number);

/** One connection, which ends when the server's next ticket is there. */
function visit(session) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, servername: 'app.test', session, minVersion: 'TLSv1.3', rejectUnauthorized: false });
    socket.once('session', (next) => {
      resolve({ next, resumed: socket.isSessionReused() });
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('end', () => reject(new Error('the server gave no ticket')));
    socket.resume();
  });
}

let { next } = await visit();
let marks = '';
const began = performance.now();
while (performance.now() - began < seconds * 1000) {
  const one = await visit(next);
  marks += one.resumed ? 'r' : '*';
  next = one.next;
}
console.log(marks);
console.log(`${marks.length} connections in ${Math.round((performance.now() - began) / 1000)} real seconds`);
