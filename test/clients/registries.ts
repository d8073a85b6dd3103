import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { exportJWK, generateKeyPair } from 'jose';
import { followSection } from './documented-steps.ts';
import { IsolatedHost } from './isolated-host.ts';
import { type AuthorityFiles, makeAuthority } from './private-authority.ts';
import { RegistryProcess } from './registry-process.ts';
import { type TokenServerSettings, tokenServerScript } from './token-server-process.ts';

/** Ways in which a registry is reached, and the name under which it is; two of them are those of docs/clients.md. */
export const registryNames = {
  'plain HTTP on loopback': 'localhost:16000',
  'TLS of a private authority': 'open.example:5000',
  'passwords over TLS': 'registry.example:5000',
  'tokens over TLS': 'tokens.example:5000',
} as const;
export type RegistryWay = keyof typeof registryNames;

/** Who may do everything in `team/…` where logins are needed; nobody else may do anything there. */
export const login = { user: 'alice', password: 'correct-horse' } as const;

const tokenServer = { name: 'auth.example', port: 5001 } as const;
/** The host's addresses: not of 127.0.0.0/8, where docker would not look at certificates. Nobody else has them (RFC 5737). */
const addresses = {
  'open.example': '192.0.2.1',
  'registry.example': '192.0.2.2',
  'tokens.example': '192.0.2.3',
  [tokenServer.name]: '192.0.2.4',
} as const;

/** A host with a network of its own, and on it a registry for each way, and a token server. */
export class Registries implements AsyncDisposable {
  readonly host: IsolatedHost;
  readonly #directory: string;
  readonly #registries = new Map<RegistryWay, RegistryProcess>();

  private constructor(host: IsolatedHost, directory: string) {
    this.host = host;
    this.#directory = directory;
  }

  /**
   * Starts them, and writes the files by which the clients of the host reach them. The caller disposes of them.
   * @param ways the registries that are wanted
   */
  static async start(ways = Object.keys(registryNames) as readonly RegistryWay[]): Promise<Registries> {
    const host = await IsolatedHost.start(Object.values(addresses));
    const registries = new Registries(host, await mkdtemp(join(tmpdir(), 'shoal-test-')));
    try {
      await registries.#start(ways);
    } catch (error) {
      await registries[Symbol.asyncDispose]();
      throw error;
    }
    return registries;
  }

  /** @throws Error when this registry was not wanted */
  at(way: RegistryWay): RegistryProcess {
    const registry = this.#registries.get(way);
    if (registry === undefined) throw new Error(`there is no registry for ${way}`);
    return registry;
  }

  /** Ends the host with all that runs on it, and removes all files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.host.stop();
    for (const registry of this.#registries.values()) await registry[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #start(ways: readonly RegistryWay[]): Promise<void> {
    const lines = Object.entries(addresses).map(([name, address]) => `${address} ${name}`);
    await this.host.write('/etc/hosts', ['127.0.0.1 localhost', ...lines, ''].join('\n'));
    const isSecured = ways.some((way) => way !== 'plain HTTP on loopback');
    const tls = isSecured ? await makeAuthority(this.#directory, Object.keys(addresses)) : undefined;
    const token = tls && ways.includes('tokens over TLS') ? await this.#startTokenServer(tls) : undefined;
    const rules = [{ callers: [login.user], repositories: ['team/**'], actions: ['pull', 'push', 'delete'] }];
    const sections: Record<RegistryWay, Record<string, unknown>> = {
      'plain HTTP on loopback': {},
      'TLS of a private authority': {},
      'passwords over TLS': { access: { htpasswd: { file: await this.#writePasswords() }, rules } },
      'tokens over TLS': { access: { token } },
    };
    const start = async (way: RegistryWay) => {
      const [name = '', port] = registryNames[way].split(':');
      const address = (addresses as Record<string, string>)[name];
      const listen = {
        host: address ?? name,
        port: Number(port),
        ...(address === undefined ? {} : { tls: { certFile: tls?.certFile, keyFile: tls?.keyFile } }),
      };
      const config = { listen, ...sections[way] };
      this.#registries.set(way, await RegistryProcess.start({ host: this.host, config }));
    };
    await Promise.all(ways.map(start));
    for (const way of ways) await this.#configureClients(registryNames[way]);
  }

  /** Has all clients of the host reach a registry, as docs/clients.md says. */
  async #configureClients(name: string): Promise<void> {
    if (name.startsWith('localhost:')) {
      await followSection(this.host, 'Plain HTTP on loopback');
    } else {
      await this.host.write('/etc/shoal/ca.pem', await readFile(join(this.#directory, 'ca.pem')));
      await followSection(this.host, 'Certificates', { 'registry.example:5000': name });
    }
  }

  async #writePasswords(): Promise<string> {
    const file = join(this.#directory, 'htpasswd');
    await writeFile(file, `${login.user}:${hashSync(login.password, 4)}\n`);
    return file;
  }

  /** @returns the section `token` of a registry that takes its tokens */
  async #startTokenServer({ certFile, keyFile }: AuthorityFiles): Promise<Record<string, unknown>> {
    const issuer = `https://${tokenServer.name}`;
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const names = { kid: 'first', alg: 'ES256' };
    const jwksFile = join(this.#directory, 'jwks.json');
    await writeFile(jwksFile, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), ...names }] }));
    const listen = { host: addresses[tokenServer.name], port: tokenServer.port };
    const key = { ...(await exportJWK(privateKey)), ...names };
    const settings: TokenServerSettings = { listen, certFile, keyFile, issuer, key, ...login, prefix: 'team/' };
    const settingsFile = join(this.#directory, 'token-server.json');
    await writeFile(settingsFile, JSON.stringify(settings));
    const child = this.host.start(process.execPath, [tokenServerScript, settingsFile]);
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const ended = once(child, 'close').then(() => Promise.reject(new Error(`the token server ended:\n${said}`)));
    ended.catch(() => {}); // Later it ends with the host.
    await Promise.race([once(child.stdout!, 'data'), ended]);
    const realm = `${issuer}:${tokenServer.port}/token`;
    return { realm, service: 'tokens.example', issuer, jwksFile };
  }
}
