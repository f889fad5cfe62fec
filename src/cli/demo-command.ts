import { join } from 'node:path';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { createKubeClient } from '../kube/undici-client.ts';
import { layout } from '../standalone/layout.ts';
import { defaultDataDir, type CliContext } from './context.ts';
import { runDemo } from './demo.ts';
import { requireInstance } from './find-instance.ts';
import { createProgress, formatSeconds } from './progress.ts';

/** `holdfast demo`: runs the main job and sums it up. */
export async function demo(context: CliContext, options: { readonly before?: string }): Promise<void> {
  const { dataDir, dist, screen, clock, signal } = context;
  await requireInstance(dataDir);
  const { kubeconfig } = layout(dataDir);
  const client = createKubeClient(await loadKubeConfig(kubeconfig), { clock, fieldManager: 'holdfast-demo' });
  const progress = createProgress(screen, clock);
  try {
    await runDemo({ client, examples: join(dist, 'examples'), progress, clock, signal });
  } finally {
    await client.close();
  }
  const phases = [...parsePhases(options.before), ...progress.finished];
  const total = phases.reduce((sum, phase) => sum + phase.ms, 0);
  const width = Math.max(...phases.map(({ title }) => title.length));
  const lines = phases.map(({ title, ms }) => `  ${title.padEnd(width)}  ${formatSeconds(ms).padStart(8)}`);
  screen.write(`\n${lines.join('\n')}\n  ${'in all'.padEnd(width)}  ${formatSeconds(total).padStart(8)}\n`);
  const where = dataDir === defaultDataDir ? '' : `HOLDFAST_DATA_DIR=${dataDir} `;
  screen.write(`\nEverything is left running. Kubeconfig: ${kubeconfig}\n\nTry next:\n`);
  screen.write(`  ${where}bin/holdfast kubectl get cephclusters,cephblockpools,pvc,pv,pods -A\n`);
  screen.write(`  ${where}bin/holdfast kubectl exec -it holdfast-demo-reader -- sh\n`);
  screen.write(`  ${where}bin/holdfast status, and ${where}bin/holdfast down when you are done\n`);
}

function parsePhases(text: string | undefined): { title: string; ms: number }[] {
  if (text === undefined || text === '') return [];
  return text.split(',').flatMap((part) => {
    const [title = '', ms = ''] = part.split('=');
    return Number.isFinite(Number(ms)) ? [{ title, ms: Number(ms) }] : [];
  });
}
