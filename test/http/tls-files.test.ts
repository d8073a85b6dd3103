import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ConfigError } from '../../src/core/index.ts';
import { createService, listen } from '../../src/http/index.ts';
import { createMetrics } from '../../src/metrics/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { type CertificateFiles, makeCertificate, replaceFile } from './certificates.ts';

interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly serialNumber?: string;
}
const ERROR = 50;

interface TlsService {
  readonly port: number;
  readonly app: FastifyInstance;
  readonly log: readonly LogLine[];
}

/** A program's server with a certificate; by default the files are looked at only when it is asked to. */
async function startService(files: CertificateFiles, checkEveryMs = 3_600_000): Promise<TlsService> {
  const log: LogLine[] = [];
  const sink = new Writable({
    write: (line: Buffer, _encoding, done) => {
      log.push(JSON.parse(line.toString('utf8')) as LogLine);
      done();
    },
  });
  const app = createService({
    role: 'registry',
    clusterToken: 'x'.repeat(40),
    logger: pino(sink),
    metrics: createMetrics({ role: 'registry', version: 'test' }),
    ready: async () => {},
    tls: { ...files, checkEveryMs },
  });
  onTestFinished(() => app.close());
  return { port: await listen(app, 'registry', { host: '127.0.0.1', port: 0 }), app, log };
}

/** A connection that trusts any certificate; ended with the test. */
async function open(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  socket.on('error', () => {}); // Told by `once` below to whoever waits.
  onTestFinished(() => void socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

async function servedSerial(port: number): Promise<string> {
  const socket = await open(port);
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

/** One request on a connection that stays open. */
async function ask(socket: TLSSocket): Promise<string> {
  socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n');
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString('utf8');
}

async function replacePair(from: CertificateFiles, to: CertificateFiles): Promise<void> {
  await replaceFile(from.keyFile, to.keyFile);
  await replaceFile(from.certFile, to.certFile);
}

describe('the certificate of a server', () => {
  it('is followed when its files change, while open connections go on', async () => {
    const files = await makeCertificate('A1');
    const { port } = await startService(files, 20);
    expect(await servedSerial(port)).toBe('A1');
    const before = await open(port);
    expect(await ask(before)).toContain('200 OK');
    await replacePair(await makeCertificate('B2'), files);
    await expect.poll(() => servedSerial(port), { timeout: 10_000 }).toBe('B2');
    expect(await ask(before)).toContain('200 OK');
    expect(before.getPeerCertificate().serialNumber).toBe('A1');
  });

  it('is read again at once when it is asked to', async () => {
    const files = await makeCertificate('A1');
    const { port, app, log } = await startService(files);
    await replacePair(await makeCertificate('B2'), files);
    expect(await servedSerial(port)).toBe('A1');
    await app.reloadTls();
    expect(await servedSerial(port)).toBe('B2');
    expect(log).toContainEqual(expect.objectContaining({ serialNumber: 'B2' }));
  });

  it('also reaches connections over ::1', async () => {
    const files = await makeCertificate('A1');
    const app = createService({
      role: 'registry',
      clusterToken: 'x'.repeat(40),
      logger: pino({ level: 'silent' }),
      metrics: createMetrics({ role: 'registry', version: 'test' }),
      ready: async () => {},
      tls: files,
    });
    onTestFinished(() => app.close());
    const port = await listen(app, 'registry', { host: 'localhost', port: 0 });
    await replacePair(await makeCertificate('B2'), files);
    await app.reloadTls();
    const probe = connectTcp({ host: '::1', port });
    const hasIpv6 = await once(probe, 'connect').then(
      () => true,
      () => false, // A machine without IPv6 does without.
    );
    probe.destroy();
    if (!hasIpv6) return;
    const socket = await open(port, { host: '::1' });
    expect(socket.getPeerCertificate().serialNumber).toBe('B2');
  });

  const broken: readonly (readonly [string, (files: CertificateFiles) => Promise<void>])[] = [
    [
      'a certificate without its key',
      async (files) => replaceFile((await makeCertificate('B2')).certFile, files.certFile),
    ],
    [
      'a key without its certificate',
      async (files) => replaceFile((await makeCertificate('B2')).keyFile, files.keyFile),
    ],
    ['a file that is no PEM', ({ certFile }) => writeFile(certFile, 'none')],
    ['an empty file', ({ keyFile }) => writeFile(keyFile, '')],
    ['half a file', async ({ certFile }) => writeFile(certFile, (await readFile(certFile)).subarray(0, 300))],
    ['a file that is gone', ({ keyFile }) => rm(keyFile)],
  ];

  it.each(broken)('stays as it was, with an error in the log: %s', async (_name, breakFiles) => {
    const files = await makeCertificate('A1');
    const { port, app, log } = await startService(files);
    await breakFiles(files);
    await app.reloadTls();
    expect(await servedSerial(port)).toBe('A1');
    expect(log.filter(({ level }) => level === ERROR).map(({ msg }) => msg)).toEqual([
      'the certificate cannot be read again; the former one stays',
    ]);
    await replacePair(await makeCertificate('C3'), files);
    await app.reloadTls();
    expect(await servedSerial(port)).toBe('C3');
  });

  it('logs broken files once, however often they are looked at, and takes the next good ones', async () => {
    const files = await makeCertificate('A1');
    const { port, log } = await startService(files, 5);
    const none = join(await makeTempDir(), 'none.pem');
    await writeFile(none, 'none');
    await replaceFile(none, files.certFile);
    const errors = () => log.filter(({ level }) => level === ERROR).length;
    await expect.poll(errors).toBe(1);
    // Several looks go by until this one is seen.
    await replacePair(await makeCertificate('B2'), files);
    await expect.poll(() => servedSerial(port), { timeout: 10_000 }).toBe('B2');
    // The key came first, and may have been seen without its certificate.
    expect(errors()).toBeLessThanOrEqual(2);
  });

  it.each([
    ['missing', async ({ certFile }: CertificateFiles) => rm(certFile), /listen\.tls\.certFile: cannot read .*ENOENT/],
    [
      'no pair',
      async (files: CertificateFiles) => replaceFile((await makeCertificate('B2')).keyFile, files.keyFile),
      /key/,
    ],
  ])('refuses to start with files that are %s', async (_name, breakFiles, message) => {
    const files = await makeCertificate('A1');
    await breakFiles(files);
    const started = startService(files);
    await expect(started).rejects.toThrow(ConfigError);
    await expect(started).rejects.toThrow(message);
  });

  it('is served with TLS 1.2 and 1.3', async () => {
    const { port } = await startService(await makeCertificate('A1'));
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = await open(port, { minVersion: version, maxVersion: version });
      expect(socket.getProtocol()).toBe(version);
    }
  });

  it('is not served with TLS 1.1, even where Node itself was started so that it would be', async () => {
    const flags = ['--tls-min-v1.0', '--tls-cipher-list=DEFAULT@SECLEVEL=0'];
    const child = await startProgram(
      await makeCertificate('A1'),
      `const server = createServer(certificate.options).listen(0, '127.0.0.1', () => {
  process.stdout.write(String((server.address() as AddressInfo).port));
});`,
      flags,
    );
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    const port = Number(said.toString('utf8'));
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    await expect(open(port, old)).rejects.toMatchObject({ code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
    const socket = await open(port);
    expect(socket.getProtocol()).toBe('TLSv1.3');
  });

  it('does not keep the process alive', async () => {
    const child = await startProgram(
      await makeCertificate('A1'),
      `certificate.follow(createServer(certificate.options), console as never);
process.stdout.write('followed');`,
    );
    const said = text(child.stdout);
    const [status] = await once(child, 'exit');
    expect(await said).toBe('followed');
    expect(status).toBe(0);
  });
});

/** A process of its own that has read a `certificate`; ended with the test. */
async function startProgram(files: CertificateFiles, code: string, flags: readonly string[] = []) {
  const program = join(await makeTempDir(), 'program.ts');
  const source = join(import.meta.dirname, '../../src/http/tls-files.ts');
  await writeFile(
    program,
    `import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TlsCertificate } from ${JSON.stringify(source)};
const certificate = TlsCertificate.read(${JSON.stringify(files)});
${code}`,
  );
  const child = spawn(process.execPath, [...flags, program], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}
