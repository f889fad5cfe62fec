import { access } from 'node:fs/promises';

/** Whether there is something at the path that we may do `mode` with (fs.constants; mere existence where not said). */
export const pathExists = (path: string, mode?: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  );
