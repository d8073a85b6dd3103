import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hasPrograms } from '../helpers/command.ts';
import { DOCKER_REGISTRY, folderStorage, startDockerRegistry } from '../helpers/docker-registry.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { Oras } from './oras-requests.ts';
import { RegistryProcess } from './registry-process.ts';

const repository = 'team/artifact';
const files = { 'report.txt': Buffer.from('all is well\n'), 'data.bin': randomBytes(300_000) };

describe('artifacts, by the requests of oras', () => {
  it('are pushed and pulled', async () => {
    await using registry = await RegistryProcess.start();
    const oras = new Oras(registry.url, repository);
    const digest = await oras.push('v1', 'test/report', files);
    expect(await registry.stored.digestOf(repository)).toBe(digest);
    expect(await new Oras(registry.url, repository).pull('v1')).toEqual(files);
    expect(await new Oras(registry.url, repository).pull(digest)).toEqual(files);
    // Pushed again: everything is there already, so that only questions are asked.
    const again = new Oras(registry.url, repository);
    expect(await again.push('v1', 'test/report', files)).toBe(digest);
    expect(again.asked.every((asked) => asked.startsWith('HEAD '))).toBe(true);
  });

  it('are attached, found by their type, and deleted, without a tag', async () => {
    await using registry = await RegistryProcess.start();
    const run = () => new Oras(registry.url, repository);
    const subject = await run().push('v1', 'test/app', files);
    const oras = run();
    const signature = await oras.attach('v1', 'test/signature', { 'signature.bin': randomBytes(70) });
    // That the registry has seen the subject comes with its answer: nothing else is asked, and no tag is made.
    expect(oras.asked.at(-1)).toBe(`PUT /v2/${repository}/manifests/${signature}`);
    const report = await run().attach(subject, 'test/report', { 'report.txt': Buffer.from('a report') });
    const onReport = await run().attach(report, 'test/signature', { 'signature.bin': randomBytes(70) });

    const found = await run().discover('v1');
    expect(found.map(({ digest }) => digest)).toEqual([signature, report].toSorted());
    const annotations = { 'org.opencontainers.image.created': '2026-01-01T00:00:00Z' };
    const expected = [{ digest: report, artifactType: 'test/report', annotations }];
    expect(await run().discover('v1', 'test/report')).toMatchObject(expected);
    expect(await run().discover('v1', 'test/none')).toEqual([]);
    expect(await run().discover(report)).toMatchObject([{ digest: onReport }]);
    expect(await run().pull(report)).toEqual({ 'report.txt': Buffer.from('a report') });

    await run().deleteManifest(signature);
    expect(await run().discover('v1')).toMatchObject([{ digest: report }]);
    await expect(run().pull(signature)).rejects.toThrow(/404/);
    await run().deleteManifest('v1');
    await expect(run().pull('v1')).rejects.toThrow(/404/);
    // What referred to it stays, until it is deleted itself.
    expect(await run().pull(report)).toEqual({ 'report.txt': Buffer.from('a report') });
  });

  // Skipped only where the program is missing; never in CI.
  it.skipIf(!hasPrograms(DOCKER_REGISTRY))('are found that were attached where a registry lists none', async () => {
    const folder = await makeTempDir();
    const { url: distribution, stop } = await startDockerRegistry(folderStorage(folder));
    onTestFinished(stop);
    const old = () => new Oras(distribution, repository);
    await old().push('v1', 'test/app', files);
    const attaching = old();
    const first = await attaching.attach('v1', 'test/signature', { 'signature.bin': randomBytes(70) });
    expect(attaching.asked.at(-1)).toMatch(/^PUT .*\/manifests\/sha256-[0-9a-f]{64}$/);
    const second = await old().attach('v1', 'test/report', { 'report.txt': Buffer.from('a report') });
    expect((await old().discover('v1')).map(({ digest }) => digest)).toEqual([first, second]);

    // The same folder, served by Shoal: what clients have noted is listed, and clients of both kinds see what is new.
    await using registry = await RegistryProcess.start({ config: { parameters: { rootdirectory: folder } } });
    const run = () => new Oras(registry.url, repository);
    expect((await run().discover('v1')).map(({ digest }) => digest)).toEqual([first, second].toSorted());
    expect(await run().discover('v1', 'test/report')).toMatchObject([{ digest: second }]);
    const third = await run().attach('v1', 'test/third', { 'third.txt': Buffer.from('third') });
    expect((await old().discover('v1')).map(({ digest }) => digest)).toEqual([first, second, third]);
    await run().deleteManifest(first);
    expect((await run().discover('v1')).map(({ digest }) => digest)).toEqual([second, third].toSorted());
    expect((await old().discover('v1')).map(({ digest }) => digest)).toEqual([second, third]);
  });
});
