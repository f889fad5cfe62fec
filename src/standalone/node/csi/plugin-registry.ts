import { watch, type FSWatcher } from 'node:fs';
import { lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { Registration } from '../../../gen/pluginregistration/v1/api_pb.js';
import type { Clock } from '../../../lib/clock.ts';
import { unaryClient } from '../../../lib/grpc.ts';
import type { Logger } from '../../../lib/log.ts';
import { wakeableSleep } from '../wakeable-sleep.ts';
import { connectDriver, type DriverClient } from './driver-client.ts';

/** The CSI drivers that have registered with this node. */
export interface PluginRegistry {
  driver(name: string): DriverClient | undefined;
  drivers(): readonly DriverClient[];
  /** Looks at the sockets now and then, and whenever one comes or goes, until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export interface PluginRegistryDeps {
  /** `<kubelet root>/plugins_registry`. */
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told before the plugin is: a failure is what the plugin hears as its registration's error. */
  onRegistered(driver: DriverClient, signal: AbortSignal): Promise<void>;
  onGone(name: string): void;
}

const infoMs = 5_000;
const rescanMs = 10_000;
const retryMs = 1_000;
const maxPlugins = 64;

interface Known {
  /** Inode and time of the socket: a restarted plugin makes it anew. */
  readonly identity: string;
  readonly driver: DriverClient | undefined;
}

export function pluginRegistry(deps: PluginRegistryDeps): PluginRegistry {
  const { folder, clock, log } = deps;
  const sockets = new Map<string, Known>();

  const byName = (name: string) =>
    [...sockets.values()].findLast((known) => known.driver?.name === name)?.driver;

  const scan = async (signal: AbortSignal): Promise<boolean> => {
    let failed = false;
    const present = await socketsIn(folder);
    for (const [path, known] of sockets) {
      if (present.get(path) === known.identity) continue;
      sockets.delete(path);
      known.driver?.close();
      if (known.driver && !byName(known.driver.name) && !present.has(path)) {
        log.info({ driver: known.driver.name }, 'CSI driver has gone');
        deps.onGone(known.driver.name);
      }
    }
    for (const [path, identity] of present) {
      if (sockets.has(path) || sockets.size >= maxPlugins) continue;
      try {
        sockets.set(path, { identity, driver: await register(path, deps, signal) });
      } catch (err) {
        signal.throwIfAborted();
        failed = true;
        log.debug({ err, path }, 'CSI plugin does not answer yet');
      }
    }
    return failed;
  };

  return {
    driver: byName,
    drivers: () => [...sockets.values()].flatMap(({ driver }) => (driver ? [driver] : [])),
    async run(signal) {
      await mkdir(folder, { recursive: true, mode: 0o755 });
      using pause = wakeableSleep(clock, signal);
      const watcher = watchFolder(folder, () => pause.wake(), log);
      try {
        while (!signal.aborted) {
          pause.arm();
          const failed = await scan(signal).catch((err: unknown) => {
            if (!signal.aborted) log.warn({ err }, 'looking for CSI plugins failed');
            return true;
          });
          await pause.sleep(failed ? retryMs : rescanMs);
        }
      } finally {
        watcher?.close();
        for (const { driver } of sockets.values()) driver?.close();
        sockets.clear();
      }
    },
  };
}

function watchFolder(folder: string, onChange: () => void, log: Logger): FSWatcher | undefined {
  try {
    const watcher = watch(folder, onChange);
    watcher.on('error', onChange);
    return watcher;
  } catch (err) {
    log.warn({ err }, 'plugin folder cannot be watched; it is polled');
    return undefined;
  }
}

async function socketsIn(folder: string): Promise<ReadonlyMap<string, string>> {
  const present = new Map<string, string>();
  for (const name of await readdir(folder)) {
    if (name.startsWith('.') || !name.endsWith('.sock')) continue;
    const path = join(folder, name);
    const status = await lstat(path).catch(() => undefined);
    if (status?.isSocket()) present.set(path, `${status.ino}:${status.ctimeMs}`);
  }
  return present;
}

/** Undefined for a plugin that is none of a CSI driver, or that was refused: it is not asked again. */
async function register(
  path: string,
  { log, onRegistered }: PluginRegistryDeps,
  signal: AbortSignal,
): Promise<DriverClient | undefined> {
  const client = new Client(`unix://${path}`, credentials.createInsecure());
  const registration = unaryClient(client, Registration);
  const options = { signal, timeoutMs: infoMs };
  try {
    const info = await registration.getInfo({}, options);
    const refusal = refusalOf(info);
    if (refusal !== undefined) {
      log.warn({ path, refusal }, 'plugin refused');
      await registration.notifyRegistrationStatus({ pluginRegistered: false, error: refusal }, options);
      return undefined;
    }
    const driver = connectDriver(info.name, info.endpoint);
    try {
      await onRegistered(driver, signal);
    } catch (error) {
      driver.close();
      const message = (error as Error).message;
      await registration.notifyRegistrationStatus({ pluginRegistered: false, error: message }, options);
      throw error;
    }
    await registration.notifyRegistrationStatus({ pluginRegistered: true }, options);
    log.info({ driver: info.name, endpoint: info.endpoint }, 'CSI driver registered');
    return driver;
  } finally {
    client.close();
  }
}

function refusalOf(info: { type: string; name: string; endpoint: string; supportedVersions: string[] }) {
  if (info.type !== 'CSIPlugin') return `plugins of type ${info.type} are not supported`;
  if (info.name === '' || info.endpoint === '') return 'a CSI plugin needs a name and an endpoint';
  if (!info.supportedVersions.some((version) => /^v?1\./.test(version)))
    return `none of the versions ${info.supportedVersions.join(', ')} is supported; 1.0.0 would be`;
  return undefined;
}
