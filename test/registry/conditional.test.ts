import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { entityTagOf, namesEntity } from '../../src/registry/conditional.ts';

const digest = hashBytes(Buffer.from('entity'));
const other = hashBytes(Buffer.from('other'));

describe('namesEntity', () => {
  it.each(['*', digest, `"${digest}"`, `W/"${digest}"`, `"${other}", "${digest}"`, ` "${digest}" `])(
    'finds the entity in %s',
    (header) => expect(namesEntity(header, digest)).toBe(true),
  );

  it.each([undefined, '', '""', other, `"${other}"`, digest.slice(0, -1), `"${digest}`, digest.replace('sha256:', '')])(
    'does not find it in %s',
    (header) => expect(namesEntity(header, digest)).toBe(false),
  );

  it('finds what the registry sends itself', () => {
    expect(namesEntity(entityTagOf(digest), digest)).toBe(true);
  });
});
