import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { CaStore } from '../../castore/index.ts';
import { type Digest, encodeMetainfo, type Metainfo, type PeerId, UnavailableError } from '../../core/index.ts';
import type { Announcer, SeedShare, SwarmLimits, SwarmStatistics } from '../swarm.ts';
import { AnnouncedSwarms } from './announced-swarms.ts';
import { Channel, type ChannelMessage, type Handlers } from './channel.ts';
import type { DelegatedDownload } from './delegated-download.ts';
import type { DownloadCarrier } from './download-carrier.ts';
import { unpackError } from './packed-error.ts';
import type { PooledProcess } from './process-pool.ts';
import type { MainCalls, PeerCalls, PeerProcessSettings, ProcessStatus } from './protocol.ts';
import { asBuffer } from './remote-store.ts';

const program = fileURLToPath(new URL('./peer-main.ts', import.meta.url));

/** A process that has not begun by then is given up. */
const START_TIMEOUT_MS = 30_000;
/** A process that has not ended by then is killed. */
const CLOSE_TIMEOUT_MS = 5_000;

/** What a peer process needs of the main one. */
export interface PeerProcessDeps {
  readonly settings: PeerProcessSettings;
  readonly castore: CaStore;
  readonly announcer: Announcer;
  readonly logger: Logger;
  /** It offers these blobs, and nobody asks for them. */
  readonly onIdle: (digests: readonly Digest[], process: PeerProcess) => void;
  /** It has ended, for whatever reason. Downloads that were there go on here. */
  readonly onEnded: () => void;
}

/** Another process with a swarm of its own, as the main process sees it. */
export class PeerProcess implements PooledProcess {
  readonly #deps: PeerProcessDeps;
  readonly #child: ChildProcess;
  readonly #channel: Channel<PeerCalls, MainCalls>;
  readonly #downloads = new Map<Digest, DelegatedDownload>();
  readonly #announced: AnnouncedSwarms;
  readonly #exited: Promise<void>;
  #address: { readonly peerId: PeerId; readonly port: number } | undefined;
  #status: ProcessStatus | undefined;
  #silentSteps = 0;
  #hasEnded = false;

  private constructor(deps: PeerProcessDeps) {
    this.#deps = deps;
    this.#announced = new AnnouncedSwarms(deps.announcer);
    // No arguments of the main process, none of its secrets, and nothing on its standard output.
    this.#child = fork(program, [], {
      serialization: 'advanced',
      execArgv: [],
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SHOAL_'))),
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#channel = new Channel<PeerCalls, MainCalls>({
      post: (message) => this.#post(message),
      handlers: this.#handlers(),
      onFailure: (error, name) => deps.logger.warn({ err: error, process: this.pid }, `a peer process: ${name} failed`),
    });
    this.#child.on('message', (message) => this.#channel.receive(message as ChannelMessage));
    // Without its channel it is of no use, and until it has ended it may write into files.
    this.#child.on('disconnect', () => this.#child.kill('SIGKILL'));
    this.#exited = this.#untilExited();
  }

  /** Starts a process; the caller closes it. @throws when it does not begin, for instance because its port is taken */
  static async start(deps: PeerProcessDeps): Promise<PeerProcess> {
    const started = new PeerProcess(deps);
    try {
      const signal = AbortSignal.timeout(START_TIMEOUT_MS);
      started.#address = await started.#channel.call('open', deps.settings, signal);
      return started;
    } catch (error) {
      await started.#kill();
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get peerId(): PeerId | undefined {
    return this.#address?.peerId;
  }

  get port(): number | undefined {
    return this.#address?.port;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** What it told last; nothing in its first second. */
  get status(): ProcessStatus | undefined {
    return this.#status;
  }

  /** What it has counted. */
  get sums(): SwarmStatistics | undefined {
    return this.#status?.statistics;
  }

  /** Whether downloads are there. */
  get isFetching(): boolean {
    return this.#downloads.size > 0;
  }

  /** Where a download will be; to be handed to {@link fetch} with it. */
  carrierOf(digest: Digest): DownloadCarrier {
    return {
      moveReader: (reader, range) => this.#channel.tell('reader', { digest, reader, range }),
      supplied: (piece) => this.#channel.tell('supplied', { digest, piece }),
      cancel: () => this.#cancel(digest),
    };
  }

  /** Resolves when the download is open there. */
  async fetch(download: DelegatedDownload): Promise<void> {
    const { metainfo } = download;
    this.#downloads.set(metainfo.digest, download);
    const left = () => this.#downloads.delete(metainfo.digest);
    download.finished.then(left, left);
    await this.#channel.call('fetch', { metainfo: encodeMetainfo(metainfo) });
  }

  /** Offers a blob of the store there. Resolves when the tracker has been told. @throws the signal's reason */
  async seed(metainfo: Metainfo, swarmId: string, share: SeedShare | undefined, signal: AbortSignal): Promise<void> {
    const announced = this.#announced.next(swarmId, signal);
    try {
      await this.#channel.call('seed', { metainfo: encodeMetainfo(metainfo), share }, signal);
    } finally {
      // Nobody waits for it when the call has failed.
      announced.catch(() => undefined);
    }
    await announced;
  }

  /** Offers it in another way, or still. */
  seedAgain(metainfo: Metainfo, share: SeedShare | undefined): void {
    this.#channel.tell('seed', { metainfo: encodeMetainfo(metainfo), share });
  }

  unseed(digest: Digest): void {
    this.#channel.tell('unseed', { digest });
  }

  used(digest: Digest): void {
    this.#channel.tell('used', { digest });
  }

  setLimits(limits: SwarmLimits): void {
    this.#channel.tell('limits', limits);
  }

  /** One more step of time has passed. @returns how many in a row without a word from the process */
  step(): number {
    this.#silentSteps += 1;
    return this.#silentSteps;
  }

  /** Ends it: it leaves its swarms, or is killed when it does not. */
  async close(): Promise<void> {
    if (!this.#hasEnded) {
      try {
        await this.#channel.call('close', undefined, AbortSignal.timeout(CLOSE_TIMEOUT_MS));
      } catch (error) {
        this.#deps.logger.warn({ err: error, process: this.pid }, 'a peer process did not close, and is killed');
      }
    }
    await this.#kill();
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** A process that does not answer is killed: after this nothing is written into the download's file. */
  async #cancel(digest: Digest): Promise<void> {
    try {
      await this.#channel.call('cancel', { digest }, AbortSignal.timeout(CLOSE_TIMEOUT_MS));
    } catch (error) {
      this.#deps.logger.warn(
        { err: error, digest, process: this.pid },
        'a peer process did not end a download, and is killed',
      );
      await this.#kill();
    }
  }

  async #kill(): Promise<void> {
    if (!this.#hasEnded) this.kill();
    await this.#exited;
  }

  async #untilExited(): Promise<void> {
    const { promise: exited, resolve } = Promise.withResolvers<void>();
    this.#child.once('exit', () => resolve());
    this.#child.on('error', (error) => {
      this.#deps.logger.warn({ err: error, process: this.pid }, 'a peer process is not as it should be, and is ended');
      // One that could not be started does not exit.
      if (this.pid === undefined) resolve();
      else this.kill();
    });
    await exited;
    this.#hasEnded = true;
    const { exitCode, signalCode } = this.#child;
    const why = new UnavailableError(`a peer process has ended with ${signalCode ?? `status ${exitCode}`}`);
    this.#channel.close(why);
    this.#announced.close(why);
    const downloads = [...this.#downloads.values()];
    this.#downloads.clear();
    for (const download of downloads) void download.lost(why);
    this.#deps.onEnded();
  }

  #post(message: ChannelMessage): void {
    if (!this.#child.connected) return;
    this.#child.send(message, (error) => {
      if (error !== null)
        this.#deps.logger.debug({ err: error, process: this.pid }, 'a peer process cannot be reached');
    });
  }

  #handlers(): Handlers<MainCalls> {
    const { blobs } = this.#deps.castore;
    return {
      announce: (request, signal) => this.#announced.announce(request, signal),
      openDownload: ({ digest }) => this.#download(digest).open(),
      pieces: async ({ digest, pieces }) => {
        this.#downloads.get(digest)?.onPieces(pieces);
        return undefined;
      },
      verifyDownload: async ({ digest }) => {
        await this.#download(digest).verify();
        return undefined;
      },
      commitDownload: ({ digest }) => this.#download(digest).commit(),
      closeDownload: async ({ digest }) => {
        await this.#downloads.get(digest)?.close();
        return undefined;
      },
      states: (states) => {
        for (const state of states) this.#downloads.get(state.digest)?.onState(state);
        return undefined;
      },
      ended: async ({ digest, error }) => {
        const download = this.#downloads.get(digest);
        this.#downloads.delete(digest);
        await download?.lost(unpackError(error));
        return undefined;
      },
      findBlob: ({ digest }) => blobs.find(digest),
      locateBlob: ({ digest }) => blobs.locate(digest),
      findMetainfo: ({ digest }) => blobs.findMetainfo(digest),
      putMetainfo: ({ digest, encoded }) => blobs.putMetainfo(digest, asBuffer(encoded)),
      status: (status) => {
        this.#status = status;
        this.#silentSteps = 0;
        return undefined;
      },
      idle: ({ digests }) => {
        this.#deps.onIdle(digests, this);
        return undefined;
      },
      log: ({ line }) => this.#log(line),
    };
  }

  #download(digest: Digest): DelegatedDownload {
    const download = this.#downloads.get(digest);
    if (download !== undefined) return download;
    throw new UnavailableError(`the download of ${digest} has ended`, { digest });
  }

  #log(line: string): undefined {
    const { level, msg, ...facts } = JSON.parse(line) as { level: string; msg: string };
    const known = level === 'debug' || level === 'info' || level === 'warn' || level === 'error' ? level : 'debug';
    this.#deps.logger[known]({ ...facts, process: this.pid }, msg);
    return undefined;
  }
}
