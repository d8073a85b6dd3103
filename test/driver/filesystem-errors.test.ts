import { describe, expect, it } from 'vitest';
import { toDriverError } from '../../src/driver/filesystem/errno.ts';

describe('toDriverError', () => {
  it.each([
    ['ENOENT', 'read', 'PATH_NOT_FOUND'],
    ['ENOTDIR', 'read', 'PATH_NOT_FOUND'],
    ['ENOTDIR', 'write', 'NOT_A_DIRECTORY'],
    ['EEXIST', 'write', 'NOT_A_DIRECTORY'],
    ['EISDIR', 'read', 'NOT_A_FILE'],
    ['ENOTEMPTY', 'write', 'NOT_A_FILE'],
    ['ENOSPC', 'write', 'STORAGE_FULL'],
    ['EDQUOT', 'write', 'STORAGE_FULL'],
    ['EFBIG', 'write', 'STORAGE_FULL'],
    ['EROFS', 'write', 'PERMISSION'],
    ['EACCES', 'read', 'PERMISSION'],
    ['EPERM', 'write', 'PERMISSION'],
    ['ELOOP', 'read', 'INVALID_PATH'],
    ['ENAMETOOLONG', 'write', 'INVALID_PATH'],
    ['EXDEV', 'write', 'STORAGE_INTERNAL'],
    ['EMFILE', 'read', 'STORAGE_UNAVAILABLE'],
    ['ESTALE', 'read', 'STORAGE_UNAVAILABLE'],
  ] as const)('makes of %s on %s %s', (code, access, expected) => {
    const cause = Object.assign(new Error(code), { code });
    expect(toDriverError(cause, '/a', access)).toMatchObject({ code: expected, path: '/a', cause });
  });

  it.each([new Error('no code'), Object.assign(new Error('EIO'), { code: 'EIO' }), 'a text', undefined])(
    'leaves %s as it is',
    (error) => {
      expect(toDriverError(error, '/a', 'read')).toBe(error);
    },
  );
});
