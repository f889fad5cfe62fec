export function parseLabelSelector(text: string): {
  matches(labels: Readonly<Record<string, string>>): boolean;
} {
  const terms = text
    .split(/,(?![^()]*\))/)
    .map((t) => t.trim())
    .filter((t) => t !== '')
    .map((t) => {
      const set = /^(\S+)\s+(in|notin)\s+\((.*)\)$/.exec(t);
      if (set) {
        const vs = (set[3] as string).split(',').map((v) => v.trim());
        return (l: Readonly<Record<string, string>>) =>
          vs.includes(l[set[1] as string] ?? '\0') === (set[2] === 'in');
      }
      if (t.includes('!=')) {
        const [k = '', v = ''] = t.split('!=');
        return (l: Readonly<Record<string, string>>) => l[k.trim()] !== v.trim();
      }
      if (t.includes('=')) {
        const [k = '', v = ''] = t.split(/==?/);
        return (l: Readonly<Record<string, string>>) => l[k.trim()] === v.trim();
      }
      if (t.startsWith('!')) return (l: Readonly<Record<string, string>>) => l[t.slice(1)] === undefined;
      return (l: Readonly<Record<string, string>>) => l[t] !== undefined;
    });
  return { matches: (l) => terms.every((f) => f(l)) };
}
