import type { IncomingHttpHeaders } from 'node:http';
import type { KindInfo } from '../kind.ts';
import type { Caller, FieldValidation, RegistryDeps, WriteOptions } from '../registry/request.ts';
import { badRequest } from '../status.ts';
import type { Reply, StreamReply } from './respond.ts';
import type { ResourceRoute } from './route.ts';

/** What the API reads of a request, be it from Node's HTTP server or from within this process. Iterating gives the body. */
export interface ApiRequest extends AsyncIterable<Buffer> {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** The whole body, where it is here already. */
  readonly text?: string | undefined;
}

/** One request for objects, known and allowed. */
export interface Exchange {
  readonly deps: RegistryDeps;
  readonly kind: KindInfo;
  readonly route: ResourceRoute;
  readonly verb: string;
  readonly query: URLSearchParams;
  readonly req: ApiRequest;
  readonly caller: Caller;
}

export type Answer = Reply | StreamReply;

const maxManagerLength = 128;

const programOf = (userAgent = 'unknown'): string =>
  (userAgent.split('/')[0] ?? '').slice(0, maxManagerLength);

/** Options of a write, from its query; 400 where one is unknown. */
export function writeOptions({ query, req }: Pick<Exchange, 'query' | 'req'>): WriteOptions {
  const dryRuns = query.getAll('dryRun').filter((text) => text !== '');
  if (dryRuns.some((text) => text !== 'All'))
    throw badRequest(`dryRun: Unsupported value: "${dryRuns.join(',')}": supported values: "All"`);
  const validation = query.get('fieldValidation') ?? 'Warn';
  if (validation !== '' && !['Ignore', 'Warn', 'Strict'].includes(validation))
    throw badRequest(
      `fieldValidation: Unsupported value: "${validation}": supported values: "Ignore", "Strict", "Warn"`,
    );
  const manager = query.get('fieldManager') ?? '';
  if (manager.length > maxManagerLength)
    throw badRequest('fieldManager: Too long: may not be more than 128 bytes');
  return {
    dryRun: dryRuns.length > 0,
    fieldValidation: (validation === '' ? 'Warn' : validation) as FieldValidation,
    // As Kubernetes names a manager that did not name itself: by its program.
    fieldManager: manager === '' ? programOf(req.headers['user-agent']) : manager,
  };
}
