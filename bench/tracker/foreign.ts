import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { swarmSecretOf } from '../../src/config/index.ts';
import { announceKeyOf, type InfoHash } from '../../src/core/index.ts';
import { trackerRoutes } from '../../src/tracker/protocol.ts';
import { BenchRunError } from '../lib/errors.ts';
import { median } from '../lib/statistics.ts';
import type { Workbench } from '../lib/workbench.ts';
import { makeToken, type RunningProgram, startOpentracker, startTracker } from './programs.ts';

/** Requests a second of each, in turn. */
interface ForeignRound {
  /** A connection for each request, as BitTorrent clients do, and as opentracker wants it. */
  readonly shoal: number;
  /** The same on connections that stay open. */
  readonly shoalKeptOpen: number;
  readonly opentracker: number | undefined;
}

/** Medians of the rounds. */
export interface ForeignFigures {
  readonly shoalPerSecond: number;
  readonly shoalKeptOpenPerSecond: number;
  readonly opentrackerPerSecond: number | undefined;
  /** Shoal ÷ opentracker, both with a connection for each request. */
  readonly ratio: number | undefined;
  readonly rounds: readonly ForeignRound[];
}

const SWARMS = 64;
const PEERS = 64;
const CONNECTIONS = 64;
const run = promisify(execFile);

/** Whether a program is there. */
export function hasProgram(name: string): boolean {
  return spawnSync('which', [name]).status === 0;
}

/** BEP 3 announces under wrk, one thread: 64 swarms, 64 peers in each, 50 wanted. */
export async function measureForeign(
  bench: Workbench,
  options: { seconds: number; rounds: number; profile?: string | undefined },
): Promise<ForeignFigures> {
  const { seconds, rounds } = options;
  const infoHashes = Array.from({ length: SWARMS }, (_, index) => sha1(`bench foreign ${index}`) as InfoHash);
  const token = makeToken();
  const shoal = await startTracker(bench, { token, announceIntervalMs: 3_000, profile: options.profile });
  const secret = swarmSecretOf(token);
  const pathOf = (hash: InfoHash) => trackerRoutes.foreignAnnounce(announceKeyOf(hash, secret));
  const shoalLoad = await writeLoad(bench, { name: 'shoal', infoHashes, pathOf, close: true });
  const openLoad = await writeLoad(bench, { name: 'kept-open', infoHashes, pathOf, close: false });
  const opentracker = hasProgram('opentracker') ? await startOpentracker(bench, infoHashes) : undefined;
  const otherLoad = await writeLoad(bench, { name: 'opentracker', infoHashes, pathOf: () => '/announce', close: true });
  await checkAnswer(shoal, infoHashes[0]!, pathOf(infoHashes[0]!));
  if (opentracker !== undefined) await checkAnswer(opentracker, infoHashes[0]!, '/announce');
  const figures: ForeignRound[] = [];
  // One round before the first, so that both have their peers and their compiled code.
  for (let round = 0; round <= rounds; round++) {
    bench.signal.throwIfAborted();
    const each = {
      shoal: await wrk(shoal, shoalLoad, seconds),
      shoalKeptOpen: await wrk(shoal, openLoad, seconds),
      opentracker: opentracker === undefined ? undefined : await wrk(opentracker, otherLoad, seconds),
    };
    if (round > 0) figures.push(each);
  }
  await shoal.stop();
  await opentracker?.kill();
  const shoalPerSecond = median(figures.map((each) => each.shoal))!;
  const shoalKeptOpenPerSecond = median(figures.map((each) => each.shoalKeptOpen))!;
  const opentrackerPerSecond = median(figures.flatMap((each) => each.opentracker ?? []));
  const ratio = opentrackerPerSecond === undefined ? undefined : shoalPerSecond / opentrackerPerSecond;
  return { shoalPerSecond, shoalKeptOpenPerSecond, opentrackerPerSecond, ratio, rounds: figures };
}

/** A tracker that refuses every announce is fast, too. */
async function checkAnswer({ port }: RunningProgram, hash: string, path: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}${path}?${queryOf(hash, 0)}`);
  const text = Buffer.from(await response.arrayBuffer()).toString('latin1');
  if (response.status !== 200 || !text.includes('8:interval')) {
    throw new BenchRunError(`the tracker on port ${port} answers a BEP 3 announce with ${response.status} ${text}`);
  }
}

async function writeLoad(
  bench: Workbench,
  load: {
    readonly name: string;
    readonly infoHashes: readonly InfoHash[];
    readonly pathOf: (hash: InfoHash) => string;
    readonly close: boolean;
  },
): Promise<string> {
  const { name, infoHashes, pathOf, close } = load;
  const file = join(bench.directory, `${name}.lua`);
  const paths = infoHashes.flatMap((hash) => {
    return Array.from({ length: PEERS }, (_, peer) => JSON.stringify(`${pathOf(hash)}?${queryOf(hash, peer)}`));
  });
  await writeFile(
    file,
    `local paths = {\n${paths.join(',\n')}\n}\nlocal requests, at = {}, 0\n` +
      `wrk.headers["Connection"] = "${close ? 'close' : 'keep-alive'}"\n` +
      'function init(args)\n' +
      '  for i, path in ipairs(paths) do requests[i] = wrk.format("GET", path) end\n' +
      '  paths = nil\n' +
      'end\n' +
      // A step that has no factor in common with their number: neighbours in time are in different swarms.
      'function request()\n  at = (at + 1597) % #requests\n  return requests[at + 1]\nend\n',
  );
  return file;
}

function queryOf(hash: string, peer: number): string {
  const escaped = (hex: string) => hex.replace(/../g, '%$&');
  const id = escaped(sha1(`bench foreign peer ${peer}`));
  const left = peer % 2 === 0 ? 0 : 1_000_000;
  const counters = `uploaded=0&downloaded=0&left=${left}`;
  return `info_hash=${escaped(hash)}&peer_id=${id}&port=${7_000 + peer}&${counters}&compact=1&numwant=50`;
}

async function wrk({ port }: RunningProgram, script: string, seconds: number): Promise<number> {
  const load = ['-t1', `-c${CONNECTIONS}`, `-d${Math.max(1, Math.round(seconds))}s`, '-s', script];
  const { stdout } = await run('wrk', [...load, `http://127.0.0.1:${port}`]);
  // A connection that opentracker closes after its answer counts as a read error there; all others are faults.
  const failures = /Non-2xx.*|connect [1-9].*|write [1-9].*|timeout [1-9].*/.exec(stdout);
  const [, perSecond] = /Requests\/sec:\s+([\d.]+)/.exec(stdout) ?? [];
  if (failures !== null || perSecond === undefined) throw new BenchRunError(`wrk says: ${stdout.trim()}`);
  return Number(perSecond);
}

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}
