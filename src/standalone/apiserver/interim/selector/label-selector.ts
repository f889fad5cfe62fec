type L = Readonly<Record<string, string>>;
export function parseLabelSelector(text: string): { matches(labels: L): boolean } {
  const terms = text
    .split(/,(?![^()]*\))/)
    .map((t) => t.trim())
    .filter((t) => t !== '')
    .map((t): ((l: L) => boolean) => {
      const name = '[A-Za-z0-9][-A-Za-z0-9_./]*';
      const set = new RegExp(`^(${name})\\s+(in|notin)\\s+\\(([^()]*)\\)$`).exec(t);
      if (set) {
        const vs = (set[3] as string).split(',').map((v) => v.trim());
        return (l) => vs.includes(l[set[1] as string] ?? '\0') === (set[2] === 'in');
      }
      const eq = new RegExp(`^(${name})\\s*(!=|==|=)\\s*([-A-Za-z0-9_.]*)$`).exec(t);
      if (eq) return (l) => (l[eq[1] as string] === eq[3]) !== (eq[2] === '!=');
      const has = new RegExp(`^(!?)\\s*(${name})$`).exec(t);
      if (has) return (l) => (l[has[2] as string] !== undefined) !== (has[1] === '!');
      throw new Error(`unable to parse requirement: ${t}`);
    });
  return { matches: (l) => terms.every((f) => f(l)) };
}
