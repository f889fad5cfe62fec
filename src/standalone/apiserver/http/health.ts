import { kubernetesVersion } from '../../../api/kubernetes-version.ts';
import type { Logger } from '../../../lib/log.ts';
import type { PlainHandler } from './handler.ts';
import { jsonReply } from './respond.ts';

/** One thing that must work; resolves with why it does not, or nothing. */
export interface HealthCheck {
  readonly name: string;
  check(): Promise<string | undefined>;
}

export const serverVersion = {
  ...kubernetesVersion,
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: 'node',
  platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

const plainText = (code: number, text: string) => ({ code, text, contentType: 'text/plain; charset=utf-8' });

/**
 * `/healthz`, `/livez`, `/readyz`, each with `?verbose`, `?exclude=` and one path a check; and `/version`.
 * They answer anybody, so reasons go to the log only.
 */
export function health(checks: readonly HealthCheck[], log: Logger): PlainHandler {
  return async (path, query) => {
    if (path === '/version' || path === '/version/') return jsonReply(200, serverVersion);
    const [, endpoint = '', name] = path.split('/');
    if (!['healthz', 'livez', 'readyz'].includes(endpoint)) return undefined;
    const excluded = new Set(query.getAll('exclude'));
    const chosen = checks.filter((check) => (name ? check.name === name : !excluded.has(check.name)));
    if (name && chosen.length === 0) return undefined;
    const results = await Promise.all(
      chosen.map(async (one) => ({ name: one.name, wrong: await one.check().catch(String) })),
    );
    const failed = results.filter(({ wrong }) => wrong !== undefined);
    const lines = results.map(({ name: check, wrong }) =>
      wrong === undefined ? `[+]${check} ok` : `[-]${check} failed: reason withheld`,
    );
    if (failed.length > 0) log.warn({ failed }, 'health check failed');
    if (failed.length > 0) return plainText(500, [...lines, `${endpoint} check failed`, ''].join('\n'));
    return plainText(
      200,
      query.has('verbose') ? [...lines, `${endpoint} check passed`, ''].join('\n') : 'ok',
    );
  };
}
