import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { AppError } from '../../src/core/index.ts';
import { defaultDriverFactory, type StorageDriver } from '../../src/driver/index.ts';

type Step = (driver: StorageDriver) => Promise<string>;

const path = fc.constantFrom('/a', '/a/b', '/a/b/c', '/a-b', '/a/d', '/e');
const content = fc.nat({ max: 40 }).map((length) => Buffer.alloc(length, length));

/** One call, or a writer's whole life; each says in a text what came of it. */
const step: fc.Arbitrary<{ readonly text: string; readonly run: Step }> = fc.oneof(
  fc.record({ path, content }).map(({ path, content }) => ({
    text: `put ${path} ${content.length}`,
    run: async (driver: StorageDriver) => {
      await driver.putContent(path, content);
      return 'put';
    },
  })),
  fc
    .record({ path, content, append: fc.boolean(), end: fc.constantFrom('commit', 'cancel', 'close') })
    .map(({ path, content, append, end }) => ({
      text: `write ${path} ${content.length} append ${append} ${end}`,
      run: async (driver: StorageDriver) => {
        await using writer = await driver.writer(path, { append });
        await writer.write(content);
        const { size } = writer;
        await writer[end as 'commit']();
        return `wrote ${size}`;
      },
    })),
  fc.tuple(path, path).map(([source, destination]) => ({
    text: `move ${source} ${destination}`,
    run: async (driver: StorageDriver) => {
      await driver.move(source, destination);
      return 'moved';
    },
  })),
  path.map((path) => ({
    text: `delete ${path}`,
    run: async (driver: StorageDriver) => {
      // Empty directories may stay, so that deleting one may succeed; what is left is compared after each step.
      await driver.delete(path).catch((error: unknown) => {
        if (!(error instanceof AppError) || error.code !== 'PATH_NOT_FOUND') throw error;
      });
      return 'deleted';
    },
  })),
  path.map((path) => ({
    text: `read ${path}`,
    run: async (driver: StorageDriver) => (await driver.getContent(path)).toString('hex'),
  })),
);

/** What a step came to: its answer, or the code of its error. */
async function resultOf(run: Step, driver: StorageDriver): Promise<string> {
  try {
    return await run(driver);
  } catch (error) {
    return error instanceof AppError ? error.code : String(error);
  }
}

/** Where a directory without objects stays, reading or moving it is refused in another way than where it went. */
function isSame(got: string, expected: string): boolean {
  return got === expected || (expected === 'PATH_NOT_FOUND' && got === 'NOT_A_FILE');
}

async function filesOf(driver: StorageDriver): Promise<string[]> {
  const files: string[] = [];
  for await (const info of driver.walk('/')) {
    if (!info.isDirectory) files.push(`${info.path} ${(await driver.getContent(info.path)).toString('hex')}`);
  }
  return files;
}

describe('the drivers for ordinary storage', () => {
  it('do the same as the reference, whatever is done in whatever order', async () => {
    const factory = defaultDriverFactory();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const rootdirectory = await mkdtemp(join(tmpdir(), 'shoal-same-'));
        try {
          const reference = await factory.create('inmemory', {});
          const driver = await factory.create('filesystem', { rootdirectory });
          for (const { text, run } of steps) {
            const [expected, got] = [await resultOf(run, reference), await resultOf(run, driver)];
            if (!isSame(got, expected)) throw new Error(`${text}: expected ${expected}, got ${got}`);
            const [files, others] = [await filesOf(reference), await filesOf(driver)];
            if (others.join() !== files.join()) throw new Error(`after ${text}: expected ${files}, got ${others}`);
          }
        } finally {
          await rm(rootdirectory, { recursive: true, force: true });
        }
      }),
      { numRuns: 40 },
    );
  }, 120_000);
});
