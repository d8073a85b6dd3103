import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isHostAddress, normaliseAddress, writeAddress } from '../../src/tracker/ip-address.ts';

describe('normaliseAddress', () => {
  it.each([
    ['10.0.0.7', '10.0.0.7'],
    ['::ffff:10.0.0.7', '10.0.0.7'],
    ['::FFFF:10.0.0.7', '10.0.0.7'],
    ['::ffff:a00:7', '10.0.0.7'],
    ['0:0:0:0:0:ffff:0a00:0007', '10.0.0.7'],
    ['::1', '::1'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['FD00:0:0::0007', 'fd00::7'],
    ['fe80::1%eth0', 'fe80::1'],
  ])('reads %s as %s', (text, expected) => {
    expect(normaliseAddress(text)).toBe(expected);
  });

  it.each([
    '',
    'localhost',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '1.2.3.4:80',
    '[::1]',
    ':::',
    '::1::2',
    'g::1',
    '1.2.3.4 ',
  ])('takes %j for no address', (text) => {
    expect(normaliseAddress(text)).toBeUndefined();
  });
});

describe('isHostAddress', () => {
  it.each(['127.0.0.1', '10.0.0.7', '223.255.255.255', '::1', 'fd00::7', 'fe80::1'])('takes %s', (text) => {
    expect(isHostAddress(text)).toBe(true);
  });
  it.each(['0.0.0.0', '0.1.2.3', '224.0.0.1', '255.255.255.255', '::', 'ff02::1'])('refuses %s', (text) => {
    expect(isHostAddress(text)).toBe(false);
  });
});

describe('writeAddress', () => {
  /** The bytes of an address, written behind one other byte. */
  const addressBytes = (address: string): Buffer => {
    const buffer = Buffer.alloc(20, 0xee);
    const end = writeAddress(address, buffer, 1);
    expect([buffer[0], buffer[end]]).toEqual([0xee, 0xee]);
    return buffer.subarray(1, end);
  };

  it.each([
    ['10.0.0.7', '0a000007'],
    ['::1', '00000000000000000000000000000001'],
    ['::', '00000000000000000000000000000000'],
    ['fd00::7:8', 'fd000000000000000000000000070008'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::1.2.3.4', '00000000000000000000000001020304'],
    ['64:ff9b::255.0.255.1', '0064ff9b0000000000000000ff00ff01'],
  ])('writes %s as %s', (text, hex) => {
    expect(addressBytes(text).toString('hex')).toBe(hex);
  });

  it('is the inverse of writing an address out', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const groups = Array.from({ length: 8 }, (_, index) => {
          return ((bytes[2 * index]! << 8) | bytes[2 * index + 1]!).toString(16);
        });
        const address = normaliseAddress(groups.join(':'))!;
        const expected = address.includes(':') ? Buffer.from(bytes) : Buffer.from(bytes.subarray(12));
        expect(addressBytes(address)).toEqual(expected);
      }),
      {
        numRuns: 500,
        examples: [[new Uint8Array(16)], [Uint8Array.from([...new Array(10).fill(0), 255, 255, 1, 2, 3, 4])]],
      },
    );
  });
});
