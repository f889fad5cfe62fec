import type { Command } from 'commander';
import type { CsiNodeOptions } from '../csi/run-csi-node.ts';
import {
  cephOpener,
  kubeClientFor,
  leaderIdentity,
  runRole,
  type RoleDeps,
  type RoleProcess,
  type RoleSettings,
} from './role-process.ts';

interface CsiControllerFlags {
  readonly driver: string;
  readonly endpoint: string;
  readonly config: string;
  readonly kubeconfig?: string;
}

interface CsiNodeFlags extends Omit<CsiNodeOptions, 'version'> {
  readonly config: string;
}

interface MounterFlags {
  readonly socket: string;
  readonly stateDir: string;
  readonly nodeId?: string;
}

/** The CSI driver's processes, and the mounter, which holds what must outlive them. */
export function addCsiRoles(program: Command, role: RoleProcess): void {
  const { settings } = role;
  const csi = program.command('csi', { hidden: true }).description('the CSI driver');

  csi
    .command('controller')
    .requiredOption('--driver <name>')
    .requiredOption('--endpoint <socket>')
    .requiredOption('--config <file>')
    .option('--kubeconfig <file>')
    .action((flags: CsiControllerFlags) =>
      runRole(role, 'csi-controller', (deps) => csiController(flags, settings, deps)),
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
    .action((flags: CsiNodeFlags) => runRole(role, 'csi-node', (deps) => csiNode(flags, settings, deps)));

  program
    .command('mounter', { hidden: true })
    .requiredOption('--socket <path>')
    .requiredOption('--state-dir <dir>')
    .option('--node-id <id>')
    .action(({ socket, stateDir, nodeId }: MounterFlags) =>
      runRole(role, 'mounter', async (deps) => {
        const { runMounter } = await import('../csi/mounter/run-mounter.ts');
        const { nodeAttachers } = await import('../host/node-attachers.ts');
        const { childRemounter } = await import('../host/remounter.ts');
        const attachers = nodeAttachers({
          stateDir,
          clock: deps.clock,
          log: deps.log,
          // Loaded when a daemon has died: few mounters ever speak to Ceph.
          async fence(request, signal) {
            const { imageFence } = await import('../csi/mounter/fence-image.ts');
            const openCeph = await cephOpener(settings, deps.log);
            await imageFence({ ...deps, openCeph, node: nodeId })(request, signal);
          },
          remounter: childRemounter({ command: process.execPath, args: [settings.bundle, 'remount'] }),
        });
        await runMounter({ socket }, { ...deps, attachers });
      }),
    );
}

async function csiController(
  flags: CsiControllerFlags,
  settings: RoleSettings,
  deps: RoleDeps,
): Promise<void> {
  const { runCsiController } = await import('../csi/run-csi-controller.ts');
  const { clusterConfigFile } = await import('../csi/cluster-config.ts');
  const { client, namespace } = await kubeClientFor(settings, flags.driver, flags.kubeconfig);
  await runCsiController(
    {
      ...flags,
      version: await settings.version(),
      namespace: settings.pod.namespace ?? namespace ?? 'rook-ceph',
      identity: leaderIdentity(settings),
    },
    {
      ...deps,
      client,
      openCeph: await cephOpener(settings, deps.log),
      clusters: clusterConfigFile(flags.config),
    },
  );
}

async function csiNode(flags: CsiNodeFlags, settings: RoleSettings, deps: RoleDeps): Promise<void> {
  const { runCsiNode } = await import('../csi/run-csi-node.ts');
  const { clusterConfigFile } = await import('../csi/cluster-config.ts');
  const { hostFilesystems } = await import('../host/filesystems.ts');
  const { hostMounts } = await import('../host/mounts.ts');
  const { hostTools } = await import('../host/tools.ts');
  const tools = hostTools();
  await runCsiNode(
    { ...flags, version: await settings.version() },
    {
      ...deps,
      clusters: clusterConfigFile(flags.config),
      mounts: hostMounts(tools),
      filesystems: hostFilesystems(tools),
    },
  );
}
