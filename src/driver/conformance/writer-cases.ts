import { buffer } from 'node:stream/consumers';
import { ConflictError, PathNotFoundError, WriterClosedError } from '../errors.ts';
import { parentOf } from '../paths.ts';
import type { FileWriter } from '../storage-driver.ts';
import type { ConformanceCase, TestBench } from './test-bench.ts';

/** Three writers, one after the other, as the chunks of an upload come in. */
async function appendInThree(bench: TestBench, chunkBytes: number): Promise<void> {
  const path = bench.path();
  const content = bench.bytes(3 * chunkBytes);
  for (const round of [0, 1, 2]) {
    const driver = round === 2 ? await bench.afterRestart() : bench.driver;
    await using writer = await driver.writer(path, { append: round > 0 });
    bench.expect(writer.size).toBe(round * chunkBytes);
    await writer.write(content.subarray(round * chunkBytes, (round + 1) * chunkBytes));
    bench.expect(writer.size).toBe((round + 1) * chunkBytes);
    if (round === 2) await writer.commit();
  }
  await bench.expectContent(path, content);
}

/** The calls that an ended writer has to refuse. */
async function expectEnded(bench: TestBench, writer: FileWriter): Promise<void> {
  await bench.expectError(writer.write(Buffer.from('late')), WriterClosedError);
  await bench.expectError(writer.commit(), WriterClosedError);
  await bench.expectError(writer.cancel(), WriterClosedError);
}

/** Writers: visibility, continuing, ending. */
export const writerCases: readonly ConformanceCase[] = [
  ...[0, 1, 2, 32, 1024 * 1024].map((length) => ({
    name: `make an object of ${length} bytes`,
    run: async (bench: TestBench) => {
      const path = bench.path();
      const content = bench.bytes(length);
      await bench.write(path, content);
      await bench.expectContent(path, content);
      bench.expect((await bench.read(path)).equals(content)).toBe(true);
    },
  })),
  {
    name: 'make an object of bytes that are no UTF-8',
    run: async (bench) => {
      const path = bench.path();
      await bench.write(path, Buffer.from([0x80, 0x80, 0x80, 0x80]));
      await bench.expectContent(path, Buffer.from([0x80, 0x80, 0x80, 0x80]));
    },
  },
  {
    name: 'replace the whole of a longer object, and only by their commit',
    run: async (bench) => {
      const path = bench.path();
      const old = bench.bytes(1000);
      await bench.driver.putContent(path, old);
      await using writer = await bench.driver.writer(path, { append: false });
      await writer.write(Buffer.from('new'));
      await bench.expectContent(path, old);
      await writer.commit();
      await bench.expectContent(path, Buffer.from('new'));
    },
  },
  { name: 'go on with small chunks', run: (bench) => appendInThree(bench, 32) },
  { name: 'go on with large chunks, over a restart', run: (bench) => appendInThree(bench, bench.largeBytes) },
  {
    name: 'know their exact size before they are closed',
    run: async (bench) => {
      const path = bench.path();
      await using writer = await bench.driver.writer(path, { append: false });
      let total = 0;
      bench.expect(writer.size).toBe(0);
      for (const length of [1, 100, 0, 70_000, 3]) {
        await writer.write(bench.bytes(length));
        total += length;
        bench.expect(writer.size).toBe(total);
      }
      await writer.commit();
      bench.expect(writer.size).toBe(total);
    },
  },
  {
    name: 'write in order what is written without waiting',
    run: async (bench) => {
      const path = bench.path();
      const content = bench.bytes(20_000);
      await using writer = await bench.driver.writer(path, { append: false });
      const calls: Promise<void>[] = [];
      for (let offset = 0; offset < content.length; offset += 1000) {
        calls.push(writer.write(content.subarray(offset, offset + 1000)));
      }
      await Promise.all([...calls, writer.commit()]);
      await bench.expectContent(path, content);
    },
  },
  {
    name: 'do not need the memory of bytes that they have taken',
    run: async (bench) => {
      const path = bench.path();
      const content = bench.bytes(bench.largeBytes);
      const part = Buffer.alloc(100_000);
      await using writer = await bench.driver.writer(path, { append: false });
      for (let offset = 0; offset < content.length; offset += part.length) {
        const length = content.copy(part, 0, offset);
        await writer.write(part.subarray(0, length));
        part.fill(0xff);
      }
      await writer.commit();
      await bench.expectContent(path, content);
    },
  },
  {
    name: 'show nothing before they commit',
    run: async (bench) => {
      const path = bench.path('a/b');
      const beside = `${parentOf(path)}/c`;
      await bench.driver.putContent(beside, Buffer.from('c'));
      const expectNothing = async () => {
        await bench.expectError(bench.driver.getContent(path), PathNotFoundError, path);
        await bench.expectError(bench.driver.reader(path, { offset: 0 }), PathNotFoundError, path);
        await bench.expectError(bench.driver.stat(path), PathNotFoundError, path);
        await bench.expectError(bench.driver.move(path, bench.path()), PathNotFoundError);
        bench.expect(await bench.list(parentOf(path))).toEqual([beside]);
        bench.expect((await bench.walk(parentOf(path))).map((info) => info.path)).toEqual([beside]);
      };
      const writer = await bench.driver.writer(path, { append: false });
      await writer.write(bench.bytes(100));
      await expectNothing();
      await writer.close();
      await expectNothing();
    },
  },
  {
    name: 'leave no directory behind that somebody could see before they commit',
    run: async (bench) => {
      await bench.leaveUnfinished(bench.path('deep/down'), bench.bytes(10));
      bench.expect(await bench.list('/')).toEqual([]);
      bench.expect(await bench.walk('/')).toEqual([]);
    },
  },
  {
    name: 'go on with an object of length zero, committed by a writer or put',
    run: async (bench) => {
      const written = bench.path();
      const put = bench.path();
      await bench.write(written, Buffer.alloc(0));
      await bench.driver.putContent(put, Buffer.alloc(0));
      for (const path of [written, put]) {
        const content = bench.bytes(32);
        await using writer = await bench.driver.writer(path, { append: true });
        bench.expect(writer.size).toBe(0);
        await writer.write(content);
        await bench.expectContent(path, Buffer.alloc(0));
        await writer.commit();
        await bench.expectContent(path, content);
      }
    },
  },
  {
    name: 'cannot go on where there is nothing',
    run: async (bench) => {
      const path = bench.path();
      await bench.expectError(bench.driver.writer(path, { append: true }), PathNotFoundError, path);
      bench.expect(await bench.list('/')).toEqual([]);
    },
  },
  {
    name: 'cannot go on with a committed object that has bytes',
    run: async (bench) => {
      const path = bench.path();
      const content = bench.bytes(10);
      await bench.write(path, content);
      await bench.expectError(bench.driver.writer(path, { append: true }), ConflictError, path);
      await bench.expectContent(path, content);
    },
  },
  {
    name: 'cannot go on twice at once',
    run: async (bench) => {
      const path = bench.path();
      await bench.leaveUnfinished(path, Buffer.from('first'));
      const writer = await bench.driver.writer(path, { append: true });
      await bench.expectError(bench.driver.writer(path, { append: true }), ConflictError, path);
      await writer.write(Buffer.from(' second'));
      await writer.close();
      await using next = await bench.driver.writer(path, { append: true });
      await next.commit();
      await bench.expectContent(path, Buffer.from('first second'));
    },
  },
  {
    name: 'start at nothing without append, whatever was left unfinished',
    run: async (bench) => {
      const path = bench.path();
      await bench.leaveUnfinished(path, bench.bytes(100));
      await using writer = await bench.driver.writer(path, { append: false });
      bench.expect(writer.size).toBe(0);
      await writer.write(Buffer.from('anew'));
      await writer.commit();
      await bench.expectContent(path, Buffer.from('anew'));
      await bench.expectError(bench.driver.writer(path, { append: true }), ConflictError, path);
    },
  },
  {
    name: 'throw all bytes away when cancelled, those of earlier writers included',
    run: async (bench) => {
      const path = bench.path();
      await bench.leaveUnfinished(path, bench.bytes(100));
      const writer = await bench.driver.writer(path, { append: true });
      await writer.write(bench.bytes(100));
      await writer.cancel();
      await expectEnded(bench, writer);
      await writer.close();
      await bench.expectError(bench.driver.getContent(path), PathNotFoundError, path);
      await bench.expectError(bench.driver.writer(path, { append: true }), PathNotFoundError, path);
    },
  },
  {
    name: 'leave the object alone when cancelled',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, Buffer.from('old'));
      await using writer = await bench.driver.writer(path, { append: false });
      await writer.write(Buffer.from('never'));
      await writer.cancel();
      await bench.expectContent(path, Buffer.from('old'));
    },
  },
  {
    name: 'refuse calls after commit and after close',
    run: async (bench) => {
      const path = bench.path();
      const writer = await bench.driver.writer(path, { append: false });
      await writer.write(Buffer.from('whole'));
      await writer.commit();
      await expectEnded(bench, writer);
      await writer.close();
      await writer.close();
      await expectEnded(bench, writer);
      await bench.expectContent(path, Buffer.from('whole'));

      const unfinished = await bench.driver.writer(bench.path(), { append: false });
      await unfinished.close();
      await expectEnded(bench, unfinished);
      await unfinished.close();
    },
  },
  {
    name: 'leave no unfinished bytes below a directory that is deleted',
    run: async (bench) => {
      const path = bench.path('upload/data');
      await bench.driver.putContent(`${parentOf(path)}/startedat`, Buffer.from('now'));
      await bench.leaveUnfinished(path, bench.bytes(10));
      await bench.driver.delete(parentOf(path));
      await bench.expectError(bench.driver.writer(path, { append: true }), PathNotFoundError, path);
    },
  },
  {
    name: 'can be discarded by deleting their path',
    run: async (bench) => {
      const path = bench.path();
      await bench.leaveUnfinished(path, bench.bytes(10));
      await bench.driver.delete(path);
      await bench.expectError(bench.driver.writer(path, { append: true }), PathNotFoundError, path);
      await bench.expectError(bench.driver.delete(path), PathNotFoundError, path);
    },
  },
  {
    name: 'keep what an aborted upload has sent',
    run: async (bench) => {
      const path = bench.path();
      const controller = new AbortController();
      const writer = await bench.driver.writer(path, { append: false }, { signal: controller.signal });
      await writer.write(Buffer.from('the first part'));
      controller.abort(new Error('the client has gone'));
      await writer.close();
      await using next = await (await bench.afterRestart()).writer(path, { append: true });
      bench.expect(next.size).toBe('the first part'.length);
      await next.write(Buffer.from(', the second'));
      await next.commit();
      const stream = await bench.driver.reader(path, { offset: 0 });
      bench.expect((await buffer(stream)).toString()).toBe('the first part, the second');
    },
  },
];
