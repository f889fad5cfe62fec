import type { ClusterRoleBinding, RoleBinding, Subject } from 'kubernetes-types/rbac/v1.js';
import { ageOf } from './age.ts';
import { nameOf, printer, type BuiltinPrinter } from './builtin-printer.ts';

function binding(found: RoleBinding | ClusterRoleBinding, nowMs: number) {
  const subjects = (kind: string, text: (subject: Subject) => string) =>
    (found.subjects ?? [])
      .filter((subject) => subject.kind === kind)
      .map(text)
      .join(', ');
  const name = (subject: Subject) => subject.name;
  return [
    nameOf(found),
    `${found.roleRef.kind}/${found.roleRef.name}`,
    ageOf(found.metadata?.creationTimestamp, nowMs),
    subjects('User', name),
    subjects('Group', name),
    subjects('ServiceAccount', (subject) => `${subject.namespace ?? ''}/${subject.name}`),
  ];
}

const columns = 'Name,Role,Age,Users*,Groups*,ServiceAccounts*';

export const bindingPrinters: Readonly<Record<string, BuiltinPrinter>> = {
  RoleBinding: printer<RoleBinding>(columns, binding),
  ClusterRoleBinding: printer<ClusterRoleBinding>(columns, binding),
};
