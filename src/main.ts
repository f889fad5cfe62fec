import { setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { defaultDataDir, type CliContext } from './cli/context.ts';
import type { KubeClient } from './kube/client.ts';
import { systemClock } from './lib/clock.ts';
import { createLogger, type Logger } from './lib/log.ts';
import { bundleFolder } from './standalone/release.ts';

// The one place that reads argv and the environment. Every role is imported only when it runs: a process
// holds nothing of the others.

setMaxListeners(0); // One signal ends everything; hundreds of calls listen to it at once.

const stop = new AbortController();
const dist = await bundleFolder(import.meta.url);
const bundle = join(dist, 'holdfast.mjs');
const { env } = process;
const cacheDir = env['HOLDFAST_CACHE'] ?? '/var/cache/holdfast';

/** First signal: an orderly end. Second: at once. */
function endOnSignals(): void {
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(130);
      stop.abort(new InterruptedError(name));
    });
  }
}

interface CsiNodeFlags {
  readonly driver: string;
  readonly nodeId: string;
  readonly endpoint: string;
  readonly kubeletRoot: string;
  readonly registrationDir: string;
  readonly pluginSocket: string;
  readonly mounter: string;
  readonly config: string;
}

class InterruptedError extends Error {
  readonly code = 'INTERRUPTED';
}

/** Runs a long-lived role: logs why it ended, and ends the process. */
async function role(name: string, body: (log: Logger) => Promise<void>): Promise<void> {
  endOnSignals();
  const log = createLogger(name, { level: env['HOLDFAST_LOG_LEVEL'] ?? 'info' });
  try {
    await body(log);
    if (stop.signal.aborted) log.info('stopped');
  } catch (error) {
    if (!stop.signal.aborted) {
      log.fatal({ err: error }, 'ended by an error');
      process.exitCode = 1;
    }
  }
  process.exit();
}

const deps = (log: Logger) => ({ clock: systemClock, log, signal: stop.signal });

/** The configuration of a pod, or of a file for a role that runs outside. */
async function kubeClientFor(
  fieldManager: string,
  kubeconfig?: string,
): Promise<{ client: KubeClient; namespace: string | undefined }> {
  const { inClusterConfig, loadKubeConfig } = await import('./kube/kubeconfig.ts');
  const { createKubeClient } = await import('./kube/undici-client.ts');
  const config = kubeconfig
    ? await loadKubeConfig(kubeconfig)
    : await inClusterConfig({
        host: env['KUBERNETES_SERVICE_HOST'] ?? '',
        port: env['KUBERNETES_SERVICE_PORT'] ?? '443',
      });
  return {
    client: createKubeClient(config, { clock: systemClock, fieldManager }),
    namespace: config.namespace,
  };
}

/** The image that this pod runs, and the Ceph in it. */
async function ownImage(client: KubeClient, namespace: string) {
  const name = env['POD_NAME'];
  if (!name) return undefined;
  const { readOwnImage } = await import('./operator/own-image.ts');
  return await readOwnImage(client, { namespace, name }, stop.signal);
}

/**
 * A pod's name is its own: the container that starts again in it takes its Lease up at once, for the one
 * before is gone. Outside, two processes of one machine must not take each other for themselves.
 */
const leaderIdentity = (): string => env['POD_NAME'] ?? `outside-${process.pid}-${Date.now()}`;

/** Opens Ceph clusters through broker children of this very bundle. */
async function cephOpener(log: Logger, libraryPath: readonly string[] = []) {
  const { openCeph } = await import('./ceph/open-ceph.ts');
  const { brokerSpawner } = await import('./ceph/broker/spawn-broker.ts');
  const spawnBroker = brokerSpawner({ command: process.execPath, args: [bundle, 'broker'], libraryPath });
  return (connection: Parameters<typeof openCeph>[0]) =>
    openCeph(connection, { spawnBroker, clock: systemClock, log });
}

/** Outside a pod librados may not be installed; the unpacked packages have it. */
async function treeLibraries(): Promise<string[]> {
  const text = await readFile(join(cacheDir, 'tree.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  const { path } = JSON.parse(text) as { path: string };
  const libraries = join(path, 'usr/lib/x86_64-linux-gnu');
  return [libraries, join(libraries, 'ceph')];
}

// ---- verbs of the command line ----

const program = new Command('holdfast')
  .description('Storage for Kubernetes that deploys, heals and explains itself')
  .showHelpAfterError('(holdfast --help shows what there is)')
  .enablePositionalOptions()
  .exitOverride();

const dataDirOption = [
  '--data-dir <dir>',
  'where the instance lives',
  env['HOLDFAST_DATA_DIR'] ?? defaultDataDir,
] as const;

function contextOf(options: { readonly dataDir: string }): CliContext {
  return {
    dataDir: options.dataDir,
    cacheDir,
    dist,
    node: process.execPath,
    env,
    screen: {
      write: (text) => void process.stdout.write(text),
      isTerminal: process.stdout.isTTY === true,
      width: process.stdout.columns ?? 100,
    },
    clock: systemClock,
    signal: stop.signal,
  };
}

program
  .command('up')
  .description('bring standalone Holdfast up on this machine, or complete it')
  .option('--disks <n>', 'disks of the node (3 for a new instance)')
  .option('--disk-size <size>', 'size of each disk (10Gi for a new instance); they are sparse files')
  .option(...dataDirOption)
  .action(async (options: { dataDir: string; disks?: string; diskSize?: string }) => {
    endOnSignals();
    const { up } = await import('./cli/up.ts');
    await up(contextOf(options), options);
  });

program
  .command('down')
  .description('end every process of the instance; its data is kept')
  .option('--purge', 'remove the data too')
  .option(...dataDirOption)
  .action(async (options: { dataDir: string; purge?: boolean }) => {
    endOnSignals();
    const { down } = await import('./cli/down.ts');
    await down(contextOf(options), options);
  });

program
  .command('status')
  .description('show what runs, and how the cluster is')
  .option(...dataDirOption)
  .action(async (options: { dataDir: string }) => {
    const { status } = await import('./cli/status.ts');
    process.exitCode = await status(contextOf(options));
  });

program
  .command('kubectl')
  .description('kubectl against this instance')
  .argument('[args...]')
  .allowUnknownOption()
  .passThroughOptions()
  .helpOption(false)
  .action(async (args: string[]) => {
    const { kubectl } = await import('./cli/kubectl.ts');
    process.exitCode = await kubectl(contextOf({ dataDir: dataDirOption[2] }), args);
  });

program
  .command('kubeconfig')
  .description('print the kubeconfig of this instance')
  .option('--path', 'print where it lies instead')
  .option(...dataDirOption)
  .action(async (options: { dataDir: string; path?: boolean }) => {
    const { kubeconfig } = await import('./cli/kubeconfig.ts');
    await kubeconfig(contextOf(options), options);
  });

program
  .command('demo')
  .description('the main job: a Ceph cluster, a claim, a pod that writes and one that verifies')
  .option('--before <times>', 'phases that ran before, as title=ms,title=ms, for the summary')
  .option(...dataDirOption)
  .action(async (options: { dataDir: string; before?: string }) => {
    endOnSignals();
    const { demo } = await import('./cli/demo-command.ts');
    await demo(contextOf(options), options);
  });

program
  .command('logs')
  .description('show the log of one process of the instance; without a name, which there are')
  .argument('[process]')
  .option('-f, --follow', 'go on as it grows')
  .option(...dataDirOption)
  .action(async (name: string | undefined, options: { dataDir: string; follow?: boolean }) => {
    endOnSignals();
    const { logs } = await import('./cli/logs.ts');
    await logs(contextOf(options), name, options);
  });

program
  .command('version')
  .description('print the version')
  .action(async () => {
    process.stdout.write(`holdfast ${await version()} (node ${process.version})\n`);
  });

// ---- roles ----

const hidden = { hidden: true } as const;

program
  .command('supervisor', hidden)
  .requiredOption('--config <file>')
  .action(({ config }: { config: string }) =>
    role('supervisor', async (log) => {
      const { runInstance } = await import('./standalone/supervisor/run-instance.ts');
      await runInstance(config, deps(log));
    }),
  );

program
  .command('server', hidden)
  .requiredOption('--config <file>')
  .action(({ config }: { config: string }) =>
    role('server', async (log) => {
      const { runServer } = await import('./standalone/server.ts');
      await runServer(JSON.parse(await readFile(config, 'utf8')), {
        ...deps(log),
        node: process.execPath,
        bundle,
      });
    }),
  );

program
  .command('node', hidden)
  .requiredOption('--config <file>')
  .action(({ config }: { config: string }) =>
    role('node', async (log) => {
      const { runNode } = await import('./standalone/node/run-node.ts');
      await runNode(JSON.parse(await readFile(config, 'utf8')), deps(log));
    }),
  );

program.command('broker', hidden).action(async () => {
  const { runBroker } = await import('./ceph/broker/child.ts');
  await runBroker();
});

program
  .command('operator')
  .description('run the operator; with --kubeconfig outside the cluster')
  .option('--kubeconfig <file>', 'the cluster to work on; without it, the one that this pod is in')
  .option('--namespace <name>', 'the namespace it serves')
  .option(
    '--image <name>',
    'the image of the pods that it starts for itself',
    env['HOLDFAST_IMAGE'] ?? 'holdfast:latest',
  )
  .action((options: { kubeconfig?: string; namespace?: string; image: string }) =>
    role('operator', async (log) => {
      const { runOperator } = await import('./operator/operator.ts');
      const { client, namespace: own } = await kubeClientFor('rook-ceph-operator', options.kubeconfig);
      const namespace = options.namespace ?? env['POD_NAMESPACE'] ?? own ?? 'rook-ceph';
      const image = options.kubeconfig ? undefined : await ownImage(client, namespace);
      await runOperator({
        ...deps(log),
        client,
        namespace,
        openCeph: await cephOpener(log, options.kubeconfig ? await treeLibraries() : []),
        images: {
          holdfast: options.image,
          ceph: env['HOLDFAST_CEPH_IMAGE'] ?? 'quay.io/ceph/ceph:v16.2.15',
          ...(image && { own: image }),
        },
        leaderElection: {
          lease: { namespace, name: 'rook-ceph-operator' },
          identity: leaderIdentity(),
        },
      });
    }),
  );

const csi = program.command('csi', hidden).description('the CSI driver');

async function version(): Promise<string> {
  const text = await readFile(join(dist, 'version.json'), 'utf8').catch(() => '{}');
  return (JSON.parse(text) as { version?: string }).version ?? 'unknown';
}

csi
  .command('controller')
  .requiredOption('--driver <name>')
  .requiredOption('--endpoint <socket>')
  .requiredOption('--config <file>')
  .option('--kubeconfig <file>')
  .action((options: { driver: string; endpoint: string; config: string; kubeconfig?: string }) =>
    role('csi-controller', async (log) => {
      const { runCsiController } = await import('./csi/run-csi-controller.ts');
      const { clusterConfigFile } = await import('./csi/cluster-config.ts');
      const { client, namespace } = await kubeClientFor(options.driver, options.kubeconfig);
      const identity = leaderIdentity();
      await runCsiController(
        {
          ...options,
          version: await version(),
          namespace: env['POD_NAMESPACE'] ?? namespace ?? 'rook-ceph',
          identity,
        },
        {
          ...deps(log),
          client,
          openCeph: await cephOpener(log),
          clusters: clusterConfigFile(options.config),
        },
      );
    }),
  );

csi
  .command('node')
  .requiredOption('--driver <name>')
  .requiredOption('--node-id <id>')
  .requiredOption('--endpoint <socket>')
  .requiredOption('--kubelet-root <dir>')
  .requiredOption('--registration-dir <dir>')
  .requiredOption('--plugin-socket <path>')
  .requiredOption('--mounter <socket>')
  .requiredOption('--config <file>')
  .action((options: CsiNodeFlags) =>
    role('csi-node', async (log) => {
      const { runCsiNode } = await import('./csi/run-csi-node.ts');
      const { clusterConfigFile } = await import('./csi/cluster-config.ts');
      const { hostFilesystems } = await import('./host/filesystems.ts');
      const { hostMounts } = await import('./host/mounts.ts');
      const { hostTools } = await import('./host/tools.ts');
      const tools = hostTools();
      await runCsiNode(
        { ...options, version: await version() },
        {
          ...deps(log),
          clusters: clusterConfigFile(options.config),
          mounts: hostMounts(tools),
          filesystems: hostFilesystems(tools),
        },
      );
    }),
  );

program
  .command('mounter', hidden)
  .requiredOption('--socket <path>')
  .requiredOption('--state-dir <dir>')
  .action((options: { socket: string; stateDir: string }) =>
    role('mounter', async (log) => {
      const { runMounter } = await import('./csi/mounter/run-mounter.ts');
      const { nodeAttachers } = await import('./host/node-attachers.ts');
      const attachers = nodeAttachers({ stateDir: options.stateDir, clock: systemClock, log });
      await runMounter({ socket: options.socket }, { ...deps(log), attachers });
    }),
  );

const osd = program.command('osd', hidden).description('steps that run in the pods of OSDs');

osd
  .command('copy')
  .requiredOption('--to <dir>')
  .action(({ to }: { to: string }) =>
    role('osd-copy', async () => {
      const { runOsdCopy } = await import('./operator/osd/copy.ts');
      await runOsdCopy({ from: dist, to });
    }),
  );

osd
  .command('prepare')
  .requiredOption('--config <file>')
  .action(({ config }: { config: string }) =>
    role('osd-prepare', async (log) => {
      const { runOsdPrepare } = await import('./operator/osd/prepare.ts');
      const { hostDiskScan } = await import('./host/disks.ts');
      const { hostFilesystems } = await import('./host/filesystems.ts');
      const { hostTools } = await import('./host/tools.ts');
      const { client } = await kubeClientFor('rook-ceph-osd-prepare');
      const scan = hostDiskScan({ filesystems: hostFilesystems(hostTools()) });
      await runOsdPrepare({ configFile: config }, { ...deps(log), client, scan });
      await client.close();
    }),
  );

osd
  .command('activate')
  .requiredOption('--osd-uuid <uuid>')
  .requiredOption('--osd-id <n>')
  .requiredOption('--fsid <fsid>')
  .requiredOption('--data-dir <dir>')
  .action((options: { osdUuid: string; osdId: string; fsid: string; dataDir: string }) =>
    role('osd-activate', async (log) => {
      const { runOsdActivate } = await import('./operator/osd/activate.ts');
      await runOsdActivate({ ...options, osdId: Number(options.osdId) }, deps(log));
    }),
  );

// ---- run ----

/** Ends with one line for what a person can mend, with a stack for what is our mistake. */
function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode;
    return;
  }
  if (stop.signal.aborted) {
    process.stderr.write(
      'interrupted; what was started keeps running: holdfast up goes on, holdfast down ends it\n',
    );
    process.exitCode = 130;
    return;
  }
  const messages: string[] = [];
  for (let at: unknown = error; at instanceof Error && messages.length < 5; at = at.cause)
    messages.push(at.message);
  process.stderr.write(`holdfast: ${messages.join('\n  because: ') || String(error)}\n`);
  if (env['HOLDFAST_DEBUG'] && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
}

try {
  await program.parseAsync();
} catch (error) {
  fail(error);
}
