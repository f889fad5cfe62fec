import type { Pod, PodSpec, Toleration, Volume } from 'kubernetes-types/core/v1.js';
import type { FieldError } from '../../kind.ts';
import { fieldError } from '../field-error.ts';
import { sameJson } from '../../registry/json.ts';
import { containerErrors, innerPathErrors, oneOf, type PodScope } from './container-rules.ts';
import { dnsLabel, dnsSubdomain, labelErrors, nameErrors, qualifiedName } from './names.ts';

const hostPathTypes = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];

function modeErrors(mode: number | undefined, field: string): FieldError[] {
  if (mode === undefined || (mode >= 0 && mode <= 0o777)) return [];
  return [fieldError.invalid(field, mode, 'must be a number between 0 and 0777 (octal), both inclusive')];
}

function sourceErrors(volume: Volume, field: string): FieldError[] {
  const { hostPath, secret, configMap, persistentVolumeClaim, projected, csi } = volume;
  const errors: FieldError[] = [];
  if (hostPath) {
    if (!hostPath.path) errors.push(fieldError.required(`${field}.hostPath.path`));
    else if (hostPath.path.split('/').includes('..'))
      errors.push(fieldError.invalid(`${field}.hostPath.path`, hostPath.path, "must not contain '..'"));
    errors.push(...oneOf(`${field}.hostPath.type`, hostPath.type, hostPathTypes));
  }
  if (secret && !secret.secretName) errors.push(fieldError.required(`${field}.secret.secretName`));
  if (configMap && !configMap.name) errors.push(fieldError.required(`${field}.configMap.name`));
  if (persistentVolumeClaim && !persistentVolumeClaim.claimName)
    errors.push(fieldError.required(`${field}.persistentVolumeClaim.claimName`));
  if (csi && !csi.driver) errors.push(fieldError.required(`${field}.csi.driver`));
  for (const name of ['secret', 'configMap', 'downwardAPI', 'projected'] as const)
    errors.push(...modeErrors(volume[name]?.defaultMode, `${field}.${name}.defaultMode`));
  for (const name of ['secret', 'configMap'] as const)
    for (const [i, item] of (volume[name]?.items ?? []).entries()) {
      const own = `${field}.${name}.items[${i}]`;
      if (!item.key) errors.push(fieldError.required(`${own}.key`));
      if (!item.path) errors.push(fieldError.required(`${own}.path`));
      else errors.push(...innerPathErrors(item.path, `${own}.path`));
      errors.push(...modeErrors(item.mode, `${own}.mode`));
    }
  for (const [i, source] of (projected?.sources ?? []).entries())
    if (Object.keys(source).length > 1)
      errors.push(
        fieldError.forbidden(`${field}.projected.sources[${i}]`, 'may not specify more than 1 volume type'),
      );
  return errors;
}

function volumeErrors(volumes: readonly Volume[], path: string): FieldError[] {
  const names = new Set<string>();
  return volumes.flatMap((volume, i) => {
    const field = `${path}[${i}]`;
    const { name } = volume;
    const sources = Object.keys(volume).filter((key) => key !== 'name');
    const errors = sources
      .slice(1)
      .map((source) => fieldError.forbidden(`${field}.${source}`, 'may not specify more than 1 volume type'));
    if (sources.length === 0) errors.push(fieldError.required(field, 'must specify a volume type'));
    if (!name) errors.push(fieldError.required(`${field}.name`));
    else {
      errors.push(...nameErrors(`${field}.name`, name, dnsLabel));
      if (names.has(name)) errors.push(fieldError.duplicate(`${field}.name`, name));
      names.add(name);
    }
    return [...errors, ...sourceErrors(volume, field)];
  });
}

function tolerationErrors(tolerations: readonly Toleration[], path: string): FieldError[] {
  return tolerations.flatMap(({ key, operator, value, effect, tolerationSeconds }, i) => {
    const field = `${path}[${i}]`;
    const errors = key ? nameErrors(`${field}.key`, key, qualifiedName) : [];
    if (!key && operator !== 'Exists')
      errors.push(
        fieldError.invalid(
          `${field}.operator`,
          operator ?? '',
          'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        ),
      );
    if (operator === 'Exists' && value)
      errors.push(
        fieldError.invalid(`${field}.operator`, value, "value must be empty when `operator` is 'Exists'"),
      );
    if (tolerationSeconds !== undefined && effect !== 'NoExecute')
      errors.push(
        fieldError.invalid(
          `${field}.effect`,
          effect ?? '',
          "effect must be 'NoExecute' when `tolerationSeconds` is set",
        ),
      );
    errors.push(...oneOf(`${field}.operator`, operator || undefined, ['Equal', 'Exists']));
    return [
      ...errors,
      ...oneOf(`${field}.effect`, effect || undefined, ['NoSchedule', 'PreferNoSchedule', 'NoExecute']),
    ];
  });
}

function containersErrors(spec: PodSpec, path: string, given: readonly string[]): FieldError[] {
  const scope: PodScope = {
    volumes: new Set([...(spec.volumes ?? []).map(({ name }) => name), ...given]),
    hostNetwork: spec.hostNetwork ?? false,
  };
  const names = new Set<string>();
  const each = (part: 'initContainers' | 'containers') =>
    (spec[part] ?? []).flatMap((container, i) => {
      const field = `${path}.${part}[${i}]`;
      const errors = containerErrors(container, field, scope, part === 'initContainers');
      if (container.name && names.has(container.name))
        errors.push(fieldError.duplicate(`${field}.name`, container.name));
      names.add(container.name);
      return errors;
    });
  const none = spec.containers?.length === 0 ? [fieldError.required(`${path}.containers`)] : [];
  return [...none, ...each('initContainers'), ...each('containers')];
}

const restartPolicies = ['Always', 'OnFailure', 'Never'];
const dnsPolicies = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];

/** All that is wrong with a pod's spec, or with a template's, whose pods are `given` volumes of these names. */
export function podSpecErrors(spec: PodSpec, path: string, given: readonly string[] = []): FieldError[] {
  const errors = [
    ...volumeErrors(spec.volumes ?? [], `${path}.volumes`),
    ...containersErrors(spec, path, given),
    ...oneOf(`${path}.restartPolicy`, spec.restartPolicy, restartPolicies),
    ...oneOf(`${path}.dnsPolicy`, spec.dnsPolicy, dnsPolicies),
    ...labelErrors(spec.nodeSelector, `${path}.nodeSelector`),
    ...tolerationErrors(spec.tolerations ?? [], `${path}.tolerations`),
  ];
  for (const name of ['serviceAccountName', 'nodeName', 'priorityClassName', 'runtimeClassName'] as const)
    if (spec[name]) errors.push(...nameErrors(`${path}.${name}`, spec[name], dnsSubdomain));
  for (const name of ['hostname', 'subdomain'] as const)
    if (spec[name]) errors.push(...nameErrors(`${path}.${name}`, spec[name], dnsLabel));
  if ((spec.activeDeadlineSeconds ?? 1) < 1)
    errors.push(
      fieldError.invalid(
        `${path}.activeDeadlineSeconds`,
        spec.activeDeadlineSeconds,
        'must be between 1 and 2147483647, inclusive',
      ),
    );
  if (spec.shareProcessNamespace && spec.hostPID)
    errors.push(
      fieldError.invalid(
        `${path}.shareProcessNamespace`,
        true,
        'ShareProcessNamespace and HostPID cannot both be enabled',
      ),
    );
  return errors;
}

const changeWords =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

/** A pod's spec without what may change in its life. */
function fixedPart(spec: PodSpec) {
  const plain = ({ image: _image, ...rest }: { image?: string }) => rest;
  const { activeDeadlineSeconds: _deadline, tolerations: _tolerations, ...rest } = spec;
  const { schedulingGates: _gates, ephemeralContainers: _ephemeral, ...fixed } = rest as PodSpec;
  return {
    ...fixed,
    containers: (spec.containers ?? []).map(plain),
    initContainers: (spec.initContainers ?? []).map(plain),
  };
}

function podChangeErrors(next: PodSpec, before: PodSpec): FieldError[] {
  const errors: FieldError[] = [];
  const counts = [next.containers.length, next.initContainers?.length ?? 0];
  if (!sameJson(counts, [before.containers.length, before.initContainers?.length ?? 0]))
    return [fieldError.forbidden('spec.containers', 'pod updates may not add or remove containers')];
  const old = before.tolerations ?? [];
  const kept = (wanted: Toleration) => (next.tolerations ?? []).some((found) => sameJson(found, wanted));
  // How long something is tolerated may change; that it is tolerated may not.
  if (!old.every((one) => kept(one) || (next.tolerations ?? []).some(({ key }) => key === one.key)))
    errors.push(
      fieldError.forbidden(
        'spec.tolerations',
        'existing toleration can not be modified except its tolerationSeconds',
      ),
    );
  const [now, then] = [fixedPart(next), fixedPart(before)];
  if ((before.terminationGracePeriodSeconds ?? 0) < 0 && next.terminationGracePeriodSeconds === 1)
    now.terminationGracePeriodSeconds = before.terminationGracePeriodSeconds as number;
  if (!sameJson(now, then)) errors.push(fieldError.forbidden('spec', changeWords));
  if (before.activeDeadlineSeconds !== undefined && next.activeDeadlineSeconds === undefined)
    errors.push(
      fieldError.invalid(
        'spec.activeDeadlineSeconds',
        null,
        'must not update from a positive integer to nil value',
      ),
    );
  return errors;
}

export function podErrors(pod: Pod, before: Pod | undefined): FieldError[] {
  const { spec } = pod;
  if (!spec) return [fieldError.required('spec')];
  const errors = podSpecErrors(spec, 'spec');
  return before?.spec ? [...errors, ...podChangeErrors(spec, before.spec)] : errors;
}

/**
 * What workloads ask of their template: that their selector finds its pods, and how they restart. `given` are the
 * names of volumes that the workload adds to each pod.
 */
export function templateErrors(
  template: { readonly metadata?: Pod['metadata']; readonly spec?: PodSpec } | undefined,
  restart: readonly string[],
  given: readonly string[] = [],
): FieldError[] {
  const path = 'spec.template';
  const spec = template?.spec;
  const errors = labelErrors(template?.metadata?.labels, `${path}.labels`);
  if (!spec) return [...errors, fieldError.required(`${path}.spec.containers`)];
  errors.push(...podSpecErrors(spec, `${path}.spec`, given));
  const policy = spec.restartPolicy ?? 'Always';
  if (restartPolicies.includes(policy) && !restart.includes(policy))
    errors.push(
      restart.length === 1
        ? fieldError.unsupported(`${path}.spec.restartPolicy`, policy, restart)
        : fieldError.required(
            `${path}.spec.restartPolicy`,
            `valid values: ${restart.map((value) => JSON.stringify(value)).join(', ')}`,
          ),
    );
  if (spec.activeDeadlineSeconds !== undefined && restart.length === 1)
    errors.push(
      fieldError.forbidden(
        `${path}.spec.activeDeadlineSeconds`,
        `activeDeadlineSeconds in pod template is not supported`,
      ),
    );
  return errors;
}
