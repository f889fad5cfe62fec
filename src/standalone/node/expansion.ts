/**
 * Kubernetes' `$(VAR)` expansion. An unknown name is left as it is written, `$$` stands for `$`, and
 * a value is never expanded a second time.
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  let result = '';
  let at = 0;
  while (at < text.length) {
    const dollar = text.indexOf('$', at);
    if (dollar < 0 || dollar === text.length - 1) return result + text.slice(at);
    result += text.slice(at, dollar);
    const next = text[dollar + 1];
    const end = next === '(' ? text.indexOf(')', dollar + 2) : -1;
    if (next === '$') {
      result += '$';
      at = dollar + 2;
    } else if (end > 0) {
      result += lookup(text.slice(dollar + 2, end)) ?? text.slice(dollar, end + 1);
      at = end + 1;
    } else {
      result += text.slice(dollar, dollar + 2);
      at = dollar + 2;
    }
  }
  return result;
}
