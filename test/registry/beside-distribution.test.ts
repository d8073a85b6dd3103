import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultDriverFactory } from '../../src/driver/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import { DOCKER_REGISTRY, folderStorage, startDockerRegistry } from '../helpers/docker-registry.ts';
import { differences, renderDifferences } from './beside-distribution-differences.ts';
import { facetsOf } from './beside-distribution-facets.ts';
import { besideRequests, prepare, prepareOwn } from './beside-distribution-requests.ts';
import { type PlainAnswer, PlainClient } from './plain-request.ts';
import { startServedRegistry } from './served-registry.ts';

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasPrograms(DOCKER_REGISTRY))('a registry beside distribution, asked the same', () => {
  const found = new Map<string, Set<string>>();
  const stack = new AsyncDisposableStack();

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-test-'));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const theirs = await startDockerRegistry(folderStorage(join(folder, 'theirs')));
    stack.defer(() => theirs.stop());
    const own = { rootdirectory: join(folder, 'ours') };
    const driver = stack.use(await defaultDriverFactory().create('filesystem', own));
    const ours = await startServedRegistry(driver);
    stack.defer(() => ours.close());
    const [ourAnswers, theirAnswers] = await Promise.all([askAll(ours.url), askAll(theirs.url)]);
    for (const [what, answer] of ourAnswers) found.set(what, facetsOf(answer, theirAnswers.get(what)!));
  }, 120_000);
  afterAll(() => stack.disposeAsync());

  it.each(besideRequests.map(({ what }) => what))('answers alike, or for a reason otherwise: %s', (what) => {
    const explained = differences.filter(({ requests }) => requests.test(what)).flatMap(({ facets }) => facets);
    expect([...found.get(what)!].filter((facet) => !explained.includes(facet))).toEqual([]);
  });

  it.each(differences.map((difference) => [difference.asked, difference] as const))(
    'still differs in all that is said of: %s',
    (_asked, { requests, facets }) => {
      const seen = [...found].filter(([what]) => requests.test(what)).flatMap(([, own]) => [...own]);
      expect(facets.filter((facet) => !seen.includes(facet))).toEqual([]);
    },
  );
});

describe('docs/registry.md', () => {
  it('has the table of differences', async () => {
    const page = await readFile(new URL('../../docs/registry.md', import.meta.url), 'utf8');
    expect(page).toContain(`\n\n${renderDifferences()}\n`);
  });
});

/** Sends every request, each in its own repository as far as it changes something. */
async function askAll(url: string): Promise<Map<string, PlainAnswer>> {
  const scene = await prepare(url);
  const client = new PlainClient(url);
  const answers = new Map<string, PlainAnswer>();
  for (const [index, { what, needs, make }] of besideRequests.entries()) {
    const own = await prepareOwn(url, `own/${index}`, needs);
    answers.set(what, await client.send(make({ ...scene, ...own })).catch(brokenOff));
  }
  client.close();
  return answers;
}

/** An answer that ended before its body did. */
function brokenOff(error: unknown): PlainAnswer {
  if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  return { status: 0, headers: new Map(), body: Buffer.alloc(0) };
}
