import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { Identity, Node, NodeServiceCapability_RPC_Type as Rpc } from '../../src/gen/csi/v1/csi_pb.js';
import { Registration } from '../../src/gen/pluginregistration/v1/api_pb.js';
import { addService, Code, RpcError } from '../../src/lib/grpc.ts';

// A CSI driver whose volumes are folders. It mounts for real, and writes down what it was asked.
// Arguments: NAME NODE-ID STATE-FOLDER KUBELET-ROOT
const [name = '', nodeId = '', state = '', root = ''] = process.argv.slice(2);
const calls = join(state, 'calls');
const note = (text: string) => appendFileSync(calls, `${text}\n`);
const mountPoints = () =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4]);
const bind = (from: string, to: string) => {
  if (mountPoints().includes(to)) return;
  mkdirSync(to, { recursive: true });
  execFileSync('mount', ['--bind', from, to]);
};
const unbind = (path: string) => {
  while (mountPoints().includes(path)) execFileSync('umount', [path]);
};

mkdirSync(state, { recursive: true });
const onError = (method: string, error: unknown) => {
  note(`error ${method} ${String(error)}`);
  return new RpcError(Code.INTERNAL, String(error));
};
const driver = new Server();
addService(
  driver,
  Identity,
  { getPluginInfo: () => Promise.resolve({ name, vendorVersion: '1' }), probe: () => Promise.resolve({}) },
  onError,
);
addService(
  driver,
  Node,
  {
    nodeGetInfo: () =>
      Promise.resolve({
        nodeId,
        maxVolumesPerNode: 7n,
        accessibleTopology: { segments: { 'topology.test/zone': 'z1' } },
      }),
    nodeGetCapabilities: () =>
      Promise.resolve({
        capabilities: [Rpc.STAGE_UNSTAGE_VOLUME, Rpc.EXPAND_VOLUME].map((type) => ({
          type: { case: 'rpc' as const, value: { type } },
        })),
      }),
    nodeStageVolume: (request) => {
      const secret = request.secrets['key'] ?? '';
      note(`stage ${request.volumeId} ${request.publishContext['device'] ?? ''} ${secret.length}`);
      if (request.volumeCapability?.accessType.case === 'block') return Promise.resolve({});
      const data = join(state, 'data', request.volumeId);
      mkdirSync(data, { recursive: true });
      bind(data, request.stagingTargetPath);
      return Promise.resolve({});
    },
    nodeUnstageVolume: (request) => {
      note(`unstage ${request.volumeId}`);
      unbind(request.stagingTargetPath);
      return Promise.resolve({});
    },
    nodePublishVolume: (request) => {
      note(`publish ${request.volumeId} ${request.volumeContext['csi.storage.k8s.io/pod.name'] ?? ''}`);
      if (request.volumeCapability?.accessType.case === 'block') {
        // Any device will do to show that one arrives.
        writeFileSync(request.targetPath, '');
        execFileSync('mount', ['--bind', '/dev/zero', request.targetPath]);
        return Promise.resolve({});
      }
      if (!mountPoints().includes(request.stagingTargetPath))
        throw new RpcError(Code.FAILED_PRECONDITION, 'not staged');
      bind(request.stagingTargetPath, request.targetPath);
      return Promise.resolve({});
    },
    nodeUnpublishVolume: (request) => {
      note(`unpublish ${request.volumeId}`);
      unbind(request.targetPath);
      rmSync(request.targetPath, { force: true, recursive: true });
      return Promise.resolve({});
    },
    nodeExpandVolume: (request) => {
      note(`expand ${request.volumeId} ${request.capacityRange?.requiredBytes}`);
      return Promise.resolve({ capacityBytes: request.capacityRange?.requiredBytes ?? 0n });
    },
  },
  onError,
);
const folder = join(root, 'plugins', name);
mkdirSync(folder, { recursive: true });
mkdirSync(join(root, 'plugins_registry'), { recursive: true });
const endpoint = join(folder, 'csi.sock');
const registration = new Server();
addService(
  registration,
  Registration,
  {
    getInfo: () => Promise.resolve({ type: 'CSIPlugin', name, endpoint, supportedVersions: ['1.0.0'] }),
    notifyRegistrationStatus: (status) => {
      note(`registered ${status.pluginRegistered} ${status.error}`);
      return Promise.resolve({});
    },
  },
  onError,
);
const listen = (server: Server, path: string) =>
  new Promise<void>((resolve, reject) => {
    rmSync(path, { force: true });
    server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
await listen(driver, endpoint);
await listen(registration, join(root, 'plugins_registry', `${name}-reg.sock`));
