import type {
  ControllerRevision,
  DaemonSet,
  Deployment,
  ReplicaSet,
  StatefulSet,
} from 'kubernetes-types/apps/v1.js';
import type { CronJob, Job } from 'kubernetes-types/batch/v1.js';
import type { PodTemplate, PodTemplateSpec, ReplicationController } from 'kubernetes-types/core/v1.js';
import { ageOf, formatDuration } from './age.ts';
import { labelsText, nameOf, none, printer, selectorText, type BuiltinPrinter } from './builtin-printer.ts';

const names = (template: PodTemplateSpec | undefined) =>
  (template?.spec?.containers ?? []).map(({ name }) => name).join(',');
const images = (template: PodTemplateSpec | undefined) =>
  (template?.spec?.containers ?? []).map(({ image }) => image ?? '').join(',');

function jobStatus({ metadata, status }: Job): string {
  const has = (type: string) =>
    (status?.conditions ?? []).some((found) => found.type === type && found.status === 'True');
  if (has('Complete')) return 'Complete';
  if (has('Failed')) return 'Failed';
  if (metadata?.deletionTimestamp) return 'Terminating';
  if (has('Suspended')) return 'Suspended';
  if (has('FailureTarget')) return 'FailureTarget';
  return has('SuccessCriteriaMet') ? 'SuccessCriteriaMet' : 'Running';
}

function completions({ spec, status }: Job): string {
  const done = status?.succeeded ?? 0;
  if (spec?.completions !== undefined) return `${done}/${spec.completions}`;
  const parallel = spec?.parallelism ?? 0;
  return parallel > 1 ? `${done}/1 of ${parallel}` : `${done}/1`;
}

function jobDuration({ status }: Job, nowMs: number): string {
  const { startTime, completionTime } = status ?? {};
  if (!startTime) return '';
  const endMs = completionTime ? Date.parse(String(completionTime)) : nowMs;
  return formatDuration(endMs - Date.parse(String(startTime)));
}

const replicaCells = (set: ReplicaSet | ReplicationController, nowMs: number) => [
  nameOf(set),
  set.spec?.replicas ?? 0,
  set.status?.replicas ?? 0,
  set.status?.readyReplicas ?? 0,
  ageOf(set.metadata?.creationTimestamp, nowMs),
  names(set.spec?.template),
  images(set.spec?.template),
];
const replicaColumns = 'Name,Desired,Current,Ready,Age,Containers*,Images*,Selector*';

export const workloadPrinters: Readonly<Record<string, BuiltinPrinter>> = {
  Deployment: printer<Deployment>(
    'Name,Ready,Up-to-date,Available,Age,Containers*,Images*,Selector*',
    (deployment, nowMs) => [
      nameOf(deployment),
      `${deployment.status?.readyReplicas ?? 0}/${deployment.spec?.replicas ?? 0}`,
      deployment.status?.updatedReplicas ?? 0,
      deployment.status?.availableReplicas ?? 0,
      ageOf(deployment.metadata?.creationTimestamp, nowMs),
      names(deployment.spec?.template),
      images(deployment.spec?.template),
      selectorText(deployment.spec?.selector),
    ],
  ),
  ReplicaSet: printer<ReplicaSet>(replicaColumns, (set, nowMs) => [
    ...replicaCells(set, nowMs),
    selectorText(set.spec?.selector),
  ]),
  ReplicationController: printer<ReplicationController>(replicaColumns, (set, nowMs) => [
    ...replicaCells(set, nowMs),
    labelsText(set.spec?.selector),
  ]),
  StatefulSet: printer<StatefulSet>('Name,Ready,Age,Containers*,Images*', (set, nowMs) => [
    nameOf(set),
    `${set.status?.readyReplicas ?? 0}/${set.spec?.replicas ?? 0}`,
    ageOf(set.metadata?.creationTimestamp, nowMs),
    names(set.spec?.template),
    images(set.spec?.template),
  ]),
  DaemonSet: printer<DaemonSet>(
    'Name,Desired,Current,Ready,Up-to-date,Available,Node Selector,Age,Containers*,Images*,Selector*',
    (set, nowMs) => [
      nameOf(set),
      set.status?.desiredNumberScheduled ?? 0,
      set.status?.currentNumberScheduled ?? 0,
      set.status?.numberReady ?? 0,
      set.status?.updatedNumberScheduled ?? 0,
      set.status?.numberAvailable ?? 0,
      labelsText(set.spec?.template.spec?.nodeSelector),
      ageOf(set.metadata?.creationTimestamp, nowMs),
      names(set.spec?.template),
      images(set.spec?.template),
      selectorText(set.spec?.selector),
    ],
  ),
  ControllerRevision: printer<ControllerRevision>('Name,Controller,Revision,Age', (revision, nowMs) => {
    const owner = revision.metadata?.ownerReferences?.find(({ controller }) => controller);
    const [group = ''] = owner?.apiVersion.includes('/') ? owner.apiVersion.split('/') : [''];
    const kind = `${owner?.kind.toLowerCase()}${group && `.${group}`}`;
    return [
      nameOf(revision),
      owner ? `${kind}/${owner.name}` : none,
      revision.revision ?? 0,
      ageOf(revision.metadata?.creationTimestamp, nowMs),
    ];
  }),
  PodTemplate: printer<PodTemplate>('Name,Containers,Images,Pod Labels', ({ metadata, template }) => [
    metadata?.name,
    names(template),
    images(template),
    labelsText(template?.metadata?.labels),
  ]),
  Job: printer<Job>('Name,Status,Completions,Duration,Age,Containers*,Images*,Selector*', (job, nowMs) => [
    nameOf(job),
    jobStatus(job),
    completions(job),
    jobDuration(job, nowMs),
    ageOf(job.metadata?.creationTimestamp, nowMs),
    names(job.spec?.template),
    images(job.spec?.template),
    selectorText(job.spec?.selector),
  ]),
  CronJob: printer<CronJob>(
    'Name,Schedule,Timezone,Suspend,Active,Last Schedule,Age,Containers*,Images*,Selector*',
    (job, nowMs) => [
      nameOf(job),
      job.spec?.schedule,
      job.spec?.timeZone ?? none,
      job.spec?.suspend ? 'True' : 'False',
      job.status?.active?.length ?? 0,
      job.status?.lastScheduleTime ? ageOf(job.status.lastScheduleTime, nowMs) : none,
      ageOf(job.metadata?.creationTimestamp, nowMs),
      names(job.spec?.jobTemplate.spec?.template),
      images(job.spec?.jobTemplate.spec?.template),
      selectorText(job.spec?.jobTemplate.spec?.selector),
    ],
  ),
};
