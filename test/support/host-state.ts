import { readFile, stat } from 'node:fs/promises';
import { run } from './standalone.ts';

export type HostState = Awaited<ReturnType<typeof hostState>>;

/** What nothing here may change: packages, listening ports, /etc, forwarding, the kubelet's folder. */
export async function hostState() {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8')));
  const listening = tables.flatMap((table) => table.split('\n').map((line) => line.trim().split(/\s+/)));
  const { stdout: etc } = await run('find', ['/etc', '-printf', '%p %s %m %u %T@\n']);
  const { stdout: packages } = await run('dpkg-query', ['--show']);
  const { stdout: rules } = await run('sh', ['-c', 'iptables-save 2>/dev/null | grep -v "^#" || true']);
  return {
    etc,
    packages,
    rules,
    forward: await readFile('/proc/sys/net/ipv4/ip_forward', 'utf8'),
    kubelet: await stat('/var/lib/kubelet').then(
      () => 'there',
      () => 'absent',
    ),
    ports: new Set(listening.filter((fields) => fields[3] === '0A').map((fields) => fields[1] ?? '')),
  };
}
