import type {
  DownwardAPIVolumeFile,
  KeyToPath,
  Pod,
  Volume,
  VolumeProjection,
} from 'kubernetes-types/core/v1.js';
import { podField, resourceField, type NodeCapacity, type PodAddresses } from '../pod-fields.ts';
import type { PodReferences, ReferenceData, DataKind } from '../references.ts';
import type { Payload, ProjectedFile } from './atomic-files.ts';
import type { TokenSource } from './service-account-token.ts';

export interface PayloadSources {
  readonly references: PodReferences;
  readonly tokens: TokenSource;
  readonly capacity: NodeCapacity;
  readonly addresses: PodAddresses;
}

const defaultFileMode = 0o644;
const defaultTokenSeconds = 3600;

/** True for volumes whose files come from the API. */
export const isProjection = (volume: Volume): boolean =>
  Boolean(volume.configMap ?? volume.secret ?? volume.downwardAPI ?? volume.projected);

/** The files of a configMap, secret, downwardAPI or projected volume. Throws where a part is missing. */
export async function volumePayload(
  pod: Pod,
  volume: Volume,
  sources: PayloadSources,
  signal: AbortSignal,
): Promise<Payload> {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap) {
    const projection = {
      configMap: { name: configMap.name, items: configMap.items, optional: configMap.optional },
    };
    return await onePart(pod, projection as VolumeProjection, configMap.defaultMode, sources, signal);
  }
  if (secret) {
    const projection = {
      secret: { name: secret.secretName, items: secret.items, optional: secret.optional },
    };
    return await onePart(pod, projection as VolumeProjection, secret.defaultMode, sources, signal);
  }
  if (downwardAPI) {
    const projection = { downwardAPI: { items: downwardAPI.items } };
    return await onePart(pod, projection as VolumeProjection, downwardAPI.defaultMode, sources, signal);
  }
  const all = new Map<string, ProjectedFile>();
  for (const part of projected?.sources ?? [])
    for (const [path, file] of await onePart(pod, part, projected?.defaultMode, sources, signal))
      all.set(path, file);
  return all;
}

async function onePart(
  pod: Pod,
  part: VolumeProjection,
  defaultMode: number = defaultFileMode,
  sources: PayloadSources,
  signal: AbortSignal,
): Promise<Payload> {
  const namespace = pod.metadata?.namespace ?? '';
  if (part.configMap || part.secret) {
    const kind: DataKind = part.configMap ? 'configmap' : 'secret';
    const { name = '', items, optional = false } = part.configMap ?? part.secret ?? {};
    const data = await sources.references.data(kind, namespace, name, signal);
    if (!data && !optional) throw new Error(`${kind} "${name}" not found`);
    return keyedFiles(data ?? new Map(), items, defaultMode, optional);
  }
  if (part.downwardAPI)
    return new Map(
      (part.downwardAPI.items ?? []).map((item) => [
        item.path,
        { data: Buffer.from(downwardText(pod, item, sources)), mode: item.mode ?? defaultMode },
      ]),
    );
  if (part.serviceAccountToken) {
    const { audience = '', expirationSeconds = defaultTokenSeconds, path } = part.serviceAccountToken;
    const token = await sources.tokens.token(pod, { audience, expirationSeconds }, signal);
    return new Map([[path, { data: Buffer.from(token), mode: defaultMode }]]);
  }
  return new Map();
}

function keyedFiles(
  data: ReferenceData,
  items: readonly KeyToPath[] | undefined,
  defaultMode: number,
  optional: boolean,
): Payload {
  if (!items || items.length === 0)
    return new Map([...data].map(([key, bytes]) => [key, { data: bytes, mode: defaultMode }]));
  const files = new Map<string, ProjectedFile>();
  for (const item of items) {
    const bytes = data.get(item.key);
    if (bytes) files.set(item.path, { data: bytes, mode: item.mode ?? defaultMode });
    else if (!optional) throw new Error(`references non-existent config key: ${item.key}`);
  }
  return files;
}

function downwardText(pod: Pod, item: DownwardAPIVolumeFile, sources: PayloadSources): string {
  if (item.fieldRef) {
    const value = podField(pod, item.fieldRef.fieldPath, sources.addresses);
    if (value === undefined) throw new Error(`unsupported fieldPath: ${item.fieldRef.fieldPath}`);
    return value;
  }
  const selector = item.resourceFieldRef;
  const container = pod.spec?.containers.find((one) => one.name === selector?.containerName);
  const value = selector && container && resourceField(container, selector, sources.capacity);
  if (value === undefined)
    throw new Error(`downward file ${item.path} names no field or resource that is there`);
  return value;
}
