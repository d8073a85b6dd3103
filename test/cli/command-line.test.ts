import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { freePorts, runShoal, startShoal } from './run-shoal.ts';

const commands = ['up', 'agent', 'proxy', 'origin', 'tracker', 'build-index', 'registry', 'gc', 'config'];

async function tokenFile(): Promise<string> {
  const file = join(await makeTempDir(), 'token');
  await writeFile(file, 'a'.repeat(64), { mode: 0o600 });
  return file;
}

async function writeConfig(text: string): Promise<string> {
  const file = join(await makeTempDir(), 'shoal.yaml');
  await writeFile(file, text);
  return file;
}

describe('shoal', () => {
  it('lists every command in its help', async () => {
    const { status, out } = await runShoal(['--help']);
    expect(status).toBe(0);
    for (const command of commands) expect(out).toMatch(new RegExp(`^  ${command} `, 'm'));
  });

  it.each(commands)('explains "%s"', async (command) => {
    const { status, out } = await runShoal([command, '--help']);
    expect(status).toBe(0);
    expect(out).toMatch(new RegExp(`^Usage: shoal ${command} `));
  });

  it('tells its version', async () => {
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'));
    expect(await runShoal(['--version'])).toEqual({ status: 0, out: `${version}\n`, err: '' });
  });

  it.each([
    { args: ['upp'], says: /unknown command 'upp'\n\(Did you mean up\?\)/ },
    { args: ['up', '--agent', '2'], says: /unknown option '--agent'\n\(Did you mean --agents\?\)/ },
    { args: ['up', '--agents', '0'], says: /expected a number of agents from 1 to 64, got "0"/ },
    { args: ['up', '--agents', 'two'], says: /expected a number of agents from 1 to 64, got "two"/ },
    { args: ['up', '--image-size', 'huge'], says: /expected a size such as 256MiB, 1GB or 4096, got "huge"/ },
    { args: ['up', '--proxy-port', '0'], says: /expected a port from 1 to 65535, got "0"/ },
    {
      args: ['up', '--image', 'alpine'],
      says: /expected oci:DIR, oci:DIR:TAG or docker:\/\/HOST\/NAME:TAG, got "alpine"/,
    },
    { args: ['agent', '--port', '99999'], says: /expected a port from 0 to 65535, got "99999"/ },
    { args: ['registry', '--params', 'rootdirectory'], says: /expected key=value, got "rootdirectory"/ },
    { args: ['config', 'print', 'agnet'], says: /expected one of agent, proxy, origin/ },
  ])('refuses $args with status 2', async ({ args, says }) => {
    const { status, out, err } = await runShoal(args);
    expect(err).toMatch(says);
    expect({ status, out }).toEqual({ status: 2, out: '' });
  });

  it('reports all faults of a configuration at their places, without a stack', async () => {
    const file = await writeConfig('listen:\n  prot: 1\n  port: x\ncluster: {tokenFile: /t}\n');
    const { status, err } = await runShoal(['tracker', '--config', file], { SHOAL_LOG__LEVEL: 'loud' });
    expect(status).toBe(1);
    expect(err.replaceAll(file, 'shoal.yaml').split('\n')).toEqual([
      'shoal: 3 faults',
      '  shoal.yaml:2:3: listen.prot: unknown key; did you mean "port"?',
      '  shoal.yaml:3:9: listen.port: expected an integer from 0 to 65535, got "x"',
      '  environment variable SHOAL_LOG__LEVEL: log.level: expected "debug", "info", "warn", "error" or "silent", got "loud"',
      '',
    ]);
  });

  it('names port, role and option when a port is taken, on one line', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as { port: number };
    const config = await writeConfig(`cluster: {tokenFile: ${await tokenFile()}}\n`);
    const { status, err } = await runShoal([
      'tracker',
      '--config',
      config,
      '--port',
      String(port),
      '--log-level',
      'silent',
    ]);
    expect(status).toBe(1);
    const lines = err.split('\n').filter((line) => line.startsWith('shoal:'));
    expect(lines).toEqual([
      `shoal: port ${port} for the tracker is taken by another program; choose another with listen.port`,
    ]);
    expect(err).not.toMatch(/\n {4}at /);
  });

  it.each(['agent', 'proxy', 'registry'])('refuses to show the %s to other machines without TLS', async (role) => {
    const directory = await makeTempDir();
    const config = await writeConfig(
      role === 'registry'
        ? `parameters: {rootdirectory: ${directory}}\n`
        : `cluster: {tokenFile: ${await tokenFile()}}\ncastore: {directory: ${directory}}\n`,
    );
    const { status, err } = await runShoal([role, '--config', config, '--host', '0.0.0.0', '--port', '0']);
    expect(status).toBe(1);
    expect(err).toContain(`the ${role} would serve 0.0.0.0 to other machines without TLS: set listen.tls.certFile`);
  });

  it('refuses a program without a cluster token', async () => {
    const config = await writeConfig('cluster: {tokenFile: /nowhere/token}\n');
    const { status, err } = await runShoal(['tracker', '--config', config, '--port', '0']);
    expect(status).toBe(1);
    expect(err).toContain('cluster.tokenFile: cannot read /nowhere/token: ENOENT');
  });

  it('prints the effective configuration with file, variables and options in it, and no secrets', async () => {
    const config = await writeConfig('parameters: {secretkey: hunter2, rootdirectory: /a}\n');
    const { status, out } = await runShoal(['config', 'print', 'registry', '--config', config, '--port', '7'], {
      SHOAL_PARAMETERS__ROOTDIRECTORY: '/b',
    });
    expect(status).toBe(0);
    expect(out).toContain('port: 7');
    expect(out).toContain('rootdirectory: /b');
    expect(out).not.toContain('hunter2');
  });
});

describe('a running program', () => {
  async function startRegistry(...more: string[]) {
    const [port] = await freePorts(1);
    const params = `rootdirectory=${await makeTempDir()}`;
    const shoal = startShoal(['registry', '--port', String(port), '--params', params, ...more]);
    await shoal.untilSays(/registry listens/);
    return { shoal, url: `http://127.0.0.1:${port}` };
  }

  it('is alive, ready, measured, and serves', async () => {
    const { url } = await startRegistry();
    expect(await (await fetch(`${url}/healthz`)).json()).toEqual({ role: 'registry', status: 'alive' });
    expect(await (await fetch(`${url}/readyz`)).json()).toEqual({ role: 'registry', status: 'ready' });
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/shoal_build_info\{.*role="registry".*\} 1/);
    expect((await fetch(`${url}/v2/`)).status).toBe(200);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('ends cleanly on %s', async (signal) => {
    const { shoal } = await startRegistry();
    shoal.child.kill(signal);
    expect(await shoal.ended).toBe(0);
    expect(shoal.err()).toContain(`"reason":"${signal}"`);
  });

  it('ends when the program that started it is gone', async () => {
    const { shoal } = await startRegistry('--exit-with-stdin');
    shoal.child.stdin?.end();
    expect(await shoal.ended).toBe(0);
  });

  it('does not care about its standard input otherwise', async () => {
    const { shoal, url } = await startRegistry();
    shoal.child.stdin?.end();
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });
});
