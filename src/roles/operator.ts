import { access } from 'node:fs/promises';
import type { Command } from 'commander';
import type { KubeClient } from '../kube/client.ts';
import {
  cephOpener,
  kubeClientFor,
  leaderIdentity,
  runRole,
  treeLibraries,
  type RoleDeps,
  type RoleProcess,
  type RoleSettings,
} from './role-process.ts';

interface OperatorFlags {
  readonly kubeconfig?: string;
  readonly namespace?: string;
  readonly image: string;
}

export function addOperatorRole(program: Command, role: RoleProcess): void {
  addOperator(program.command('operator'), role);
  // As Rook's manifests start it: they need another image, and nothing else.
  const ceph = program
    .command('ceph', { hidden: true })
    .description("the operator, in the words of Rook's manifests");
  addOperator(ceph.command('operator'), role);
}

function addOperator(command: Command, role: RoleProcess): void {
  const { settings } = role;
  command
    .description('run the operator; with --kubeconfig outside the cluster')
    .option('--kubeconfig <file>', 'the cluster to work on; without it, the one that this pod is in')
    .option('--namespace <name>', 'the namespace it serves')
    .option('--image <name>', 'the image of the pods that it starts for itself', settings.images.holdfast)
    .action(async (flags: OperatorFlags) => {
      await requireCluster(flags, settings);
      await runRole(role, 'operator', (deps) => operator(flags, settings, deps));
    });
}

/** Said to a person in one line, before anything is logged. */
async function requireCluster({ kubeconfig }: OperatorFlags, { apiServer }: RoleSettings): Promise<void> {
  if (kubeconfig === undefined) {
    if (!apiServer.host) throw new Error('this is no pod of a cluster: give --kubeconfig <file>');
    return;
  }
  await access(kubeconfig).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `--kubeconfig ${kubeconfig}: ${error.code === 'ENOENT' ? 'there is no such file' : error.code}`,
    );
  });
}

async function operator(flags: OperatorFlags, settings: RoleSettings, deps: RoleDeps): Promise<void> {
  const { runOperator } = await import('../operator/operator.ts');
  const isOutside = Boolean(flags.kubeconfig);
  const { client, namespace: own } = await kubeClientFor(settings, 'rook-ceph-operator', flags.kubeconfig);
  const namespace = flags.namespace ?? settings.pod.namespace ?? own ?? 'rook-ceph';
  const image = isOutside ? undefined : await ownImage(settings, client, namespace, deps.signal);
  await runOperator({
    ...deps,
    client,
    namespace,
    openCeph: await cephOpener(settings, deps.log, isOutside ? await treeLibraries(settings) : []),
    images: { holdfast: flags.image, ceph: settings.images.ceph, ...(image && { own: image }) },
    leaderElection: {
      lease: { namespace, name: 'rook-ceph-operator' },
      identity: leaderIdentity(settings),
    },
  });
}

/** The image that this pod runs, and the Ceph in it. */
async function ownImage({ pod }: RoleSettings, client: KubeClient, namespace: string, signal: AbortSignal) {
  if (!pod.name) return undefined;
  const { readOwnImage } = await import('../operator/own-image.ts');
  return await readOwnImage(client, { namespace, name: pod.name }, signal);
}
