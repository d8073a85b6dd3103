import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError, type Digest, hashBytes, parseRepository, UnavailableError } from '../../src/core/index.ts';
import { SqliteJobStore } from '../../src/origin/job-store.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

function digestOf(name: string | number): Digest {
  return hashBytes(Buffer.from(String(name)));
}

async function withStore<T>(use: (jobs: SqliteJobStore, file: string) => Promise<T>): Promise<T> {
  const file = join(await makeTempDir(), 'queue', 'jobs.sqlite');
  const jobs = await SqliteJobStore.open(file);
  try {
    return await use(jobs, file);
  } finally {
    jobs.close();
  }
}

const job = (name: string, notBeforeMs: number, nowMs = 0) => ({
  digest: digestOf(name),
  repository: undefined,
  nowMs,
  notBeforeMs,
});

describe('the job store', () => {
  it('gives back what was added, over a restart too', async () => {
    const file = join(await makeTempDir(), 'jobs.sqlite');
    const before = await SqliteJobStore.open(file);
    const repository = parseRepository('team/app');
    await before.add({ digest: digestOf('a'), repository, nowMs: 5, notBeforeMs: 10 });
    before.close();
    const jobs = await SqliteJobStore.open(file);
    expect(jobs.due(10, 100)).toEqual([
      {
        digest: digestOf('a'),
        repository,
        createdAtMs: 5,
        notBeforeMs: 10,
        attempts: 0,
        lastError: undefined,
        generation: 1,
      },
    ]);
    jobs.close();
  });

  it('has a job on disk once it is added, without being closed', async () => {
    await withStore(async (jobs, file) => {
      await jobs.add(job('a', 0));
      const other = new DatabaseSync(file, { readOnly: true });
      expect(other.prepare('SELECT count(*) AS n FROM jobs').get()).toEqual({ n: 1 });
      other.close();
    });
  });

  it('gives what is due only, longest waiting first', async () => {
    await withStore(async (jobs) => {
      await Promise.all([jobs.add(job('c', 30)), jobs.add(job('a', 10)), jobs.add(job('b', 20))]);
      expect(jobs.due(20, 100).map(({ digest }) => digest)).toEqual([digestOf('a'), digestOf('b')]);
      expect(jobs.due(30, 1).map(({ digest }) => digest)).toEqual([digestOf('a')]);
      expect(jobs.due(9, 100)).toEqual([]);
      expect(jobs.findNextDueMs(20)).toBe(30);
      expect(jobs.findNextDueMs(30)).toBeUndefined();
    });
  });

  it('keeps one job a digest: the earlier time, the first age, and a repository that was told', async () => {
    await withStore(async (jobs) => {
      await jobs.add({ ...job('a', 50, 1), repository: parseRepository('team/app') });
      await jobs.add(job('a', 40, 2));
      await jobs.add(job('a', 60, 3));
      expect(jobs.due(100, 10)).toMatchObject([
        { notBeforeMs: 40, createdAtMs: 1, repository: 'team/app', generation: 3 },
      ]);
    });
  });

  it('does not end a job that was added again since it was read', async () => {
    await withStore(async (jobs) => {
      await jobs.add(job('a', 0));
      const [read] = jobs.due(0, 1);
      await jobs.add(job('a', 0));
      expect(jobs.finish(read!)).toBe(false);
      expect(jobs.has(digestOf('a'))).toBe(true);
      expect(jobs.finish(jobs.due(0, 1)[0]!)).toBe(true);
      expect(jobs.has(digestOf('a'))).toBe(false);
    });
  });

  it('puts a job off and counts its tries', async () => {
    await withStore(async (jobs) => {
      await jobs.add(job('a', 0));
      jobs.postpone(jobs.due(0, 1)[0]!, 100.5, 'the disk is on fire');
      expect(jobs.due(100, 1)).toEqual([]);
      expect(jobs.due(101, 1)).toMatchObject([{ attempts: 1, lastError: 'the disk is on fire' }]);
    });
  });

  it('tells how many there are, and the age of the oldest', async () => {
    await withStore(async (jobs) => {
      expect(jobs.summary()).toEqual({ jobs: 0, oldestCreatedAtMs: undefined });
      await Promise.all([jobs.add(job('a', 9, 7)), jobs.add(job('b', 9, 3))]);
      expect(jobs.summary()).toEqual({ jobs: 2, oldestCreatedAtMs: 3 });
    });
  });

  it('refuses what is added after it was closed', async () => {
    const jobs = await SqliteJobStore.open(join(await makeTempDir(), 'jobs.sqlite'));
    jobs.close();
    await expect(jobs.add(job('a', 0))).rejects.toBeInstanceOf(UnavailableError);
  });

  it('refuses jobs for which there is no room, all that share a commit, and goes on with what it has', async () => {
    const jobs = await SqliteJobStore.open(join(await makeTempDir(), 'jobs.sqlite'), { maxBytes: 32 * 1024 });
    await jobs.add(job('a', 0));
    const many = Array.from({ length: 500 }, (_, index) => jobs.add(job(`job ${index}`, 0)));
    const results = await Promise.allSettled(many);
    for (const result of results) expect(result).toMatchObject({ reason: { code: 'NO_SPACE' } });
    expect(jobs.summary().jobs).toBe(1);
    await jobs.add(job('b', 0));
    expect(jobs.finish(jobs.due(0, 1)[0]!)).toBe(true);
    jobs.close();
  });

  it('refuses a file that is no queue, or of another version, and leaves it as it is', async () => {
    const directory = await makeTempDir();
    const garbage = join(directory, 'garbage');
    await writeFile(garbage, 'this is no database, but it is long enough to be taken for one'.repeat(100));
    await expect(SqliteJobStore.open(garbage)).rejects.toBeInstanceOf(ConfigError);
    const newer = join(directory, 'newer');
    const database = new DatabaseSync(newer);
    database.exec('PRAGMA user_version = 2');
    database.close();
    await expect(SqliteJobStore.open(newer)).rejects.toThrow('has version 2, expected 1');
  });

  it('behaves as a map of digests, whatever is done in whatever order', async () => {
    type Model = Map<Digest, { notBeforeMs: number; attempts: number }>;
    const names = fc.constantFrom('a', 'b', 'c');
    const steps = fc.oneof(
      fc.record({ kind: fc.constant('add' as const), name: names, ms: fc.nat(100) }),
      fc.record({ kind: fc.constant('finish' as const), name: names, ms: fc.constant(0) }),
      fc.record({ kind: fc.constant('postpone' as const), name: names, ms: fc.nat(100) }),
    );
    const apply = async (
      jobs: SqliteJobStore,
      model: Model,
      { kind, name, ms }: { kind: string; name: string; ms: number },
    ) => {
      const digest = digestOf(name);
      const known = model.get(digest);
      const read = jobs.due(1_000, 10).find((each) => each.digest === digest);
      expect(read === undefined).toBe(known === undefined);
      if (kind === 'add') {
        await jobs.add(job(name, ms));
        model.set(digest, { notBeforeMs: Math.min(ms, known?.notBeforeMs ?? ms), attempts: known?.attempts ?? 0 });
      } else if (read !== undefined && known !== undefined && kind === 'finish') {
        expect(jobs.finish(read)).toBe(true);
        model.delete(digest);
      } else if (read !== undefined && known !== undefined) {
        jobs.postpone(read, ms, 'failed');
        model.set(digest, { notBeforeMs: ms, attempts: known.attempts + 1 });
      }
    };
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { maxLength: 20 }), async (sequence) => {
        const jobs = await SqliteJobStore.open(':memory:');
        const model: Model = new Map();
        for (const step of sequence) await apply(jobs, model, step);
        const stored = jobs
          .due(1_000, 10)
          .map(({ digest, notBeforeMs, attempts }) => [digest, { notBeforeMs, attempts }]);
        expect(new Map(stored as [Digest, { notBeforeMs: number; attempts: number }][])).toEqual(model);
        expect(jobs.summary().jobs).toBe(model.size);
        jobs.close();
      }),
      { numRuns: 50 },
    );
  });
});
