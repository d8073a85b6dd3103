import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { onTestFinished } from 'vitest';
import type { AccessConfig, AccessDeps } from '../../src/access/index.ts';
import { openAccess } from '../../src/access/index.ts';
import { type Clock, parseRepository } from '../../src/core/index.ts';
import {
  type AccessControl,
  AccessDeniedError,
  type Action,
  AuthenticationRequiredError,
  type Caller,
  type Need,
} from '../../src/registry/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

/** Time that passes when a test says so. */
export class ManualClock implements Clock {
  #ms = Date.parse('2026-01-01T00:00:00Z');

  advance(ms: number): void {
    this.#ms += ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  nowMs(): number {
    return this.#ms;
  }
}

type Rule = AccessConfig['rules'][number];

/** A rule with what a configuration would fill in. */
export function rule(callers: string[], repositories: string[], actions: Action[], catalog = false): Rule {
  return { callers, repositories, actions, catalog };
}

/** Opens an access control that is closed with the test. */
export async function openTestAccess(
  config: Partial<AccessConfig>,
  deps: Partial<AccessDeps> = {},
): Promise<AccessControl & AsyncDisposable> {
  const all = { logger: testLogger(), clock: new ManualClock(), fetch, ...deps };
  const access = await openAccess({ rules: [], ...config }, all);
  onTestFinished(async () => access[Symbol.asyncDispose]());
  return access;
}

/** A line of a htpasswd file; the lowest cost there is, so that tests take no time. */
export function htpasswdLine(user: string, password: string, cost = 4): string {
  return `${user}:${hashSync(password, cost)}\n`;
}

/** A htpasswd file in a folder of its own. */
export async function writeHtpasswd(text: string): Promise<string> {
  const file = join(await makeTempDir(), 'htpasswd');
  await writeFile(file, text);
  return file;
}

/** The header of user and password. */
export function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

export const entry: Need = { kind: 'entry' };
export const catalog: Need = { kind: 'catalog' };

/** What a request to a repository needs. */
export function needOf(action: Action, repository: string): Need {
  return { kind: 'repository', repository: parseRepository(repository), action };
}

/** How a request ended, for comparison: the caller, the challenge, or why it was denied. */
export type Outcome =
  | { readonly caller: Caller }
  | { readonly challenge: string; readonly message: string }
  | { readonly denied: string };

/** Asks, and makes a value of the two errors that the contract knows; others are thrown. */
export async function ask(access: AccessControl, authorization: string | undefined, need: Need): Promise<Outcome> {
  try {
    return { caller: await access.admit(authorization, need, new AbortController().signal) };
  } catch (error) {
    if (error instanceof AuthenticationRequiredError) return { challenge: error.challenge, message: error.message };
    if (error instanceof AccessDeniedError) return { denied: error.message };
    throw error;
  }
}

/** The word for an outcome: who was let in (`-` for nobody in particular), `401` with the challenge, or `403`. */
export function wordOf(outcome: Outcome): string {
  if ('caller' in outcome) return outcome.caller.name === '' ? '-' : outcome.caller.name;
  return 'challenge' in outcome ? `401 ${outcome.challenge}` : '403';
}
