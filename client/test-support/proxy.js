// What stands between a browser and the daemon, and behaves badly. It also serves the page, so that both have one origin.

import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { BESIDE, CURRENT } from './pages.js';

/**
 * `mood` gets each request with its body and answers with nothing to let it pass, or with what the proxy says itself:
 * `{status, headers, body}`. `mood.upgrade` decides about sockets: 'pass' (the default) or 'refuse'.
 */
export class Proxy {
  mood = () => undefined;
  upgrades = true;
  /** Requests that came: method, path, authorization, body. */
  seen = [];
  #server;
  #sockets = new Set();

  static async to(port) {
    const proxy = new Proxy();
    proxy.#server = createServer((asked, answer) => proxy.#answer(asked, answer, port));
    proxy.#server.on('upgrade', (asked, socket, head) => {
      if (!proxy.upgrades) return socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n');
      const onward = connect(port, '127.0.0.1', () => {
        const headers = Object.entries(asked.headers).map(([name, value]) => `${name}: ${value}`).join('\r\n');
        onward.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${headers}\r\n\r\n`);
        onward.write(head);
        socket.pipe(onward).pipe(socket);
      });
      for (const end of [socket, onward]) end.on('error', () => {}).on('close', () => (socket.destroy(), onward.destroy()));
      proxy.#sockets.add(socket);
    });
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.port = proxy.#server.address().port;
    proxy.url = `http://127.0.0.1:${proxy.port}`;
    return proxy;
  }

  async #answer(asked, answer, port) {
    const body = await new Response(asked).text().catch(() => '');
    const { method, url, headers } = asked;
    if (url === '/') return answer.setHeader('content-type', 'text/html').end('<!doctype html><title>test</title>');
    const script = url === '/client.js' ? CURRENT : BESIDE[url];
    if (script) return answer.setHeader('content-type', 'text/javascript').end(script);
    this.seen.push({ method, url, authorization: headers.authorization, body });
    const own = await this.mood({ method, url, headers, body });
    if (own) return answer.writeHead(own.status, own.headers).end(own.body ?? '');
    const { host, connection, 'accept-encoding': _, ...rest } = headers;
    const onward = request({ port, host: '127.0.0.1', method, path: url, headers: { ...rest, host: `127.0.0.1:${port}` } }, (told) => {
      answer.writeHead(told.statusCode, told.headers);
      told.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    onward.end(body);
  }

  close() {
    this.#sockets.forEach((socket) => socket.destroy());
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
