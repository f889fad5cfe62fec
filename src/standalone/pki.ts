import 'reflect-metadata';
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import type { PkiFiles } from './config.ts';
import { pathExists } from '../lib/path-exists.ts';

x509.cryptoProvider.set(webcrypto as never);

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const validMs = 10 * 365 * 24 * 3600_000; // An instance lives on one machine and its keys never leave it.

export interface Authority {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

export interface LeafRequest {
  readonly commonName: string;
  /** Become the user's groups where the certificate authenticates one. */
  readonly organizations?: readonly string[];
  /** DNS names and IP addresses of a server. */
  readonly hosts?: readonly string[];
  readonly usage: 'server' | 'client' | 'both';
}

export interface Leaf {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

const pemOf = async (key: webcrypto.CryptoKey) => {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString();
};

const serialNumber = () => `00${randomBytes(15).toString('hex')}`; // The leading zero keeps it positive.

/** Backdated by an hour, so that a clock set back a little does not lock anyone out. */
const validity = (nowMs: number) => ({
  notBefore: new Date(nowMs - 3600_000),
  notAfter: new Date(nowMs + validMs),
});

/** A self-signed certificate authority. */
export async function createAuthority(commonName: string, nowMs: number): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${commonName}`,
    ...validity(nowMs),
    signingAlgorithm: algorithm,
    keys: keys as webcrypto.CryptoKeyPair,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create((keys as webcrypto.CryptoKeyPair).publicKey),
    ],
  });
  return {
    certificatePem: certificate.toString('pem'),
    privateKeyPem: await pemOf((keys as webcrypto.CryptoKeyPair).privateKey),
  };
}

/** A certificate signed by `authority`, with a key of its own. */
export async function issueCertificate(
  authority: Authority,
  request: LeafRequest,
  nowMs: number,
): Promise<Leaf> {
  const issuer = new x509.X509Certificate(authority.certificatePem);
  const der = createPrivateKey(authority.privateKeyPem).export({ format: 'der', type: 'pkcs8' });
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const server = '1.3.6.1.5.5.7.3.1';
  const client = '1.3.6.1.5.5.7.3.2';
  const usages = { server: [server], client: [client], both: [server, client] }[request.usage];
  const hosts = (request.hosts ?? []).map((value) => ({
    type: isIP(value) ? ('ip' as const) : ('dns' as const),
    value,
  }));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [...(request.organizations ?? []).map((o) => ({ O: [o] })), { CN: [request.commonName] }],
    issuer: issuer.subject,
    ...validity(nowMs),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      ...(hosts.length ? [new x509.SubjectAlternativeNameExtension(hosts)] : []),
    ],
  });
  return { certificatePem: certificate.toString('pem'), privateKeyPem: await pemOf(keys.privateKey) };
}

/** Every file of an instance's key material, in one folder of mode 0700. */
export interface InstancePki extends PkiFiles {
  /** etcd's own authority: no client of the API is one of etcd's. */
  readonly etcdCaCert: string;
  readonly etcdServerCert: string;
  readonly etcdServerKey: string;
  readonly etcdClientCert: string;
  readonly etcdClientKey: string;
  readonly adminCert: string;
  readonly adminKey: string;
}

export interface PkiRequest {
  readonly directory: string;
  /** Addresses and names that clients reach the API at. */
  readonly apiHosts: readonly string[];
  readonly nowMs: number;
}

export interface NodePki {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string;
}

/** A node's own certificate, for its server on :10250 and as its identity `system:node:<name>`. */
export async function ensureNodePki(
  directory: string,
  ca: Pick<PkiFiles, 'caCert' | 'caKey'>,
  node: { readonly name: string; readonly ip: string },
  nowMs: number,
): Promise<NodePki> {
  const files = {
    cert: join(directory, 'node.crt'),
    key: join(directory, 'node.key'),
    clientCa: join(directory, 'ca.crt'),
  };
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const authority = {
    certificatePem: await readFile(ca.caCert, 'utf8'),
    privateKeyPem: await readFile(ca.caKey, 'utf8'),
  };
  if (!(await pathExists(files.cert))) {
    const request: LeafRequest = {
      commonName: `system:node:${node.name}`,
      organizations: ['system:nodes'],
      hosts: [node.name, node.ip, '127.0.0.1'],
      usage: 'both',
    };
    const issued = await issueCertificate(authority, request, nowMs);
    await writeFileAtomic(files.key, issued.privateKeyPem);
    await writeFileAtomic(files.cert, issued.certificatePem, 0o644);
  }
  await writeFileAtomic(files.clientCa, authority.certificatePem, 0o644);
  return files;
}

/** Makes what is missing in `directory` and keeps what is there: clients hold on to these keys. */
export async function ensurePki({ directory, apiHosts, nowMs }: PkiRequest): Promise<InstancePki> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = (name: string) => join(directory, name);
  const authority = await ensureAuthority('holdfast-ca', path('ca.crt'), path('ca.key'), nowMs);
  const etcdAuthority = await ensureAuthority(
    'holdfast-etcd-ca',
    path('etcd-ca.crt'),
    path('etcd-ca.key'),
    nowMs,
  );
  const leaf = async (name: string, request: LeafRequest, signer = authority) => {
    const cert = path(`${name}.crt`);
    const key = path(`${name}.key`);
    if (!(await pathExists(cert)) || !(await pathExists(key))) {
      const issued = await issueCertificate(signer, request, nowMs);
      await writeFileAtomic(key, issued.privateKeyPem);
      await writeFileAtomic(cert, issued.certificatePem, 0o644); // Last: where it stands, the key stands too.
    }
    return { cert, key };
  };
  const [server, kubelet, admin, etcdServer, etcdClient] = await Promise.all([
    leaf('apiserver', { commonName: 'kube-apiserver', hosts: apiHosts, usage: 'server' }),
    leaf('apiserver-kubelet-client', { commonName: 'kube-apiserver-kubelet-client', usage: 'client' }),
    leaf('admin', { commonName: 'kubernetes-admin', organizations: ['system:masters'], usage: 'client' }),
    leaf(
      'etcd-server',
      { commonName: 'etcd', hosts: ['127.0.0.1', 'localhost'], usage: 'both' },
      etcdAuthority,
    ),
    leaf('etcd-client', { commonName: 'kube-apiserver-etcd-client', usage: 'client' }, etcdAuthority),
  ]);
  const serviceAccount = await ensureServiceAccountKey(path('sa.key'), path('sa.pub'));
  return {
    etcdCaCert: path('etcd-ca.crt'),
    caCert: path('ca.crt'),
    caKey: path('ca.key'),
    serverCert: server.cert,
    serverKey: server.key,
    kubeletClientCert: kubelet.cert,
    kubeletClientKey: kubelet.key,
    serviceAccountKey: serviceAccount.key,
    serviceAccountPub: serviceAccount.pub,
    etcdServerCert: etcdServer.cert,
    etcdServerKey: etcdServer.key,
    etcdClientCert: etcdClient.cert,
    etcdClientKey: etcdClient.key,
    adminCert: admin.cert,
    adminKey: admin.key,
  };
}

async function ensureAuthority(
  commonName: string,
  cert: string,
  key: string,
  nowMs: number,
): Promise<Authority> {
  if ((await pathExists(cert)) && (await pathExists(key))) {
    return { certificatePem: await readFile(cert, 'utf8'), privateKeyPem: await readFile(key, 'utf8') };
  }
  const authority = await createAuthority(commonName, nowMs);
  await writeFileAtomic(key, authority.privateKeyPem);
  await writeFileAtomic(cert, authority.certificatePem, 0o644);
  return authority;
}

async function ensureServiceAccountKey(key: string, pub: string): Promise<{ key: string; pub: string }> {
  if (!(await pathExists(key)) || !(await pathExists(pub))) {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const publicPem = createPublicKey(pair.privateKey).export({ format: 'pem', type: 'spki' }).toString();
    await writeFileAtomic(key, pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString());
    await writeFileAtomic(pub, publicPem, 0o644);
  }
  return { key, pub };
}
