import type {
  Container,
  ContainerPort,
  EnvFromSource,
  EnvVar,
  LifecycleHandler,
  Probe,
  ResourceRequirements,
} from 'kubernetes-types/core/v1.js';
import { compareQuantity, parseQuantity } from '../../../../lib/quantity.ts';
import type { FieldError } from '../../kind.ts';
import { fieldError } from '../field-error.ts';
import { dnsLabel, nameErrors, portName } from './names.ts';

/** What a container may refer to, and what only the whole pod can tell. */
export interface PodScope {
  readonly volumes: ReadonlySet<string>;
  readonly hostNetwork: boolean;
}

export const isPort = (port: unknown): boolean =>
  typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535;
const portWords = 'must be between 1 and 65535, inclusive';
const protocols = ['SCTP', 'TCP', 'UDP'];

/** An error for a value that is there and is none of those allowed. */
export const oneOf = (field: string, value: string | undefined, allowed: readonly string[]): FieldError[] =>
  value === undefined || allowed.includes(value) ? [] : [fieldError.unsupported(field, value, allowed)];

/** A name that may be a number or a port's name. */
export function portOrName(value: number | string | undefined, field: string): FieldError[] {
  if (typeof value === 'string') return nameErrors(field, value, portName);
  return isPort(value) ? [] : [fieldError.invalid(field, value, portWords)];
}

function portErrors(ports: readonly ContainerPort[], path: string, scope: PodScope): FieldError[] {
  const names = new Set<string>();
  return ports.flatMap((port, i) => {
    const field = `${path}[${i}]`;
    const errors: FieldError[] = [];
    if (port.name) {
      errors.push(...nameErrors(`${field}.name`, port.name, portName));
      if (names.has(port.name)) errors.push(fieldError.duplicate(`${field}.name`, port.name));
      names.add(port.name);
    }
    if (!isPort(port.containerPort))
      errors.push(fieldError.invalid(`${field}.containerPort`, port.containerPort, portWords));
    if (port.hostPort) {
      if (!isPort(port.hostPort))
        errors.push(fieldError.invalid(`${field}.hostPort`, port.hostPort, portWords));
      else if (scope.hostNetwork && port.hostPort !== port.containerPort)
        errors.push(
          fieldError.invalid(
            `${field}.containerPort`,
            port.containerPort,
            'must match `hostPort` when `hostNetwork` is true',
          ),
        );
    }
    return [...errors, ...oneOf(`${field}.protocol`, port.protocol, protocols)];
  });
}

const envName = /^[\x20-\x3c\x3e-\x7e]+$/;
const envWords =
  "a valid environment variable name must consist only of printable ASCII characters other than '='";

function envErrors(env: readonly EnvVar[], path: string): FieldError[] {
  return env.flatMap(({ name, value, valueFrom }, i) => {
    const field = `${path}[${i}]`;
    const errors: FieldError[] = [];
    if (!name) errors.push(fieldError.required(`${field}.name`));
    else if (!envName.test(name)) errors.push(fieldError.invalid(`${field}.name`, name, envWords));
    if (!valueFrom) return errors;
    const sources = Object.keys(valueFrom).length;
    if (value)
      errors.push(
        fieldError.invalid(`${field}.valueFrom`, '', 'may not be specified when `value` is not empty'),
      );
    else if (sources === 0)
      errors.push(
        fieldError.invalid(
          `${field}.valueFrom`,
          '',
          'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`',
        ),
      );
    else if (sources > 1)
      errors.push(
        fieldError.invalid(`${field}.valueFrom`, '', 'may not have more than one field specified at a time'),
      );
    for (const source of ['configMapKeyRef', 'secretKeyRef'] as const)
      if (valueFrom[source] && !valueFrom[source].key)
        errors.push(fieldError.required(`${field}.valueFrom.${source}.key`));
    return errors;
  });
}

function envFromErrors(sources: readonly EnvFromSource[], path: string): FieldError[] {
  return sources.flatMap(({ configMapRef, secretRef }, i) => {
    if (configMapRef && secretRef)
      return [
        fieldError.invalid(`${path}[${i}]`, '', 'may not have more than one field specified at a time'),
      ];
    if (configMapRef || secretRef) return [];
    return [fieldError.invalid(`${path}[${i}]`, '', 'must specify one of: `configMapRef` or `secretRef`')];
  });
}

export function resourceErrors(resources: ResourceRequirements | undefined, path: string): FieldError[] {
  const { limits = {}, requests = {} } = resources ?? {};
  const errors: FieldError[] = [];
  for (const [part, amounts] of Object.entries({ limits, requests }))
    for (const [name, amount] of Object.entries(amounts)) {
      const quantity = parseQuantity(amount);
      if (quantity && quantity.milli < 0n)
        errors.push(
          fieldError.invalid(`${path}.${part}[${name}]`, amount, 'must be greater than or equal to 0'),
        );
    }
  for (const [name, amount] of Object.entries(requests)) {
    const [asked, most] = [parseQuantity(amount), parseQuantity(limits[name] ?? '')];
    if (asked && most && compareQuantity(asked, most) > 0)
      errors.push(
        fieldError.invalid(
          `${path}.requests`,
          amount,
          `must be less than or equal to ${name} limit of ${limits[name]}`,
        ),
      );
  }
  return errors;
}

type Handler = LifecycleHandler & Pick<Probe, 'grpc'>;
const handlers = ['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep'] as const;

function handlerErrors(handler: Handler, path: string): FieldError[] {
  const given = handlers.filter((name) => handler[name]);
  if (given.length === 0) return [fieldError.required(path, 'must specify a handler type')];
  const errors = given
    .slice(1)
    .map((name) => fieldError.forbidden(`${path}.${name}`, 'may not specify more than 1 handler type'));
  const { exec, httpGet, tcpSocket, grpc } = handler;
  if (exec && !exec.command?.length) errors.push(fieldError.required(`${path}.exec.command`));
  if (httpGet) errors.push(...portOrName(httpGet.port, `${path}.httpGet.port`));
  if (tcpSocket) errors.push(...portOrName(tcpSocket.port, `${path}.tcpSocket.port`));
  if (grpc && !isPort(grpc.port)) errors.push(fieldError.invalid(`${path}.grpc.port`, grpc.port, portWords));
  return errors;
}

const probeNumbers = [
  'initialDelaySeconds',
  'timeoutSeconds',
  'periodSeconds',
  'successThreshold',
  'failureThreshold',
] as const;

function probeErrors(probe: Probe | undefined, path: string, onceIsEnough: boolean): FieldError[] {
  if (!probe) return [];
  const errors = handlerErrors(probe, path);
  for (const name of probeNumbers)
    if ((probe[name] ?? 0) < 0)
      errors.push(fieldError.invalid(`${path}.${name}`, probe[name], 'must be greater than or equal to 0'));
  if (onceIsEnough && (probe.successThreshold ?? 1) !== 1)
    errors.push(fieldError.invalid(`${path}.successThreshold`, probe.successThreshold, 'must be 1'));
  return errors;
}

/** A path inside a volume: relative, and not out of it again. */
export function innerPathErrors(path: string, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (path.startsWith('/')) errors.push(fieldError.invalid(field, path, 'must be a relative path'));
  if (path.split('/').includes('..')) errors.push(fieldError.invalid(field, path, "must not contain '..'"));
  return errors;
}

function mountErrors(container: Container, path: string, { volumes }: PodScope): FieldError[] {
  const mounted = new Set<string>();
  const devices = new Set((container.volumeDevices ?? []).map(({ devicePath }) => devicePath));
  const errors = (container.volumeMounts ?? []).flatMap((mount, i) => {
    const field = `${path}.volumeMounts[${i}]`;
    const own: FieldError[] = [];
    if (!mount.name) own.push(fieldError.required(`${field}.name`));
    else if (!volumes.has(mount.name)) own.push(fieldError.notFound(`${field}.name`, mount.name));
    if (!mount.mountPath) own.push(fieldError.required(`${field}.mountPath`));
    else if (mounted.has(mount.mountPath))
      own.push(fieldError.invalid(`${field}.mountPath`, mount.mountPath, 'must be unique'));
    else if (devices.has(mount.mountPath))
      own.push(
        fieldError.invalid(
          `${field}.mountPath`,
          mount.mountPath,
          'must not already exist as a path in volumeDevices',
        ),
      );
    mounted.add(mount.mountPath);
    if (mount.subPath && mount.subPathExpr)
      own.push(
        fieldError.invalid(
          `${field}.subPathExpr`,
          mount.subPathExpr,
          'subPathExpr and subPath are mutually exclusive',
        ),
      );
    for (const name of ['subPath', 'subPathExpr'] as const)
      if (mount[name]) own.push(...innerPathErrors(mount[name], `${field}.${name}`));
    const propagations = ['Bidirectional', 'HostToContainer', 'None'];
    own.push(...oneOf(`${field}.mountPropagation`, mount.mountPropagation, propagations));
    if (mount.mountPropagation === 'Bidirectional' && !container.securityContext?.privileged)
      own.push(
        fieldError.forbidden(
          `${field}.mountPropagation`,
          'Bidirectional mount propagation is available only to privileged containers',
        ),
      );
    return own;
  });
  return [...errors, ...deviceErrors(container, path, volumes)];
}

function deviceErrors(container: Container, path: string, volumes: ReadonlySet<string>): FieldError[] {
  const seen = new Set<string>();
  return (container.volumeDevices ?? []).flatMap(({ name, devicePath }, i) => {
    const field = `${path}.volumeDevices[${i}]`;
    const errors: FieldError[] = [];
    if (!name) errors.push(fieldError.required(`${field}.name`));
    else if (!volumes.has(name)) errors.push(fieldError.notFound(`${field}.name`, name));
    if (!devicePath) errors.push(fieldError.required(`${field}.devicePath`));
    else if (seen.has(devicePath))
      errors.push(fieldError.invalid(`${field}.devicePath`, devicePath, 'must be unique'));
    seen.add(devicePath);
    return errors;
  });
}

const pullPolicies = ['Always', 'IfNotPresent', 'Never'];

/** All that is wrong with one container. `isInit` for those that run before the others. */
export function containerErrors(
  container: Container,
  path: string,
  scope: PodScope,
  isInit: boolean,
): FieldError[] {
  const { name, image, lifecycle, restartPolicy } = container;
  const errors: FieldError[] = name
    ? nameErrors(`${path}.name`, name, dnsLabel)
    : [fieldError.required(`${path}.name`)];
  if (!image) errors.push(fieldError.required(`${path}.image`));
  else if (image !== image.trim())
    errors.push(fieldError.invalid(`${path}.image`, image, 'must not have leading or trailing whitespace'));
  errors.push(
    ...oneOf(`${path}.imagePullPolicy`, container.imagePullPolicy, pullPolicies),
    ...oneOf(`${path}.terminationMessagePolicy`, container.terminationMessagePolicy, [
      'FallbackToLogsOnError',
      'File',
    ]),
    ...portErrors(container.ports ?? [], `${path}.ports`, scope),
    ...envErrors(container.env ?? [], `${path}.env`),
    ...envFromErrors(container.envFrom ?? [], `${path}.envFrom`),
    ...mountErrors(container, path, scope),
    ...resourceErrors(container.resources, `${path}.resources`),
  );
  const sidecar = isInit && restartPolicy === 'Always';
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    if (isInit && !sidecar && container[probe])
      errors.push(
        fieldError.forbidden(
          `${path}.${probe}`,
          'may not be set for init containers without restartPolicy=Always',
        ),
      );
    else errors.push(...probeErrors(container[probe], `${path}.${probe}`, probe !== 'readinessProbe'));
  }
  if (isInit && !sidecar && lifecycle)
    errors.push(
      fieldError.forbidden(
        `${path}.lifecycle`,
        'may not be set for init containers without restartPolicy=Always',
      ),
    );
  else
    for (const moment of ['postStart', 'preStop'] as const)
      if (lifecycle?.[moment])
        errors.push(...handlerErrors(lifecycle[moment], `${path}.lifecycle.${moment}`));
  return errors;
}
