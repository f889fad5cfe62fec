import type { AdmissionRequest, RegistryDeps } from './request.ts';

/** Plugins change the object in their order, `validate` checks it, then plugins judge the final form. */
export async function runAdmission(
  { admission }: RegistryDeps,
  request: AdmissionRequest,
  validate: () => void,
): Promise<void> {
  for (const plugin of admission) await plugin.admit?.(request);
  validate();
  for (const plugin of admission) await plugin.judge?.(request);
}
