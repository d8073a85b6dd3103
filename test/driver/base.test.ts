import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/core/index.ts';
import {
  type CallContext,
  ConflictError,
  type StorageDriver,
  StorageInternalError,
  UnsupportedError,
  validated,
  WriterClosedError,
} from '../../src/driver/index.ts';
import { FaultyDriver } from './faulty-driver.ts';

type Call = (driver: StorageDriver, context?: CallContext) => Promise<unknown>;

const readCalls: Readonly<Record<string, Call>> = {
  getContent: (driver, context) => driver.getContent('/a', context),
  reader: (driver, context) => driver.reader('/a', { offset: 0 }, context),
  stat: (driver, context) => driver.stat('/a', context),
  list: (driver, context) => exhaust(driver.list('/a', {}, context)),
  walk: (driver, context) => exhaust(driver.walk('/a', {}, context)),
  redirectURL: (driver, context) => driver.redirectURL('/a', { method: 'GET' }, context),
};

const writeCalls: Readonly<Record<string, Call>> = {
  putContent: (driver, context) => driver.putContent('/a', Buffer.alloc(1), context),
  putContentIf: (driver, context) => driver.putContentIf('/a', Buffer.alloc(1), { ifAbsent: true }, context),
  writer: (driver, context) => driver.writer('/a', { append: false }, context),
  move: (driver, context) => driver.move('/a', '/b', context),
  delete: (driver, context) => driver.delete('/a', context),
};

const allCalls = Object.entries({ ...readCalls, ...writeCalls });

async function exhaust(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

function throwing(error: unknown): StorageDriver {
  return validated(
    new FaultyDriver(() => {
      throw error;
    }),
  );
}

describe('validated', () => {
  it.each(allCalls)('wraps an unknown error of %s with its cause, driver and path', async (_, call) => {
    const cause = new TypeError('a defect');
    const error = await call(throwing(cause)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StorageInternalError);
    expect(error).toMatchObject({ cause, driverName: 'faulty', path: '/a' });
    expect(String(error)).toContain('faulty: unexpected error (a defect): /a');
  });

  it.each(allCalls)('passes errors of ours through %s untouched', async (_, call) => {
    for (const error of [new ConflictError('faulty', '/a', 'in the way'), new ConfigError('wrong')]) {
      await expect(call(throwing(error))).rejects.toBe(error);
    }
  });

  it.each(allCalls)('passes the reason of an abort through %s, whatever it is', async (_, call) => {
    for (const reason of [new Error('gone'), 'a text', { code: 7 }]) {
      const controller = new AbortController();
      const driver = validated(
        new FaultyDriver(() => {
          controller.abort(reason);
          throw reason;
        }),
      );
      const error = await call(driver, { signal: controller.signal }).catch((thrown: unknown) => thrown);
      expect(error).toBe(reason);
    }
  });

  it('turns the abort error of a library into the reason of the signal, but only when that has aborted', async () => {
    const controller = new AbortController();
    const reason = new Error('gone');
    const abortError = Object.assign(new Error('The operation was aborted'), { name: 'AbortError' });
    const driver = throwing(abortError);
    const before = await driver.stat('/a', { signal: controller.signal }).catch((thrown: unknown) => thrown);
    expect(before).toBeInstanceOf(StorageInternalError);
    const late = validated(
      new FaultyDriver(() => {
        controller.abort(reason);
        throw abortError;
      }),
    );
    await expect(late.stat('/a', { signal: controller.signal })).rejects.toBe(reason);
  });

  it('wraps an error in the middle of a listing', async () => {
    const driver = validated(
      new FaultyDriver((call) => {
        if (call === 'list again') throw new Error('the page is missing');
      }),
    );
    const found: string[] = [];
    const listing = (async () => {
      for await (const path of driver.list('/')) found.push(path);
    })();
    await expect(listing).rejects.toBeInstanceOf(StorageInternalError);
    expect(found).toEqual(['/a']);
  });

  it.each(Object.entries(writeCalls))(
    'refuses %s on a driver that only reads, and does not call it',
    async (_, call) => {
      const inner = new FaultyDriver(undefined, { write: false });
      await expect(call(validated(inner))).rejects.toBeInstanceOf(UnsupportedError);
      expect(inner.calls).toEqual([]);
    },
  );

  it.each(Object.entries(readCalls))('lets %s through on a driver that only reads', async (name, call) => {
    const inner = new FaultyDriver(undefined, { write: false });
    await call(validated(inner));
    expect(inner.calls).toContain(name);
  });

  it('never redirects for a driver that does not declare it', async () => {
    const inner = new FaultyDriver(undefined, { redirect: false });
    expect(await validated(inner).redirectURL('/a', { method: 'GET' })).toBeUndefined();
    expect(await validated(new FaultyDriver()).redirectURL('/a', { method: 'GET' })).toContain('http://');
    expect(inner.calls).toEqual([]);
  });

  it('wraps once', () => {
    const driver = validated(new FaultyDriver());
    expect(validated(driver)).toBe(driver);
  });

  it('closes the driver', async () => {
    const inner = new FaultyDriver();
    {
      await using _ = validated(inner);
    }
    expect(inner.calls).toEqual(['close driver']);
  });

  it('does not end the process when a signal aborts a stream that nobody reads yet', async () => {
    const controller = new AbortController();
    const driver = validated(new FaultyDriver());
    const stream = await driver.reader('/a', { offset: 0 }, { signal: controller.signal });
    controller.abort('gone');
    await expect(exhaust(stream)).rejects.toMatchObject({ message: 'aborted: gone', cause: 'gone' });
  });
});

describe('the writer of a validated driver', () => {
  function failing(...failures: readonly string[]) {
    const inner = new FaultyDriver((call) => {
      if (failures.includes(call)) throw new Error(`${call} failed`);
    });
    return { inner, open: () => validated(inner).writer('/a', { append: false }) };
  }

  it('refuses to commit after a write has failed, also one that nobody waited for', async () => {
    const { inner, open } = failing('write');
    const writer = await open();
    const write = writer.write(Buffer.alloc(1));
    const commit = writer.commit();
    await expect(write).rejects.toBeInstanceOf(StorageInternalError);
    await expect(commit).rejects.toMatchObject({ code: 'WRITER_CLOSED', cause: { code: 'STORAGE_INTERNAL' } });
    expect(inner.calls).toEqual(['writer', 'write']);
  });

  it('can still be cancelled or closed after a write or commit has failed', async () => {
    for (const failure of ['write', 'commit'] as const) {
      for (const end of ['cancel', 'close'] as const) {
        const { inner, open } = failing(failure);
        const writer = await open();
        const attempt = failure === 'write' ? writer.write(Buffer.alloc(1)) : writer.commit();
        await expect(attempt).rejects.toThrow(`${failure} failed`);
        await expect(writer.write(Buffer.alloc(1))).rejects.toBeInstanceOf(WriterClosedError);
        await writer[end]();
        await writer.close();
        expect(inner.calls).toEqual(['writer', failure, ...new Set([end, 'close'])]);
      }
    }
  });

  it('calls the close of the driver once, also when it fails or the writer is disposed of', async () => {
    const { inner, open } = failing('close');
    const writer = await open();
    await expect(writer.close()).rejects.toBeInstanceOf(StorageInternalError);
    await expect(writer[Symbol.asyncDispose]()).rejects.toBeInstanceOf(StorageInternalError);
    await expect(writer.write(Buffer.alloc(1))).rejects.toBeInstanceOf(WriterClosedError);
    expect(inner.calls).toEqual(['writer', 'close']);
  });

  it('says in the error how it has ended', async () => {
    const { open } = failing();
    const endings = { commit: 'committed', cancel: 'cancelled', close: 'closed' } as const;
    for (const [call, word] of Object.entries(endings)) {
      const writer = await open();
      await writer[call as keyof typeof endings]();
      await expect(writer.write(Buffer.alloc(1))).rejects.toThrow(`faulty: the writer is already ${word}: /a`);
      await writer.close();
    }
  });
});
