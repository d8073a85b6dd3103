import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import * as core from '../../src/core/index.ts';
import { PathNotFoundError, StorageUnavailableError } from '../../src/driver/index.ts';
import { answerError } from '../../src/registry/error-mapper.ts';
import * as registry from '../../src/registry/errors.ts';
import { renderErrorTable } from '../../src/registry/index.ts';

// OCI distribution specification, "Error codes", and what distribution adds.
const knownCodes = [
  ...['BLOB_UNKNOWN', 'BLOB_UPLOAD_INVALID', 'BLOB_UPLOAD_UNKNOWN', 'DIGEST_INVALID', 'MANIFEST_BLOB_UNKNOWN'],
  ...['MANIFEST_INVALID', 'MANIFEST_UNKNOWN', 'NAME_INVALID', 'NAME_UNKNOWN', 'SIZE_INVALID', 'UNAUTHORIZED'],
  ...['DENIED', 'UNSUPPORTED', 'TOOMANYREQUESTS'],
  ...['RANGE_INVALID', 'TAG_INVALID', 'UNKNOWN', 'UNAVAILABLE', 'PAGINATION_NUMBER_INVALID'],
];

const onUpload = { method: 'PUT', kind: 'upload' } as const;

describe('answerError', () => {
  it.each([
    [new core.InvalidDigestError('m'), 400, 'DIGEST_INVALID'],
    [new core.DigestMismatchError('m'), 400, 'DIGEST_INVALID'],
    [new core.InvalidRepositoryError('m'), 400, 'NAME_INVALID'],
    [new core.InvalidTagError('m'), 400, 'TAG_INVALID'],
    [new core.InvalidManifestError('m'), 400, 'MANIFEST_INVALID'],
    [new core.ManifestBlobUnknownError('m'), 404, 'MANIFEST_BLOB_UNKNOWN'],
    [new core.BlobNotFoundError('m'), 404, 'BLOB_UNKNOWN'],
    [new core.TagNotFoundError('m'), 404, 'MANIFEST_UNKNOWN'],
    [new core.RepositoryNotFoundError('m'), 404, 'NAME_UNKNOWN'],
    [new core.UploadNotFoundError('m'), 404, 'BLOB_UPLOAD_UNKNOWN'],
    [new core.UploadOffsetError('m'), 416, 'RANGE_INVALID'],
    [new core.InvalidRangeError('m'), 416, 'RANGE_INVALID'],
    [new core.ReadOnlyError('m'), 405, 'UNSUPPORTED'],
    [new registry.ManifestTooLargeError('m'), 413, 'SIZE_INVALID'],
    [new registry.TooManyTagsError('m'), 414, 'TAG_INVALID'],
    [new registry.UploadBusyError('m'), 416, 'RANGE_INVALID'],
  ])('answers %s with its own message', (error, status, code) => {
    const answer = answerError(error, { method: 'PUT', kind: 'blob' });
    expect(answer.status).toBe(status);
    expect(answer.body.errors).toEqual([{ code, message: 'm' }]);
  });

  it.each([
    ['tags', 'NAME_UNKNOWN'],
    ['catalog', 'NAME_UNKNOWN'],
    ['blob', 'BLOB_UNKNOWN'],
    ['manifest', 'MANIFEST_UNKNOWN'],
    ['upload', 'BLOB_UPLOAD_UNKNOWN'],
    ['uploads', 'BLOB_UPLOAD_UNKNOWN'],
    ['referrers', 'MANIFEST_UNKNOWN'],
  ] as const)('says what a missing path means on %s', (kind, code) => {
    const answer = answerError(new PathNotFoundError('filesystem', '/secret'), { method: 'GET', kind });
    expect([answer.status, answer.body.errors[0]?.code]).toEqual([404, code]);
    expect(JSON.stringify(answer)).not.toContain('secret');
  });

  it.each([
    new Error('secret'),
    new registry.BlobDamagedError('secret'),
    new registry.ManifestDamagedError('secret'),
    new core.ConfigError('secret'),
    new core.UnauthorizedError('secret'),
    Object.assign(new Error('secret'), { statusCode: 418 }),
    Object.assign(new Error('secret'), { code: 'FST_ERR_X', statusCode: 500 }),
    'secret',
    undefined,
  ])('tells nothing of what it does not know (%s)', (error) => {
    const answer = answerError(error, { method: 'PUT', kind: 'blob' });
    expect([answer.status, answer.body.errors[0]?.code]).toEqual([500, 'UNKNOWN']);
    expect(JSON.stringify(answer)).not.toContain('secret');
  });

  it('blames the storage, not the client, for other bytes on a read', () => {
    const answer = answerError(new core.DigestMismatchError('secret'), { method: 'GET', kind: 'blob' });
    expect([answer.status, answer.body.errors[0]?.code]).toEqual([500, 'UNKNOWN']);
  });

  it('gives one entry for each missing digest, and the facts of other errors as detail', () => {
    const missing = ['sha256:a', 'sha256:b'];
    const unknown = answerError(new core.ManifestBlobUnknownError('m', { missing }), onUpload);
    expect(unknown.body.errors.map((entry) => entry.detail)).toEqual(missing.map((digest) => ({ digest })));
    const offset = answerError(new core.UploadOffsetError('m', { size: 5 }), onUpload);
    expect(offset.body.errors[0]?.detail).toEqual({ size: 5 });
  });

  it('asks to try again when the storage is away, and lists the methods that a path takes', () => {
    expect(answerError(new StorageUnavailableError('s3', '/x', 'm'), onUpload).headers).toEqual({ 'retry-after': '5' });
    const { headers } = answerError(new registry.MethodNotAllowedError('m', ['GET', 'HEAD']), onUpload);
    expect(headers).toEqual({ allow: 'GET, HEAD' });
  });
});

describe('docs/errors.md', () => {
  it('has the table of the mapper', async () => {
    const page = await readFile(new URL('../../docs/errors.md', import.meta.url), 'utf8');
    expect(page).toContain(`\n\n${renderErrorTable()}\n`);
  });

  it('has only codes that clients know', () => {
    const codes = [...renderErrorTable().matchAll(/^\| `([A-Z_]+)` /gm)].map((match) => match[1]);
    expect(codes.length).toBeGreaterThan(30);
    expect(codes.filter((code) => !knownCodes.includes(code ?? ''))).toEqual([]);
  });
});
