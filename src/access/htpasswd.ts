import { randomBytes } from 'node:crypto';
import { ConfigError } from '../core/index.ts';
import { hasControls } from './authorization.ts';
import { isClassName } from './rules.ts';

/** The users of a htpasswd file, each with a bcrypt hash. */
export interface HtpasswdUsers {
  readonly hashes: ReadonlyMap<string, string>;
  /** A hash that no password has, and that takes as long to check as those of the file. */
  readonly decoy: string;
}

const bcryptPattern = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
/** Below 4 there is no bcrypt; at 15 one check takes two to three seconds. */
const COST = { min: 4, max: 15, usual: 10 } as const;
const MAX_USERS = 100_000;
const USER_MAX_LENGTH = 256;
const FAULTS_SHOWN = 20;

/**
 * Reads a htpasswd file: a line `user:hash` each, bcrypt only; empty lines and those that begin with `#` do not count.
 * @throws ConfigError that names every line which is no such entry; hashes are never part of it
 */
export function parseHtpasswd(text: string, file: string): HtpasswdUsers {
  const hashes = new Map<string, string>();
  const lines = new Map<string, number>();
  const faults: string[] = [];
  let cost = 0;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const entry = readEntry(line, lines);
    if (typeof entry === 'string') {
      faults.push(`${file}:${index + 1}: ${entry}`);
      continue;
    }
    hashes.set(entry.user, entry.hash);
    lines.set(entry.user, index + 1);
    cost = Math.max(cost, entry.cost);
  }
  if (hashes.size > MAX_USERS) faults.push(`${file}: ${hashes.size} users, expected ${MAX_USERS} at most`);
  if (faults.length === 0) return { hashes, decoy: decoyOf(cost === 0 ? COST.usual : cost) };
  const shown = faults.slice(0, FAULTS_SHOWN);
  if (shown.length < faults.length) shown.push(`and ${faults.length - shown.length} more`);
  throw new ConfigError(`access.htpasswd.file:\n${shown.join('\n')}`, { file });
}

/** One line; a text says what is wrong with it. */
function readEntry(line: string, lines: ReadonlyMap<string, number>) {
  const colon = line.indexOf(':');
  if (colon < 1) return 'expected user:hash, got no user before a colon';
  const user = line.slice(0, colon);
  const hash = line.slice(colon + 1);
  if (user.length > USER_MAX_LENGTH || hasControls(user)) {
    return `expected a user of ${USER_MAX_LENGTH} characters at most, none of them a control character`;
  }
  if (isClassName(user)) return `no user can be called "${user}": rules mean something else by it`;
  const former = lines.get(user);
  if (former !== undefined) return `the user "${user}" is on line ${former} already`;
  const cost = Number(bcryptPattern.exec(hash)?.[1]);
  if (Number.isNaN(cost)) {
    return `expected a bcrypt hash for "${user}" ($2a$, $2b$ or $2y$), got ${kindOf(hash)}: set it with htpasswd -B`;
  }
  if (cost < COST.min || cost > COST.max) {
    return `expected a bcrypt cost of ${COST.min} to ${COST.max} for "${user}", got ${cost}: set it with htpasswd -B -C 10`;
  }
  return { user, hash, cost };
}

function kindOf(hash: string): string {
  if (hash === '') return 'nothing';
  if (hash.startsWith('$apr1$') || hash.startsWith('$1$')) return 'MD5';
  if (hash.startsWith('{SHA}')) return 'SHA-1';
  if (/^\$[56]\$/.test(hash)) return 'SHA-2 crypt';
  if (hash.startsWith('$2')) return 'a bcrypt hash that is damaged';
  return 'crypt or plain text';
}

/** Random characters in the form of a hash: nobody knows a password that has it. */
function decoyOf(cost: number): string {
  const characters = randomBytes(40).toString('base64').replaceAll('+', '.').slice(0, 53);
  return `$2b$${String(cost).padStart(2, '0')}$${characters}`;
}
