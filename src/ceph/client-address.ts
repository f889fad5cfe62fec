/**
 * A client's address as `osd blocklist add` takes it. Locks and watchers may carry the messenger's version in
 * front (`v1:10.1.0.2:0/4123`), which would fence only that version.
 */
export const plainAddress = (address: string): string => address.replace(/^(v1|v2|any):/, '');
