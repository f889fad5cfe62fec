/** What Kubernetes takes as the key and the value of a label, and its words for what it does not take. */

const prefix = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const name = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const maxName = 63;
const maxPrefix = 253;

const prefixRule =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const nameRule =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const valueRule =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/** All that is wrong with a label's key. */
export function labelKeyErrors(key: string): string[] {
  const parts = key.split('/');
  if (parts.length > 2)
    return [
      `a qualified name ${nameRule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  const errors: string[] = [];
  const [before, own] = parts.length === 2 ? [parts[0] as string, parts[1] as string] : [undefined, key];
  if (before === '') errors.push('prefix part must be non-empty');
  else if (before !== undefined) {
    if (before.length > maxPrefix) errors.push(`prefix part must be no more than ${maxPrefix} characters`);
    if (!prefix.test(before)) errors.push(`prefix part ${prefixRule}`);
  }
  if (own === '') errors.push('name part must be non-empty');
  else if (own.length > maxName) errors.push(`name part must be no more than ${maxName} characters`);
  if (!name.test(own)) errors.push(`name part ${nameRule}`);
  return errors;
}

/** All that is wrong with a label's value. */
export function labelValueErrors(value: string): string[] {
  const errors: string[] = [];
  if (value.length > maxName) errors.push(`must be no more than ${maxName} characters`);
  if (value !== '' && !name.test(value)) errors.push(valueRule);
  return errors;
}
