import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NodeSpec } from './virtual-node.ts';

/** Files of the node's own, laid into the upper layer of its root before it starts. */
export async function writeNodeFiles(
  spec: Pick<NodeSpec, 'folder' | 'name' | 'ip' | 'podCidr'>,
): Promise<void> {
  const files: Readonly<Record<string, string>> = {
    'etc/hostname': `${spec.name}\n`,
    'etc/hosts': `127.0.0.1 localhost\n::1 localhost\n${spec.ip} ${spec.name}\n`,
    'etc/containerd/config.toml': containerdConfig,
    'etc/cni/net.d/10-holdfast.conflist': `${JSON.stringify(podNetwork(spec.podCidr), undefined, 2)}\n`,
  };
  for (const [name, content] of Object.entries(files)) {
    const path = join(spec.folder, 'upper', name);
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await writeFile(path, content, { mode: 0o644 });
  }
}

/**
 * Point-to-point links with routes, not a bridge: a bridge would depend on br_netfilter, and on what the
 * host's FORWARD rules say.
 */
const podNetwork = (podCidr: string) => ({
  cniVersion: '0.4.0',
  name: 'holdfast',
  plugins: [
    {
      type: 'ptp',
      ipMasq: false,
      mtu: 1500,
      ipam: { type: 'host-local', ranges: [[{ subnet: podCidr }]], routes: [{ dst: '0.0.0.0/0' }] },
    },
    { type: 'portmap', capabilities: { portMappings: true }, snat: true },
  ],
});

// AppArmor is the host's to configure; oom scores cannot be lowered without CAP_SYS_RESOURCE, which root
// may lack; cgroup paths count from the node's cgroup namespace.
const containerdConfig = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  enable_selinux = false
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
`;
