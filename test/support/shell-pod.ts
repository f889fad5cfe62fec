/** A pod that runs a shell script once, with a claim at /data where one is named. */
export const shellPod = (name: string, script: string, claimName?: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default' },
  spec: {
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'main',
        image: 'busybox',
        command: ['sh', '-c', script],
        ...(claimName === undefined ? {} : { volumeMounts: [{ name: 'data', mountPath: '/data' }] }),
      },
    ],
    ...(claimName === undefined ? {} : { volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }] }),
  },
});
