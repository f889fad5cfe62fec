import type { Service } from 'kubernetes-types/core/v1.js';
import type { ApiObject } from '../kind.ts';
import type { AdmissionPlugin } from '../registry/request.ts';

const serviceType = (object: ApiObject) => (object as unknown as Service).spec?.type ?? '';

/** What an object of a kind does not do here; undefined where it does all. */
const missing: Readonly<Record<string, (object: ApiObject) => string | undefined>> = {
  'batch/cronjobs': () =>
    'nothing starts the Jobs of a CronJob; kubectl create job --from=cronjob/NAME starts one',
  'autoscaling/horizontalpodautoscalers': () => 'a HorizontalPodAutoscaler has no metrics and scales nothing',
  'networking.k8s.io/ingresses': () => 'nothing serves an Ingress',
  'networking.k8s.io/networkpolicies': () => 'a NetworkPolicy is not enforced',
  '/resourcequotas': () => 'a ResourceQuota is not enforced',
  '/limitranges': () => 'a LimitRange is not applied',
  '/replicationcontrollers': () => 'nothing makes the pods of a ReplicationController; use a Deployment',
  '/services': (object) =>
    ['NodePort', 'LoadBalancer'].includes(serviceType(object))
      ? `a Service of type ${serviceType(object)} is reached by its ClusterIP alone`
      : undefined,
};

/**
 * Objects that manifests for real clusters bring along, and that nothing acts on in standalone, are taken with
 * a warning: an effect that stays out in silence costs somebody an evening.
 */
export const unserved: AdmissionPlugin = {
  name: 'Unserved',
  judge({ kind, object, live, warn }) {
    const why = missing[`${kind.group}/${kind.plural}`];
    const text = why?.(object);
    if (text === undefined || (live && why?.(live) !== undefined)) return;
    warn(`standalone Holdfast: ${text}`);
  },
};
