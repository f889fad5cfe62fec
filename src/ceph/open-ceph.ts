import type { ZodType } from 'zod';
import { decodeAnswer } from './answer.ts';
import { createBroker, type Broker, type BrokerDeps } from './broker/broker.ts';
import type { OperationName } from './broker/child.ts';
import type {
  Ceph,
  CephCallOptions,
  CephCommand,
  CephConnection,
  CephOpener,
  LockHolder,
  RadosObjects,
  Rbd,
  RbdImageInfo,
  RbdWatcher,
} from './seam.ts';

// Ceph's parser wants a float where its command table says so: `600` is refused, `600.0` is taken.
const floatFields: ReadonlySet<string> = new Set(['expire', 'ratio', 'weight']);

/** The JSON text of a command, as librados takes it. */
export function commandText(command: CephCommand): string {
  const fields = Object.entries<unknown>({ format: 'json', ...command }).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const isWhole = typeof value === 'number' && Number.isInteger(value);
    const text = isWhole && floatFields.has(name) ? `${value}.0` : JSON.stringify(value);
    return [`${JSON.stringify(name)}:${text}`];
  });
  return `{${fields.join(',')}}`;
}

const defaultTimeoutMs = 15_000;

/** Opens one cluster as one user through a broker child of its own. Nothing starts before the first call. */
export function openCeph(connection: CephConnection, deps: BrokerDeps): Ceph & { readonly broker: Broker } {
  const broker = createBroker(connection, deps);
  const run: Run = async (operation, args, { signal, timeoutMs = defaultTimeoutMs }) =>
    (await broker.call(operation, args, { signal, timeoutMs })) as never;
  const command = async <T>(
    target: 'mon' | 'mgr' | number,
    wanted: CephCommand,
    shape: ZodType<T>,
    { signal, timeoutMs = defaultTimeoutMs, input, answer = 'text' }: CephCallOptions,
  ): Promise<T> => {
    const bytes = (await broker.call('command', [target, commandText(wanted), input], {
      signal,
      timeoutMs,
      label: wanted.prefix,
    })) as Uint8Array;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(
      answer === 'base64' ? 'base64' : 'utf8',
    );
    return decodeAnswer(wanted.prefix, text, shape);
  };
  return {
    mon: (wanted, shape, options) => command('mon', wanted, shape, options),
    mgr: (wanted, shape, options) => command('mgr', wanted, shape, options),
    osd: (id, wanted, shape, options) => command(id, wanted, shape, options),
    rbd: rbdOver(run),
    objects: objectsOver(run),
    poolId: (pool, options) => run<number | undefined>('pool id', [pool], options),
    poolName: (id, options) => run<string | undefined>('pool name', [id], options),
    close: () => broker.close(),
    broker,
  };
}

type Run = <T>(operation: OperationName, args: readonly unknown[], options: CephCallOptions) => Promise<T>;

function rbdOver(run: Run): Rbd {
  return {
    create: async (place, image, create, options) => {
      await run('rbd create', [place, image, create], options);
    },
    info: (place, image, options) => run<RbdImageInfo | undefined>('rbd info', [place, image], options),
    list: (place, options) => run<{ id: string; name: string }[]>('rbd list', [place], options),
    remove: (place, image, options) => run<boolean>('rbd remove', [place, image], options),
    resize: async (place, image, sizeBytes, options) => {
      await run('rbd resize', [place, image, sizeBytes], options);
    },
    watchers: (place, image, options) => run<RbdWatcher[]>('rbd watchers', [place, image], options),
    metadataGet: (place, image, key, options) =>
      run<string | undefined>('rbd metadata get', [place, image, key], options),
    metadataSet: async (place, image, key, value, options) => {
      await run('rbd metadata set', [place, image, key, value], options);
    },
    createNamespace: async (place, options) => {
      await run('rbd namespace create', [place], options);
    },
    initPool: async (place, options) => {
      await run('rbd pool init', [place], options);
    },
    trashMove: (place, image, delaySeconds, options) =>
      run<boolean>('rbd trash move', [place, image, delaySeconds], options),
    trashRemove: (place, id, options) => run<boolean>('rbd trash remove', [place, id], options),
    trashList: (place, options) => run<{ id: string; name: string }[]>('rbd trash list', [place], options),
  };
}

function objectsOver(run: Run): RadosObjects {
  return {
    createExclusive: async (place, object, options) => {
      await run('object create', [place, object], options);
    },
    remove: (place, object, options) => run<boolean>('object remove', [place, object], options),
    omapGet: (place, object, keys, options) =>
      run<Map<string, string>>('omap get', [place, object, [...keys]], options),
    omapList: (place, object, options) =>
      run<Map<string, string>>(
        'omap list',
        [place, object, options.after ?? '', options.limit ?? 10_000],
        options,
      ),
    omapSet: async (place, object, values, options) => {
      await run('omap set', [place, object, new Map(values)], options);
    },
    omapRemove: async (place, object, keys, options) => {
      await run('omap remove', [place, object, [...keys]], options);
    },
    lock: async (place, object, lock, options) => {
      await run('lock', [place, object, lock], options);
    },
    unlock: async (place, object, lock, options) => {
      await run('unlock', [place, object, { name: lock.name, cookie: lock.cookie }], options);
    },
    breakLock: async (place, object, lockName, holder, options) => {
      await run('lock break', [place, object, lockName, { ...holder }], options);
    },
    lockHolders: (place, object, lockName, options) =>
      run<LockHolder[]>('lock holders', [place, object, lockName], options),
  };
}

/** One broker a cluster and user: those who open the same connection share it; the last close ends it. */
export function cephOpener(deps: BrokerDeps): CephOpener {
  const open = new Map<string, { readonly ceph: Ceph; users: number }>();
  return (connection) => {
    const identity = JSON.stringify([
      connection.fsid,
      connection.monHost,
      connection.user,
      connection.key,
      connection.settings,
    ]);
    const entry = open.get(identity) ?? { ceph: openCeph(connection, deps), users: 0 };
    entry.users++;
    open.set(identity, entry);
    let closed = false;
    return {
      ...entry.ceph,
      async close() {
        if (closed) return;
        closed = true;
        if (--entry.users > 0) return;
        if (open.get(identity) === entry) open.delete(identity);
        await entry.ceph.close();
      },
    };
  };
}
