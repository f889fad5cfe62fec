import { readFile } from 'node:fs/promises';
import { systemClock } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/lib/log.ts';
import { runNode } from '../../src/standalone/node/run-node.ts';

// The node role alone, bundled by the tests and run inside a virtual node. Argument: the config's path.
const config = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8'));
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort(new Error('stopped')));
await runNode(config, { clock: systemClock, log: createLogger('node'), signal: stop.signal });
