import { join } from 'node:path';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { removeTree } from './volumes/safe-remove.ts';

/** `/var/log/pods/NAMESPACE_NAME_UID` */
export const podLogFolder = (logRoot: string, pod: Pod): string =>
  join(logRoot, `${pod.metadata?.namespace ?? ''}_${pod.metadata?.name ?? ''}_${pod.metadata?.uid ?? ''}`);

export const removePodLogs = async (logRoot: string, pod: Pod): Promise<void> =>
  await removeTree(podLogFolder(logRoot, pod), logRoot);
