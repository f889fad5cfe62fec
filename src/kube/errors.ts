/** One field that the API refused. */
export interface KubeErrorCause {
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  /** Path of the field, such as `spec.mon.count`. */
  readonly field?: string | undefined;
}

export interface KubeErrorInit {
  /** HTTP status; 0 where no answer came. */
  readonly status: number;
  /** Kubernetes' StatusReason, such as `NotFound` or `Conflict`; `Unreachable` where no answer came. */
  readonly reason: string;
  readonly message: string;
  readonly causes?: readonly KubeErrorCause[];
  /** From Retry-After or Status.details, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** A call that the API refused, or that never reached it. Match it by the predicates below. */
export class KubeError extends Error {
  readonly code = 'KUBE_ERROR';
  readonly status: number;
  readonly reason: string;
  readonly causes: readonly KubeErrorCause[];
  readonly retryAfterMs: number | undefined;

  constructor(init: KubeErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = 'KubeError';
    this.status = init.status;
    this.reason = init.reason;
    this.causes = init.causes ?? [];
    this.retryAfterMs = init.retryAfterMs;
  }
}

export const isKubeError = (error: unknown, reason?: string): error is KubeError =>
  error instanceof KubeError && (reason === undefined || error.reason === reason);

export const isNotFound = (error: unknown): error is KubeError => isKubeError(error, 'NotFound');
export const isAlreadyExists = (error: unknown): error is KubeError => isKubeError(error, 'AlreadyExists');
export const isConflict = (error: unknown): error is KubeError => isKubeError(error, 'Conflict');
export const isInvalid = (error: unknown): error is KubeError => isKubeError(error, 'Invalid');
export const isForbidden = (error: unknown): error is KubeError => isKubeError(error, 'Forbidden');
/** The server took no connection, or broke it before it answered. */
export const isUnreachable = (error: unknown): error is KubeError => isKubeError(error, 'Unreachable');

/** The revision asked for is compacted: list anew. Both spellings of the reason are in use. */
export const isExpired = (error: unknown): error is KubeError =>
  isKubeError(error) && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone');

/** The namespace is being deleted, so nothing can be created in it any more. */
export const isNamespaceTerminating = (error: unknown): error is KubeError =>
  isForbidden(error) && error.causes.some((cause) => cause.reason === 'NamespaceTerminating');

const reasonByStatus: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  406: 'NotAcceptable',
  409: 'Conflict',
  410: 'Expired',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

interface StatusBody {
  kind?: string;
  message?: string;
  reason?: string;
  code?: number;
  details?: { causes?: KubeErrorCause[]; retryAfterSeconds?: number };
}

/**
 * The error that a refused answer stands for. `body` is the decoded Status where it was one, else the
 * answer's text, which a proxy in between may have written.
 */
export function kubeErrorOf(status: number, body: unknown, retryAfter?: string): KubeError {
  const parsed: StatusBody =
    typeof body === 'object' && body !== null && (body as StatusBody).kind === 'Status' ? body : {};
  const text = typeof body === 'string' ? body.trim().slice(0, 500) : '';
  const seconds = Number(retryAfter ?? parsed.details?.retryAfterSeconds ?? Number.NaN);
  return new KubeError({
    status,
    reason: parsed.reason || (reasonByStatus[status] ?? 'Unknown'),
    message: parsed.message || text || `the API answered ${status}`,
    causes: (parsed.details?.causes ?? []).map((cause) => ({ ...cause })),
    retryAfterMs: Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined,
  });
}
