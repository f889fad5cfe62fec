import type { Job } from 'kubernetes-types/batch/v1.js';
import type { AdmissionPlugin } from '../registry/request.ts';

const uidLabel = 'batch.kubernetes.io/controller-uid';

/**
 * A Job selects its pods by its own UID, which its template carries as a label. By the selector others find
 * them too, `kubectl logs job/...` for one; an empty one would stand for every pod of the namespace.
 */
export const jobSelector: AdmissionPlugin = {
  name: 'JobSelector',
  admit({ operation, kind, object, name }) {
    if (operation !== 'CREATE' || kind.group !== 'batch' || kind.plural !== 'jobs') return;
    const { spec, metadata } = object as unknown as Job;
    if (!spec?.template || spec.manualSelector) return;
    const uid = metadata?.uid ?? '';
    spec.selector ??= { matchLabels: { [uidLabel]: uid } };
    spec.template.metadata = {
      ...spec.template.metadata,
      labels: {
        ...spec.template.metadata?.labels,
        [uidLabel]: uid,
        'batch.kubernetes.io/job-name': name,
        'controller-uid': uid,
        'job-name': name,
      },
    };
  },
};
