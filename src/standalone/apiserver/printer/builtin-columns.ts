import type { PrinterColumn } from '../kind.ts';

// The columns of built-in kinds, as kubectl prints them; a star marks those of `-o wide` only.
const tables: Readonly<Record<string, string>> = {
  Pod: 'Name,Ready,Status,Restarts,Age,IP*,Node*,Nominated Node*,Readiness Gates*',
  PersistentVolume:
    'Name,Capacity,Access Modes,Reclaim Policy,Status,Claim,StorageClass,VolumeAttributesClass,Reason,Age,VolumeMode*',
  PersistentVolumeClaim:
    'Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age,VolumeMode*',
  StorageClass: 'Name,Provisioner,ReclaimPolicy,VolumeBindingMode,AllowVolumeExpansion,Age',
  Node: 'Name,Status,Roles,Age,Version,Internal-IP*,External-IP*,OS-Image*,Kernel-Version*,Container-Runtime*',
  Namespace: 'Name,Status,Age',
  Deployment: 'Name,Ready,Up-to-date,Available,Age',
  ReplicaSet: 'Name,Desired,Current,Ready,Age',
  StatefulSet: 'Name,Ready,Age',
  DaemonSet: 'Name,Desired,Current,Ready,Up-to-date,Available,Node Selector,Age',
  Job: 'Name,Status,Completions,Duration,Age',
  Service: 'Name,Type,Cluster-IP,External-IP,Port(s),Age,Selector*',
  Secret: 'Name,Type,Data,Age',
  ConfigMap: 'Name,Data,Age',
  Event: 'Last Seen,Type,Reason,Object,Message',
  VolumeAttachment: 'Name,Attacher,PV,Node,Attached,Age',
  Lease: 'Name,Holder,Age',
  CustomResourceDefinition: 'Name,Created At',
};

/** The column definitions of a built-in kind: Name and Age where it has none of its own. */
export function columnsOf(_group: string, kind: string): readonly PrinterColumn[] {
  return (tables[kind] ?? 'Name,Age').split(',').map((text) => {
    const name = text.replace('*', '');
    return {
      name,
      type: 'string',
      format: name === 'Name' ? 'name' : '',
      description: '',
      priority: text.endsWith('*') ? 1 : 0,
    };
  });
}
