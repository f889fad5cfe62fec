/**
 * Settings that Holdfast prefers to Ceph’s defaults, given as `--default-<name>=<value>`: the weakest
 * level there is, so rook-config-override, cephConfig and `ceph config set` all go before them.
 */
const everywhere = {
  // Pods log to their own output; kubectl logs shows it, and no file fills the node.
  log_to_stderr: 'true',
  err_to_stderr: 'true',
  mon_cluster_log_to_stderr: 'true',
  log_to_file: 'false',
  mon_cluster_log_to_file: 'false',
  // The mon judges OSDs by this too, so it must be the same everywhere; 20 s leave writes hanging that long.
  osd_heartbeat_grace: '10',
} as const;

const monOnly = {
  // One second is the pause between two map changes of one kind; a bring-up is a chain of such changes.
  // Larger clusters write a few more, smaller epochs, which is cheap beside what they store.
  paxos_propose_interval: '0.1',
  paxos_min_wait: '0.02',
  // Measured failover: 6 s in place of 16 to 20 s. A lease still bears a disk that stalls for 2 s.
  mon_lease: '3',
  // Waited out by each election that lacks a mon, and mostly once by a bring-up: the first quorum's monmap
  // starts all mons anew, and one that is a moment late misses the proposal. Not shorter for that: a mon
  // whose disk needs longer to note the new epoch could never vote, for each try is another epoch.
  mon_election_timeout: '1.5',
  mon_probe_timeout: '1',
  mon_tick_interval: '2',
  // A node’s system disk is shared with images and logs; Ceph’s 30 % warns long before anything is wrong.
  mon_data_avail_warn: '10',
  auth_allow_insecure_global_id_reclaim: 'false',
  mon_allow_pool_delete: 'true',
} as const;

const mgrOnly = {
  // How soon the mons learn that placement groups are clean.
  mgr_tick_period: '1',
  mgr_stats_period: '2',
  // It starts beside the mons, and mostly before they listen; it asks again after this, then ever later.
  mon_client_hunt_interval: '1',
} as const;

const osdOnly = {
  // One that is stopped in order tells the mons that it is dead: nobody waits out its heartbeats, and its
  // placement groups need not wait out its read lease (16 s) when they come up elsewhere, or again.
  osd_fast_shutdown_notify_mon: 'true',
  // A killed OSD is missed after grace (10 s), so it must be heard often enough: three beats fit twice.
  osd_heartbeat_interval: '2',
  // Pacific’s default of 3,000 entries a placement group costs most of an idle OSD’s memory.
  osd_max_pg_log_entries: '1000',
  // A close of the device waits out one poll of its idle thread, and a start closes it several times: 250 ms,
  // Ceph's own, makes an OSD's start a second longer. Twenty polls a second cost an idle OSD 0.1 % of a core.
  bdev_aio_poll_ms: '50',
} as const;

/** Optional mgr modules that cost memory and start time; one that the spec asks for is left in. */
const optionalModules = [
  'alerts',
  'cephadm',
  'dashboard',
  'diskprediction_local',
  'feedback',
  'influx',
  'insights',
  'iostat',
  'k8sevents',
  'localpool',
  'mds_autoscaler',
  'mirroring',
  'nfs',
  'osd_perf_query',
  'osd_support',
  'prometheus',
  'restful',
  'rook',
  'selftest',
  'snap_schedule',
  'stats',
  'telegraf',
  'test_orchestrator',
  'zabbix',
];

const flags = (settings: Readonly<Record<string, string>>): string[] =>
  Object.entries(settings).map(([name, value]) => `--default-${name}=${value}`);

export const monDefaults = (): string[] => flags({ ...everywhere, ...monOnly });
export const osdDefaults = (): string[] => flags({ ...everywhere, ...osdOnly });
export const mgrDefaults = (wantedModules: readonly string[]): string[] =>
  flags({
    ...everywhere,
    ...mgrOnly,
    mgr_disabled_modules: optionalModules.filter((module) => !wantedModules.includes(module)).join(' '),
  });
