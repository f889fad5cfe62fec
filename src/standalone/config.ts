/**
 * What the supervisor writes and the standalone roles read: plain JSON files of mode 0600 in the
 * instance's data directory. Paths are absolute.
 */
export interface ServerConfig {
  readonly dataDir: string;
  readonly etcd: {
    readonly endpoint: string;
    readonly caFile: string;
    readonly certFile: string;
    readonly keyFile: string;
  };
  /** Where the API listens: loopback and the fabric's address. */
  readonly listen: readonly { readonly host: string; readonly port: number }[];
  /** Address and port that pods reach the API at, behind default/kubernetes. */
  readonly advertise: { readonly host: string; readonly port: number };
  readonly serviceCidr: string;
  readonly pki: PkiFiles;
}

export interface PkiFiles {
  readonly caCert: string;
  readonly caKey: string;
  readonly serverCert: string;
  readonly serverKey: string;
  /** Client certificate that the API server shows to a node's :10250. */
  readonly kubeletClientCert: string;
  readonly kubeletClientKey: string;
  /** PEM key pair that signs ServiceAccount tokens. */
  readonly serviceAccountKey: string;
  readonly serviceAccountPub: string;
}

/** Read by `holdfast node`, which runs inside the virtual node's namespaces. */
export interface NodeConfig {
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  readonly kubeconfig: string;
  /** unix path of containerd's CRI socket inside the node. */
  readonly criSocket: string;
  /** /var/lib/kubelet */
  readonly kubeletRoot: string;
  /** :10250 with mutual TLS; only `clientCa`'s kube-apiserver-kubelet-client may call. */
  readonly tls: { readonly cert: string; readonly key: string; readonly clientCa: string };
  /** JSON: which image name stands for which tree; see images/table.ts. */
  readonly imageTable: string;
  /** Labels the node registers with. */
  readonly labels: Readonly<Record<string, string>>;
}
