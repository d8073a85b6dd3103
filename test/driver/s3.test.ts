import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ConfigError } from '../../src/core/index.ts';
import {
  ConflictError,
  defaultDriverFactory,
  type FileWriter,
  InvalidPathError,
  NotADirectoryError,
  PathNotFoundError,
  type StorageDriver,
  StorageUnavailableError,
} from '../../src/driver/index.ts';
import { type BucketParameters, hasSwift, SwiftServer } from '../helpers/swift-s3/swift.ts';

const mib = 1024 * 1024;

describe('parameters of the s3 driver', () => {
  it.each([
    [{}, /"bucket" is missing/],
    [{ bucket: 'b', accesskey: 'a' }, /"accesskey" and "secretkey" belong together/],
    [{ bucket: 'b', chunksize: 1000 }, /"chunksize"/],
    [{ bucket: 'b', regionendpoint: 'http://' }, /"regionendpoint" is no URL/],
    [{ bucket: 'b', redirectendpoint: 'https://host/path' }, /"redirectendpoint" has to be a URL of scheme and host/],
    [{ bucket: 'b', v4auth: false }, /"v4auth"/],
    [{ bucket: 'b', shoesize: 43 }, /unknown parameter "shoesize"/],
  ])('refuses %j', async (parameters, message) => {
    const opened = defaultDriverFactory().create('s3', parameters);
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(message);
  });
});

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasSwift())('s3 driver', { timeout: 60_000 }, () => {
  const swift = SwiftServer.forThisFile();

  async function open(parameters: BucketParameters, more: Record<string, unknown> = {}): Promise<StorageDriver> {
    const driver = await defaultDriverFactory().create('s3', { chunksize: 5 * mib, ...parameters, ...more });
    onTestFinished(() => driver.close());
    return driver;
  }

  function client() {
    const s3 = swift.client();
    onTestFinished(() => s3.destroy());
    return s3;
  }

  it.each([
    [
      'a secret that is wrong',
      { secretkey: 'wrong' },
      /bucket ".*" at http.*credentials are refused.*SignatureDoesNotMatch/,
    ],
    ['an access key that nobody has', { accesskey: 'test:nobody' }, /credentials are refused|access is denied/],
    ['a bucket that is not there', { bucket: 'bucket-missing' }, /there is no such bucket.*create it/],
    ['a region that is wrong', { region: 'eu-north-1' }, /not in region "eu-north-1"/],
  ])('tells of %s when it is opened', async (_, wrong, message) => {
    const opened = open(await swift.makeBucket(), wrong);
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(message);
  });

  it('tells when nobody listens at the endpoint', async () => {
    const opened = open(await swift.makeBucket(), { regionendpoint: 'http://127.0.0.1:9', maxattempts: 1 });
    await expect(opened).rejects.toThrow(StorageUnavailableError);
  });

  it('keeps objects at the keys that distribution uses, below its rootdirectory', async () => {
    const parameters = await swift.makeBucket();
    const driver = await open(parameters, { rootdirectory: '/some/root' });
    const s3 = client();
    await s3.putObject({ Bucket: parameters.bucket, Key: 'some/root/docker/of-theirs', Body: 'theirs' });
    await s3.putObject({ Bucket: parameters.bucket, Key: 'some/rootless', Body: 'not below the root' });
    await s3.putObject({ Bucket: parameters.bucket, Key: 'some/root/docker/no path', Body: 'no path of ours' });
    expect((await driver.getContent('/docker/of-theirs')).toString()).toBe('theirs');
    await driver.putContent('/docker/of-ours', Buffer.from('ours'));
    const { Body } = await s3.getObject({ Bucket: parameters.bucket, Key: 'some/root/docker/of-ours' });
    expect(await Body?.transformToString()).toBe('ours');
    expect(await Array.fromAsync(driver.list('/'))).toEqual(['/docker']);
    const walked = await Array.fromAsync(driver.walk('/'), ({ path }) => path);
    expect(walked).toEqual(['/docker', '/docker/of-ours', '/docker/of-theirs']);
    await expect(driver.putContent(`/${'c/'.repeat(509)}c`, Buffer.from('x'))).rejects.toThrow(InvalidPathError);
  });

  it('lets nobody reach what it keeps for itself', async () => {
    const parameters = await swift.makeBucket();
    const driver = await open(parameters);
    await using writer = await driver.writer('/upload/data', { append: false });
    await writer.write(Buffer.from('unfinished'));
    await writer.close();
    const { Contents = [] } = await client().listObjectsV2({ Bucket: parameters.bucket });
    expect(Contents.map(({ Key }) => Key)).toEqual(['.shoal-uncommitted/upload/data/~bytes']);
    expect(await Array.fromAsync(driver.list('/'))).toEqual([]);
    expect(await Array.fromAsync(driver.walk('/'))).toEqual([]);
    await expect(driver.stat('/.shoal-uncommitted/upload')).rejects.toThrow(PathNotFoundError);
    await expect(driver.delete('/.shoal-uncommitted')).rejects.toThrow(InvalidPathError);
    await expect(driver.putContent('/.shoal-uncommitted/a', Buffer.from('x'))).rejects.toThrow(InvalidPathError);
  });

  it('goes on over restarts with parts and with bytes that fill none', async () => {
    const parameters = await swift.makeBucket();
    const content = randomBytes(23 * mib + 77);
    let revision: string | undefined;
    for (let offset = 0, round = 0; offset < content.length; offset += 4 * mib + 11, round += 1) {
      await using driver = await open(parameters);
      await using writer = await driver.writer('/a', { append: round > 0 });
      expect(writer.size).toBe(offset);
      if (round > 0) expect(writer.revision).toBe(revision);
      await writer.write(content.subarray(offset, offset + 4 * mib + 11));
      await writer.close();
      expect(writer.revision).not.toBe(revision);
      revision = writer.revision;
    }
    const driver = await open(parameters);
    await using writer = await driver.writer('/a', { append: true });
    await writer.commit();
    expect((await driver.getContent('/a')).equals(content)).toBe(true);
    const { Uploads = [] } = await client().listMultipartUploads({ Bucket: parameters.bucket });
    const { Contents = [] } = await client().listObjectsV2({ Bucket: parameters.bucket });
    expect([Uploads.length, Contents.map(({ Key }) => Key)]).toEqual([0, ['a']]);
  });

  it('does not commit parts that another process has replaced', async () => {
    const parameters = await swift.makeBucket();
    const [mine, other] = [await open(parameters), await open(parameters)];
    await using begun = await mine.writer('/a', { append: false });
    await begun.write(randomBytes(6 * mib));
    await begun.close();
    await using first = await mine.writer('/a', { append: true });
    await using second = await other.writer('/a', { append: true });
    await first.write(randomBytes(10 * mib));
    await first.close();
    await second.write(randomBytes(10 * mib));
    // Its parts are on their way behind the write.
    const look = async () => {
      const opened = await mine.writer('/a', { append: true }).catch((error: unknown) => error);
      if (opened instanceof Error) return opened.name;
      await (opened as FileWriter).close();
      return 'opened';
    };
    await expect.poll(look, { timeout: 20_000 }).toBe('ConflictError');
    await second.commit();
    expect((await mine.stat('/a')).size).toBe(16 * mib);
    await expect(mine.writer('/a', { append: true })).rejects.toThrow(ConflictError);
  });

  it('throws a ConflictError from a commit whose upload is gone', async () => {
    const parameters = await swift.makeBucket();
    const [mine, other] = [await open(parameters), await open(parameters)];
    await using writer = await mine.writer('/dir/a', { append: false });
    await writer.write(randomBytes(11 * mib));
    await other.delete('/dir').catch(() => undefined);
    await expect(writer.commit()).rejects.toThrow(ConflictError);
    await expect(mine.stat('/dir/a')).rejects.toThrow(PathNotFoundError);
  });

  it('throws away what writers that died have left when their directory is deleted', async () => {
    const parameters = await swift.makeBucket();
    const Bucket = parameters.bucket;
    const s3 = client();
    for (const Key of ['dir/a', 'dir/a', 'dir/b/c', 'dir-beside/d']) await s3.createMultipartUpload({ Bucket, Key });
    const driver = await open(parameters);
    await driver.delete('/dir');
    await expect(driver.delete('/dir')).rejects.toThrow(PathNotFoundError);
    const { Uploads = [] } = await s3.listMultipartUploads({ Bucket });
    expect(Uploads.map(({ Key }) => Key)).toEqual(['dir-beside/d']);
  });

  it('moves large objects in parts', async () => {
    const driver = await open(await swift.makeBucket(), {
      multipartcopythresholdsize: 6 * mib,
      multipartcopychunksize: 5 * mib,
      multipartcopymaxconcurrency: 2,
    });
    for (const write of ['put', 'write']) {
      const content = randomBytes(18 * mib + 5);
      if (write === 'put') await driver.putContent('/from', content);
      else {
        await using writer = await driver.writer('/from', { append: false });
        await writer.write(content);
        await writer.commit();
      }
      await driver.move('/from', '/to/here');
      expect((await driver.getContent('/to/here')).equals(content)).toBe(true);
      await expect(driver.stat('/from')).rejects.toThrow(PathNotFoundError);
    }
  });

  it('gives URLs for GET and HEAD that name the redirectendpoint', async () => {
    const parameters = await swift.makeBucket();
    const driver = await open(parameters, { redirectendpoint: swift.endpoint.replace('127.0.0.1', 'localhost') });
    await driver.putContent('/a', Buffer.from('content'));
    const url = (await driver.redirectURL('/a', { method: 'GET' })) ?? '';
    expect(new URL(url).hostname).toBe('localhost');
    // The signature is good for that name, at whatever address it is reached.
    expect(await (await fetch(url)).text()).toBe('content');
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(403);
    expect(await driver.redirectURL('/a', { method: 'PUT' })).toBe(undefined);
    const without = await open(parameters, { redirect: false });
    expect(await without.redirectURL('/a', { method: 'GET' })).toBe(undefined);
  });

  it('sees no object in the place of a directory that another process has put there', async () => {
    const parameters = await swift.makeBucket();
    const driver = await open(parameters);
    await client().putObject({ Bucket: parameters.bucket, Key: 'a', Body: 'an object' });
    await expect(driver.putContent('/a/b', Buffer.from('x'))).rejects.toThrow(NotADirectoryError);
  });
});
