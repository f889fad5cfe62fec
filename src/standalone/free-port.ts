import { createServer } from 'node:net';

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

const nearby = 100;

/**
 * The wanted port of loopback, or the first after it, that nobody listens on and that is not in `taken`. What
 * the kernel would pick is also what it gives to connections, and could be gone when it is needed again.
 */
export async function freePort(wanted: number, taken: ReadonlySet<number>): Promise<number> {
  for (let port = wanted; port < wanted + nearby; port++) {
    if (!taken.has(port) && (await isFree(port))) return port;
  }
  throw new Error(`no port from ${wanted} to ${wanted + nearby - 1} is free on loopback`);
}
