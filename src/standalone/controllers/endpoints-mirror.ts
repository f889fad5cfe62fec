import type { Endpoints as EndpointsObject, Service } from 'kubernetes-types/core/v1.js';
import type { Endpoint, EndpointSlice } from 'kubernetes-types/discovery/v1.js';
import { Endpoints, EndpointSlices, Services } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { done } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { triggeredBy } from '../../control/trigger.ts';
import { isAlreadyExists, isNamespaceTerminating } from '../../kube/errors.ts';
import { controllerReference } from '../../kube/owner-reference.ts';
import { patchDifference } from '../../kube/patch.ts';
import type { Environment } from './environment.ts';

const managedBy = 'endpointslicemirroring-controller.k8s.io';
const serviceNameLabel = 'kubernetes.io/service-name';
const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
const skipLabel = 'endpointslice.kubernetes.io/skip-mirror';
const maxAddresses = 1_000;

/** Shows Endpoints that somebody wrote by hand, for a Service without a selector, as EndpointSlices too. */
export function endpointsMirrorController({ client, caches }: Environment): ControllerSpec<EndpointsObject> {
  const services = caches.cache(Services);
  const slices = caches.cache(
    EndpointSlices,
    {},
    {
      service: (slice) => {
        const name = slice.metadata.labels?.[serviceNameLabel];
        return name === undefined ? [] : [`${slice.metadata.namespace}/${name}`];
      },
    },
  );
  return {
    resource: Endpoints,
    triggers: [
      triggeredBy(Services, (service) => [refOf(service)]),
      triggeredBy(EndpointSlices, (slice) => {
        const name = slice.metadata.labels?.[serviceNameLabel];
        const ours = slice.metadata.labels?.[managedByLabel] === managedBy;
        return name !== undefined && ours ? [{ namespace: slice.metadata.namespace, name }] : [];
      }),
    ],
    reconciler: {
      name: 'endpoints-mirror',
      async reconcile(endpoints, { signal }) {
        const { namespace, name } = endpoints.metadata;
        const service = services.get({ namespace, name });
        const existing = slices
          .byIndex('service', `${namespace}/${name}`)
          .filter((one) => one.metadata.labels?.[managedByLabel] === managedBy);
        const mirrored = service !== undefined && isByHand(service, endpoints);
        const unused = [...existing];
        for (const wanted of mirrored ? slicesOf(endpoints) : []) {
          const at = unused.findIndex((one) => one.metadata.name === wanted.metadata?.name);
          const current = at < 0 ? undefined : unused.splice(at, 1)[0];
          if (current) {
            const changed = {
              ...current,
              ...wanted,
              metadata: { ...current.metadata, labels: wanted.metadata?.labels ?? {} },
            };
            slices.remember(await patchDifference(client, EndpointSlices, current, changed, { signal }));
            continue;
          }
          try {
            slices.remember(await client.create(EndpointSlices, wanted, { signal }));
          } catch (error) {
            if (!isAlreadyExists(error) && !isNamespaceTerminating(error)) throw error;
          }
        }
        for (const one of unused) {
          await client.delete(EndpointSlices, refOf(one), { signal, uid: one.metadata.uid });
        }
        return done;
      },
    },
  };
}

/** The API's own Service writes its slices itself, and one with a selector has a controller for that. */
function isByHand(service: Stored<Service>, endpoints: Stored<EndpointsObject>): boolean {
  const { namespace, name, labels } = endpoints.metadata;
  if (namespace === 'default' && name === 'kubernetes') return false;
  if (labels?.[skipLabel] === 'true') return false;
  if (endpoints.metadata.annotations?.['control-plane.alpha.kubernetes.io/leader'] !== undefined)
    return false;
  return Object.keys(service.spec?.selector ?? {}).length === 0 && service.spec?.type !== 'ExternalName';
}

/** One slice for each subset and address family, with a name that follows from its place. */
function slicesOf(endpoints: Stored<EndpointsObject>): EndpointSlice[] {
  const { namespace, name, labels } = endpoints.metadata;
  return (endpoints.subsets ?? []).flatMap((subset, index) => {
    const all: Endpoint[] = [
      ...(subset.addresses ?? []).map((one) => ({ one, ready: true })),
      ...(subset.notReadyAddresses ?? []).map((one) => ({ one, ready: false })),
    ]
      .slice(0, maxAddresses)
      .map(({ one, ready }) => ({
        addresses: [one.ip],
        conditions: { ready },
        ...(one.hostname ? { hostname: one.hostname } : {}),
        ...(one.nodeName ? { nodeName: one.nodeName } : {}),
        ...(one.targetRef ? { targetRef: one.targetRef } : {}),
      }));
    return ['IPv4', 'IPv6'].flatMap((family): EndpointSlice[] => {
      const members = all.filter((one) => (one.addresses[0] ?? '').includes(':') === (family === 'IPv6'));
      if (members.length === 0) return [];
      return [
        {
          metadata: {
            name: `${name.slice(0, 230)}-mirror-${index}-${family.toLowerCase()}`,
            namespace: namespace ?? '',
            labels: { ...labels, [serviceNameLabel]: name, [managedByLabel]: managedBy },
            ownerReferences: [controllerReference(endpoints)],
          },
          addressType: family,
          endpoints: members,
          ports: (subset.ports ?? []).map((port) => ({
            ...port,
            name: port.name ?? '',
            protocol: port.protocol ?? 'TCP',
          })),
        },
      ];
    });
  });
}
