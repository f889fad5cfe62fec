import { Counter, Gauge, Histogram, Registry } from '../../../lib/metrics.ts';
import type { HandlerDeps, PlainHandler } from './handler.ts';

export interface ApiMetrics {
  readonly observe: HandlerDeps['observe'];
  readonly handler: PlainHandler;
}

/** `/metrics`: requests by verb and resource, as Kubernetes names them, and the size of the cache. */
export function apiMetrics(revision: () => number): ApiMetrics {
  const registry = new Registry();
  const total = new Counter({
    name: 'apiserver_request_total',
    help: 'Requests by verb, resource and HTTP code.',
    labelNames: ['verb', 'resource', 'code'],
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'apiserver_request_duration_seconds',
    help: 'Time to answer a request that is no watch, in seconds.',
    labelNames: ['verb', 'resource'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60],
    registers: [registry],
  });
  const seen = new Gauge({
    name: 'apiserver_storage_revision',
    help: 'The revision of the store up to which everything was seen.',
    registers: [registry],
  });
  const resources = new Set<string>();
  return {
    observe(verb, resource, code, seconds) {
      // Names come from paths, so anybody could make up new ones without end.
      if (!resources.has(resource) && resources.size < 300 && code < 400) resources.add(resource);
      const known = resources.has(resource) ? resource : 'other';
      total.inc({ verb, resource: known, code });
      if (verb !== 'watch') duration.observe({ verb, resource: known }, seconds);
    },
    async handler(path) {
      if (path !== '/metrics') return undefined;
      seen.set(revision());
      return { code: 200, text: await registry.metrics(), contentType: registry.contentType };
    },
  };
}
