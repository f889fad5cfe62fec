import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';

// Of the caller's own connection, not of what it wants to say to the streaming server.
const dropped = new Set(['host', 'authorization', 'x-forwarded-for']);

/**
 * Passes an upgrade on to the streaming URL that CRI gave, and joins the two connections: websocket or
 * SPDY, the bytes are not looked at.
 */
export function tunnelUpgrade(request: IncomingMessage, client: Duplex, head: Buffer, target: URL): void {
  const server = connect({ host: target.hostname, port: Number(target.port) });
  const close = () => {
    server.destroy();
    client.destroy();
  };
  server.once('error', () => {
    if (!server.connecting && server.bytesRead > 0) return close();
    client.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  });
  client.once('error', close);
  client.once('close', () => server.destroy());
  server.once('close', () => client.destroy());
  server.once('connect', () => {
    server.setNoDelay(true);
    const lines = [`${request.method} ${target.pathname}${target.search} HTTP/1.1`, `Host: ${target.host}`];
    for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
      const name = request.rawHeaders[at] as string;
      if (!dropped.has(name.toLowerCase())) lines.push(`${name}: ${request.rawHeaders[at + 1]}`);
    }
    server.write(`${lines.join('\r\n')}\r\n\r\n`);
    if (head.length > 0) server.write(head);
    server.pipe(client);
    client.pipe(server);
  });
}
