import type { JsonObject, KindInfo } from '../../kind.ts';
export const openApiV2Protobuf = (_kinds: readonly KindInfo[]): Uint8Array => new Uint8Array();
export const openApiV2Json = (_kinds: readonly KindInfo[]): JsonObject => ({
  swagger: '2.0',
  info: { title: 'Kubernetes', version: 'v1.32' },
  paths: {},
});
