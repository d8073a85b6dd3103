import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { S3 } from '@aws-sdk/client-s3';
import { afterAll } from 'vitest';

/** The file by which Debian's python3-swift is known to be there. */
const packageFile = '/usr/share/doc/python3-swift';

/** What makes a bucket of a running Swift the s3 driver's. */
export interface BucketParameters extends Record<string, unknown> {
  readonly bucket: string;
  readonly regionendpoint: string;
}

/** Whether Swift is on this machine; says aloud when it is not. In CI it always answers true, so that nothing is skipped. */
export function hasSwift(): boolean {
  if (process.env['CI'] === 'true' || existsSync(packageFile)) return true;
  console.warn("SKIPPED: tests that need Debian's python3-swift; npm run test:setup installs it");
  return false;
}

/**
 * OpenStack Swift with its S3 interface: a store that others have made. One for a test file: started with its first use,
 * ended with the file, its data on a RAM disk where there is one.
 */
export class SwiftServer {
  readonly #environment: Readonly<Record<string, string>>;
  #started: Promise<void> | undefined;
  #child: ChildProcess | undefined;
  #directory: string | undefined;
  #port: string | undefined;

  private constructor(environment: Readonly<Record<string, string>>) {
    this.#environment = environment;
  }

  /** For the test file that calls this at its top. `environment`: see swift_s3.py. */
  static forThisFile(environment: Readonly<Record<string, string>> = {}): SwiftServer {
    const server = new SwiftServer(environment);
    afterAll(() => server.#remove());
    return server;
  }

  /** Parameters of the s3 driver for an empty bucket of its own. */
  async makeBucket(): Promise<BucketParameters> {
    await this.start();
    const bucket = `bucket-${randomUUID()}`;
    const client = this.client();
    try {
      await client.createBucket({ Bucket: bucket });
    } finally {
      client.destroy();
    }
    return {
      bucket,
      regionendpoint: this.endpoint,
      region: 'us-east-1',
      accesskey: 'test:tester',
      secretkey: 'testing',
    };
  }

  /** The SDK's own client, to look at the store from outside; whoever asked destroys it. */
  client(): S3 {
    return new S3({
      endpoint: this.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'test:tester', secretAccessKey: 'testing' },
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Starts it, again with the data and at the port that it had, when it was killed. */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /** Kills it as a power cut would: no process of it goes on. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    this.#started = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    child.once('close', () => resolve());
    child.kill('SIGKILL');
    await promise;
  }

  async #start(): Promise<void> {
    this.#directory ??= await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'shoal-swift-'));
    const script = join(import.meta.dirname, 'swift_s3.py');
    const port = this.#port === undefined ? [] : [this.#port];
    const child = spawn('/usr/bin/python3', [script, this.#directory, ...port], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.#environment, PYTHONDONTWRITEBYTECODE: '1' },
    });
    this.#child = child;
    const { endpoint } = await readiness(child);
    this.#port = new URL(endpoint).port;
  }

  async #remove(): Promise<void> {
    await this.kill();
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }
}

/** The line that the launcher prints when its servers answer; an error with what it has said when it ends before. */
async function readiness(child: ChildProcess): Promise<{ readonly endpoint: string }> {
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error('Swift has no pipes');
  let said = '';
  stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly endpoint: string }>();
  createInterface(stdout).once('line', (line) => resolve(JSON.parse(line) as { readonly endpoint: string }));
  child.once('error', reject);
  child.once('close', (code) => reject(new Error(`Swift ended with ${code}: ${said}`)));
  return promise;
}
