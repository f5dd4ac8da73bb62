// Open connections of each subject: event streams that say when the notes changed, and WebSockets that say
// how many pages are open. The gateway closes both when the session ends; nothing here has to ask.
import { WebSocketServer } from 'ws';

const HEARTBEAT_MS = 15_000;

export class Live {
  #streams = new Map();
  #sockets = new Map();
  #upgrades = new WebSocketServer({ noServer: true, maxPayload: 4096 });
  #heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);

  constructor() {
    this.#heartbeat.unref();
  }

  /** Turns `response` into an event stream of this subject's changes. */
  stream(subject, request, response) {
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    response.write('retry: 1000\nevent: ready\ndata: {}\n\n');
    const leave = join(this.#streams, subject, response);
    request.on('close', leave);
    response.on('close', leave);
  }

  /** Completes the WebSocket handshake and counts the socket among the subject's open pages. */
  upgrade(subject, request, socket, head) {
    this.#upgrades.handleUpgrade(request, socket, head, (webSocket) => {
      const leave = join(this.#sockets, subject, webSocket);
      webSocket.on('close', () => {
        leave();
        this.#tellOpenPages(subject);
      });
      webSocket.on('error', () => webSocket.terminate());
      webSocket.on('message', (data, isBinary) => {
        if (!isBinary && String(data) === '{"type":"ping"}') webSocket.send('{"type":"pong"}');
      });
      this.#tellOpenPages(subject);
    });
  }

  notesChanged(subject) {
    for (const response of this.#streams.get(subject) ?? []) response.write('event: notes\ndata: {}\n\n');
  }

  close() {
    clearInterval(this.#heartbeat);
    for (const responses of this.#streams.values()) for (const response of responses) response.end();
    for (const sockets of this.#sockets.values()) for (const socket of sockets) socket.close(1001, 'going away');
  }

  #tellOpenPages(subject) {
    const open = this.#sockets.get(subject) ?? new Set();
    const message = JSON.stringify({ type: 'pages', open: open.size });
    for (const socket of open) socket.send(message);
  }

  // A silent stream cannot tell a dead peer from a quiet one.
  #beat() {
    for (const responses of this.#streams.values()) for (const response of responses) response.write(':\n\n');
    for (const sockets of this.#sockets.values()) for (const socket of sockets) socket.ping();
  }
}

function join(members, subject, member) {
  if (!members.has(subject)) members.set(subject, new Set());
  const mine = members.get(subject);
  mine.add(member);
  return () => {
    mine.delete(member);
    if (mine.size === 0 && members.get(subject) === mine) members.delete(subject);
  };
}
