// A proxy between browser and gateway that loses chosen responses: the request arrives, the answer does not.
import { createServer as createTcpServer, connect as connectTcp } from 'node:net';
import { createServer as createTlsServer, connect as connectTls } from 'node:tls';
import { listen } from './process.mjs';

export class Cutter {
  /** What was lost, as the first bytes of each response that never arrived. */
  lost = [];
  #sockets = new Set();
  #armed;
  #server;
  #gatewayPort;
  #tls;

  /**
   * @param {{gatewayPort: number, tls?: {certPem: Buffer, keyPem: Buffer, servername: string}}} options
   *   With `tls` the proxy ends TLS on both sides, so that it sees where a response begins. It speaks HTTP/1.1 only.
   */
  constructor({ gatewayPort, tls }) {
    this.#gatewayPort = gatewayPort;
    this.#tls = tls;
    const serve = (downstream) => this.#join(downstream);
    this.#server = tls
      ? createTlsServer({ cert: tls.certPem, key: tls.keyPem, ALPNProtocols: ['http/1.1'] }, serve)
      : createTcpServer(serve);
    this.#server.on('tlsClientError', () => {});
  }

  /** Starts listening, on `port` if given. */
  open(port) {
    return listen(this.#server, port);
  }

  /**
   * The next response with `matching` in its first bytes is lost: after `passBytes` bytes of it the connection is cut.
   */
  loseNext({ matching = /^/, passBytes = 0 } = {}) {
    this.#armed = { matching, passBytes };
  }

  disarm() {
    this.#armed = undefined;
  }

  close() {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  #join(downstream) {
    const upstream = this.#tls
      ? connectTls({
          host: '127.0.0.1',
          port: this.#gatewayPort,
          servername: this.#tls.servername,
          ca: this.#tls.certPem,
          ALPNProtocols: ['http/1.1'],
        })
      : connectTcp({ host: '127.0.0.1', port: this.#gatewayPort });
    const both = [downstream, upstream];
    for (const socket of both) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => both.forEach((each) => each.destroy()));
      socket.on('close', () => {
        this.#sockets.delete(socket);
        both.forEach((each) => each.destroy());
      });
    }
    downstream.on('data', (chunk) => upstream.write(chunk));
    downstream.on('end', () => upstream.end());
    upstream.on('end', () => downstream.end());
    upstream.on('data', (chunk) => {
      const armed = this.#armed;
      if (!armed || !armed.matching.test(chunk.toString('latin1'))) return downstream.write(chunk);
      this.#armed = undefined;
      this.lost.push(chunk.subarray(armed.passBytes).toString('latin1'));
      if (armed.passBytes > 0) downstream.write(chunk.subarray(0, armed.passBytes), () => downstream.destroy());
      else downstream.destroy();
    });
  }
}
