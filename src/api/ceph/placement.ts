import { z } from 'zod';
import { atomicList, int, list, map, nullableObject, object, openMap, openObject, text } from './schema.ts';

const requirement = (subject: string) =>
  z.looseObject({
    key: z.string().describe(`The label key of the ${subject}.`),
    operator: z.string().describe('In, NotIn, Exists, DoesNotExist, Gt or Lt.'),
    values: atomicList(z.string(), 'What the operator compares with.'),
  });

export const labelSelector = (about: string) =>
  object(
    {
      matchExpressions: atomicList(requirement('object'), 'Requirements that must all hold.'),
      matchLabels: map(z.string(), 'Labels that must be there with these values.'),
    },
    about,
  ).meta({ 'x-kubernetes-map-type': 'atomic' });

const nodeTerm = {
  matchExpressions: atomicList(requirement('node'), 'Requirements on node labels.'),
  matchFields: atomicList(requirement('node'), 'Requirements on node fields.'),
};
const atomicMap = { 'x-kubernetes-map-type': 'atomic' } as const;
const weight = z.int().describe('1 to 100.').meta({ format: 'int32' });

const nodeAffinity = object(
  {
    preferredDuringSchedulingIgnoredDuringExecution: atomicList(
      z.looseObject({ preference: z.looseObject(nodeTerm).meta(atomicMap), weight }),
      'Nodes that are better than others.',
    ),
    requiredDuringSchedulingIgnoredDuringExecution: object(
      {
        nodeSelectorTerms: z
          .array(z.looseObject(nodeTerm).meta(atomicMap))
          .meta({ 'x-kubernetes-list-type': 'atomic' }),
      },
      'Nodes must match one of these terms.',
    ).meta(atomicMap),
  },
  'Which nodes may or should run the pods.',
);

const podTerm = {
  labelSelector: labelSelector('The pods that count.'),
  matchLabelKeys: atomicList(z.string(), 'Label keys whose own values narrow the selection.'),
  mismatchLabelKeys: atomicList(z.string(), 'Label keys whose own values are excluded.'),
  namespaceSelector: labelSelector('The namespaces that count.'),
  namespaces: atomicList(z.string(), 'Names of namespaces that count.'),
  topologyKey: z.string().describe('The node label that says what "together" means.'),
};

const podAffinity = (about: string) =>
  object(
    {
      preferredDuringSchedulingIgnoredDuringExecution: atomicList(
        z.looseObject({ podAffinityTerm: z.looseObject(podTerm), weight }),
        'Wishes.',
      ),
      requiredDuringSchedulingIgnoredDuringExecution: atomicList(z.looseObject(podTerm), 'Musts.'),
    },
    about,
  );

const placementShape = {
  nodeAffinity,
  podAffinity: podAffinity('Pods to be near to.'),
  podAntiAffinity: podAffinity('Pods to stay away from.'),
  tolerations: list(
    z.looseObject({
      effect: text('NoSchedule, PreferNoSchedule or NoExecute; empty for all.'),
      key: text('The taint key; empty for all.'),
      operator: text('Exists or Equal.'),
      tolerationSeconds: int('How long a NoExecute taint is borne.', { format: 'int64' }),
      value: text('The taint value that is tolerated.'),
    }),
    'Taints that the pods tolerate.',
  ),
  topologySpreadConstraints: list(
    z.looseObject({
      labelSelector: labelSelector('The pods that are counted.'),
      matchLabelKeys: atomicList(z.string(), 'Label keys whose own values narrow the count.'),
      maxSkew: z.int().describe('The largest difference between two domains.').meta({ format: 'int32' }),
      minDomains: int('The least number of domains.', { format: 'int32' }),
      nodeAffinityPolicy: text('Honor or Ignore node affinity while counting.'),
      nodeTaintsPolicy: text('Honor or Ignore taints while counting.'),
      topologyKey: z.string().describe('The node label that names the domain.'),
      whenUnsatisfiable: z.string().describe('DoNotSchedule or ScheduleAnyway.'),
    }),
    'How the pods spread over domains.',
  ),
};

/** Where the pods of one daemon type may run. */
export const Placement = nullableObject(placementShape, 'Where the pods may run.');
export type Placement = NonNullable<z.infer<typeof Placement>>;

/** Placement keyed by daemon type: all, mon, mgr, osd, prepareosd, cleanup and so on. */
export const placementByDaemon = openMap(
  z.looseObject(placementShape),
  'Where pods may run, keyed by all, mon, mgr, osd, prepareosd, cleanup, arbiter.',
);
export const openPlacement = (about: string) => openObject(placementShape, about);
