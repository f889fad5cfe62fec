import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that the running bundle came from: `dist`, a release of an instance, or an image's. */
export async function bundleFolder(moduleUrl: string): Promise<string> {
  return dirname(await realpath(fileURLToPath(moduleUrl)));
}
