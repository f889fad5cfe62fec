import type { Clock } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { ApiObject, KindInfo } from '../kind.ts';
import type { Store } from '../store/store.ts';
import type { FanOut } from './fan-out.ts';
import type { KindTable } from './kind-table.ts';
import type { WatchCache } from './watch-cache.ts';

export interface UserInfo {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** Who asks, and how long the answer is wanted. */
export interface Caller {
  readonly user: UserInfo;
  readonly signal: AbortSignal;
  /** Adds a `Warning: 299` header to the answer. */
  readonly warn: (text: string) => void;
}

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
  /** The subresource that managedFields name, where the write is not of the object itself or its status. */
  readonly trackedAs?: string;
}

/** What a plugin sees of a write. `object` may be changed before validation. */
export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE';
  readonly kind: KindInfo;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly object: ApiObject;
  readonly live: ApiObject | undefined;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly warn: Caller['warn'];
  /** Runs when the write is done and visible, or was refused. */
  readonly afterwards: (act: () => void) => void;
}

/** One rule about writes of the main resource. A refusal is an ApiError. */
export interface AdmissionPlugin {
  readonly name: string;
  /** Changes the object. */
  admit?(request: AdmissionRequest): void | Promise<void>;
  /** Judges the object in its final form. */
  judge?(request: AdmissionRequest): void | Promise<void>;
}

export interface RegistryDeps {
  readonly store: Store;
  readonly cache: WatchCache;
  readonly kinds: KindTable;
  /** Wakes watches. */
  readonly fanOut: FanOut;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  readonly newUid: () => string;
  readonly admission: readonly AdmissionPlugin[];
}
