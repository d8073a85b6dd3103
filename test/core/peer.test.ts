import { describe, expect, it } from 'vitest';
import { findPeerId, formatAddress, makePeerId } from '../../src/core/index.ts';

describe('peer ids', () => {
  it('begin with the name of the client and are never the same twice', () => {
    const ids = new Set(Array.from({ length: 1_000 }, makePeerId));
    expect(ids.size).toBe(1_000);
    for (const id of ids) {
      expect(findPeerId(id)).toBe(id);
      expect(Buffer.from(id, 'hex').subarray(0, 8).toString('latin1')).toBe('-SH0100-');
    }
  });

  it.each(['', 'a'.repeat(39), 'a'.repeat(41), 'A'.repeat(40), `${'a'.repeat(40)}\n`, '-SH0100-123456789012'])(
    'are not read from %j',
    (text) => {
      expect(findPeerId(text)).toBeUndefined();
    },
  );
});

describe('addresses', () => {
  it.each([
    [{ host: '127.0.0.1', port: 80 }, '127.0.0.1:80'],
    [{ host: '::1', port: 6881 }, '[::1]:6881'],
    [{ host: 'fe80::1%eth0', port: 1 }, '[fe80::1%eth0]:1'],
  ])('of %j are written %s', (address, text) => {
    expect(formatAddress(address)).toBe(text);
  });
});
