// Ten kinds of networks that let no WebSocket through, or not for long, each before a real daemon. All pass `/client*.js`, so that a
// page can be loaded through them; what they do to the interface is told beside each.

import { createServer, request } from 'node:http';
import { connect, createServer as createLine } from 'node:net';
import { Transform } from 'node:stream';
import { gzipSync } from 'node:zlib';

const PORTAL_MS = 1500;
const CUT_MS = 1500;
const LATE_MS = 150;
const PIECE = 4096;
const PIECE_MS = 100;
/** The word that the firewall does not like. */
export const WORD = 'forbidden-word';
const PAGE = '<!doctype html><title>Welcome to our Wi-Fi</title><p>Please accept the terms.</p>';
const PRIVATE = ['connection', 'upgrade', 'keep-alive', 'transfer-encoding', 'content-length', 'host'];

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const isApi = (url) => url.startsWith('/api/');
/** The headers that are passed on. */
const passed = (headers) => Object.fromEntries(Object.entries(headers).filter(([name]) => !PRIVATE.includes(name)));

/** Asks the daemon. @returns {Promise<import('node:http').IncomingMessage>} */
function onward(port, { method, url, headers }, body) {
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', method, path: url, headers: { ...passed(headers), host: `127.0.0.1:${port}`, 'content-length': body.length } }, resolve);
    asked.on('error', reject);
    asked.end(body);
  });
}

const whole = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
};

/** A proxy that speaks HTTP. `answer` may answer in the daemon's place (true); `pass` sends what the daemon says. A request for an
 * upgrade is passed on as one for nothing, unless `upgrade` takes it.
 */
function http(port, { answer = () => false, pass = (told, to) => told.pipe(to), upgrade } = {}) {
  const seen = [];
  const server = createServer(async (asked, to) => {
    to.on('error', () => {});
    try {
      const body = await whole(asked);
      if (isApi(asked.url)) seen.push({ method: asked.method, url: asked.url });
      if (isApi(asked.url) && await answer(asked, to, body)) return;
      const told = await onward(port, asked, body);
      to.on('close', () => told.destroy());
      to.writeHead(told.statusCode, passed(told.headers));
      await pass(told, to);
    } catch {
      to.destroy();
    }
  });
  if (upgrade) server.on('upgrade', (asked, socket, head) => upgrade(asked, socket, head));
  return listening(server, seen);
}

async function listening(server, seen) {
  const lines = new Set();
  server.on('connection', (line) => {
    lines.add(line);
    line.on('error', () => {}).on('close', () => lines.delete(line));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  return { url: `http://127.0.0.1:${port}`, port, seen, lines, close: () => (lines.forEach((line) => line.destroy()), server.close()) };
}

/** Lets an upgrade through; `back` is what the daemon's bytes go through. */
const tunnel = (port, back) => (asked, socket, head) => {
  const line = connect(port, '127.0.0.1', () => {
    const headers = Object.entries(asked.headers).map(([name, value]) => `${name}: ${value}`).join('\r\n');
    line.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${headers}\r\n\r\n`);
    line.write(head);
    socket.pipe(line);
    line.pipe(back()).pipe(socket);
  });
  for (const end of [socket, line]) end.on('error', () => {}).on('close', () => (socket.destroy(), line.destroy()));
};

/** Passes the daemon's head of an answer and swallows what follows. */
const mute = () => {
  let isOver = false;
  return new Transform({
    transform(part, _, done) {
      const end = part.indexOf('\r\n\r\n');
      const out = isOver ? undefined : end < 0 ? part : part.subarray(0, end + 4);
      isOver ||= end >= 0;
      done(null, out);
    },
  });
};

/** Bytes come late and few at a time. */
const slow = () => new Transform({
  async transform(part, _, done) {
    await pause(LATE_MS);
    for (let at = 0; at < part.length; at += PIECE) {
      this.push(part.subarray(at, at + PIECE));
      await pause(PIECE_MS);
    }
    done();
  },
});

/** A proxy of 1996: each request a connection of its own, HTTP/1.0 both ways, answers that end with the connection. */
function old(port) {
  const seen = [];
  const server = createLine((near) => {
    let head = '';
    near.on('data', function read(part) {
      head += part.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      near.off('data', read);
      const [first, ...headers] = head.slice(0, end).split('\r\n');
      const [method, url] = first.split(' ');
      if (isApi(url)) seen.push({ method, url });
      const kept = headers.filter((line) => !/^(connection|upgrade|keep-alive|sec-websocket[^:]*|accept-encoding):/i.test(line));
      const far = connect(port, '127.0.0.1', () => {
        far.write(`${method} ${url} HTTP/1.0\r\n${kept.join('\r\n')}\r\nConnection: close\r\n\r\n`);
        far.write(Buffer.from(head.slice(end + 4), 'latin1'));
        near.pipe(far, { end: false });
        let isFirst = true;
        far.on('data', (bytes) => {
          near.write(isFirst ? Buffer.from(bytes.toString('latin1').replace('HTTP/1.1', 'HTTP/1.0'), 'latin1') : bytes);
          isFirst = false;
        });
        far.on('end', () => near.end());
      });
      for (const side of [near, far]) side.on('error', () => {}).on('close', () => (near.destroyed || near.end(), far.destroy()));
    });
  });
  return listening(server, seen);
}

/** Name → how it is made, and the way by which a client is to hear through it. @type {Record<string, {make: (port: number) => Promise<any>, way: string}>} */
export const HOSTILE = {
  'no upgrade': { way: 'stream', make: (port) => http(port) },
  buffering: {
    way: 'poll',
    make: (port) => http(port, { upgrade: (_, socket) => socket.on('error', () => {}), pass: async (told, to) => to.end(await whole(told)) }),
  },
  'cut soon': {
    way: 'poll',
    make: async (port) => {
      const made = await listening(createLine((near) => {
        made.seen.push({ method: 'connection' });
        const far = connect(port, '127.0.0.1', () => near.pipe(far).pipe(near));
        for (const end of [near, far]) end.on('error', () => {}).on('close', () => (near.destroy(), far.destroy()));
        setTimeout(() => near.destroy(), CUT_MS);
      }), []);
      return made;
    },
  },
  'swallowed streams': { way: 'poll', make: (port) => http(port, { upgrade: tunnel(port, mute), pass: async (told, to) => to.end(await whole(told)) }) },
  redirects: {
    way: 'stream',
    make: async (port) => {
      const there = await http(port);
      const here = await http(port, { answer: ({ url }, to) => to.writeHead(307, { location: `${there.url}${url}` }).end() });
      return { ...here, seen: there.seen, close: () => (here.close(), there.close()) };
    },
  },
  'captive portal': {
    way: 'stream',
    make: (port) => {
      const until = Date.now() + PORTAL_MS;
      const portal = () => Date.now() < until;
      return http(port, { answer: (asked, to) => (portal() || asked.headers.upgrade) && to.writeHead(200, { 'content-type': 'text/html' }).end(PAGE) });
    },
  },
  '403 for a word': { way: 'stream', make: (port) => http(port, { answer: (_, to, body) => body.includes(WORD) && to.writeHead(403, { 'content-type': 'text/html' }).end('<h1>Blocked</h1>') }) },
  'gzip twice': {
    way: 'poll',
    make: (port) => http(port, {
      // The header says what the daemon has said of it.
      answer: async (asked, to, body) => {
        const told = await onward(port, { method: asked.method, url: asked.url, headers: { ...asked.headers, 'accept-encoding': 'gzip' } }, body);
        to.writeHead(told.statusCode, { ...passed(told.headers), 'content-encoding': 'gzip' }).end(gzipSync(told.headers['content-encoding'] ? await whole(told) : gzipSync(await whole(told))));
        return true;
      },
    }),
  },
  'HTTP/1.0': { way: 'stream', make: old },
  slow: { way: 'websocket', make: (port) => http(port, { upgrade: tunnel(port, slow), pass: (told, to) => told.pipe(slow()).pipe(to) }) },
};
