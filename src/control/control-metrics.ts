import { Counter, Gauge, Histogram, type Registry } from '../lib/metrics.ts';

/** What controllers count; one for a process, however many controllers it has. */
export interface ControlMetrics {
  reconciled(controller: string, result: 'success' | 'requeue' | 'error', seconds: number): void;
  waited(controller: string, seconds: number): void;
  /** Read at each scrape. */
  watchQueue(controller: string, read: () => { ready: number; working: number; failing: number }): void;
}

export function createControlMetrics(registry: Registry): ControlMetrics {
  const registers = [registry];
  const total = new Counter({
    name: 'holdfast_reconcile_total',
    help: 'Reconciles by controller and result.',
    labelNames: ['controller', 'result'],
    registers,
  });
  const seconds = new Histogram({
    name: 'holdfast_reconcile_seconds',
    help: 'How long reconciles took.',
    labelNames: ['controller'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60],
    registers,
  });
  const waited = new Histogram({
    name: 'holdfast_queue_wait_seconds',
    help: 'How long names waited for a worker.',
    labelNames: ['controller'],
    buckets: [0.001, 0.01, 0.1, 1, 10],
    registers,
  });
  const queues = new Map<string, () => { ready: number; working: number; failing: number }>();
  const gauge = new Gauge({
    name: 'holdfast_queue_names',
    help: 'Names in a controller’s queue, by state.',
    labelNames: ['controller', 'state'],
    registers,
    collect() {
      for (const [controller, read] of queues) {
        for (const [state, count] of Object.entries(read())) this.set({ controller, state }, count);
      }
    },
  });
  return {
    reconciled(controller, result, took) {
      total.inc({ controller, result });
      seconds.observe({ controller }, took);
    },
    waited: (controller, took) => waited.observe({ controller }, took),
    watchQueue(controller, read) {
      queues.set(controller, read);
      gauge.set({ controller, state: 'ready' }, 0);
    },
  };
}
