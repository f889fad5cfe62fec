import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { runRole, type RoleProcess } from './role-process.ts';

/** The processes of a standalone instance. */
export function addStandaloneRoles(program: Command, role: RoleProcess): void {
  program
    .command('supervisor', { hidden: true })
    .requiredOption('--config <file>')
    .action(({ config }: { config: string }) =>
      runRole(role, 'supervisor', async (deps) => {
        const { runInstance } = await import('../standalone/supervisor/run-instance.ts');
        await runInstance(config, deps);
      }),
    );

  program
    .command('server', { hidden: true })
    .requiredOption('--config <file>')
    .action(({ config }: { config: string }) =>
      runRole(role, 'server', async (deps) => {
        const { runServer } = await import('../standalone/server.ts');
        const { bundle } = role.settings;
        await runServer(await readJson(config), { ...deps, node: process.execPath, bundle });
      }),
    );

  program
    .command('node', { hidden: true })
    .requiredOption('--config <file>')
    .action(({ config }: { config: string }) =>
      runRole(role, 'node', async (deps) => {
        const { runNode } = await import('../standalone/node/run-node.ts');
        await runNode(await readJson(config), deps);
      }),
    );
}

const readJson = async (path: string) => JSON.parse(await readFile(path, 'utf8'));
