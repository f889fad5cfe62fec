export const adminCaps = { mds: 'allow *', mgr: 'allow *', mon: 'allow *', osd: 'allow *' } as const;
export const mgrCaps = { mds: 'allow *', mon: 'allow profile mgr', osd: 'allow *' } as const;

/** The key of `entity` in a keyring’s text, or undefined. */
export function keyInKeyring(keyring: string, entity: string): string | undefined {
  let here = false;
  for (const line of keyring.split('\n')) {
    const section = /^\s*\[(.+)\]\s*$/.exec(line);
    if (section) here = section[1] === entity;
    const key = /^\s*key\s*=\s*(\S+)\s*$/.exec(line);
    if (here && key) return key[1];
  }
  return undefined;
}
