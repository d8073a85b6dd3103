import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { AccessConfig } from '../../src/access/index.ts';
import { systemClock } from '../../src/core/index.ts';
import { hasPrograms, run } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { writeOciLayout } from '../registry/oci-layout.ts';
import { memoryDriver, serveRegistry } from '../registry/running-registry.ts';
import { htpasswdLine, openTestAccess, rule, writeHtpasswd } from './fixture.ts';
import { TokenServer } from './token-server.ts';
import { tokenConfig, writeKeys } from './tokens.ts';

/** skopeo with a file of logins of its own, and an image to push. */
class Skopeo {
  readonly #registry: string;
  readonly #directory: string;

  private constructor(registry: string, directory: string) {
    this.#registry = registry;
    this.#directory = directory;
  }

  static async make(url: string): Promise<Skopeo> {
    const directory = await makeTempDir();
    await writeOciLayout(join(directory, 'image'));
    return new Skopeo(new URL(url).host, directory);
  }

  get #authFile(): string {
    return join(this.#directory, 'auth.json');
  }

  /** What is said is `ok`, or the reason of the failure. */
  login(user: string, password: string): Promise<string> {
    const who = ['--username', user, '--password', password, '--authfile', this.#authFile];
    return this.#run(['login', '--tls-verify=false', ...who, this.#registry]);
  }

  logout(): Promise<string> {
    return this.#run(['logout', '--authfile', this.#authFile, this.#registry]);
  }

  push(repository: string): Promise<string> {
    return this.#copy('dest', `oci:${join(this.#directory, 'image')}:v1`, this.#nameOf(repository));
  }

  async pull(repository: string): Promise<string> {
    const target = join(await makeTempDir(), 'pulled');
    const said = await this.#copy('src', this.#nameOf(repository), `oci:${target}:v1`);
    if (said === 'ok') expect(await digestOf(target)).toBe(await digestOf(join(this.#directory, 'image')));
    return said;
  }

  delete(repository: string): Promise<string> {
    return this.#run(['delete', '--tls-verify=false', ...this.#login(''), this.#nameOf(repository)]);
  }

  #copy(side: 'src' | 'dest', from: string, to: string): Promise<string> {
    return this.#run(['copy', `--${side}-tls-verify=false`, ...this.#login(`${side}-`), from, to]);
  }

  #login(prefix: string): string[] {
    return [`--${prefix}authfile`, this.#authFile];
  }

  #nameOf(repository: string): string {
    return `docker://${this.#registry}/${repository}:v1`;
  }

  #run(args: readonly string[]): Promise<string> {
    return run('skopeo', args, { timeoutMs: 60_000 }).then(
      () => 'ok',
      (error: Error) => error.message,
    );
  }
}

async function digestOf(layout: string): Promise<string> {
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
  return index.manifests[0]!.digest;
}

async function serve(config: Partial<AccessConfig>): Promise<Skopeo> {
  const access = await openTestAccess(config, { clock: systemClock });
  const { url } = await serveRegistry(await memoryDriver(), { access });
  return Skopeo.make(url);
}

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasPrograms('skopeo'))('skopeo', { timeout: 120_000 }, () => {
  it('logs in, pushes, pulls and deletes with passwords, as the rules have it', async () => {
    const text = htpasswdLine('alice', 'secret') + htpasswdLine('bob', 'guess');
    const skopeo = await serve({
      htpasswd: { file: await writeHtpasswd(text), realm: 'Shoal' },
      rules: [
        rule(['alice'], ['team/**', 'public/**'], ['pull', 'push', 'delete']),
        rule(['authenticated'], ['team/shared'], ['pull']),
        rule(['anonymous'], ['public/**'], ['pull']),
      ],
    });
    expect(await skopeo.login('alice', 'wrong')).toMatch(/invalid username\/password/);
    expect(await skopeo.push('team/app')).toMatch(/unauthorized|authentication required/i);
    expect(await skopeo.login('alice', 'secret')).toBe('ok');
    expect(await skopeo.push('team/app')).toBe('ok');
    expect(await skopeo.push('team/shared')).toBe('ok');
    expect(await skopeo.push('public/app')).toBe('ok');
    expect(await skopeo.push('other/app')).toMatch(/denied|403/i);
    expect(await skopeo.pull('team/app')).toBe('ok');
    expect(await skopeo.login('bob', 'guess')).toBe('ok');
    expect(await skopeo.pull('team/shared')).toBe('ok');
    expect(await skopeo.pull('team/app')).toMatch(/denied|403/i);
    expect(await skopeo.push('team/shared')).toMatch(/denied|403/i);
    expect(await skopeo.delete('team/shared')).toMatch(/denied|403/i);
    // Without a password: what is there for everybody, although the base route asks for one.
    expect(await skopeo.logout()).toBe('ok');
    expect(await skopeo.pull('public/app')).toBe('ok');
    expect(await skopeo.pull('team/shared')).toMatch(/unauthorized|authentication required/i);
    expect(await skopeo.push('public/app')).toMatch(/unauthorized|authentication required/i);
    expect(await skopeo.login('alice', 'secret')).toBe('ok');
    expect(await skopeo.delete('team/app')).toBe('ok');
    expect(await skopeo.pull('team/app')).toMatch(/manifest unknown|not found|no manifest/i);
  });

  it('logs in, pushes, pulls and deletes with tokens, as the token server has it', async () => {
    const tokens = await TokenServer.start({
      alice: { password: 'secret', grants: { 'team/app': ['pull', 'push', 'delete'], 'public/app': ['pull', 'push'] } },
      bob: { password: 'guess', grants: { 'team/app': ['pull'], 'public/app': ['pull'] } },
      '': { password: '', grants: { 'public/app': ['pull'] } },
    });
    const token = tokenConfig(await writeKeys([tokens.key]), { realm: tokens.realm });
    const skopeo = await serve({ token });
    expect(await skopeo.login('alice', 'wrong')).toMatch(/invalid username\/password/);
    expect(await skopeo.login('alice', 'secret')).toBe('ok');
    expect(await skopeo.push('team/app')).toBe('ok');
    expect(tokens.asked).toContain('alice repository:team/app:pull,push');
    expect(await skopeo.push('public/app')).toBe('ok');
    expect(await skopeo.push('other/app')).toMatch(/unauthorized|authentication required|requested access/i);
    expect(await skopeo.pull('team/app')).toBe('ok');
    expect(await skopeo.login('bob', 'guess')).toBe('ok');
    expect(await skopeo.pull('team/app')).toBe('ok');
    expect(await skopeo.push('team/app')).toMatch(/unauthorized|authentication required|requested access/i);
    expect(await skopeo.delete('team/app')).toMatch(/unauthorized|authentication required|requested access/i);
    // Without a password the token server grants what everybody may do.
    expect(await skopeo.logout()).toBe('ok');
    expect(await skopeo.pull('public/app')).toBe('ok');
    expect(await skopeo.pull('team/app')).toMatch(/unauthorized|authentication required|requested access/i);
    expect(await skopeo.login('alice', 'secret')).toBe('ok');
    expect(await skopeo.delete('team/app')).toBe('ok');
    expect(await skopeo.pull('team/app')).toMatch(/manifest unknown|not found|no manifest/i);
  });

  it('pulls without a password where nobody can log in, and is told that it may not push', async () => {
    const driver = await memoryDriver();
    const open = await serveRegistry(driver);
    expect(await (await Skopeo.make(open.url)).push('public/app')).toBe('ok');
    const access = await openTestAccess({ rules: [rule(['anonymous'], ['public/*'], ['pull'])] });
    const { url } = await serveRegistry(driver, { access });
    const skopeo = await Skopeo.make(url);
    expect(await skopeo.pull('public/app')).toBe('ok');
    expect(await skopeo.push('public/app')).toMatch(/denied|403/i);
  });
});
