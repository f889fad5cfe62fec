import type { Command } from 'commander';
import { addCsiRoles } from './csi.ts';
import { addOperatorRole } from './operator.ts';
import { addOsdRoles } from './osd.ts';
import type { RoleProcess } from './role-process.ts';
import { addStandaloneRoles } from './standalone.ts';

// What a role is made of is imported only when it runs: a process holds nothing of the others.

/** Adds every role to the program. */
export function addRoles(program: Command, role: RoleProcess): void {
  addStandaloneRoles(program, role);
  addOperatorRole(program, role);
  addCsiRoles(program, role);
  addOsdRoles(program, role);
  program.command('broker', { hidden: true }).action(async () => {
    const { runBroker } = await import('../ceph/broker/child.ts');
    await runBroker();
  });
  program.command('remount', { hidden: true }).action(async () => {
    const { RemountRequest, remount } = await import('../host/remount.ts');
    const { text } = await import('node:stream/consumers');
    const report = await remount(RemountRequest.parse(JSON.parse(await text(process.stdin))));
    process.stdout.write(JSON.stringify(report));
  });
}
