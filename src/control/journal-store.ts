import type { ConfigMap } from 'kubernetes-types/core/v1.js';
import type { OwnerReference } from 'kubernetes-types/meta/v1.js';
import { ConfigMaps } from '../api/core.ts';
import type { ObjectRef, Stored } from '../api/resource.ts';
import type { KubeClient } from '../kube/client.ts';
import type { JournalState, JournalStore } from './journal.ts';

const maxHistory = 20;
const historyKey = 'history';

/** A journal that is over, as the history keeps it. */
export interface FinishedJournal extends JournalState {
  readonly finishedAt: string;
}

export interface ConfigMapJournalOptions {
  readonly client: KubeClient;
  readonly ref: ObjectRef;
  readonly signal: AbortSignal;
  readonly ownerReferences?: readonly OwnerReference[];
}

/**
 * Journals in one ConfigMap: a key for each under way, and `history` with the last 20 that are over.
 * Every save carries the revision last seen, so a second operator gets Conflict and not a say.
 */
export function configMapJournals(options: ConfigMapJournalOptions): JournalStore & {
  /** The journals under way. */
  active(): Promise<readonly JournalState[]>;
  /** Newest last. */
  history(): Promise<readonly FinishedJournal[]>;
} {
  const { client, ref, signal } = options;
  let current: Stored<ConfigMap> | undefined;

  const read = async () => {
    current = await client.get(ConfigMaps, ref, { signal });
    return current?.data ?? {};
  };
  const write = async (data: Record<string, string>) => {
    if (current) {
      current = await client.update(ConfigMaps, { ...current, data }, { signal });
      return;
    }
    const metadata = {
      name: ref.name,
      ...(ref.namespace === undefined ? {} : { namespace: ref.namespace }),
      ...(options.ownerReferences ? { ownerReferences: [...options.ownerReferences] } : {}),
    };
    current = await client.create(ConfigMaps, { metadata, data }, { signal });
  };
  return {
    async load(name) {
      const text = (await read())[keyOfJournal(name)];
      return text === undefined ? undefined : (JSON.parse(text) as JournalState);
    },
    async save(state) {
      await write({ ...current?.data, [keyOfJournal(state.name)]: JSON.stringify(state) });
    },
    async finish(state, finishedAt) {
      const { [keyOfJournal(state.name)]: _over, ...data } = current?.data ?? {};
      const history = [...parseHistory(data[historyKey]), { ...state, finishedAt }].slice(-maxHistory);
      await write({ ...data, [historyKey]: JSON.stringify(history) });
    },
    async active() {
      const data = await read();
      return Object.keys(data)
        .filter((key) => key !== historyKey)
        .map((key) => JSON.parse(data[key] ?? '') as JournalState);
    },
    async history() {
      return parseHistory((await read())[historyKey]);
    },
  };
}

const parseHistory = (text: string | undefined): FinishedJournal[] =>
  text === undefined ? [] : (JSON.parse(text) as FinishedJournal[]);

function keyOfJournal(name: string): string {
  if (!/^[-.A-Za-z0-9]{1,200}$/.test(name)) throw new TypeError(`"${name}" cannot name a journal`);
  return `journal.${name}`;
}
