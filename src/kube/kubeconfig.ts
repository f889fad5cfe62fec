import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';

/** Where an API is, and who we are to it. */
export interface KubeConfig {
  /** Such as `https://10.96.0.1:443`, with a path where the API has one. */
  readonly url: string;
  readonly tls?: KubeTls;
  /** Read anew by the client about once a minute, for a projected token is replaced before it expires. */
  readonly token?: () => Promise<string>;
  /** The context's namespace, or the pod's own. */
  readonly namespace?: string;
}

/** PEM texts. */
export interface KubeTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverName?: string;
  readonly insecureSkipVerify?: boolean;
}

/** A kubeconfig that cannot be used; `field` says where. */
export class KubeConfigError extends Error {
  readonly code = 'KUBECONFIG';
  readonly field: string;

  constructor(field: string, message: string, options?: ErrorOptions) {
    super(`${field}: ${message}`, options);
    this.name = 'KubeConfigError';
    this.field = field;
  }
}

const Cluster = z.object({
  server: z.string(),
  'certificate-authority': z.string().optional(),
  'certificate-authority-data': z.string().optional(),
  'tls-server-name': z.string().optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
});
const User = z.object({
  'client-certificate': z.string().optional(),
  'client-certificate-data': z.string().optional(),
  'client-key': z.string().optional(),
  'client-key-data': z.string().optional(),
  token: z.string().optional(),
  tokenFile: z.string().optional(),
});
const Context = z.object({
  cluster: z.string(),
  user: z.string().default(''),
  namespace: z.string().optional(),
});
const ConfigFile = z.object({
  clusters: z.array(z.object({ name: z.string(), cluster: Cluster })).nullish(),
  users: z.array(z.object({ name: z.string(), user: User.nullish() })).nullish(),
  contexts: z.array(z.object({ name: z.string(), context: Context })).nullish(),
  'current-context': z.string().optional(),
});

export interface KubeConfigOptions {
  /** The file's current context where not said. */
  readonly context?: string | undefined;
}

/** Reads a kubeconfig file. Paths in it count from its folder. */
export async function loadKubeConfig(path: string, options: KubeConfigOptions = {}): Promise<KubeConfig> {
  const text = await readFile(path, 'utf8');
  return await parseKubeConfig(text, dirname(resolve(path)), options);
}

/** Reads a kubeconfig's text (YAML or JSON). `folder` is what its relative paths count from. */
export async function parseKubeConfig(
  text: string,
  folder: string,
  options: KubeConfigOptions = {},
): Promise<KubeConfig> {
  const checked = ConfigFile.safeParse(await parseText(text));
  if (!checked.success) {
    const first = checked.error.issues[0];
    throw new KubeConfigError(first?.path.join('.') ?? 'kubeconfig', first?.message ?? 'is no kubeconfig');
  }
  const file = checked.data;
  const contextName = options.context ?? file['current-context'] ?? '';
  const context = file.contexts?.find((one) => one.name === contextName)?.context;
  if (!context) throw new KubeConfigError('current-context', `no context is named "${contextName}"`);
  const cluster = file.clusters?.find((one) => one.name === context.cluster)?.cluster;
  if (!cluster) {
    throw new KubeConfigError(`contexts.${contextName}.cluster`, `no cluster is named "${context.cluster}"`);
  }
  const user = file.users?.find((one) => one.name === context.user)?.user ?? {};

  const pem = async (data: string | undefined, path: string | undefined) => {
    if (data !== undefined) return Buffer.from(data, 'base64').toString();
    return path === undefined ? undefined : await readFile(resolve(folder, path), 'utf8');
  };
  const ca = await pem(cluster['certificate-authority-data'], cluster['certificate-authority']);
  const cert = await pem(user['client-certificate-data'], user['client-certificate']);
  const key = await pem(user['client-key-data'], user['client-key']);
  const token = tokenOf(user.token, user.tokenFile && resolve(folder, user.tokenFile));
  const serverName = cluster['tls-server-name'];
  return {
    url: cluster.server,
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(serverName === undefined ? {} : { serverName }),
      ...(cluster['insecure-skip-tls-verify'] ? { insecureSkipVerify: true } : {}),
    },
    ...(token === undefined ? {} : { token }),
    ...(context.namespace === undefined ? {} : { namespace: context.namespace }),
  };
}

/** Ours are JSON, so that a role that lives long need not load a YAML parser for one file. */
async function parseText(text: string): Promise<unknown> {
  if (text.trimStart().startsWith('{')) {
    try {
      return JSON.parse(text);
    } catch {
      // A flow mapping of YAML begins so, too.
    }
  }
  const { parse } = await import('yaml');
  return parse(text);
}

function tokenOf(token: string | undefined, path: string | undefined) {
  // A file wins over a fixed token, as it does for kubectl, because it can be renewed.
  if (path !== undefined && path !== '') return async () => (await readFile(path, 'utf8')).trim();
  return token === undefined ? undefined : async () => token;
}

export interface InClusterOptions {
  /** KUBERNETES_SERVICE_HOST. */
  readonly host: string;
  /** KUBERNETES_SERVICE_PORT. */
  readonly port: string;
  readonly folder?: string;
}

/** The configuration of a pod, from its ServiceAccount's volume. */
export async function inClusterConfig(options: InClusterOptions): Promise<KubeConfig> {
  const folder = options.folder ?? '/var/run/secrets/kubernetes.io/serviceaccount';
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  const ca = await readFile(resolve(folder, 'ca.crt'), 'utf8');
  const namespace = await readFile(resolve(folder, 'namespace'), 'utf8').catch(() => undefined);
  return {
    url: `https://${host}:${options.port}`,
    tls: { ca },
    token: async () => (await readFile(resolve(folder, 'token'), 'utf8')).trim(),
    ...(namespace === undefined ? {} : { namespace: namespace.trim() }),
  };
}
