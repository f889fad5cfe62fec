import type { Pod, ServicePort } from 'kubernetes-types/core/v1.js';

export interface EndpointPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly appProtocol?: string;
}

/** The ports of a Service on one pod; a named target that the pod lacks is left out. */
export function portsOnPod(ports: readonly ServicePort[] | undefined, pod: Pod): EndpointPort[] {
  return (ports ?? []).flatMap((port) => {
    const number = targetOn(port, pod);
    if (number === undefined) return [];
    return [
      {
        name: port.name ?? '',
        port: number,
        protocol: port.protocol ?? 'TCP',
        ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
      },
    ];
  });
}

function targetOn(port: ServicePort, pod: Pod): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target;
  const protocol = port.protocol ?? 'TCP';
  const containers = [
    ...(pod.spec?.containers ?? []),
    ...(pod.spec?.initContainers ?? []).filter((one) => one.restartPolicy === 'Always'),
  ];
  for (const container of containers) {
    for (const one of container.ports ?? []) {
      if (one.name === target && (one.protocol ?? 'TCP') === protocol) return one.containerPort;
    }
  }
  return /^\d+$/.test(target) ? Number(target) : undefined;
}
