import { join } from 'node:path';
import type { CephTree } from './ceph-tree.ts';

export interface ClusterConfOptions {
  readonly dir: string;
  readonly fsid: string;
  readonly tree: CephTree;
  readonly osds: number;
  readonly monHost: string;
  readonly basePort: number;
  readonly settings: Readonly<Record<string, string>>;
}

const section = (name: string, settings: Readonly<Record<string, string | number | boolean>>) =>
  [`[${name}]`, ...Object.entries(settings).map(([key, value]) => `${key} = ${value}`), ''].join('\n');

/** A ceph.conf for a small, quick, memory-saving cluster on loopback. */
export const clusterConf = (options: ClusterConfOptions): string =>
  [globalSection, monSection, mgrSection, osdSection].map((part) => part(options)).join('\n');

const libraries = (tree: CephTree) => join(tree.root, 'usr/lib/x86_64-linux-gnu');

const globalSection = ({ dir, fsid, monHost, basePort, osds, settings, tree }: ClusterConfOptions) =>
  section('global', {
    fsid,
    mon_host: monHost,
    ms_bind_ipv6: false,
    public_addr: '127.0.0.1',
    cluster_addr: '127.0.0.1',
    ms_bind_port_min: basePort + 20,
    ms_bind_port_max: basePort + 59,
    run_dir: `${dir}/run`,
    log_file: `${dir}/log/$name.log`,
    mon_cluster_log_file: `${dir}/log/cluster.log`,
    pid_file: '',
    crash_dir: `${dir}/crash`,
    erasure_code_dir: `${libraries(tree)}/ceph/erasure-code`,
    plugin_dir: `${libraries(tree)}/ceph`,
    osd_pool_default_size: Math.max(1, Math.min(3, osds)),
    osd_pool_default_pg_num: 8,
    osd_pool_default_pgp_num: 8,
    osd_pool_default_pg_autoscale_mode: 'off',
    osd_crush_chooseleaf_type: 0,
    mon_allow_pool_delete: true,
    mon_allow_pool_size_one: true,
    mon_warn_on_pool_no_redundancy: false,
    auth_allow_insecure_global_id_reclaim: false,
    mon_data_avail_warn: 1,
    mon_data_avail_crit: 1,
    osd_heartbeat_grace: 4,
    mon_osd_adjust_heartbeat_grace: false,
    ...settings,
  });

const monSection = ({ dir }: ClusterConfOptions) =>
  section('mon', {
    admin_socket: `${dir}/run/$name.asok`,
    keyring: `${dir}/mon/$id/keyring`,
    mon_data: `${dir}/mon/$id`,
    mon_clock_drift_allowed: 1,
    paxos_propose_interval: 0.05,
    paxos_min_wait: 0.01,
    mon_tick_interval: 1,
    mon_lease: 2,
    mon_election_timeout: 1.5,
    mon_probe_timeout: 1,
    mon_osd_down_out_interval: 60,
    mon_osd_min_down_reporters: 1,
    mon_rocksdb_options: 'write_buffer_size=8388608,compression=kNoCompression',
  });

const mgrSection = ({ dir, tree }: ClusterConfOptions) =>
  section('mgr', {
    admin_socket: `${dir}/run/$name.asok`,
    mgr_data: `${dir}/mgr/$id`,
    keyring: `${dir}/mgr/$id/keyring`,
    mgr_module_path: join(tree.root, 'usr/share/ceph/mgr'),
    mgr_tick_period: 1,
    mgr_stats_period: 1,
    mgr_disabled_modules:
      'dashboard influx insights iostat localpool mirroring nfs osd_perf_query osd_support prometheus restful selftest snap_schedule stats telegraf test_orchestrator zabbix alerts cephadm rook diskprediction_local k8sevents',
  });

const osdSection = ({ dir, tree }: ClusterConfOptions) =>
  section('osd', {
    admin_socket: `${dir}/run/$name.asok`,
    keyring: `${dir}/osd/$id/keyring`,
    osd_data: `${dir}/osd/$id`,
    osd_class_dir: `${libraries(tree)}/rados-classes`,
    osd_objectstore: 'bluestore',
    osd_memory_target: 939524096,
    bluestore_cache_autotune: false,
    bluestore_cache_size: 67108864,
    bluestore_block_size: 10 * 1024 ** 3,
    bluestore_block_wal_create: false,
    bluestore_block_db_create: false,
    bluestore_rocksdb_options:
      'compression=kNoCompression,max_write_buffer_number=4,min_write_buffer_number_to_merge=1,recycle_log_file_num=4,write_buffer_size=8388608,writable_file_max_buffer_size=0,compaction_readahead_size=2097152,max_background_compactions=2',
    osd_max_pg_log_entries: 300,
    osd_recovery_sleep: 0,
    osd_heartbeat_interval: 1,
    osd_mon_heartbeat_interval: 2,
    osd_op_num_shards: 2,
    osd_op_num_threads_per_shard: 1,
    osd_mclock_skip_benchmark: true,
    osd_numa_auto_affinity: false,
    osd_class_default_list: '*',
    osd_class_load_list: '*',
  });
