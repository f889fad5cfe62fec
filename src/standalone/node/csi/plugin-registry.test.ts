import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Registration } from '../../../gen/pluginregistration/v1/api_pb.js';
import { systemClock } from '../../../lib/clock.ts';
import { addService, RpcError } from '../../../lib/grpc.ts';
import { silentLogger } from '../../../lib/log.ts';
import { pluginRegistry, type PluginRegistry } from './plugin-registry.ts';

let folder: string;
let registry: PluginRegistry;
let end: AbortController;
let running: Promise<void>;
let refuse: string | undefined;
const told: string[] = [];
const gone: string[] = [];
const servers = new Set<Server>();

async function plugin(
  over: { type?: string; name?: string; supportedVersions?: string[] } = {},
  file = 'a-reg.sock',
) {
  const server = new Server();
  const info = {
    type: 'CSIPlugin',
    name: 'a.csi',
    endpoint: '/csi/a.sock',
    supportedVersions: ['1.0.0'],
    ...over,
  };
  addService(
    server,
    Registration,
    {
      getInfo: () => Promise.resolve(info),
      notifyRegistrationStatus: ({ pluginRegistered, error }) => {
        told.push(`${pluginRegistered} ${error}`);
        return Promise.resolve({});
      },
    },
    (_, error) => new RpcError(13, String(error)),
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${join(folder, file)}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  servers.add(server);
  return async () => {
    server.forceShutdown();
    servers.delete(server);
    await rm(join(folder, file), { force: true });
  };
}
const eventually = (check: () => void) => vi.waitFor(check, { timeout: 15_000, interval: 10 });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plugins-'));
  refuse = undefined;
  told.length = 0;
  gone.length = 0;
  end = new AbortController();
  registry = pluginRegistry({
    folder,
    clock: systemClock,
    log: silentLogger,
    onRegistered: () => (refuse === undefined ? Promise.resolve() : Promise.reject(new Error(refuse))),
    onGone: (name) => gone.push(name),
  });
  running = registry.run(end.signal);
});
afterEach(async () => {
  end.abort(new Error('over'));
  await running;
  for (const server of servers) server.forceShutdown();
  servers.clear();
  await rm(folder, { recursive: true, force: true });
});

test('a driver comes, restarts, and goes', async () => {
  const stop = await plugin();
  await eventually(() => expect(told).toEqual(['true ']));
  // The plugin hears of it a moment before the node counts on it.
  await eventually(() => expect(registry.driver('a.csi')?.endpoint).toBe('/csi/a.sock'));
  await stop();
  await eventually(() => expect(gone).toEqual(['a.csi']));
  expect(registry.driver('a.csi')).toBeUndefined();
  await plugin();
  await eventually(() => expect(told).toEqual(['true ', 'true ']));
  await eventually(() => expect(registry.drivers()).toHaveLength(1));
});

test.each([
  [{ type: 'DevicePlugin' }, 'plugins of type DevicePlugin are not supported'],
  [{ supportedVersions: ['9.0.0'] }, 'none of the versions 9.0.0 is supported'],
  [{ name: '' }, 'needs a name'],
])('what is no driver of ours is told why', async (over, message) => {
  await plugin(over);
  await eventually(() => expect(told[0]).toContain(message));
  expect(told[0]).toMatch(/^false /);
  expect(registry.drivers()).toEqual([]);
});

test('a registration that the API does not take is told, and tried again', async () => {
  refuse = 'the API is away';
  await plugin();
  await eventually(() => expect(told).toContain('false the API is away'));
  expect(registry.driver('a.csi')).toBeUndefined();
  refuse = undefined;
  await eventually(() => expect(registry.driver('a.csi')).toBeDefined());
});
