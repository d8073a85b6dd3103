import { describe, expect, it, onTestFinished } from 'vitest';
import { conditionalCases } from '../../src/driver/conformance/conditional-cases.ts';
import { TestBench } from '../../src/driver/conformance/test-bench.ts';
import { defaultDriverFactory, PreconditionFailedError } from '../../src/driver/index.ts';
import { FaultProxy } from '../helpers/fault-proxy.ts';
import { S3Stub } from '../helpers/s3-stub.ts';

async function open(parameters: Record<string, unknown>) {
  const driver = await defaultDriverFactory().create('s3', parameters);
  onTestFinished(() => driver.close());
  return driver;
}

describe('s3 driver on a stub that does conditional puts and wants checksums', () => {
  for (const { name, run } of conditionalCases) {
    it(name, async () => {
      const { parameters } = await S3Stub.start();
      const driver = await open(parameters);
      const bench = new TestBench({ driver, expect, largeBytes: 1, reopen: () => open(parameters) });
      await run(bench);
      await bench.expectDeletable();
    });
  }

  it('knows its own put when the answer to it was lost', async () => {
    const stub = await S3Stub.start();
    const proxy = await FaultProxy.before(stub.parameters.regionendpoint);
    const driver = await open({ ...stub.parameters, regionendpoint: proxy.url });
    proxy.failNext(1, { kind: 'lose-answer' }, ({ method }) => method === 'PUT');
    await driver.putContentIf('/a', Buffer.from('mine'), { ifAbsent: true });
    expect(stub.requests.filter((request) => request.startsWith('PUT')).length).toBe(2);
    const again = driver.putContentIf('/a', Buffer.from('mine'), { ifAbsent: true });
    await expect(again).rejects.toThrow(PreconditionFailedError);
  });

  it('tries again when S3 answers 409 because of another put at the same moment', async () => {
    const stub = await S3Stub.start();
    const proxy = await FaultProxy.before(stub.parameters.regionendpoint);
    const driver = await open({ ...stub.parameters, regionendpoint: proxy.url });
    const body = '<Error><Code>ConditionalRequestConflict</Code><Message>try again</Message></Error>';
    proxy.failNext(2, { kind: 'answer', status: 409, body }, ({ method }) => method === 'PUT');
    await driver.putContentIf('/a', Buffer.from('mine'), { ifAbsent: true });
    expect((await driver.getContent('/a')).toString()).toBe('mine');
  });
});
