import type { FieldError, Json, JsonObject, KindInfo } from './kind.ts';

/** One entry of a Status' details, as Kubernetes shapes it. */
export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

/** A refused request: what a client sees as a `Status` with its HTTP code and reason. */
export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: StatusDetails | undefined;
  /** Fields of the Status' metadata: the continue token of an expired list. */
  readonly listMeta: JsonObject;

  constructor(
    code: number,
    reason: string,
    message: string,
    details?: StatusDetails,
    options: ErrorOptions & { readonly listMeta?: JsonObject } = {},
  ) {
    super(message, options);
    this.name = 'ApiError';
    this.code = code;
    this.reason = reason;
    this.details = details;
    this.listMeta = options.listMeta ?? {};
  }
}

export const isApiError = (error: unknown, reason?: string): error is ApiError =>
  error instanceof ApiError && (reason === undefined || error.reason === reason);

/** What names a resource in messages: `pods`, `deployments.apps`. */
export type ResourceName = Pick<KindInfo, 'group' | 'plural'>;

export const qualified = (r: ResourceName): string => (r.group === '' ? r.plural : `${r.plural}.${r.group}`);

const detailsOf = (r: ResourceName, name: string): StatusDetails => ({
  ...(name === '' ? {} : { name }),
  ...(r.group === '' ? {} : { group: r.group }),
  kind: r.plural,
});

export const notFound = (r: ResourceName, name: string) =>
  new ApiError(404, 'NotFound', `${qualified(r)} "${name}" not found`, detailsOf(r, name));

export const alreadyExists = (r: ResourceName, name: string) =>
  new ApiError(409, 'AlreadyExists', `${qualified(r)} "${name}" already exists`, detailsOf(r, name));

export const conflict = (
  r: ResourceName,
  name: string,
  why = 'the object has been modified; please apply your changes to the latest version and try again',
) =>
  new ApiError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(r)} "${name}": ${why}`,
    detailsOf(r, name),
  );

export const badRequest = (message: string) => new ApiError(400, 'BadRequest', message);

export const forbidden = (r: ResourceName, name: string, why: string) =>
  new ApiError(
    403,
    'Forbidden',
    `${qualified(r)}${name === '' ? '' : ` "${name}"`} is forbidden: ${why}`,
    detailsOf(r, name),
  );

/** 422 with one cause a field, all of them at once. */
export function invalid(kind: Pick<KindInfo, 'group' | 'kind'>, name: string, errors: readonly FieldError[]) {
  const texts = errors.map((e) => (e.field === '' ? e.message : `${e.field}: ${e.message}`));
  const all = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  const typeName = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
  return new ApiError(422, 'Invalid', `${typeName} "${name}" is invalid: ${all}`, {
    ...(name === '' ? {} : { name }),
    ...(kind.group === '' ? {} : { group: kind.group }),
    kind: kind.kind,
    causes: errors.map((e) => ({ reason: e.reason, message: e.message, field: e.field })),
  });
}

export const expired = (message: string, listMeta: JsonObject = {}) =>
  new ApiError(410, 'Expired', message, undefined, { listMeta });

export const tooLargeResourceVersion = (asked: number, current: number) =>
  new ApiError(504, 'Timeout', `Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });

export const methodNotAllowed = (r: ResourceName | undefined, verb: string) =>
  new ApiError(
    405,
    'MethodNotAllowed',
    r
      ? `${verb} is not supported on resources of kind "${qualified(r)}"`
      : 'the server does not allow this method on the requested resource',
    r && detailsOf(r, ''),
  );

export const unsupportedMediaType = (accepted: readonly string[]) =>
  new ApiError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );

export const notAcceptable = (offered: readonly string[]) =>
  new ApiError(406, 'NotAcceptable', `only the following media types are accepted: ${offered.join(', ')}`);

export const unauthorized = () => new ApiError(401, 'Unauthorized', 'Unauthorized');

/** Its details are there and name nothing, by which clients tell it from an object that is absent. */
export const pageNotFound = () =>
  new ApiError(404, 'NotFound', 'the server could not find the requested resource', {});

export const serverTimeout = (message: string, cause?: unknown) =>
  new ApiError(504, 'Timeout', message, undefined, { cause });

export const internalError = (message: string, cause?: unknown) =>
  new ApiError(
    500,
    'InternalError',
    `Internal error occurred: ${message}`,
    { causes: [{ message }] },
    { cause },
  );

export const tooManyRequests = (message: string, retryAfterSeconds: number) =>
  new ApiError(429, 'TooManyRequests', message, { retryAfterSeconds });

/** The `Status` object of an error. */
export function statusOf(error: ApiError): JsonObject {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: error.listMeta,
    status: 'Failure',
    message: error.message,
    reason: error.reason,
    ...(error.details ? { details: error.details as unknown as Json } : {}),
    code: error.code,
  };
}

/** The `Status` that a finished deletion answers. */
export function deletedStatus(r: ResourceName, name: string, uid: string): JsonObject {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { ...detailsOf(r, name), uid } as unknown as Json,
  };
}
