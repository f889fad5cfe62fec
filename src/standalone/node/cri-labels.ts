/** Labels that kubelet puts on sandboxes and containers, and that tools such as crictl look for. */
export const podNameLabel = 'io.kubernetes.pod.name';
export const podNamespaceLabel = 'io.kubernetes.pod.namespace';
export const podUidLabel = 'io.kubernetes.pod.uid';
export const containerNameLabel = 'io.kubernetes.container.name';

// What a restarted node process must still know about a container is kept on the container itself.
export const terminationPathAnnotation = 'io.kubernetes.container.terminationMessagePath';
export const terminationPolicyAnnotation = 'io.kubernetes.container.terminationMessagePolicy';
export const imageNameAnnotation = 'holdfast.io/image';
export const terminationFileAnnotation = 'holdfast.io/termination-file';
export const graceAnnotation = 'io.kubernetes.pod.terminationGracePeriod';
export const priorityAnnotation = 'holdfast.io/priority';
