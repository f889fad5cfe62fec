import type { DaemonSet, Deployment, ReplicaSet, StatefulSet } from 'kubernetes-types/apps/v1.js';
import type { CronJob, Job } from 'kubernetes-types/batch/v1.js';
import type { PodTemplateSpec } from 'kubernetes-types/core/v1.js';
import type { LabelSelector } from 'kubernetes-types/meta/v1.js';
import type { FieldError, Json } from '../../kind.ts';
import { fieldError } from '../field-error.ts';
import { sameJson } from '../../registry/json.ts';
import { oneOf } from './container-rules.ts';
import { labelErrors, nameErrors, qualifiedName } from './names.ts';
import { templateErrors } from './pod-rules.ts';

export const immutable = (field: string, next: unknown, before: unknown): FieldError[] =>
  sameJson(next, before) ? [] : [fieldError.invalid(field, next, 'field is immutable')];

const notNegative = (field: string, value: number | undefined): FieldError[] =>
  (value ?? 0) < 0 ? [fieldError.invalid(field, value, 'must be greater than or equal to 0')] : [];

type Labels = Readonly<Record<string, string>>;
const operators = ['DoesNotExist', 'Exists', 'In', 'NotIn'];

function selects(selector: LabelSelector, labels: Labels): boolean {
  const equal = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return (
    equal &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      const among = value !== undefined && values.includes(value);
      return operator === 'In' ? among : !among;
    })
  );
}

export function selectorErrors(selector: LabelSelector | undefined, path: string): FieldError[] {
  const errors = labelErrors(selector?.matchLabels, `${path}.matchLabels`);
  for (const [i, { key, operator, values }] of (selector?.matchExpressions ?? []).entries()) {
    const field = `${path}.matchExpressions[${i}]`;
    errors.push(...nameErrors(`${field}.key`, key, qualifiedName));
    if (!operators.includes(operator))
      errors.push(fieldError.invalid(`${field}.operator`, operator, 'not a valid selector operator'));
    const listed = operator === 'In' || operator === 'NotIn';
    if (listed && !values?.length)
      errors.push(
        fieldError.required(`${field}.values`, "must be specified when `operator` is 'In' or 'NotIn'"),
      );
    if (!listed && values?.length)
      errors.push(
        fieldError.forbidden(
          `${field}.values`,
          "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
      );
  }
  return errors;
}

/** The selector is there, selects something, and what it selects are the template's own pods. */
function ownSelectorErrors(
  selector: LabelSelector | undefined,
  template: PodTemplateSpec | undefined,
  kind: string,
): FieldError[] {
  if (!selector) return [fieldError.required('spec.selector')];
  const errors = selectorErrors(selector, 'spec.selector');
  const terms = Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions ?? []).length;
  if (terms === 0)
    errors.push(fieldError.invalid('spec.selector', selector, `empty selector is invalid for ${kind}`));
  else if (errors.length === 0 && !selects(selector, template?.metadata?.labels ?? {}))
    errors.push(
      fieldError.invalid(
        'spec.template.metadata.labels',
        template?.metadata?.labels ?? {},
        '`selector` does not match template `labels`',
      ),
    );
  return errors;
}

const always = ['Always'];
const amount = /^(?:\d+|(?:100|[0-9]{1,2})%)$/;

function rollingErrors(
  rolling: { maxSurge?: number | string; maxUnavailable?: number | string } | undefined,
  path: string,
): FieldError[] {
  if (!rolling) return [];
  const errors: FieldError[] = [];
  for (const name of ['maxUnavailable', 'maxSurge'] as const) {
    const value = rolling[name];
    if (typeof value === 'number') errors.push(...notNegative(`${path}.${name}`, value));
    // A surge may be more than all there are.
    else if (value !== undefined && !(name === 'maxSurge' ? /^\d+%$/ : amount).test(value))
      errors.push(
        fieldError.invalid(
          `${path}.${name}`,
          value,
          "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        ),
      );
  }
  const zero = (value: number | string | undefined) => value === 0 || value === '0%';
  if (zero(rolling.maxUnavailable) && zero(rolling.maxSurge))
    errors.push(
      fieldError.invalid(
        `${path}.maxUnavailable`,
        rolling.maxUnavailable,
        'may not be 0 when `maxSurge` is 0',
      ),
    );
  return errors;
}

function deployment({ spec }: Deployment, before: Deployment | undefined): FieldError[] {
  if (!spec) return [fieldError.required('spec')];
  const { strategy } = spec;
  const errors = [
    ...notNegative('spec.replicas', spec.replicas),
    ...notNegative('spec.revisionHistoryLimit', spec.revisionHistoryLimit),
    ...notNegative('spec.minReadySeconds', spec.minReadySeconds),
    ...ownSelectorErrors(spec.selector, spec.template, 'deployment'),
    ...templateErrors(spec.template, always),
    ...oneOf('spec.strategy.type', strategy?.type, ['Recreate', 'RollingUpdate']),
  ];
  if (strategy?.type === 'Recreate' && strategy.rollingUpdate)
    errors.push(
      fieldError.forbidden(
        'spec.strategy.rollingUpdate',
        "may not be specified when strategy `type` is 'Recreate'",
      ),
    );
  else errors.push(...rollingErrors(strategy?.rollingUpdate, 'spec.strategy.rollingUpdate'));
  if ((spec.progressDeadlineSeconds ?? 600) <= (spec.minReadySeconds ?? 0))
    errors.push(
      fieldError.invalid(
        'spec.progressDeadlineSeconds',
        spec.progressDeadlineSeconds,
        'must be greater than minReadySeconds',
      ),
    );
  return before ? [...errors, ...immutable('spec.selector', spec.selector, before.spec?.selector)] : errors;
}

function replicaSet({ spec }: ReplicaSet, before: ReplicaSet | undefined): FieldError[] {
  if (!spec) return [fieldError.required('spec')];
  const errors = [
    ...notNegative('spec.replicas', spec.replicas),
    ...notNegative('spec.minReadySeconds', spec.minReadySeconds),
    ...ownSelectorErrors(spec.selector, spec.template, 'replica set'),
    // A set without a template scales nothing up, but it is allowed.
    ...(spec.template ? templateErrors(spec.template, always) : [fieldError.required('spec.template')]),
  ];
  return before ? [...errors, ...immutable('spec.selector', spec.selector, before.spec?.selector)] : errors;
}

function daemonSet({ spec }: DaemonSet, before: DaemonSet | undefined): FieldError[] {
  if (!spec) return [fieldError.required('spec')];
  const errors = [
    ...notNegative('spec.minReadySeconds', spec.minReadySeconds),
    ...ownSelectorErrors(spec.selector, spec.template, 'daemonset'),
    ...templateErrors(spec.template, always),
    ...oneOf('spec.updateStrategy.type', spec.updateStrategy?.type, ['RollingUpdate', 'OnDelete']),
    ...rollingErrors(spec.updateStrategy?.rollingUpdate, 'spec.updateStrategy.rollingUpdate'),
  ];
  return before ? [...errors, ...immutable('spec.selector', spec.selector, before.spec?.selector)] : errors;
}

const statefulChangeable = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
];

function statefulSet({ spec }: StatefulSet, before: StatefulSet | undefined): FieldError[] {
  if (!spec) return [fieldError.required('spec')];
  // Each pod gets a volume for each of these, so that a container may mount it.
  const claimed = (spec.volumeClaimTemplates ?? []).flatMap(({ metadata }) => metadata?.name ?? []);
  const errors = [
    ...notNegative('spec.replicas', spec.replicas),
    ...notNegative('spec.minReadySeconds', spec.minReadySeconds),
    ...ownSelectorErrors(spec.selector, spec.template, 'statefulset'),
    ...templateErrors(spec.template, always, claimed),
    ...oneOf('spec.podManagementPolicy', spec.podManagementPolicy, ['OrderedReady', 'Parallel']),
    ...oneOf('spec.updateStrategy.type', spec.updateStrategy?.type, ['RollingUpdate', 'OnDelete']),
  ];
  const fixed = (object: StatefulSet) =>
    Object.fromEntries(
      Object.entries(object.spec ?? {}).filter(([field]) => !statefulChangeable.includes(field)),
    ) as Json;
  if (before && !sameJson(fixed({ spec }), fixed(before)))
    errors.push(
      fieldError.forbidden(
        'spec',
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
      ),
    );
  return errors;
}

const jobNumbers = [
  'parallelism',
  'completions',
  'activeDeadlineSeconds',
  'backoffLimit',
  'ttlSecondsAfterFinished',
] as const;

/** What may be set in a suspended job's template before it first starts. */
function unscheduled(template: PodTemplateSpec): Json {
  const { metadata: _metadata, spec, ...rest } = template;
  const {
    affinity: _a,
    nodeSelector: _n,
    tolerations: _t,
    schedulingGates: _g,
    ...fixed
  } = spec ?? { containers: [] };
  return { ...rest, spec: fixed } as unknown as Json;
}

function job({ spec }: Job, before: Job | undefined): FieldError[] {
  if (!spec) return [fieldError.required('spec')];
  const errors = [
    ...jobNumbers.flatMap((name) => notNegative(`spec.${name}`, spec[name])),
    ...selectorErrors(spec.selector, 'spec.selector'),
    ...templateErrors(spec.template, ['OnFailure', 'Never']),
    ...oneOf('spec.completionMode', spec.completionMode, ['NonIndexed', 'Indexed']),
  ];
  if (spec.completionMode === 'Indexed' && spec.completions === undefined)
    errors.push(fieldError.required('spec.completions', 'when completion mode is Indexed'));
  const old = before?.spec;
  if (!before || !old) return errors;
  if (spec.completionMode !== 'Indexed')
    errors.push(...immutable('spec.completions', spec.completions, old.completions));
  errors.push(
    ...immutable('spec.selector', spec.selector, old.selector),
    ...immutable('spec.completionMode', spec.completionMode, old.completionMode),
    ...immutable('spec.podFailurePolicy', spec.podFailurePolicy, old.podFailurePolicy),
  );
  const waits = old.suspend && before.status?.startTime === undefined;
  const [now, then] = waits
    ? [unscheduled(spec.template), unscheduled(old.template)]
    : [spec.template, old.template];
  if (!sameJson(now, then))
    errors.push(fieldError.invalid('spec.template', spec.template, 'field is immutable'));
  return errors;
}

function cronJob({ spec }: CronJob): FieldError[] {
  if (!spec) return [fieldError.required('spec')];
  return [
    ...(spec.schedule ? [] : [fieldError.required('spec.schedule')]),
    ...oneOf('spec.concurrencyPolicy', spec.concurrencyPolicy, ['Allow', 'Forbid', 'Replace']),
  ];
}

export const workloadRules = {
  Deployment: deployment,
  ReplicaSet: replicaSet,
  DaemonSet: daemonSet,
  StatefulSet: statefulSet,
  Job: job,
  CronJob: cronJob,
};
