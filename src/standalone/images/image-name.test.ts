import { expect, test } from 'vitest';
import { normalizeImageName } from './image-name.ts';

test.each([
  ['busybox', 'docker.io/library/busybox:latest'],
  ['busybox:1.36', 'docker.io/library/busybox:1.36'],
  ['docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['rook/ceph:v1.13.0', 'docker.io/rook/ceph:v1.13.0'],
  ['quay.io/ceph/ceph:v16.2.15', 'quay.io/ceph/ceph:v16.2.15'],
  ['localhost/pause:1', 'localhost/pause:1'],
  ['registry:5000/team/app', 'registry:5000/team/app:latest'],
  ['registry:5000/app:v2', 'registry:5000/app:v2'],
  ['debian@sha256:abc', 'docker.io/library/debian@sha256:abc'],
  ['debian:12@sha256:abc', 'docker.io/library/debian@sha256:abc'],
])('%s is %s', (name, whole) => {
  expect(normalizeImageName(name)).toBe(whole);
  expect(normalizeImageName(whole)).toBe(whole);
});
