import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { maskSecrets, readClusterToken, refuseOpenListener, swarmSecretOf } from '../../src/config/index.ts';
import { ConfigError } from '../../src/core/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

async function tokenFile(text: string, mode = 0o600): Promise<{ tokenFile: string }> {
  const file = join(await makeTempDir(), 'token');
  await writeFile(file, text);
  await chmod(file, mode);
  return { tokenFile: file };
}

const token = 'abcdefghijklmnopqrstuvwxyz012345';

describe('readClusterToken', () => {
  it('takes a token, without the line end behind it', async () => {
    expect(await readClusterToken(await tokenFile(`${token}\n`))).toBe(token);
  });

  it('takes a file that others may read', async () => {
    expect(await readClusterToken(await tokenFile(token, 0o644))).toBe(token);
  });

  it.each([
    { name: 'an empty file', text: '', mode: 0o600, message: /has 0 characters, expected 32 or more/ },
    { name: 'a file of spaces', text: ' \n \n'.repeat(20), mode: 0o600, message: /has 0 characters/ },
    { name: 'a short token', text: token.slice(1), mode: 0o600, message: /has 31 characters/ },
    { name: 'a token with a space in it', text: `${token} ${token}`, mode: 0o600, message: /other than visible ASCII/ },
    { name: 'a token with letters beyond ASCII', text: `${token}ä`, mode: 0o600, message: /other than visible ASCII/ },
    { name: 'a file that its group may write', text: token, mode: 0o620, message: /mode 0620\); expected 0600: chmod/ },
    { name: 'a file that all may write', text: token, mode: 0o602, message: /mode 0602/ },
  ])('refuses $name', async ({ text, mode, message }) => {
    const config = await tokenFile(text, mode);
    const failure = await readClusterToken(config).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConfigError);
    expect((failure as Error).message).toMatch(message);
    expect((failure as Error).message).not.toContain(token.slice(1));
  });

  it('names a file that is not there', async () => {
    await expect(readClusterToken({ tokenFile: '/nowhere/token' })).rejects.toThrow(
      /cannot read \/nowhere\/token: ENOENT/,
    );
  });
});

describe('swarmSecretOf', () => {
  it('is the same for one token, another for another, and does not hold the token', () => {
    expect(swarmSecretOf(token)).toBe(swarmSecretOf(token));
    expect(swarmSecretOf(token)).not.toBe(swarmSecretOf(`${token}x`));
    expect(swarmSecretOf(token)).not.toContain(token);
  });
});

describe('refuseOpenListener', () => {
  const listener = { role: 'proxy', host: '0.0.0.0', loopback: false, tls: false, asksToken: false };

  it('refuses a registry that other machines can reach without TLS, and says what to set', () => {
    expect(() => refuseOpenListener(listener)).toThrow(/proxy would serve 0\.0\.0\.0 .* set listen\.tls\.certFile/);
  });

  it.each([{ loopback: true }, { tls: true }, { asksToken: true }])('takes a listener with %o', (part) => {
    expect(() => refuseOpenListener({ ...listener, ...part })).not.toThrow();
  });
});

describe('maskSecrets', () => {
  it('masks secrets and credentials in URLs, and nothing else', () => {
    const config = {
      backend: { parameters: { secretkey: 's', rootdirectory: '/data', password: '' } },
      peerStore: { url: 'redis://user:pw@host:6379/0' },
      urls: ['http://a', 'http://b:c@d'],
      cluster: { tokenFile: '/etc/shoal/token' },
      port: 3,
    };
    expect(maskSecrets(config)).toEqual({
      backend: { parameters: { secretkey: '******', rootdirectory: '/data', password: '' } },
      peerStore: { url: 'redis://******@host:6379/0' },
      urls: ['http://a', 'http://******@d'],
      cluster: { tokenFile: '/etc/shoal/token' },
      port: 3,
    });
  });
});
