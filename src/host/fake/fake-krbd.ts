import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DeadlineError } from '../../lib/deadline.ts';
import { CommandError, type CommandOptions } from '../../lib/run-command.ts';
import type { HostTools } from '../tools.ts';

/**
 * The kernel's RBD client on a pretended /sys and /dev below `dir`, with the answers and the order of checks of
 * Linux 6.1.192 (Debian's) against Ceph 16.2.15.
 */
export interface FakeKrbd {
  readonly tools: HostTools;
  readonly bus: string;
  readonly dev: string;
  /** `pool/namespace/image`, the namespace empty where there is none -> what it is. */
  readonly images: Map<string, { features: bigint; size: bigint }>;
  /** User without `client.` -> its key, and the pools that it may use. */
  readonly users: Map<string, { key: string; pools: readonly string[] }>;
  /** Numbers of the devices that a process or a mount has open. */
  readonly open: Set<string>;
  /** What each write to /sys was, without its text. */
  readonly writes: string[];
  /**
   * `no-monitor`: none answers. `no-osd`: the kernel waits until its writer is killed. `limit`: the same, and the
   * writer's time is over at once. `blocklisted`: the OSDs refuse the client.
   */
  trouble: 'no-monitor' | 'no-osd' | 'limit' | 'blocklisted' | undefined;
  /** Loads the module: there is no bus before. */
  load(): Promise<void>;
  /** A device as the kernel lists it; `fields` over those of a mapping of `pool//image`. */
  addDevice(id: string, fields: Readonly<Record<string, string>>): Promise<void>;
}

const supportedFeatures = 0x1bfn;
const major = '254';

export async function fakeKrbd(dir: string): Promise<FakeKrbd> {
  const [bus, dev] = [join(dir, 'bus/rbd'), join(dir, 'dev')];
  await mkdir(dev, { recursive: true });
  let nextId = 0;
  const fake: FakeKrbd = {
    bus,
    dev,
    images: new Map(),
    users: new Map(),
    open: new Set(),
    writes: [],
    trouble: undefined,
    async load() {
      await mkdir(join(bus, 'devices'), { recursive: true });
      await writeFile(join(bus, 'supported_features'), `0x${supportedFeatures.toString(16)}\n`);
      for (const name of ['add_single_major', 'remove_single_major']) await writeFile(join(bus, name), '');
    },
    async addDevice(id, fields) {
      const folder = join(bus, 'devices', id);
      const all = { pool_ns: '', current_snap: '-', major, minor: String(Number(id) * 16), ...fields };
      await mkdir(folder);
      for (const [name, value] of Object.entries(all)) await writeFile(join(folder, name), `${value}\n`);
      await writeFile(join(folder, 'refresh'), '');
      await writeFile(join(dev, `rbd${id}`), '');
    },
    tools: {
      path: (tool) => `/nowhere/${tool}`,
      async run(tool, args, options) {
        if (tool !== 'dd') throw new Error(`${tool} is not there`);
        await write(args.find((arg) => arg.startsWith('of='))?.slice(3) ?? '', options);
        return { stdout: '', stderr: '' };
      },
    },
  };

  async function write(path: string, options: CommandOptions): Promise<void> {
    await readFile(path); // Nothing in /sys is made by writing to it.
    fake.writes.push(basename(path));
    const text = String(options.input);
    const answer = (words: string) => {
      const stderr = `/usr/bin/dd: error writing '${path}': ${words}\n`;
      throw new CommandError('/usr/bin/dd', 1, undefined, '', stderr);
    };
    if (basename(path) === 'add_single_major') return await add(text, options, answer);
    if (fake.trouble === 'no-osd' || fake.trouble === 'limit')
      await untilKilled(options, fake.trouble === 'limit');
    if (basename(path) === 'remove_single_major') {
      if (fake.open.has(text)) answer('Device or resource busy');
      await rm(join(bus, 'devices', text), { recursive: true });
      await rm(join(dev, `rbd${text}`));
      return;
    }
    const device = dirname(path);
    const field = async (name: string) => (await readFile(join(device, name), 'utf8')).trim();
    const key = `${await field('pool')}/${await field('pool_ns')}/${await field('name')}`;
    await writeFile(join(device, 'size'), `${fake.images.get(key)?.size}\n`);
  }

  async function add(text: string, options: CommandOptions, answer: (words: string) => void): Promise<void> {
    const request = parse(text);
    const early = refusedByMons(fake, request);
    if (early !== undefined) answer(early);
    if (fake.trouble === 'no-osd' || fake.trouble === 'limit')
      await untilKilled(options, fake.trouble === 'limit');
    const late = refusedByOsds(fake, request);
    if (late !== undefined) answer(late);
    const { pool, namespace, name, place } = request;
    const size = String(fake.images.get(place)?.size);
    // It maps an image as often as it is asked to.
    await fake.addDevice(String(nextId++), { pool, pool_ns: namespace, name, config_info: text, size });
  }
  return fake;
}

interface MapText {
  readonly user: string;
  readonly key: string;
  readonly pool: string;
  readonly namespace: string;
  readonly name: string;
  /** As `images` has it. */
  readonly place: string;
}

function parse(text: string): MapText {
  const [, words = '', pool = '', name = ''] = text.split(' ');
  const given = new Map(words.split(',').map((word) => word.split(/=(.*)/s) as [string, string]));
  const [user = '', key = '', namespace = ''] = ['name', 'secret', '_pool_ns'].map((one) => given.get(one));
  return { user, key, pool, namespace, name, place: `${pool}/${namespace}/${name}` };
}

function refusedByMons({ users, trouble }: FakeKrbd, { user, key }: MapText): string | undefined {
  if (!/^(?:[\w+/]{4})+(?:[\w+/]{2}==|[\w+/]{3}=)?$/.test(key)) return 'Invalid argument';
  if (trouble === 'no-monitor') return 'Connection timed out';
  return users.get(user)?.key === key ? undefined : 'Permission denied';
}

function refusedByOsds({ users, images, trouble }: FakeKrbd, request: MapText): string | undefined {
  const { user, pool, place } = request;
  if (trouble === 'blocklisted') return 'Cannot send after transport endpoint shutdown';
  if (![...images.keys()].some((one) => one.startsWith(`${pool}/`))) return 'No such file or directory';
  if (!users.get(user)?.pools.includes(pool)) return 'Operation not permitted';
  const image = images.get(place);
  if (!image) return 'No such file or directory';
  return (image.features & ~supportedFeatures) === 0n ? undefined : 'No such device or address';
}

/** The kernel's waits end with their process: nothing is mapped then. */
function untilKilled({ signal, timeoutMs = 0 }: CommandOptions, limitReached: boolean): Promise<never> {
  if (limitReached) return Promise.reject(new DeadlineError('/usr/bin/dd', timeoutMs));
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    if (signal.aborted) reject(signal.reason as Error);
  });
}
