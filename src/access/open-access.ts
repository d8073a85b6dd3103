import { isIP } from 'node:net';
import type { Logger } from 'pino';
import { type Clock, ConfigError } from '../core/index.ts';
import type { AccessControl } from '../registry/index.ts';
import { ConfiguredAccess } from './access-control.ts';
import type { AccessConfig, TokenConfig } from './config.ts';
import { PasswordLogin } from './password-login.ts';
import { Rules, ruleFaults } from './rules.ts';
import { TokenLogin } from './token-login.ts';

/** What an access control is handed by whoever opens it. */
export interface AccessDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  /** Fetches `token.jwksUrl`; the machine's own is `globalThis.fetch`. */
  readonly fetch: typeof fetch;
  /** Passwords that wait to be checked at most; 64 unless told. Further ones are turned away with UnavailableError. */
  readonly maxWaitingPasswords?: number;
}

/**
 * Opens what decides who may do what. The caller disposes of it, after the server that asks it.
 *
 * Files of users and keys are followed when they change; rules are as they were read.
 * @throws ConfigError when settings contradict each other, or a file cannot be used
 */
export async function openAccess(config: AccessConfig, deps: AccessDeps): Promise<AccessControl & AsyncDisposable> {
  const faults = [...ruleFaults(config.rules), ...loginFaults(config)];
  if (faults.length > 0) throw new ConfigError(faults.join('\n'));
  const { maxWaitingPasswords } = deps;
  const bound = maxWaitingPasswords === undefined ? {} : { maxWaiting: maxWaitingPasswords };
  await using parts = new AsyncDisposableStack();
  const passwords = config.htpasswd && (await PasswordLogin.open(config.htpasswd, { ...deps, ...bound }));
  if (passwords !== undefined) parts.defer(() => passwords.close());
  const tokens = config.token && (await TokenLogin.open(config.token, deps));
  parts.move();
  return new ConfiguredAccess({ rules: new Rules(config.rules), passwords, tokens });
}

function loginFaults({ htpasswd, token, rules }: AccessConfig): string[] {
  const faults = token === undefined ? [] : tokenFaults(token);
  if (token === undefined && rules.length === 0) {
    const example = 'callers: [authenticated], repositories: ["**"], actions: [pull, push, delete]';
    const who = htpasswd === undefined ? '' : ` to those who log in, such as {${example}}`;
    faults.push(
      `access.rules: no rule is there, so that nobody could do anything: add one that grants something${who}`,
    );
  }
  return faults;
}

function tokenFaults({ realm, jwksFile, jwksUrl }: TokenConfig): string[] {
  const faults: string[] = [];
  if ((jwksFile === undefined) === (jwksUrl === undefined)) {
    faults.push(
      `access.token: expected one of jwksFile and jwksUrl, got ${jwksFile === undefined ? 'neither' : 'both'}`,
    );
  }
  for (const [name, text] of Object.entries({ realm, jwksUrl })) {
    const fault = text === undefined ? undefined : urlFault(text);
    if (fault !== undefined) faults.push(`access.token.${name}: ${fault}`);
  }
  return faults;
}

/** Passwords go to the one URL, trust comes from the other: neither may be read or changed on the way. */
function urlFault(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) return `"${text}" is no URL`;
  if (url.protocol === 'https:' || isLoopbackName(url.hostname)) return undefined;
  return `${text} leads to another machine without TLS, expected https://`;
}

function isLoopbackName(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'));
}
