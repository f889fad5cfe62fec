import { createServer } from 'node:net';

const isFree = (port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      const found = typeof address === 'object' && address ? address.port : undefined;
      server.close(() => resolve(found));
    });
  });

/** The wanted port of loopback where nobody listens on it, else one that the kernel picks. */
export async function freePort(wanted: number): Promise<number> {
  const port = (await isFree(wanted)) ?? (await isFree(0));
  if (port === undefined) throw new Error('no free port on loopback');
  return port;
}
