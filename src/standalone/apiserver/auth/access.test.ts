import { request } from 'node:https';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Loose } from '../../../../test/support/api-call.ts';
import { startSecureApi, type Credentials, type SecureApi } from '../../../../test/support/secure-api.ts';

let api: SecureApi;
beforeAll(async () => {
  api = await startSecureApi();
});
afterAll(() => api.close());

type Who = Credentials | { readonly token: string } | undefined;

function as(who: Who, method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  return new Promise<{ code: number; body: Loose }>((resolve, reject) => {
    const token = who && 'token' in who ? { authorization: `Bearer ${who.token}` } : {};
    const certificate = who && 'cert' in who ? { cert: who.cert, key: who.key } : {};
    const call = request(
      api.url + path,
      {
        method,
        ca: api.ca,
        agent: false,
        ...certificate,
        headers: { 'content-type': 'application/json', ...token, ...headers },
      },
      (answer) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.on('end', () =>
          resolve({
            code: answer.statusCode ?? 0,
            body: (text.startsWith('{') ? JSON.parse(text) : { text }) as Loose,
          }),
        );
      },
    );
    call.on('error', reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const pods = '/api/v1/namespaces/default/pods';
const roles = '/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles';
const roleBindings = roles.replace('/roles', '/rolebindings');
const accounts = '/api/v1/namespaces/default/serviceaccounts';

describe('who', () => {
  test('nobody gets health and version, and 401 for the rest', async () => {
    for (const path of ['/healthz', '/livez', '/readyz', '/version', '/readyz/ping'])
      expect((await as(undefined, 'GET', path)).code).toBe(200);
    for (const path of ['/api', '/metrics', pods, '/openapi/v2'])
      expect(await as(undefined, 'GET', path)).toMatchObject({ code: 401, body: { reason: 'Unauthorized' } });
  });

  test('a certificate of another authority is nobody', async () => {
    const other = await startSecureApi();
    const stranger = await other.issue('kubernetes-admin', ['system:masters']);
    await other.close();
    expect((await as(stranger, 'GET', pods)).code).toBe(401);
  });

  test('a certificate is its CN and its groups', async () => {
    const eve = await api.issue('eve', ['a', 'b']);
    const review = await as(eve, 'POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {});
    if (review.code === 404) return; // The kind is not in the table of kinds.
    expect(review.body['status']?.['userInfo']).toMatchObject({
      username: 'eve',
      groups: ['a', 'b', 'system:authenticated'],
    });
  });
});

describe('what', () => {
  test('without a role: 403 in the words of Kubernetes', async () => {
    const bob = await api.issue('bob');
    const texts = [
      [
        'GET',
        pods,
        'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"',
      ],
      [
        'GET',
        '/api/v1/nodes/x',
        'nodes "x" is forbidden: User "bob" cannot get resource "nodes" in API group "" at the cluster scope',
      ],
      [
        'GET',
        `${pods}/x/log`,
        'pods "x" is forbidden: User "bob" cannot get resource "pods/log" in API group "" in the namespace "default"',
      ],
      [
        'POST',
        '/apis/apps/v1/namespaces/default/deployments',
        'deployments.apps is forbidden: User "bob" cannot create resource "deployments" in API group "apps" in the namespace "default"',
      ],
      ['GET', '/metrics', 'forbidden: User "bob" cannot get path "/metrics"'],
    ] as const;
    for (const [method, path, message] of texts)
      expect((await as(bob, method, path)).body).toMatchObject({ code: 403, reason: 'Forbidden', message });
    expect((await as(bob, 'GET', '/apis')).code).toBe(200);
  });

  test('a binding gives, and its removal takes, at once', async () => {
    const carl = await api.issue('carl', ['readers']);
    await as(api.admin, 'POST', roles, {
      metadata: { name: 'read' },
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }],
    });
    await as(api.admin, 'POST', roleBindings, {
      metadata: { name: 'read' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'read' },
      subjects: [{ kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: 'readers' }],
    });
    expect((await as(carl, 'GET', pods)).code).toBe(200);
    expect((await as(carl, 'GET', '/api/v1/namespaces/kube-system/pods')).code).toBe(403);
    await as(api.admin, 'DELETE', `${roleBindings}/read`);
    await expect.poll(async () => (await as(carl, 'GET', pods)).code).toBe(403);
  });

  test('nobody gives away more than they hold', async () => {
    const dora = await api.issue('dora');
    await as(api.admin, 'POST', roles, {
      metadata: { name: 'roles' },
      rules: [
        {
          apiGroups: ['rbac.authorization.k8s.io'],
          resources: ['roles', 'rolebindings'],
          verbs: ['create', 'patch'],
        },
        { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
      ],
    });
    await as(api.admin, 'POST', roleBindings, {
      metadata: { name: 'roles' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'roles' },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'dora' }],
    });
    const give = (name: string, verbs: string[]) =>
      as(dora, 'POST', roles, {
        metadata: { name },
        rules: [{ apiGroups: [''], resources: ['pods'], verbs }],
      });
    expect((await give('held', ['get'])).code).toBe(201);
    const refused = await give('more', ['get', 'delete']);
    expect(refused.code).toBe(403);
    expect(refused.body['message']).toContain(
      'is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
    );
    const bind = (name: string) =>
      as(dora, 'POST', roleBindings, {
        metadata: { name: `b-${name}` },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
        subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'dora' }],
      });
    expect((await bind('cluster-admin')).code).toBe(403);
    expect((await bind('system:public-info-viewer')).code).toBe(201);
  });

  test('an aggregated role holds what labelled roles add to it, and only admins make one', async () => {
    const clusterRoles = '/apis/rbac.authorization.k8s.io/v1/clusterroles';
    const gina = await api.issue('gina');
    await as(api.admin, 'POST', roleBindings, {
      metadata: { name: 'view' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'gina' }],
    });
    const secrets = '/api/v1/namespaces/default/secrets';
    expect((await as(gina, 'GET', pods)).code).toBe(200);
    expect((await as(gina, 'GET', secrets)).code).toBe(403);
    await as(api.admin, 'POST', clusterRoles, {
      metadata: { name: 'more', labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } },
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['list'] }],
    });
    expect((await as(gina, 'GET', secrets)).code).toBe(200);
    await as(api.admin, 'POST', clusterRoles, {
      metadata: { name: 'maker' },
      rules: [{ apiGroups: ['rbac.authorization.k8s.io'], resources: ['clusterroles'], verbs: ['create'] }],
    });
    await as(api.admin, 'POST', clusterRoles.replace('roles', 'rolebindings'), {
      metadata: { name: 'maker' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'maker' },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'gina' }],
    });
    const clusterRoleSelectors = [{ matchLabels: { a: 'b' } }];
    const role = { metadata: { name: 'sum' }, rules: [], aggregationRule: { clusterRoleSelectors } };
    expect((await as(gina, 'POST', clusterRoles, role)).code).toBe(403);
  });

  test('acting as someone else needs the right to', async () => {
    const frank = await api.issue('frank');
    const bobs = { 'impersonate-user': 'bob' };
    expect((await as(api.admin, 'GET', pods, undefined, bobs)).body['message']).toContain(
      'User "bob" cannot list',
    );
    expect((await as(frank, 'GET', pods, undefined, bobs)).body['message']).toContain(
      'User "frank" cannot impersonate resource "users"',
    );
    const masters = { ...bobs, 'impersonate-group': 'system:masters' };
    expect((await as(frank, 'GET', pods, undefined, masters)).code).toBe(403);
    expect((await as(api.admin, 'GET', pods, undefined, masters)).code).toBe(200);
  });

  test.each(['system:kube-controller-manager', 'system:node:n1'])('%s may do its work', async (name) => {
    const user = await api.issue(name, name.startsWith('system:node:') ? ['system:nodes'] : []);
    for (const path of ['/api/v1/pods', '/api/v1/services', '/apis/storage.k8s.io/v1/volumeattachments'])
      expect((await as(user, 'GET', path)).code).toBe(200);
    expect((await as(user, 'POST', roles, { metadata: { name: 'x' } })).code).toBe(403);
  });

  test('the roles that Kubernetes aggregates hold one another, and the controllers may fill them', async () => {
    const clusterRoles = '/apis/rbac.authorization.k8s.io/v1/clusterroles';
    const fresh = await as(api.admin, 'GET', `${clusterRoles}/admin`);
    const label = 'rbac.authorization.k8s.io/aggregate-to-';
    const taken = async (name: string): Promise<Loose[]> => {
      const query = `labelSelector=${encodeURIComponent(`${label}${name}=true`)}`;
      const { body } = await as(api.admin, 'GET', `${clusterRoles}?${query}`);
      return (body['items'] ?? []) as unknown as Loose[];
    };
    const named = async (name: string) => (await taken(name)).map((one) => one['metadata']?.['name']);
    expect(await named('admin')).toEqual(['edit', 'system:aggregate-to-admin']);
    expect(await named('edit')).toEqual(['system:aggregate-to-edit', 'view']);
    // Nothing that admin had from the start is lost once it is filled from the others.
    const rulesOf = (one: Loose) => (one['rules'] ?? []) as unknown as object[];
    const held = (await taken('admin')).flatMap(rulesOf).map((rule) => JSON.stringify(rule));
    for (const rule of rulesOf(fresh.body)) expect(held).toContain(JSON.stringify(rule));
    const manager = await api.issue('system:kube-controller-manager');
    const filled = {
      ...fresh.body,
      rules: [...rulesOf(fresh.body), { apiGroups: ['x.example'], resources: ['*'], verbs: ['*'] }],
    };
    expect((await as(manager, 'PUT', `${clusterRoles}/admin`, filled)).code).toBe(200);
  });
});

describe('ServiceAccount tokens', () => {
  const ask = (account: string, spec: object = {}) =>
    as(api.admin, 'POST', `${accounts}/${account}/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec,
    });
  const tokenOf = (answer: { body: Loose }) => ({ token: String(answer.body['status']?.['token']) });

  test('are their account, until it is gone', async () => {
    await as(api.admin, 'POST', accounts, { metadata: { name: 'robot' } });
    const answer = await ask('robot');
    expect(answer.code).toBe(201);
    const robot = tokenOf(answer);
    expect((await as(robot, 'GET', pods)).body['message']).toContain(
      'User "system:serviceaccount:default:robot"',
    );
    await as(api.admin, 'DELETE', `${accounts}/robot`);
    await as(api.admin, 'POST', accounts, { metadata: { name: 'robot' } });
    expect((await as(robot, 'GET', pods)).code).toBe(401);
    expect((await ask('nobody')).code).toBe(404);
  });

  test('bound to a pod end with it', async () => {
    await as(api.admin, 'POST', accounts, { metadata: { name: 'default' } });
    const made = await as(api.admin, 'POST', pods, {
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    });
    expect(made.body['spec']).toMatchObject({ serviceAccountName: 'default' });
    const container = ((made.body['spec']?.['containers'] ?? []) as unknown as Loose[])[0];
    expect(container?.['volumeMounts']).toMatchObject([
      { mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true },
    ]);
    const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'p', uid: made.body['metadata']?.['uid'] };
    const bound = tokenOf(await ask('default', { boundObjectRef }));
    expect((await as(bound, 'GET', pods)).code).toBe(403);
    expect((await ask('default', { boundObjectRef: { ...boundObjectRef, uid: 'x' } })).code).toBe(409);
    expect((await ask('robot', { boundObjectRef })).code).toBe(409);
    await as(api.admin, 'DELETE', `${pods}/p`);
    expect((await as(bound, 'GET', pods)).code).toBe(401);
  });

  test('for another audience, changed, or of another key are refused', async () => {
    const { token } = tokenOf(await ask('robot', { audiences: ['vault'] }));
    expect((await as({ token }, 'GET', pods)).code).toBe(401);
    const good = tokenOf(await ask('robot')).token;
    const [head, payload, signature] = good.split('.') as [string, string, string];
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'system:admin' })).toString('base64url');
    expect((await as({ token: `${head}.${forged}.${signature}` }, 'GET', pods)).code).toBe(401);
    const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
    expect((await as({ token: `${none}.${payload}.` }, 'GET', pods)).code).toBe(401);
    expect((await as({ token: 'rubbish' }, 'GET', '/healthz')).code).toBe(401);
    expect((await ask('robot', { expirationSeconds: 10 })).code).toBe(422);
  });

  test('a pod whose account does not exist is refused', async () => {
    const refused = await as(api.admin, 'POST', pods, {
      metadata: { name: 'q' },
      spec: { serviceAccountName: 'ghost', containers: [{ name: 'c', image: 'i' }] },
    });
    expect(refused.code).toBe(403);
    expect(refused.body['message']).toBe(
      'pods "q" is forbidden: error looking up service account default/ghost: serviceaccount "ghost" not found',
    );
  });

  test('a pod waits a moment for the account that its new namespace is to get', async () => {
    await as(api.admin, 'POST', '/api/v1/namespaces', { metadata: { name: 'fresh' } });
    const making = as(api.admin, 'POST', '/api/v1/namespaces/fresh/pods', {
      metadata: { name: 'early' },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    });
    await as(api.admin, 'POST', '/api/v1/namespaces/fresh/serviceaccounts', {
      metadata: { name: 'default' },
    });
    expect((await making).code).toBe(201);
  });
});
