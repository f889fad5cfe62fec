import type { JsonObject, KindInfo } from '../../kind.ts';
export const openApiV3Index = (_kinds: readonly KindInfo[]): JsonObject => ({ paths: {} });
export const openApiV3Document = (
  _kinds: readonly KindInfo[],
  _group: string,
  _version: string,
): JsonObject => ({ openapi: '3.0.0', info: { title: 'Kubernetes', version: 'v1.32' }, paths: {} });
