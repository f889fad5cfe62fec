import type { Container, EnvVar, Pod, Service } from 'kubernetes-types/core/v1.js';
import { expand } from './expansion.ts';
import { podField, resourceField, type NodeCapacity, type PodAddresses } from './pod-fields.ts';
import type { PodReferences } from './references.ts';
import { configError } from './start-error.ts';

export interface EnvironmentSources {
  readonly references: PodReferences;
  readonly services: readonly Service[];
  readonly addresses: PodAddresses;
  readonly capacity: NodeCapacity;
}

/**
 * A container's environment: services, then envFrom, then env, the later winning; references are
 * expanded. Throws StartError where something that is not optional is missing.
 */
export async function containerEnvironment(
  pod: Pod,
  container: Container,
  sources: EnvironmentSources,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const services = serviceEnvironment(pod, sources.services);
  const result = new Map(services);
  for (const [name, value] of await fromSources(pod, container, sources, signal)) result.set(name, value);
  const own = new Map<string, string>();
  for (const variable of container.env ?? []) {
    const value =
      variable.valueFrom === undefined
        ? expand(variable.value ?? '', (name) => own.get(name) ?? services.get(name))
        : await valueFrom(pod, container, variable, sources, signal);
    if (value === undefined) continue;
    own.set(variable.name, value);
    result.set(variable.name, value);
  }
  return result;
}

async function fromSources(
  pod: Pod,
  container: Container,
  { references }: EnvironmentSources,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const namespace = pod.metadata?.namespace ?? '';
  const result = new Map<string, string>();
  for (const source of container.envFrom ?? []) {
    const ref = source.configMapRef ?? source.secretRef;
    if (!ref?.name) continue;
    const kind = source.configMapRef ? 'configmap' : 'secret';
    const data = await references.data(kind, namespace, ref.name, signal);
    if (!data && !ref.optional) throw configError(`${kind} "${ref.name}" not found`);
    for (const [key, value] of data ?? []) {
      const name = `${source.prefix ?? ''}${key}`;
      if (isVariableName(name)) result.set(name, value.toString());
    }
  }
  return result;
}

const isVariableName = (name: string): boolean => /^[^=\0]+$/.test(name);

async function valueFrom(
  pod: Pod,
  container: Container,
  { name, valueFrom: from }: EnvVar,
  { references, addresses, capacity }: EnvironmentSources,
  signal: AbortSignal,
): Promise<string | undefined> {
  const namespace = pod.metadata?.namespace ?? '';
  if (from?.fieldRef) {
    const value = podField(pod, from.fieldRef.fieldPath, addresses);
    if (value === undefined)
      throw configError(`env ${name}: unsupported fieldPath: ${from.fieldRef.fieldPath}`);
    return value;
  }
  if (from?.resourceFieldRef) {
    const other = from.resourceFieldRef.containerName;
    const of = other ? pod.spec?.containers.find((one) => one.name === other) : container;
    const value = of && resourceField(of, from.resourceFieldRef, capacity);
    if (value === undefined)
      throw configError(`env ${name}: unsupported resource: ${from.resourceFieldRef.resource}`);
    return value;
  }
  const ref = from?.configMapKeyRef ?? from?.secretKeyRef;
  if (!ref?.name) throw configError(`env ${name}: valueFrom names no source`);
  const kind = from?.configMapKeyRef ? 'configmap' : 'secret';
  const data = await references.data(kind, namespace, ref.name, signal);
  if (!data) {
    if (ref.optional) return undefined;
    throw configError(`${kind} "${ref.name}" not found`);
  }
  const value = data.get(ref.key);
  if (value === undefined && !ref.optional)
    throw configError(
      `couldn't find key ${ref.key} in ${kind === 'secret' ? 'Secret' : 'ConfigMap'} ${namespace}/${ref.name}`,
    );
  return value?.toString();
}

/** `NAME_SERVICE_HOST` and its companions, of the pod's namespace and of default/kubernetes. */
export function serviceEnvironment(pod: Pod, services: readonly Service[]): ReadonlyMap<string, string> {
  const result = new Map<string, string>();
  const namespace = pod.metadata?.namespace;
  const links = pod.spec?.enableServiceLinks !== false;
  const master = (service: Service) =>
    service.metadata?.namespace === 'default' && service.metadata.name === 'kubernetes';
  const wanted = services.filter(
    (service) => master(service) || (links && service.metadata?.namespace === namespace),
  );
  // The pod's own namespace wins where it too has a service named kubernetes.
  wanted.sort((a, b) => Number(master(b)) - Number(master(a)));
  for (const service of wanted) {
    const ip = service.spec?.clusterIP;
    const ports = service.spec?.ports ?? [];
    const [first] = ports;
    if (!ip || ip === 'None' || !first) continue;
    const prefix = (service.metadata?.name ?? '').toUpperCase().replaceAll('-', '_');
    result.set(`${prefix}_SERVICE_HOST`, ip);
    result.set(`${prefix}_SERVICE_PORT`, String(first.port));
    for (const port of ports)
      if (port.name)
        result.set(
          `${prefix}_SERVICE_PORT_${port.name.toUpperCase().replaceAll('-', '_')}`,
          String(port.port),
        );
    const url = (port: typeof first) => `${(port.protocol ?? 'TCP').toLowerCase()}://${ip}:${port.port}`;
    result.set(`${prefix}_PORT`, url(first));
    for (const port of ports) {
      const protocol = port.protocol ?? 'TCP';
      const key = `${prefix}_PORT_${port.port}_${protocol}`;
      result.set(key, url(port));
      result.set(`${key}_PROTO`, protocol.toLowerCase());
      result.set(`${key}_PORT`, String(port.port));
      result.set(`${key}_ADDR`, ip);
    }
  }
  return result;
}
