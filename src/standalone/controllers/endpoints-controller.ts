import type { Endpoints as EndpointsObject, Node, Pod, Service } from 'kubernetes-types/core/v1.js';
import type { Endpoint, EndpointSlice } from 'kubernetes-types/discovery/v1.js';
import { Endpoints, EndpointSlices, Nodes, Pods, Services } from '../../api/core.ts';
import { refOf, type ObjectRef, type Stored } from '../../api/resource.ts';
import { done } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { triggeredBy } from '../../control/trigger.ts';
import { isAlreadyExists, isConflict, isNamespaceTerminating, isNotFound } from '../../kube/errors.ts';
import { controllerReference } from '../../kube/owner-reference.ts';
import { patchDifference } from '../../kube/patch.ts';
import { labelsContain } from '../../kube/selector.ts';
import type { Environment } from './environment.ts';
import { isReady, isTerminal, isTerminating } from './pod-state.ts';
import { canonicalJson } from './pod-template.ts';
import { portsOnPod, type EndpointPort } from './service-ports.ts';

const managedBy = 'endpointslice-controller.k8s.io';
const serviceNameLabel = 'kubernetes.io/service-name';
const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
const perSlice = 100;
const perEndpoints = 1_000;

/** Says behind each Service which pods answer, as Endpoints and as EndpointSlices. */
export function endpointsController(environment: Environment): ControllerSpec<Service> {
  const { caches } = environment;
  const services = caches.cache(Services);
  caches.cache(
    EndpointSlices,
    {},
    {
      service: (slice) => {
        const name = slice.metadata.labels?.[serviceNameLabel];
        return name === undefined ? [] : [`${slice.metadata.namespace}/${name}`];
      },
    },
  );
  caches.cache(Endpoints);
  caches.cache(Nodes);
  const servicesOf = (pod: Stored<Pod>): ObjectRef[] =>
    services
      .list(pod.metadata.namespace ?? '')
      .filter((one) => one.spec?.selector && labelsContain(one.spec.selector, pod.metadata.labels))
      .map(refOf);
  return {
    resource: Services,
    triggers: [
      triggeredBy(Pods, servicesOf),
      triggeredBy(Endpoints, (object) => [refOf(object)]),
      triggeredBy(EndpointSlices, (slice) => {
        const name = slice.metadata.labels?.[serviceNameLabel];
        const ours = slice.metadata.labels?.[managedByLabel] === managedBy;
        return name !== undefined && ours ? [{ namespace: slice.metadata.namespace, name }] : [];
      }),
    ],
    reconciler: {
      name: 'endpoints',
      async reconcile(service, { signal }) {
        const selector = service.spec?.selector;
        // Without a selector the endpoints are somebody else's to write.
        if (!selector || Object.keys(selector).length === 0) return done;
        if (service.spec?.type === 'ExternalName' || service.metadata.deletionTimestamp) return done;
        const pods = caches
          .cache(Pods)
          .list(service.metadata.namespace ?? '')
          .filter((pod) => labelsContain(selector, pod.metadata.labels));
        const backends = backendsOf(service, pods, (name) => caches.cache(Nodes).get({ name }));
        try {
          await writeEndpoints(environment, service, backends, signal);
          await writeSlices(environment, service, backends, signal);
        } catch (error) {
          // The namespace or the Service goes, and takes these along.
          if (!isNamespaceTerminating(error) && !isNotFound(error)) throw error;
        }
        return done;
      },
      async gone(ref, { signal }) {
        // Endpoints have no owner reference, as everywhere, so they are ours to remove.
        const left = caches.cache(Endpoints).get(ref);
        const manual = left && left.metadata.labels?.[managedByEndpoints] === undefined;
        if (left && !manual) {
          await environment.client.delete(Endpoints, ref, { signal, uid: left.metadata.uid });
        }
        return done;
      },
    },
  };
}

const managedByEndpoints = 'endpoints.kubernetes.io/managed-by';

interface Backend {
  readonly addresses: readonly string[];
  readonly ports: readonly EndpointPort[];
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly nodeName: string;
  readonly hostname?: string;
  readonly zone?: string;
  readonly pod: Stored<Pod>;
}

function backendsOf(
  service: Stored<Service>,
  pods: readonly Stored<Pod>[],
  nodeOf: (name: string) => Stored<Node> | undefined,
): Backend[] {
  const unready =
    service.spec?.publishNotReadyAddresses === true ||
    service.metadata.annotations?.['service.alpha.kubernetes.io/tolerate-unready-endpoints'] === 'true';
  return pods
    .filter((pod) => !isTerminal(pod) && pod.status?.podIP && pod.spec?.nodeName)
    .map((pod): Backend => {
      const serving = isReady(pod);
      const terminating = isTerminating(pod);
      const nodeName = pod.spec?.nodeName ?? '';
      const zone = nodeOf(nodeName)?.metadata.labels?.['topology.kubernetes.io/zone'];
      const named = pod.spec?.hostname && pod.spec.subdomain === service.metadata.name;
      return {
        addresses: (pod.status?.podIPs ?? []).map((one) => one.ip ?? '').filter((ip) => ip !== ''),
        ports: portsOnPod(service.spec?.ports, pod),
        ready: unready || (serving && !terminating),
        serving,
        terminating,
        nodeName,
        ...(named ? { hostname: pod.spec?.hostname ?? '' } : {}),
        ...(zone === undefined ? {} : { zone }),
        pod,
      };
    })
    .map((one) => (one.addresses.length > 0 ? one : { ...one, addresses: [one.pod.status?.podIP ?? ''] }))
    .sort((a, b) => (a.pod.metadata.name < b.pod.metadata.name ? -1 : 1));
}

const targetOf = (pod: Stored<Pod>) => ({
  kind: 'Pod',
  namespace: pod.metadata.namespace ?? '',
  name: pod.metadata.name,
  uid: pod.metadata.uid,
});

/** Backends that have the same ports, which is all of them but for named ones. */
function byPorts(backends: readonly Backend[]): Map<string, Backend[]> {
  const groups = new Map<string, Backend[]>();
  for (const backend of backends) {
    const key = canonicalJson(backend.ports);
    groups.set(key, [...(groups.get(key) ?? []), backend]);
  }
  return groups;
}

async function writeEndpoints(
  { client, caches }: Environment,
  service: Stored<Service>,
  backends: readonly Backend[],
  signal: AbortSignal,
): Promise<void> {
  const isV6 = service.spec?.ipFamilies?.[0] === 'IPv6';
  const addressOf = (one: Backend) => ({
    ip: one.addresses.find((ip) => ip.includes(':') === isV6) ?? one.addresses[0] ?? '',
    nodeName: one.nodeName,
    ...(one.hostname === undefined ? {} : { hostname: one.hostname }),
    targetRef: targetOf(one.pod),
  });
  // Endpoints know no terminating state: such a pod is left out, ready or not.
  const listed = backends.filter((one) => !one.terminating || one.ready).slice(0, perEndpoints);
  const subsets = [...byPorts(listed).values()].map((group) => {
    const ready = group.filter((one) => one.ready).map(addressOf);
    const notReady = group.filter((one) => !one.ready).map(addressOf);
    return {
      ...(ready.length > 0 ? { addresses: ready } : {}),
      ...(notReady.length > 0 ? { notReadyAddresses: notReady } : {}),
      ports: (group[0]?.ports ?? []).map(({ name, ...port }) => ({
        ...(name === '' ? {} : { name }),
        ...port,
      })),
    };
  });
  const ref = refOf(service);
  const headless = service.spec?.clusterIP === 'None' ? { 'service.kubernetes.io/headless': '' } : {};
  const labels = { ...service.metadata.labels, ...headless, [managedByEndpoints]: 'endpoint-controller' };
  const current = caches.cache(Endpoints).get(ref);
  if (current) {
    const wanted: EndpointsObject = { ...current, metadata: { ...current.metadata, labels }, subsets };
    if (subsets.length === 0) delete wanted.subsets;
    caches
      .cache(Endpoints)
      .remember(await patchDifference(client, Endpoints, current, wanted, { signal, ifUnchanged: true }));
    return;
  }
  const made = await client.create(
    Endpoints,
    { metadata: { name: ref.name, namespace: ref.namespace ?? '', labels }, subsets },
    { signal },
  );
  caches.cache(Endpoints).remember(made);
}

async function writeSlices(
  { client, caches }: Environment,
  service: Stored<Service>,
  backends: readonly Backend[],
  signal: AbortSignal,
): Promise<void> {
  const cache = caches.cache(EndpointSlices);
  const existing = cache
    .byIndex('service', `${service.metadata.namespace}/${service.metadata.name}`)
    .filter((one) => one.metadata.labels?.[managedByLabel] === managedBy)
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const families = service.spec?.ipFamilies ?? ['IPv4'];
  const wanted = families.flatMap((family) => slicesOf(service, backends, family));
  const unused = [...existing];
  for (const slice of wanted) {
    // A slice with the same ports is changed in place, so that watchers see the least change.
    const at = unused.findIndex(
      (one) =>
        one.addressType === slice.addressType &&
        canonicalJson(one.ports ?? []) === canonicalJson(slice.ports ?? []),
    );
    const current = at < 0 ? undefined : unused.splice(at, 1)[0];
    if (!current) {
      try {
        cache.remember(await client.create(EndpointSlices, slice, { signal }));
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
      continue;
    }
    const { generateName: _name, ...metadata } = slice.metadata ?? {};
    const changed = { ...current, ...slice, metadata: { ...current.metadata, ...metadata } };
    cache.remember(
      await patchDifference(client, EndpointSlices, current, changed, { signal, ifUnchanged: true }),
    );
  }
  for (const one of unused) {
    await client
      .delete(EndpointSlices, refOf(one), { signal, uid: one.metadata.uid })
      .catch((error: unknown) => {
        if (!isConflict(error)) throw error;
      });
  }
}

function slicesOf(service: Stored<Service>, backends: readonly Backend[], family: string): EndpointSlice[] {
  const isV6 = family === 'IPv6';
  const headless = service.spec?.clusterIP === 'None' ? { 'service.kubernetes.io/headless': '' } : {};
  const make = (ports: readonly EndpointPort[], endpoints: Endpoint[]): EndpointSlice => ({
    metadata: {
      generateName: `${service.metadata.name.slice(0, 57)}-`,
      namespace: service.metadata.namespace ?? '',
      labels: {
        ...service.metadata.labels,
        ...headless,
        [serviceNameLabel]: service.metadata.name,
        [managedByLabel]: managedBy,
      },
      ownerReferences: [controllerReference(service)],
    },
    addressType: family,
    endpoints,
    ports: ports.map((port) => ({ ...port })),
  });
  const slices: EndpointSlice[] = [];
  for (const group of byPorts(backends).values()) {
    const endpoints = group.flatMap((one): Endpoint[] => {
      const addresses = one.addresses.filter((ip) => ip.includes(':') === isV6);
      if (addresses.length === 0) return [];
      return [
        {
          addresses,
          conditions: { ready: one.ready, serving: one.serving, terminating: one.terminating },
          nodeName: one.nodeName,
          ...(one.hostname === undefined ? {} : { hostname: one.hostname }),
          ...(one.zone === undefined ? {} : { zone: one.zone }),
          targetRef: targetOf(one.pod),
        },
      ];
    });
    for (let from = 0; from < endpoints.length; from += perSlice) {
      slices.push(make(group[0]?.ports ?? [], endpoints.slice(from, from + perSlice)));
    }
  }
  // A Service without backends has one empty slice: 'none' is something else than 'not known yet'.
  return slices.length === 0 ? [make([], [])] : slices;
}
