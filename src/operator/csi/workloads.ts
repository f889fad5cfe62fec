import type { DaemonSet, Deployment } from 'kubernetes-types/apps/v1.js';
import type { Container, PodSpec, Volume } from 'kubernetes-types/core/v1.js';
import type { CSIDriver } from 'kubernetes-types/storage/v1.js';
import type { OperatorSettings } from '../settings.ts';
import { csiConfigName, mounterName, pluginName, provisionerName } from './names.ts';

export interface CsiPlan {
  readonly namespace: string;
  readonly driver: string;
  readonly image: string;
  readonly settings: OperatorSettings;
}

const privileged = { securityContext: { privileged: true, runAsUser: 0 } };
const configVolume: Volume = { name: 'ceph-csi-config', configMap: { name: csiConfigName } };
const configMount = { name: 'ceph-csi-config', mountPath: '/etc/ceph-csi-config/' };
const hostPath = (name: string, path: string, type = 'DirectoryOrCreate'): Volume => ({
  name,
  hostPath: { path, type },
});
const labelsOf = (app: string) => ({
  app,
  contains: `${app}-metrics`,
  'app.kubernetes.io/name': app,
  'app.kubernetes.io/managed-by': 'rook-ceph-operator',
});

/** Says to Kubernetes what the driver can do. */
export function csiDriver(plan: CsiPlan): CSIDriver {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSIDriver',
    metadata: { name: plan.driver },
    spec: {
      attachRequired: true,
      podInfoOnMount: false,
      fsGroupPolicy: 'File',
      storageCapacity: false,
      seLinuxMount: false,
    },
  };
}

/** The controller half: one process, the sidecars’ work built in. */
export function provisionerDeployment(plan: CsiPlan): Deployment {
  const labels = labelsOf(provisionerName);
  const container: Container = {
    name: 'csi-rbdplugin',
    image: plan.image,
    imagePullPolicy: 'IfNotPresent',
    args: [
      'csi',
      'controller',
      '--driver',
      plan.driver,
      '--endpoint',
      'unix:///csi/csi.sock',
      '--config',
      '/etc/ceph-csi-config/config.json',
    ],
    env: [
      { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
    ],
    volumeMounts: [{ name: 'socket-dir', mountPath: '/csi' }, configMount],
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: provisionerName, namespace: plan.namespace, labels },
    spec: {
      replicas: plan.settings.provisionerReplicas,
      selector: { matchLabels: { app: provisionerName } },
      template: {
        metadata: { labels },
        spec: {
          serviceAccountName: 'rook-csi-rbd-provisioner-sa',
          priorityClassName: 'system-cluster-critical',
          containers: [container],
          volumes: [{ name: 'socket-dir', emptyDir: { medium: 'Memory' } }, configJson()],
        },
      },
    },
  };
}

/** The ConfigMap’s key under the file name that the driver reads. */
const configJson = (): Volume => ({
  ...configVolume,
  configMap: { name: csiConfigName, items: [{ key: 'csi-cluster-config-json', path: 'config.json' }] },
});

/** The node half: stages and publishes; FUSE daemons are the mounter’s. */
export function pluginDaemonSet(plan: CsiPlan): DaemonSet {
  const kubelet = plan.settings.kubeletDir;
  const plugin = `${kubelet}/plugins/${plan.driver}`;
  return daemonSet(plan, pluginName, 'RollingUpdate', {
    serviceAccountName: 'rook-csi-rbd-plugin-sa',
    containers: [
      {
        name: 'csi-rbdplugin',
        image: plan.image,
        imagePullPolicy: 'IfNotPresent',
        args: pairs(['csi', 'node'], {
          '--driver': plan.driver,
          '--node-id': '$(NODE_ID)',
          '--endpoint': 'unix:///csi/csi.sock',
          '--kubelet-root': kubelet,
          '--registration-dir': '/registration',
          '--plugin-socket': `${plugin}/csi.sock`,
          '--mounter': 'unix:///mounter/mounter.sock',
          '--config': '/etc/ceph-csi-config/config.json',
        }),
        env: [{ name: 'NODE_ID', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
        ...privileged,
        volumeMounts: [
          { name: 'plugin-dir', mountPath: '/csi' },
          { name: 'registration-dir', mountPath: '/registration' },
          { name: 'mounter-dir', mountPath: '/mounter' },
          { name: 'kubelet-dir', mountPath: kubelet, mountPropagation: 'Bidirectional' },
          { name: 'host-dev', mountPath: '/dev' },
          { name: 'host-sys', mountPath: '/sys' },
          { name: 'lib-modules', mountPath: '/lib/modules', readOnly: true },
          configMount,
        ],
      },
    ],
    volumes: [
      hostPath('plugin-dir', plugin),
      hostPath('registration-dir', `${kubelet}/plugins_registry`),
      hostPath('mounter-dir', mounterDir(kubelet)),
      hostPath('kubelet-dir', kubelet, 'Directory'),
      hostPath('host-dev', '/dev', ''),
      hostPath('host-sys', '/sys', ''),
      hostPath('lib-modules', '/lib/modules', ''),
      configJson(),
    ],
  });
}

const pairs = (role: readonly string[], options: Readonly<Record<string, string>>): string[] => [
  ...role,
  ...Object.entries(options).flat(),
];

const mounterDir = (kubelet: string) => `${kubelet}/plugins/holdfast.mounter`;

/**
 * Starts and watches the FUSE daemons, which must outlive every roll-out: replaced only where someone deletes its
 * pod, never killed by a probe, and last to be evicted. hostPID and privileged are what it needs to keep the daemons
 * in a cgroup of their own, and to find them again after its own death.
 */
export function mounterDaemonSet(plan: CsiPlan): DaemonSet {
  const kubelet = plan.settings.kubeletDir;
  return daemonSet(plan, mounterName, 'OnDelete', {
    serviceAccountName: 'rook-csi-rbd-plugin-sa',
    terminationGracePeriodSeconds: 30,
    containers: [
      {
        name: 'mounter',
        image: plan.image,
        imagePullPolicy: 'IfNotPresent',
        args: pairs(['mounter'], {
          '--socket': '/mounter/mounter.sock',
          '--state-dir': mounterDir(kubelet),
          '--node-id': '$(NODE_ID)',
        }),
        env: [{ name: 'NODE_ID', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
        ...privileged,
        volumeMounts: [
          { name: 'mounter-dir', mountPath: '/mounter' },
          { name: 'kubelet-dir', mountPath: kubelet, mountPropagation: 'Bidirectional' },
          { name: 'host-dev', mountPath: '/dev' },
          { name: 'host-sys', mountPath: '/sys' },
          { name: 'lib-modules', mountPath: '/lib/modules', readOnly: true }, // For modprobe rbd and nbd.
        ],
      },
    ],
    volumes: [
      hostPath('mounter-dir', mounterDir(kubelet)),
      hostPath('kubelet-dir', kubelet, 'Directory'),
      hostPath('host-dev', '/dev', ''),
      hostPath('host-sys', '/sys', ''),
      hostPath('lib-modules', '/lib/modules', ''),
    ],
  });
}

function daemonSet(
  plan: CsiPlan,
  name: string,
  update: 'RollingUpdate' | 'OnDelete',
  pod: PodSpec,
): DaemonSet {
  const labels = labelsOf(name);
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace: plan.namespace, labels },
    spec: {
      selector: { matchLabels: { app: name } },
      updateStrategy: { type: update },
      template: {
        metadata: { labels },
        spec: {
          hostNetwork: true,
          hostPID: true,
          dnsPolicy: 'ClusterFirstWithHostNet',
          priorityClassName: 'system-node-critical',
          tolerations: [{ operator: 'Exists' }],
          ...pod,
        },
      },
    },
  };
}
