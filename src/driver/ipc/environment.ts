/**
 * What any program may need to find others, to know who runs it, and to speak the user's language: none of it is secret. The
 * documentation (docs/driver-protocol.md) lists the same.
 */
const always: ReadonlySet<string> = new Set(['HOME', 'LANG', 'LANGUAGE', 'LOGNAME', 'PATH', 'TMPDIR', 'TZ', 'USER']);
const localePrefix = 'LC_';

/** Variables by name, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * What a driver program gets of this program's environment. That may hold the secrets of other parts, such as the password of
 * a database, so that a program gets only what every one needs, and what the configuration names.
 */
export function environmentFor(asked: readonly string[], environment: Environment): Environment {
  const names = new Set(asked);
  const isHandedOver = (name: string) => always.has(name) || name.startsWith(localePrefix) || names.has(name);
  return Object.fromEntries(Object.entries(environment).filter(([name]) => isHandedOver(name)));
}
