import type { KoffiFunction, LibraryHandle } from '../../lib/koffi.ts';

/** Names or paths of the two libraries, as dlopen takes them. */
export interface CephLibraries {
  readonly rados: string;
  readonly rbd: string;
}

export const systemLibraries: CephLibraries = { rados: 'librados.so.2', rbd: 'librbd.so.1' };

const command =
  '(void *cluster, const char **cmd, size_t cmdlen, const void *inbuf, size_t inbuflen, _Out_ void **outbuf, _Out_ size_t *outlen, _Out_ void **outs, _Out_ size_t *outslen)';

// From rados/librados.h and rbd/librbd.h. Out-parameters that are written only when an operation runs (prval,
// iterators) are plain `void *`, filled in a Buffer of ours: koffi's own copies live no longer than one call.
const radosSignatures = {
  create2:
    'int rados_create2(_Out_ void **cluster, const char *cluster_name, const char *name, uint64_t flags)',
  confSet: 'int rados_conf_set(void *cluster, const char *option, const char *value)',
  connect: 'int rados_connect(void *cluster)',
  monCommand: `int rados_mon_command${command}`,
  mgrCommand: `int rados_mgr_command${command}`,
  osdCommand: `int rados_osd_command${command.replace('(void *cluster', '(void *cluster, int osdid')}`,
  bufferFree: 'void rados_buffer_free(void *buf)',
  waitForLatestOsdmap: 'int rados_wait_for_latest_osdmap(void *cluster)',
  poolLookup: 'int64_t rados_pool_lookup(void *cluster, const char *pool_name)',
  poolReverseLookup: 'int rados_pool_reverse_lookup(void *cluster, int64_t id, void *buf, size_t maxlen)',
  ioctxCreate: 'int rados_ioctx_create(void *cluster, const char *pool_name, _Out_ void **ioctx)',
  ioctxDestroy: 'void rados_ioctx_destroy(void *io)',
  ioctxSetNamespace: 'void rados_ioctx_set_namespace(void *io, const char *nspace)',
  remove: 'int rados_remove(void *io, const char *oid)',
  createWriteOp: 'void *rados_create_write_op()',
  releaseWriteOp: 'void rados_release_write_op(void *op)',
  writeOpCreate: 'void rados_write_op_create(void *op, int exclusive, const char *category)',
  writeOpOmapSet2:
    'void rados_write_op_omap_set2(void *op, const char **keys, const char **vals, const size_t *key_lens, const size_t *val_lens, size_t num)',
  writeOpOmapRmKeys2:
    'void rados_write_op_omap_rm_keys2(void *op, const char **keys, const size_t *key_lens, size_t keys_len)',
  writeOpOperate: 'int rados_write_op_operate(void *op, void *io, const char *oid, void *mtime, int flags)',
  createReadOp: 'void *rados_create_read_op()',
  releaseReadOp: 'void rados_release_read_op(void *op)',
  readOpOmapGetVals2:
    'void rados_read_op_omap_get_vals2(void *op, const char *start_after, const char *filter_prefix, uint64_t max_return, void *iter, void *pmore, void *prval)',
  readOpOmapGetValsByKeys2:
    'void rados_read_op_omap_get_vals_by_keys2(void *op, const char **keys, size_t num_keys, const size_t *key_lens, void *iter, void *prval)',
  readOpOperate: 'int rados_read_op_operate(void *op, void *io, const char *oid, int flags)',
  omapGetNext2:
    'int rados_omap_get_next2(void *iter, _Out_ void **key, _Out_ void **val, _Out_ size_t *key_len, _Out_ size_t *val_len)',
  omapGetEnd: 'void rados_omap_get_end(void *iter)',
  lockExclusive:
    'int rados_lock_exclusive(void *io, const char *oid, const char *name, const char *cookie, const char *desc, void *duration, uint8_t flags)',
  unlock: 'int rados_unlock(void *io, const char *oid, const char *name, const char *cookie)',
  breakLock:
    'int rados_break_lock(void *io, const char *oid, const char *name, const char *client, const char *cookie)',
  listLockers:
    'int64_t rados_list_lockers(void *io, const char *oid, const char *name, void *exclusive, void *tag, void *tag_len, void *clients, void *clients_len, void *cookies, void *cookies_len, void *addrs, void *addrs_len)',
} as const;

const rbdSignatures = {
  optionsCreate: 'void rbd_image_options_create(_Out_ void **opts)',
  optionsDestroy: 'void rbd_image_options_destroy(void *opts)',
  optionsSetUint64: 'int rbd_image_options_set_uint64(void *opts, int optname, uint64_t optval)',
  optionsSetString: 'int rbd_image_options_set_string(void *opts, int optname, const char *optval)',
  create4: 'int rbd_create4(void *io, const char *name, uint64_t size, void *opts)',
  open: 'int rbd_open(void *io, const char *name, _Out_ void **image, const char *snap_name)',
  openReadOnly:
    'int rbd_open_read_only(void *io, const char *name, _Out_ void **image, const char *snap_name)',
  close: 'int rbd_close(void *image)',
  stat: 'int rbd_stat(void *image, void *info, size_t infosize)',
  getId: 'int rbd_get_id(void *image, void *id, size_t id_len)',
  getFeatures: 'int rbd_get_features(void *image, void *features)',
  watchersList: 'int rbd_watchers_list(void *image, void *watchers, void *max_watchers)',
  watchersListCleanup: 'void rbd_watchers_list_cleanup(void *watchers, size_t num_watchers)',
  resize: 'int rbd_resize(void *image, uint64_t size)',
  remove: 'int rbd_remove(void *io, const char *name)',
  list2: 'int rbd_list2(void *io, void *images, void *max_images)',
  imageSpecListCleanup: 'void rbd_image_spec_list_cleanup(void *images, size_t num_images)',
  metadataGet: 'int rbd_metadata_get(void *image, const char *key, void *value, void *val_len)',
  metadataSet: 'int rbd_metadata_set(void *image, const char *key, const char *value)',
  trashMove: 'int rbd_trash_move(void *io, const char *name, uint64_t delay)',
  trashRemove: 'int rbd_trash_remove(void *io, const char *id, bool force)',
  trashList: 'int rbd_trash_list(void *io, void *entries, void *num_entries)',
  trashListCleanup: 'void rbd_trash_list_cleanup(void *entries, size_t num_entries)',
  namespaceCreate: 'int rbd_namespace_create(void *io, const char *namespace_name)',
  poolInit: 'int rbd_pool_init(void *io, bool force)',
} as const;

export type RadosFunctions = { readonly [K in keyof typeof radosSignatures]: KoffiFunction };
export type RbdFunctions = { readonly [K in keyof typeof rbdSignatures]: KoffiFunction };

const bind = <S extends Readonly<Record<string, string>>>(library: LibraryHandle, signatures: S) =>
  Object.fromEntries(
    Object.entries(signatures).map(([name, signature]) => [name, library.func(signature)]),
  ) as { readonly [K in keyof S]: KoffiFunction };

export const bindRados = (library: LibraryHandle): RadosFunctions => bind(library, radosSignatures);
export const bindRbd = (library: LibraryHandle): RbdFunctions => bind(library, rbdSignatures);
