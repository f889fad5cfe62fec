import type { FieldError } from '../../kind.ts';
import { fieldError } from '../field-error.ts';

// What Kubernetes lets a name be, and how it says that one is not.

const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const subdomain = `${label}(\\.${label})*`;
const qualified = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const labelRegExp = new RegExp(`^${label}$`);
const subdomainRegExp = new RegExp(`^${subdomain}$`);
const qualifiedRegExp = new RegExp(`^${qualified}$`);
const configKeyRegExp = /^[-._a-zA-Z0-9]+$/;

const tooLong = (max: number) => `must be no more than ${max} bytes`;
const used = (regExp: string) => `regex used for validation is '${regExp}'`;

const labelWords = `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', ${used(label)})`;
const subdomainWords = `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', ${used(subdomain)})`;
const partWords = `name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', ${used(qualified)})`;
const valueWords = `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', ${used(`(${qualified})?`)})`;
const keyWords = `a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', ${used('[-._a-zA-Z0-9]+')})`;

/** What is wrong with a name; nothing where it is right. */
export type NameRule = (text: string) => string[];

const rule =
  (regExp: RegExp, max: number, words: string): NameRule =>
  (text) => {
    // A text far too long is not matched: it would only keep the expression busy.
    const why = text.length > max ? [tooLong(max)] : [];
    return text.length <= 4 * max && !regExp.test(text) ? [...why, words] : why;
  };

export const dnsLabel = rule(labelRegExp, 63, labelWords);
export const dnsSubdomain = rule(subdomainRegExp, 253, subdomainWords);
export const configKey: NameRule = (text) => {
  if (text === '.' || text === '..') return [`must not be '${text}'`];
  if (text.startsWith('..')) return ["must not start with '..'"];
  return rule(configKeyRegExp, 253, keyWords)(text);
};
export const labelValue: NameRule = (text) =>
  text === '' ? [] : rule(qualifiedRegExp, 63, valueWords)(text);

/** A name with an optional DNS prefix: `example.com/name`. */
export const qualifiedName: NameRule = (text) => {
  const parts = text.split('/');
  const name = parts.at(-1) as string;
  if (parts.length > 2)
    return [
      `a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', ${used(qualified)}) with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  const [prefix] = parts;
  const errors =
    parts.length === 2
      ? prefix === ''
        ? ['prefix part must be non-empty']
        : dnsSubdomain(prefix as string).map((why) => `prefix part ${why}`)
      : [];
  if (name === '') return [...errors, 'name part must be non-empty', partWords];
  const own = rule(qualifiedRegExp, 63, partWords)(name);
  return [...errors, ...own.map((why) => (why === partWords ? why : `name part ${why}`))];
};

/** A port's name, as services have them: `http`, `csi-metrics`. */
export const portName: NameRule = (text) => {
  const errors: string[] = [];
  if (text.length > 15) errors.push('must be no more than 15 characters');
  if (!/^[-a-z0-9]+$/.test(text))
    errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(text)) errors.push('must contain at least one letter (a-z)');
  if (text.includes('--')) errors.push('must not contain consecutive hyphens');
  if (text.startsWith('-') || text.endsWith('-')) errors.push('must not begin or end with a hyphen');
  return errors;
};

export const nameErrors = (field: string, text: string, names: NameRule): FieldError[] =>
  names(text).map((why) => fieldError.invalid(field, text, why));

/** What is wrong with labels that are not an object's own: a template's, a selector's. */
export function labelErrors(
  labels: Readonly<Record<string, string>> | undefined,
  field: string,
): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...nameErrors(field, key, qualifiedName),
    ...nameErrors(field, value, labelValue),
  ]);
}
