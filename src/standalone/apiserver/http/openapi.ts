import { createHash } from 'node:crypto';
import { openApiV2Json, openApiV2Protobuf } from '../openapi/v2.ts';
import { openApiV3Document, openApiV3Index } from '../openapi/v3.ts';
import type { KindTable } from '../registry/kind-table.ts';
import { parseAccept } from './negotiate.ts';
import type { PlainHandler } from './handler.ts';
import type { Reply } from './respond.ts';

// What is answered, and the older name that clients ask by: with its @ it is no media type, and Go refuses it.
const protobufType = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
const protobufTypes = [protobufType, 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf'];

/** `/openapi/v2` and `/openapi/v3`: made when first asked for, and again when the kinds changed. */
export function openApi(kinds: KindTable): PlainHandler {
  let generation = -1;
  let made = new Map<string, Reply>();

  const reply = (text: string | Uint8Array, contentType: string): Reply => {
    const etag = `"${createHash('sha256').update(text).digest('hex').slice(0, 32).toUpperCase()}"`;
    return { code: 200, text, contentType, headers: { etag } };
  };
  const json = (object: object): Reply => reply(JSON.stringify(object), 'application/json');

  function answer(path: string, protobuf: boolean): Reply | undefined {
    const all = kinds.all();
    if (path === '/openapi/v3') return json(openApiV3Index(all));
    const version = /^\/openapi\/v3\/(?:api|apis\/([^/]+))\/([^/]+)$/.exec(path);
    if (version) {
      const [, group = '', name = ''] = version;
      if (!all.some((kind) => kind.group === group && kind.version === name)) return undefined;
      return json(openApiV3Document(all, group, name));
    }
    if (path !== '/openapi/v2' && path !== '/swagger-2.0.0.pb-v1') return undefined;
    if (path === '/openapi/v2' && !protobuf) return json(openApiV2Json(all));
    return { code: 200, text: openApiV2Protobuf(all), contentType: protobufType };
  }

  return (path, _query, req) => {
    if (!path.startsWith('/openapi/') && path !== '/swagger-2.0.0.pb-v1') return undefined;
    if (generation !== kinds.generation) {
      generation = kinds.generation;
      made = new Map();
    }
    const [first] = parseAccept(req.headers.accept ?? '');
    const protobuf = protobufTypes.includes(first?.type ?? '');
    const key = `${path} ${protobuf}`;
    let found = made.get(key);
    if (!found) {
      found = answer(path, protobuf);
      if (found) made.set(key, found);
    }
    if (found?.headers && req.headers['if-none-match'] === found.headers['etag'])
      return { ...found, code: 304, text: '' };
    return found;
  };
}
