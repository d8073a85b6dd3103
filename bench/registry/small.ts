import { join } from 'node:path';
import { mediaTypes } from '../../src/core/index.ts';
import { BenchRunError } from '../lib/errors.ts';
import { labelOf, type RunningEngine, startEngine } from './engine.ts';
import { type Figures, type Prepare, perRequest, type Stage, type Subject } from './measurement.ts';
import { metered } from './meter.ts';
import { pushManifest, pushRandomBlob, REPOSITORY } from './push.ts';
import { runWrk, writeWrkScript } from './wrk.ts';

/** Different ones are asked for in turn, as no client asks for one only; few enough for any cache. */
const OBJECTS = 64;
const BLOB_BYTES = 2_000;
/** Layers of a manifest that is about 1.5 kB long. */
const LAYERS = 7;
const CONNECTIONS = [1, 64] as const;
/** Before the first round. */
const WARM_UP_SECONDS = 3;

/** GET of blobs of 2 kB. */
export const prepareSmallBlobs: Prepare = async (stage) => {
  const engine = await startEngine(stage.workbench, stage.engine, stage);
  const { signal } = stage.workbench;
  const paths: string[] = [];
  for (let count = 0; count < OBJECTS; count++) {
    const digest = await pushRandomBlob(engine.baseUrl, BLOB_BYTES, signal);
    paths.push(`/v2/${REPOSITORY}/blobs/${digest}`);
  }
  await checkAnswer(engine, paths[0]!, BLOB_BYTES);
  return subjectsOf(stage, engine, { name: 'blobs', paths, headers: {} });
};

/** GET of manifests by tag, and by digest. */
export const prepareManifests: Prepare = async (stage) => {
  const engine = await startEngine(stage.workbench, stage.engine, stage);
  const { baseUrl } = engine;
  const { signal } = stage.workbench;
  const layers = await Promise.all(Array.from({ length: LAYERS }, () => pushRandomBlob(baseUrl, BLOB_BYTES, signal)));
  const tags: string[] = [];
  const digests: string[] = [];
  for (let count = 0; count < OBJECTS; count++) {
    const config = await pushRandomBlob(baseUrl, BLOB_BYTES, signal);
    const tag = `v${count}`;
    digests.push(await pushManifest(baseUrl, { config, layers, sizeBytes: BLOB_BYTES }, tag, signal));
    tags.push(tag);
  }
  const pathsOf = (references: readonly string[]) => references.map((name) => `/v2/${REPOSITORY}/manifests/${name}`);
  // What clients send; distribution answers 404 without it.
  const headers = { Accept: mediaTypes.ociManifest };
  await checkAnswer(engine, pathsOf(tags)[0]!, undefined, headers);
  return [
    ...(await subjectsOf(stage, engine, { name: 'by tag', paths: pathsOf(tags), headers })),
    ...(await subjectsOf(stage, engine, { name: 'by digest', paths: pathsOf(digests), headers })),
  ];
};

async function subjectsOf(
  { workbench, options, engine }: Stage,
  running: RunningEngine,
  load: {
    readonly name: string;
    readonly paths: readonly string[];
    readonly headers: Readonly<Record<string, string>>;
  },
): Promise<Subject[]> {
  const script = join(workbench.directory, `${labelOf(engine)} ${load.name}.lua`.replaceAll(/[^\w.-]/g, '-'));
  await writeWrkScript(script, load.paths, load.headers);
  return CONNECTIONS.map((connections) => ({
    variant: `${load.name}, ${connections} ${connections === 1 ? 'connection' : 'connections'}`,
    measure: async (round): Promise<Figures> => {
      const { durationSeconds } = options;
      const seconds = round === undefined ? Math.min(WARM_UP_SECONDS, durationSeconds) : durationSeconds;
      const { result, meter } = await metered(running.pids, [], () =>
        runWrk(running.baseUrl, { script, connections, seconds, signal: workbench.signal }),
      );
      const { requests, ...figures } = result;
      return { ...figures, cpuMicrosecondsPerRequest: perRequest(meter, requests), meter };
    },
  }));
}

/** A registry that refuses every request is fast, too. */
async function checkAnswer(
  { baseUrl }: RunningEngine,
  path: string,
  sizeBytes: number | undefined,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const response = await fetch(`${baseUrl}${path}`, { headers });
  const { byteLength } = await response.arrayBuffer();
  if (response.status === 200 && (sizeBytes === undefined || byteLength === sizeBytes)) return;
  throw new BenchRunError(`${baseUrl}${path} was answered with ${response.status} and ${byteLength} bytes`);
}
