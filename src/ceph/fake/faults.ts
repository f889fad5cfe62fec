/** What stands for the death of the calling process in a crash walk: not a CephError, so nothing handles it. */
export class FakeKilledError extends Error {
  readonly code = 'FAKE_KILLED';

  constructor(operation: string, call: number, when: 'before' | 'after') {
    super(`killed ${when} call ${call} (${operation})`);
    this.name = 'FakeKilledError';
  }
}

export const isFakeKilled = (error: unknown): error is FakeKilledError => error instanceof FakeKilledError;

export interface FaultPlan {
  /**
   * Makes the nth call from now (1 is the next one), or the next call of an operation such as `omap set` or
   * `osd pool create`, throw `error` without effect. `times` is 1 where not said.
   */
  failAt(which: number | string, error: Error, times?: number): void;
  /**
   * The caller dies at its nth call from now, before or after that call's effect: it and every later call
   * throw FakeKilledError until `revive`.
   */
  killAt(call: number, when: 'before' | 'after'): void;
  revive(): void;
  /** Forgets every fault that has not struck. */
  clear(): void;
  /** True where a killAt has struck. */
  readonly killed: boolean;
}

export interface FaultInjector extends FaultPlan {
  /** Called around each operation. */
  before(operation: string): void;
  after(operation: string): void;
}

export function faultInjector(): FaultInjector {
  let faults: { left: number; operation: string | undefined; error: Error; times: number }[] = [];
  let kill: { left: number; at: number; when: 'before' | 'after' } | undefined;
  let dead = false;
  return {
    failAt(which, error, times = 1) {
      faults.push({
        left: typeof which === 'number' ? which : 1,
        operation: typeof which === 'string' ? which : undefined,
        error,
        times,
      });
    },
    killAt(call, when) {
      kill = { left: call, at: call, when };
    },
    revive() {
      dead = false;
      kill = undefined;
    },
    clear() {
      faults = [];
      kill = undefined;
    },
    get killed() {
      return dead;
    },
    before(operation) {
      if (dead) throw new FakeKilledError(operation, 0, 'after');
      if (kill) {
        kill.left--;
        if (kill.left === 0 && kill.when === 'before') {
          dead = true;
          throw new FakeKilledError(operation, kill.at, 'before');
        }
      }
      for (const fault of faults) {
        if (fault.operation !== undefined && fault.operation !== operation) continue;
        if (fault.operation === undefined && --fault.left > 0) continue;
        fault.times--;
        if (fault.times <= 0) faults = faults.filter((other) => other !== fault);
        throw fault.error;
      }
    },
    after(operation) {
      // Below 0 where others were started meanwhile: whichever ends first is where the caller dies.
      if (kill && kill.left <= 0 && kill.when === 'after' && !dead) {
        dead = true;
        throw new FakeKilledError(operation, kill.at, 'after');
      }
    },
  };
}
