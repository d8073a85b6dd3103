import { mkdir } from 'node:fs/promises';
import { ConfigError } from '../../core/index.ts';
import { readDriverParameters } from '../driver-parameters.ts';
import { InterruptedError } from '../errors.ts';
import { CLOSE_TIMEOUT_MS, watchShutdown } from '../shutdown.ts';
import { formatSize } from '../values.ts';
import { checkDiskSpace, type DataFolder, openDataFolder } from './data-folder.ts';
import { makeDemoImage } from './demo-image.ts';
import { checkPorts } from './free-ports.ts';
import { renderHints } from './hints.ts';
import { imageBytes, type SourceImage } from './image.ts';
import type { ImageLocation } from './image-location.ts';
import { openImage } from './image-source.ts';
import { watchRates } from './live-rates.ts';
import { LocalCluster } from './local-cluster.ts';
import { copiesOf, type PlannedProgram, planPrograms, type UpOptions } from './plan.ts';
import { type BackendChoice, writeProgramConfigs } from './program-configs.ts';
import { openProgress } from './progress.ts';
import { pullEverywhere } from './pull-everywhere.ts';
import { RegistryClient } from './registry-client.ts';
import { isComplete, renderTable, type UpSummary } from './report.ts';
import { AgentStatistics } from './statistics.ts';
import { pushImage } from './transfer-image.ts';

/** Everything that `shoal up` was asked for. */
export interface RunUpOptions extends UpOptions {
  /** Of the image that is made when none is named, in bytes. */
  readonly imageSizeBytes: number;
  /** An image to use in the place of a made one. */
  readonly image: ImageLocation | undefined;
  /** Storage driver behind origins and build-index; `undefined` for a folder beside all else. */
  readonly backend: string | undefined;
  /** Its parameters, each `key=value` or a YAML file. */
  readonly backendParams: readonly string[];
  /** End after the table. */
  readonly once: boolean;
  /** Write the summary as JSON to standard output. */
  readonly json: boolean;
}

/** Where it writes: progress and words to `err`, results to `out`. */
export interface UpStreams {
  readonly out: NodeJS.WritableStream;
  readonly err: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

const DEMO_REPOSITORY = 'shoal/demo';
const RATES_EVERY_MS = 3_000;

/**
 * Runs a whole cluster on this machine, sends one image through it, and stays until it is told to end.
 * @returns the exit status: 0 when all digests matched and the programs ended cleanly
 */
export async function runUp(options: RunUpOptions, streams: UpStreams): Promise<number> {
  const write = (line: string) => void streams.err.write(`${line}\n`);
  let cluster: LocalCluster | undefined;
  const watch = watchShutdown({
    onSecond: () => {
      cluster?.kill();
      write('killed');
      process.exit(130);
    },
  });
  try {
    const backend = await backendOf(options);
    const programs = planPrograms(options);
    await checkPorts(programs);
    const data = await openData(options, write);
    await using image = asDisposable(await prepareImage(options, data, watch.signal, write));
    await checkDiskSpace(data.path, imageBytes(image.value), copiesOf(options));
    await writeProgramConfigs(data, programs, { imageBytes: imageBytes(image.value), backend });
    write(`Starting ${programs.length} programs:`);
    cluster = await LocalCluster.start({ data, programs, signal: watch.signal, write });
    const summary = await sendImage(image.value, programs, cluster, watch.signal, streams);
    streams.out.write(options.json ? `${JSON.stringify(summary)}\n` : `\n${renderTable(summary)}\n`);
    if (!options.once) await stay(programs, cluster, summary, watch.signal, write);
    await end(cluster, write);
    return isComplete(summary) || !options.once ? 0 : 1;
  } catch (error) {
    if (cluster !== undefined) await end(cluster, write);
    if (!watch.signal.aborted) throw error;
    if (options.once) throw new InterruptedError('ended before the image was everywhere', {}, { cause: error });
    return 0;
  } finally {
    watch.close();
  }
}

/** @throws ConfigError for parameters without a backend, or a file of them that cannot be read */
async function backendOf({ backend, backendParams }: RunUpOptions): Promise<BackendChoice | undefined> {
  if (backend !== undefined) return { driver: backend, parameters: await readDriverParameters(backendParams) };
  if (backendParams.length === 0) return undefined;
  throw new ConfigError('--backend-params says how to open a storage, and --backend which one: expected both');
}

async function openData(options: RunUpOptions, write: (line: string) => void): Promise<DataFolder> {
  await mkdir(options.dataFolder, { recursive: true });
  const data = await openDataFolder(options.dataFolder);
  if (data.reused) write(`Using the data of an earlier start in ${data.path} (remove that folder to begin afresh)`);
  else write(`Keeping all data in ${data.path}`);
  return data;
}

async function prepareImage(
  options: RunUpOptions,
  data: DataFolder,
  signal: AbortSignal,
  write: (line: string) => void,
): Promise<SourceImage> {
  if (options.image !== undefined) return openImage(options.image, signal);
  // Asked before the work as well as after it: what will not fit need not be made.
  await checkDiskSpace(data.path, options.imageSizeBytes, copiesOf(options));
  write(`Making an image of ${formatSize(options.imageSizeBytes)} that cannot be compressed`);
  return makeDemoImage({ repository: DEMO_REPOSITORY, sizeBytes: options.imageSizeBytes, signal });
}

/** Pushes through the proxy, then pulls on all agents at once. */
async function sendImage(
  image: SourceImage,
  programs: readonly PlannedProgram[],
  cluster: LocalCluster,
  signal: AbortSignal,
  streams: UpStreams,
): Promise<UpSummary> {
  const proxy = programs.find(({ role }) => role === 'proxy')!;
  const bytes = imageBytes(image);
  const name = `${image.repository}:${image.tag}`;
  streams.err.write(`Pushing ${name} (${formatSize(bytes)}) through the proxy:\n`);
  await using client = asDisposable(new RegistryClient({ url: proxy.url, signal }));
  const progress = openProgress(streams.err);
  const task = progress.task('push', bytes);
  try {
    await pushImage(client.value, image, (count) => task.add(count));
    task.done('done');
  } finally {
    progress.stop();
  }
  const agents = programs.filter(({ role }) => role === 'agent');
  streams.err.write(`Pulling it on ${agents.length} agents at once:\n`);
  const request = { repository: image.repository, tag: image.tag, digest: image.manifest.digest };
  const { clusterToken } = cluster;
  const results = await pullEverywhere({ agents, request, bytes, clusterToken, signal, stream: streams.err });
  return { image: `localhost:${proxy.port}/${name}`, digest: image.manifest.digest, bytes, agents: results };
}

/** Shows what moves until the person at the keyboard has had enough. */
async function stay(
  programs: readonly PlannedProgram[],
  cluster: LocalCluster,
  summary: UpSummary,
  signal: AbortSignal,
  write: (line: string) => void,
): Promise<void> {
  write(`\n${renderHints(programs, summary.image.slice(summary.image.indexOf('/') + 1))}`);
  write('\nRunning until Ctrl-C. What agents fetch shows here.');
  const watched = programs
    .filter(({ role }) => role === 'agent')
    .map(({ name, url }) => ({ name, statistics: new AgentStatistics({ url, clusterToken: cluster.clusterToken }) }));
  const agents = watched.map(({ name, statistics }) => ({
    name,
    read: (until: AbortSignal) => statistics.read(until),
  }));
  try {
    await watchRates({ agents, write, everyMs: RATES_EVERY_MS, signal });
  } finally {
    await Promise.all(watched.map(({ statistics }) => statistics.close()));
  }
}

async function end(cluster: LocalCluster, write: (line: string) => void): Promise<void> {
  write(`Ending all programs (${CLOSE_TIMEOUT_MS / 1000} s at most; Ctrl-C again kills them)`);
  await cluster.stop();
}

/** Something with a `close` in the form that `await using` takes. */
function asDisposable<T extends { close(): Promise<void> }>(value: T): { readonly value: T } & AsyncDisposable {
  return { value, [Symbol.asyncDispose]: () => value.close() };
}
