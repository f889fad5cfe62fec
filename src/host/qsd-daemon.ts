import { readdir, readFile } from 'node:fs/promises';
import { cephxId } from '../lib/cephx-user.ts';
import type { Clock } from '../lib/clock.ts';
import { identifyProcess, isRunning, signalProcess, type ProcessIdentity } from '../lib/process-identity.ts';
import type { AttachRequest } from './attacher.ts';
import { connectQmp } from './qmp.ts';
import type { AttachmentFiles } from './qsd-ledger.ts';
import type { HostTools } from './tools.ts';

const startLimitMs = 20_000;
const quitLimitMs = 5_000;
const nodeName = 'image';
const exportName = 'fuse';

/** qemu-storage-daemon for one image, exported as a file by FUSE. */
export interface QsdDaemon {
  /** Starts it and answers its identity once the export is there. */
  start(request: AttachRequest, files: AttachmentFiles, signal: AbortSignal): Promise<ProcessIdentity>;
  /** The daemon of a private folder, from /proc: where the ledger was not yet written. */
  find(files: AttachmentFiles): Promise<ProcessIdentity | undefined>;
  /** Tells the daemon the image's new size. */
  resize(files: AttachmentFiles, sizeBytes: bigint, signal: AbortSignal): Promise<void>;
  /** Takes the export away and ends the daemon; kills one that does not obey. */
  stop(files: AttachmentFiles, daemon: ProcessIdentity, signal: AbortSignal): Promise<void>;
}

/** QEMU reads a comma in an option's value as its end; a doubled one is itself. */
const quote = (value: string) => value.replaceAll(',', ',,');

export const qsdArguments = (request: AttachRequest, files: AttachmentFiles): string[] => {
  const blockdev = [
    'driver=rbd',
    `node-name=${nodeName}`,
    `pool=${quote(request.pool)}`,
    ...(request.namespace ? [`namespace=${quote(request.namespace)}`] : []),
    `image=${quote(request.image)}`,
    `conf=${quote(files.conf)}`,
    `user=${quote(cephxId(request.user))}`,
    'discard=unmap',
    'cache.direct=on',
    ...(request.readOnly ? ['read-only=on'] : []),
  ];
  const fuse = [
    'type=fuse',
    `id=${exportName}`,
    `node-name=${nodeName}`,
    `mountpoint=${quote(files.export)}`,
    `writable=${request.readOnly ? 'off' : 'on'}`,
    'growable=on',
    'allow-other=auto',
  ];
  return [
    '--blockdev',
    blockdev.join(','),
    '--export',
    fuse.join(','),
    '--chardev',
    `socket,path=${quote(files.qmp)},server=on,wait=off,id=qmp`,
    '--monitor',
    'chardev=qmp',
    '--daemonize',
    '--pidfile',
    files.pidFile,
  ];
};

/** The configuration that reaches the daemon by a file of mode 0600: no cache, no socket, no log of librbd's. */
export const qsdConf = (request: AttachRequest, files: AttachmentFiles): string =>
  [
    '[global]',
    `mon_host = ${request.monHost}`,
    `keyring = ${files.keyring}`,
    'admin_socket =',
    'log_file =',
    'log_to_stderr = false',
    'rbd_cache = false',
    'client_mount_timeout = 10',
    '',
  ].join('\n');

export function qsdDaemon(tools: HostTools, clock: Clock): QsdDaemon {
  const find = async (files: AttachmentFiles): Promise<ProcessIdentity | undefined> => {
    for (const name of await readdir('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const args = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0');
      const at = args.indexOf('--pidfile');
      if (at >= 0 && args[at + 1] === files.pidFile && args.includes('--daemonize'))
        return await identifyProcess(Number(name));
    }
    return undefined;
  };
  const gone = async (daemon: ProcessIdentity, limitMs: number, signal: AbortSignal): Promise<boolean> => {
    for (let waitedMs = 0; waitedMs < limitMs; waitedMs += 20) {
      if (!(await isRunning(daemon))) return true;
      await clock.sleep(20, signal);
    }
    return !(await isRunning(daemon));
  };
  return {
    find,
    async start(request, files, signal) {
      await tools.run('qemu-storage-daemon', qsdArguments(request, files), {
        signal,
        timeoutMs: startLimitMs,
      });
      const pid = Number((await readFile(files.pidFile, 'utf8')).trim());
      const daemon = await identifyProcess(pid);
      if (!daemon) throw new Error(`qemu-storage-daemon for ${request.image} ended at once`);
      return daemon;
    },
    async resize(files, sizeBytes, signal) {
      const qmp = await connectQmp(files.qmp, signal);
      try {
        await qmp.execute('block_resize', { 'node-name': nodeName, size: Number(sizeBytes) });
      } finally {
        qmp.close();
      }
    },
    async stop(files, daemon, signal) {
      const qmp = await connectQmp(files.qmp, signal).catch(() => undefined);
      if (qmp) {
        // `quit` takes the export along; its answer may be cut off by the end itself.
        await qmp.execute('block-export-del', { id: exportName, mode: 'safe' }).catch(() => undefined);
        await qmp.execute('quit').catch(() => undefined);
        qmp.close();
      }
      if (await gone(daemon, qmp ? quitLimitMs : 0, signal)) return;
      // The caller has made sure that nothing uses the device, so there is nothing to lose in a kill.
      await signalProcess(daemon, 'SIGKILL');
      if (!(await gone(daemon, quitLimitMs, signal)))
        throw new Error(`qemu-storage-daemon ${daemon.pid} does not end, not even by SIGKILL`);
    },
  };
}
