export type ContainerState = 'created' | 'running' | 'exited' | 'unknown';

/** One container that the runtime knows, dead or alive. Times are milliseconds since the epoch. */
export interface ObservedContainer {
  readonly id: string;
  readonly name: string;
  /** 0 for the first start of this name in its pod, then counting. */
  readonly attempt: number;
  readonly sandboxId: string;
  readonly state: ContainerState;
  readonly createdAtMs: number;
  readonly startedAtMs?: number;
  readonly finishedAtMs?: number;
  readonly exitCode?: number;
  /** The runtime's own reason, such as OOMKilled. */
  readonly reason?: string;
  readonly message?: string;
  /** The image as the pod's spec named it. */
  readonly image: string;
  readonly imageId: string;
  readonly logPath: string;
}

/** One sandbox: the pod's namespaces, held by its pause process. */
export interface ObservedSandbox {
  readonly id: string;
  readonly attempt: number;
  readonly ready: boolean;
  readonly createdAtMs: number;
  /** Empty for a pod on the node's own network. */
  readonly ips: readonly string[];
}

/** What the runtime has of one pod. */
export interface ObservedPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** Newest first. */
  readonly sandboxes: readonly ObservedSandbox[];
  /** Newest first. */
  readonly containers: readonly ObservedContainer[];
}

export const emptyPod = (uid: string, namespace: string, name: string): ObservedPod => ({
  uid,
  name,
  namespace,
  sandboxes: [],
  containers: [],
});

/** The newest container of a name, in one sandbox or in any. */
export function newestContainer(
  pod: ObservedPod,
  name: string,
  sandboxId?: string,
): ObservedContainer | undefined {
  return pod.containers.find(
    (container) => container.name === name && (sandboxId === undefined || container.sandboxId === sandboxId),
  );
}
