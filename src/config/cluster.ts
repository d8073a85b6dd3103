import { createHmac } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import Type, { type Static } from 'typebox';
import { ConfigError } from '../core/index.ts';

/** What binds the programs of one cluster together. There is no default token. */
export const ClusterConfigSchema = Type.Object(
  {
    tokenFile: Type.String({
      minLength: 1,
      description:
        'File with the cluster token: the same text of 32 characters or more on every host, writable by its owner only.',
    }),
  },
  { additionalProperties: false, description: 'What binds the programs of one cluster together.' },
);
export type ClusterConfig = Static<typeof ClusterConfigSchema>;

/** A token is no password that somebody thinks of; 32 characters keep it out of reach of guessing. */
export const CLUSTER_TOKEN_MIN_LENGTH = 32;

const GROUP_OR_WORLD_WRITABLE = 0o022;

/**
 * Reads the cluster token from its file; spaces and line ends around it do not count.
 * @throws ConfigError when the file cannot be read, others may write to it, or the token is short or no plain text
 */
export async function readClusterToken({ tokenFile }: ClusterConfig): Promise<string> {
  let text: string;
  let mode: number;
  try {
    mode = (await stat(tokenFile)).mode;
    text = await readFile(tokenFile, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const message = `cluster.tokenFile: cannot read ${tokenFile}: ${code ?? String(cause)}`;
    throw new ConfigError(message, { file: tokenFile }, { cause });
  }
  if ((mode & GROUP_OR_WORLD_WRITABLE) !== 0) {
    const found = (mode & 0o777).toString(8).padStart(4, '0');
    throw new ConfigError(
      `cluster.tokenFile: ${tokenFile} can be written by others (mode ${found}); expected 0600: chmod 0600 ${tokenFile}`,
      { file: tokenFile },
    );
  }
  return checkToken(tokenFile, text.trim());
}

function checkToken(tokenFile: string, token: string): string {
  if (token.length < CLUSTER_TOKEN_MIN_LENGTH) {
    throw new ConfigError(
      `cluster.tokenFile: the token in ${tokenFile} has ${token.length} characters, expected ${CLUSTER_TOKEN_MIN_LENGTH} ` +
        'or more; make one with: openssl rand -hex 32',
      { file: tokenFile },
    );
  }
  // It travels in a header, which takes visible ASCII only (RFC 6750, section 2.1).
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new ConfigError(`cluster.tokenFile: the token in ${tokenFile} has characters other than visible ASCII`, {
      file: tokenFile,
    });
  }
  return token;
}

/** The secret that swarm ids are made with: derived, so that a swarm id never says anything about the token itself. */
export function swarmSecretOf(clusterToken: string): string {
  return createHmac('sha256', clusterToken).update('shoal swarm secret 1').digest('hex');
}
