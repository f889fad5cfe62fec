// Ceph's users as Secrets name them: `csi-rbd-node` or `client.csi-rbd-node`, both the same.

/** `client.csi-rbd-node`, as a keyring names a user. */
export const cephxEntity = (user: string): string => `client.${cephxId(user)}`;

/** `csi-rbd-node`, as `--id` and `user=` name it. */
export const cephxId = (user: string): string => user.replace(/^client\./, '');
