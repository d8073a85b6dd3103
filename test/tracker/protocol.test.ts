import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeMetainfoAnswer, encodeMetainfoAnswer } from '../../src/tracker/protocol.ts';

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));

describe('a metainfo answer', () => {
  it('reads as it was written, with and without the blob', () => {
    fc.assert(
      fc.property(bytes, fc.option(bytes, { nil: undefined }), (metainfo, blob) => {
        expect(decodeMetainfoAnswer(encodeMetainfoAnswer({ metainfo, blob }))).toEqual({ metainfo, blob });
      }),
    );
  });

  it('tells an empty blob from none', () => {
    const metainfo = Buffer.from('m');
    expect(decodeMetainfoAnswer(encodeMetainfoAnswer({ metainfo, blob: Buffer.alloc(0) })).blob).toEqual(
      Buffer.alloc(0),
    );
    expect(decodeMetainfoAnswer(encodeMetainfoAnswer({ metainfo, blob: undefined })).blob).toBeUndefined();
  });

  it('is refused when it is cut within the metainfo', () => {
    const whole = encodeMetainfoAnswer({ metainfo: Buffer.alloc(40, 1), blob: undefined });
    for (let length = 0; length < whole.length; length++) {
      expect(() => decodeMetainfoAnswer(whole.subarray(0, length)), String(length)).toThrow(RangeError);
    }
  });
});
