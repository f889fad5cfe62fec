import type { Command } from 'commander';
import { kubeClientFor, runRole, type RoleProcess } from './role-process.ts';

/** Steps that run in the pods of OSDs. */
export function addOsdRoles(program: Command, role: RoleProcess): void {
  const { settings } = role;
  const osd = program.command('osd', { hidden: true }).description('steps that run in the pods of OSDs');

  osd
    .command('copy')
    .requiredOption('--to <dir>')
    .action(({ to }: { to: string }) =>
      runRole(role, 'osd-copy', async () => {
        const { runOsdCopy } = await import('../operator/osd/copy.ts');
        await runOsdCopy({ from: settings.dist, to });
      }),
    );

  osd
    .command('prepare')
    .requiredOption('--config <file>')
    .action(({ config }: { config: string }) =>
      runRole(role, 'osd-prepare', async (deps) => {
        const { runOsdPrepare } = await import('../operator/osd/prepare.ts');
        const { hostDiskScan } = await import('../host/disks.ts');
        const { hostFilesystems } = await import('../host/filesystems.ts');
        const { hostTools } = await import('../host/tools.ts');
        const { client } = await kubeClientFor(settings, 'rook-ceph-osd-prepare');
        const scan = hostDiskScan({ filesystems: hostFilesystems(hostTools()) });
        await runOsdPrepare({ configFile: config }, { ...deps, client, scan });
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
      runRole(role, 'osd-activate', async (deps) => {
        const { runOsdActivate } = await import('../operator/osd/activate.ts');
        await runOsdActivate({ ...options, osdId: Number(options.osdId) }, deps);
      }),
    );
}
