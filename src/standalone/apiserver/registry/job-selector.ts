import type { Job } from 'kubernetes-types/batch/v1.js';
import type { ApiObject, KindInfo } from '../kind.ts';

const uidLabel = 'batch.kubernetes.io/controller-uid';

/**
 * A new Job selects its pods by its own UID, which its template carries as a label. By the selector others find
 * them too, `kubectl logs job/...` for one; an empty one would stand for every pod of the namespace. Done when
 * the fields' managers are settled: nobody owns these, so that no later apply takes them away.
 */
export function selectOwnPods({ group, plural }: KindInfo, object: ApiObject): ApiObject {
  if (group !== 'batch' || plural !== 'jobs') return object;
  const { spec, metadata } = object as unknown as Job;
  if (!spec?.template || spec.manualSelector) return object;
  const { name = '', uid = '' } = metadata ?? {};
  const labels = {
    ...spec.template.metadata?.labels,
    [uidLabel]: uid,
    'batch.kubernetes.io/job-name': name,
    'controller-uid': uid,
    'job-name': name,
  };
  return {
    ...object,
    spec: {
      ...spec,
      selector: spec.selector ?? { matchLabels: { [uidLabel]: uid } },
      template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
    },
  } as unknown as ApiObject;
}
