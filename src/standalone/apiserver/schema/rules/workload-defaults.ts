import type { JsonObject } from '../../kind.ts';
import { ensureMap, mapIn, mapsIn, setAbsent, setEmpty } from './draft.ts';
import { podSpecDefaults } from './pod-defaults.ts';

/** Fills in an object's spec, in place. */
export type SpecDefaults = (spec: JsonObject, object: JsonObject) => void;

const historyLimit = 10;
const quarter = '25%';

function template(spec: JsonObject): void {
  podSpecDefaults(mapIn(mapIn(spec, 'template'), 'spec'));
}

/** Labels of the template, for kinds that take them over where they have none. */
function labelsFromTemplate(spec: JsonObject, object: JsonObject): void {
  const labels = mapIn(mapIn(mapIn(spec, 'template'), 'metadata'), 'labels');
  const metadata = mapIn(object, 'metadata');
  if (labels && metadata && Object.keys(mapIn(metadata, 'labels') ?? {}).length === 0)
    metadata['labels'] = { ...labels };
}

function deployment(spec: JsonObject): void {
  setAbsent(spec, 'replicas', 1);
  setAbsent(spec, 'revisionHistoryLimit', historyLimit);
  setAbsent(spec, 'progressDeadlineSeconds', 600);
  const strategy = ensureMap(spec, 'strategy');
  setEmpty(strategy, 'type', 'RollingUpdate');
  if (strategy?.['type'] === 'RollingUpdate') {
    const rolling = ensureMap(strategy, 'rollingUpdate');
    setAbsent(rolling, 'maxUnavailable', quarter);
    setAbsent(rolling, 'maxSurge', quarter);
  }
  template(spec);
}

function daemonSet(spec: JsonObject): void {
  setAbsent(spec, 'revisionHistoryLimit', historyLimit);
  const strategy = ensureMap(spec, 'updateStrategy');
  setEmpty(strategy, 'type', 'RollingUpdate');
  if (strategy?.['type'] === 'RollingUpdate') {
    const rolling = ensureMap(strategy, 'rollingUpdate');
    setAbsent(rolling, 'maxUnavailable', 1);
    setAbsent(rolling, 'maxSurge', 0);
  }
  template(spec);
}

function statefulSet(spec: JsonObject): void {
  setAbsent(spec, 'replicas', 1);
  setAbsent(spec, 'revisionHistoryLimit', historyLimit);
  setEmpty(spec, 'podManagementPolicy', 'OrderedReady');
  const strategy = ensureMap(spec, 'updateStrategy');
  setEmpty(strategy, 'type', 'RollingUpdate');
  if (strategy?.['type'] === 'RollingUpdate') setAbsent(ensureMap(strategy, 'rollingUpdate'), 'partition', 0);
  const retention = ensureMap(spec, 'persistentVolumeClaimRetentionPolicy');
  setEmpty(retention, 'whenDeleted', 'Retain');
  setEmpty(retention, 'whenScaled', 'Retain');
  for (const claim of mapsIn(spec, 'volumeClaimTemplates')) {
    setAbsent(claim, 'apiVersion', 'v1');
    setAbsent(claim, 'kind', 'PersistentVolumeClaim');
    setAbsent(mapIn(claim, 'spec'), 'volumeMode', 'Filesystem');
    setAbsent(claim, 'status', { phase: 'Pending' });
  }
  template(spec);
}

const hugeLimit = 2147483647;

function job(spec: JsonObject): void {
  // A job that says how many run at once, and not how many must succeed, is a work queue.
  if (spec['parallelism'] === undefined) setAbsent(spec, 'completions', 1);
  setAbsent(spec, 'parallelism', 1);
  setAbsent(spec, 'backoffLimit', spec['backoffLimitPerIndex'] === undefined ? 6 : hugeLimit);
  setAbsent(spec, 'completionMode', 'NonIndexed');
  setAbsent(spec, 'suspend', false);
  const policy = mapIn(spec, 'podFailurePolicy');
  setAbsent(spec, 'podReplacementPolicy', policy ? 'Failed' : 'TerminatingOrFailed');
  setAbsent(spec, 'manualSelector', false);
  for (const rule of mapsIn(policy, 'rules'))
    for (const condition of mapsIn(rule, 'onPodConditions')) setEmpty(condition, 'status', 'True');
  template(spec);
}

export const workloadDefaults: Readonly<Record<string, SpecDefaults>> = {
  Deployment: deployment,
  DaemonSet: daemonSet,
  StatefulSet: statefulSet,
  ReplicaSet(spec) {
    setAbsent(spec, 'replicas', 1);
    template(spec);
  },
  ReplicationController(spec, object) {
    setAbsent(spec, 'replicas', 1);
    const labels = mapIn(mapIn(mapIn(spec, 'template'), 'metadata'), 'labels');
    if (labels) setAbsent(spec, 'selector', { ...labels });
    labelsFromTemplate(spec, object);
    template(spec);
  },
  Job(spec, object) {
    labelsFromTemplate(spec, object);
    job(spec);
  },
  CronJob(spec) {
    setEmpty(spec, 'concurrencyPolicy', 'Allow');
    setAbsent(spec, 'suspend', false);
    setAbsent(spec, 'successfulJobsHistoryLimit', 3);
    setAbsent(spec, 'failedJobsHistoryLimit', 1);
    const own = mapIn(mapIn(spec, 'jobTemplate'), 'spec');
    if (own) template(own);
  },
};
