import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { becomesTrue, monotonicMs, untilMs } from '../lib/monotonic.ts';
import { mean } from '../lib/statistics.ts';
import type { BytesBySource, HostPull } from './engine.ts';
import type { PullParams } from './host-calls.ts';
import { rawGet } from './raw-get.ts';

const COMMIT_POLL_MS = 20;
/** How long a commit (a sync to disk) is waited for after the last byte. */
const COMMIT_TIMEOUT_MS = 30_000;

/** The fields of an agent's `GET /v1/statistics` that are read. */
interface AgentStatistics {
  readonly swarm: { readonly wastedBytes: number; readonly downloads: number };
  readonly transfer: {
    readonly fromPeersBytes: number;
    readonly fromOriginsBytes: number;
    readonly suppliedBytes: number;
    readonly verifiedBytes: number;
  };
}

/** One GET of a blob from the host's own agent, with samples of how far the agent is meanwhile. */
export class BlobPull {
  readonly #params: PullParams;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #ratios: number[] = [];
  #readBytes = 0;
  #firstByteMs: number | undefined;
  /** When the agent had no download left, from the start; or nothing when that takes too long. Set by {@link run}. */
  committed: Promise<number | undefined> = Promise.resolve(undefined);

  constructor(params: PullParams) {
    this.#params = params;
  }

  /** Bytes of the blob that have been read. */
  get readBytes(): number {
    return this.#readBytes;
  }

  /** Waits for the moment, and reads the blob. @throws when the agent does not answer 200, breaks off, or sends other bytes */
  async run(): Promise<HostPull> {
    const { atMs, timeoutMs } = this.#params;
    const before = await this.#statistics();
    await untilMs(atMs);
    const signal = AbortSignal.timeout(Math.ceil(timeoutMs));
    const sampler = this.#sample(before, signal);
    try {
      await this.#read(signal);
    } finally {
      sampler.stop();
    }
    const lastByteMs = monotonicMs() - atMs;
    const after = await this.#statistics();
    this.committed = this.#untilCommitted();
    const prefixRatio = mean(this.#ratios);
    return {
      lastByteMs,
      bytes: bytesBetween(before, after),
      ...(this.#firstByteMs === undefined ? {} : { firstByteMs: this.#firstByteMs }),
      ...(prefixRatio === undefined ? {} : { prefixRatio }),
    };
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { base, repository, digest, atMs, token } = this.#params;
    const hash = createHash('sha256');
    const take = (chunk: Buffer) => {
      this.#firstByteMs ??= monotonicMs() - atMs;
      hash.update(chunk);
      this.#readBytes += chunk.length;
    };
    await rawGet(`${base}/v2/${repository}/blobs/${digest}`, { authorization: `Bearer ${token}` }, take, signal);
    const got = `sha256:${hash.digest('hex')}`;
    if (got !== digest) throw new Error(`the agent sent ${this.#readBytes} bytes of ${got}, expected ${digest}`);
  }

  /** Every so often: what the client has read ÷ what its agent has verified of the blob. */
  #sample(before: AgentStatistics, signal: AbortSignal): { stop(): void } {
    let busy = false;
    let stopped = false;
    const take = async () => {
      if (busy) return;
      busy = true;
      try {
        const has = (await this.#statistics(signal)).transfer.verifiedBytes - before.transfer.verifiedBytes;
        if (has > 0 && !stopped) this.#ratios.push(Math.min(1, this.#readBytes / has));
      } catch {
        // An agent that is killed answers no more; the read itself tells of it.
      } finally {
        busy = false;
      }
    };
    const timer = setInterval(() => void take(), this.#params.sampleMs);
    const stop = () => {
      stopped = true;
      clearInterval(timer);
    };
    return { stop };
  }

  async #untilCommitted(): Promise<number | undefined> {
    const { atMs } = this.#params;
    try {
      const isCommitted = async () => (await this.#statistics()).swarm.downloads === 0;
      const options = { timeoutMs: COMMIT_TIMEOUT_MS, everyMs: COMMIT_POLL_MS };
      return (await becomesTrue(isCommitted, options)) ? monotonicMs() - atMs : undefined;
    } catch {
      return undefined; // The blob has been read and checked; an agent that ends then has not committed it.
    } finally {
      this.#agent.destroy();
    }
  }

  async #statistics(signal?: AbortSignal): Promise<AgentStatistics> {
    const response = await this.#get(`${this.#params.base}/v1/statistics`, signal);
    let text = '';
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
    return JSON.parse(text) as AgentStatistics;
  }

  async #get(url: string, signal?: AbortSignal): Promise<IncomingMessage> {
    const headers = { authorization: `Bearer ${this.#params.token}` };
    const request = get(url, { agent: this.#agent, headers, ...(signal === undefined ? {} : { signal }) });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    if (response.statusCode === 200) return response;
    response.resume();
    throw new Error(`${url} answered ${response.statusCode}, expected 200`);
  }
}

function bytesBetween(before: AgentStatistics, after: AgentStatistics): BytesBySource {
  const peers = after.transfer.fromPeersBytes - before.transfer.fromPeersBytes;
  const origins = after.transfer.fromOriginsBytes - before.transfer.fromOriginsBytes;
  const http = after.transfer.suppliedBytes - before.transfer.suppliedBytes;
  const wasted = after.swarm.wastedBytes - before.swarm.wastedBytes;
  return { peers, origins, http, wasted, received: peers + origins + http };
}
