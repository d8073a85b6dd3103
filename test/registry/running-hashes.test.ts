import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { RunningHashes } from '../../src/registry/running-hashes.ts';

const bytes = Buffer.from('the bytes of an upload');
const digest = hashBytes(bytes);

/** A hash of an upload whose bytes were closed under this name. */
function hashOf(revision: string | undefined): RunningHashes {
  const hashes = new RunningHashes(10);
  hashes.begin('upload', 'sha256');
  hashes.update('upload', 0, bytes);
  hashes.closed('upload', { revision });
  return hashes;
}

describe('RunningHashes', () => {
  it.each([['one'], [undefined]])('count for bytes that are those closed here (%j)', (revision) => {
    const hashes = hashOf(revision);
    hashes.keepIf('upload', { size: bytes.length, revision });
    expect(hashes.find('upload', bytes.length, digest)).toBe(digest);
  });

  it('do not count for bytes of the same length that somebody else has closed', () => {
    const hashes = hashOf('one');
    hashes.keepIf('upload', { size: bytes.length, revision: 'another' });
    expect(hashes.find('upload', bytes.length, digest)).toBeUndefined();
  });

  it('do not count for bytes of another length', () => {
    const hashes = hashOf('one');
    hashes.keepIf('upload', { size: bytes.length + 1, revision: 'one' });
    expect(hashes.find('upload', bytes.length, digest)).toBeUndefined();
  });
});
