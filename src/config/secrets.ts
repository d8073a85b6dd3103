/** Names of settings whose value is a secret by itself (a file that holds one is not). */
const secretName = /(password|passphrase|secret|secretkey|accountkey|accesskey)$/i;
const urlCredentials = /^([a-z][a-z0-9+.-]*:\/\/)[^/@\s]*@/i;

/** What stands in the place of a secret. */
const MASK = '******';

/** A value as it may be shown or logged: secrets by name are masked, and so are credentials inside URLs. */
export function maskSecret(name: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (secretName.test(name) && value !== '') return MASK;
  return value.replace(urlCredentials, `$1${MASK}@`);
}

/** A whole configuration as it may be shown. */
export function maskSecrets(value: unknown, name = ''): unknown {
  if (Array.isArray(value)) return value.map((entry) => maskSecrets(entry, name));
  if (typeof value !== 'object' || value === null) return maskSecret(name, value);
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, maskSecrets(entry, key)]));
}
