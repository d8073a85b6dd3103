import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageParser } from '../../src/swarm/wire/wire-parser.ts';
import { frame, messages, numbers } from './raw-peer.ts';

/** A swarm of 20 pieces. */
const BITFIELD_BYTES = 3;

/** Parses chunks and writes down what was found; blocks of even pieces are taken, others skipped. */
function parse(chunks: readonly Buffer[]): string[] {
  const found: string[] = [];
  let block: Buffer | undefined;
  const parser = new MessageParser({
    bitfieldBytes: BITFIELD_BYTES,
    sink: {
      onMessage: (id, body) => found.push(`${id} ${body.toString('hex')}`),
      onBlockStart: (piece, offset, length) => {
        found.push(`block ${piece} ${offset} ${length}`);
        block = piece % 2 === 0 ? Buffer.alloc(length) : undefined;
        return block;
      },
      onBlockEnd: () => found.push(`end ${block?.toString('hex') ?? 'skipped'}`),
    },
  });
  for (const chunk of chunks) parser.feed(chunk);
  return found;
}

const KEEP_ALIVE = Buffer.alloc(4);
const piece = fc.nat(19);
const bytes = (most: number) => fc.uint8Array({ maxLength: most }).map((array) => Buffer.from(array));

/** A message and what the parser is to find. */
const anyMessage: fc.Arbitrary<{ readonly sent: Buffer; readonly found: readonly string[] }> = fc.oneof(
  fc.constant({ sent: KEEP_ALIVE, found: [] }),
  fc.constantFrom(0, 1, 2, 3, 14, 15).map((id) => ({ sent: frame(id), found: [`${id} `] })),
  fc.tuple(fc.constantFrom(4, 13, 17), piece).map(([id, index]) => taken(id, numbers(index))),
  fc.tuple(fc.constantFrom(6, 8, 16), piece).map(([id, index]) => taken(id, numbers(index, 0, 16_384))),
  fc.uint8Array({ minLength: 3, maxLength: 3 }).map((array) => taken(messages.bitfield, Buffer.from(array))),
  bytes(300).map((body) => taken(20, Buffer.concat([Buffer.of(1), body]))),
  bytes(300).map((body) => ({ sent: frame(99, body), found: [] })),
  fc.tuple(piece, fc.nat(70_000), bytes(300)).map(([index, offset, body]) => ({
    sent: frame(messages.piece, Buffer.concat([numbers(index, offset), body])),
    found: [`block ${index} ${offset} ${body.length}`, `end ${index % 2 === 0 ? body.toString('hex') : 'skipped'}`],
  })),
);

function taken(id: number, body: Buffer) {
  return { sent: frame(id, body), found: [`${id} ${body.toString('hex')}`] };
}

function chop(all: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % (all.length + 1)), all.length].toSorted((a, b) => a - b);
  return places.slice(1).map((end, index) => all.subarray(places[index], end));
}

describe('MessageParser', () => {
  it('finds the same messages however they are cut', () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 20 }), fc.array(fc.nat(), { maxLength: 30 }), (sequence, cuts) => {
        const all = Buffer.concat(sequence.map(({ sent }) => sent));
        expect(parse(chop(all, cuts))).toEqual(sequence.flatMap(({ found }) => found));
      }),
      { numRuns: 500 },
    );
  });

  it('finds the same messages byte by byte', () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 5 }), (sequence) => {
        const all = Buffer.concat(sequence.map(({ sent }) => sent));
        const single = Array.from({ length: all.length }, (_, index) => all.subarray(index, index + 1));
        expect(parse(single)).toEqual(sequence.flatMap(({ found }) => found));
      }),
    );
  });

  it.each([
    ['a HAVE of three bytes', frame(messages.have, Buffer.alloc(3))],
    ['a HAVE of five bytes', frame(messages.have, Buffer.alloc(5))],
    ['an UNCHOKE with a body', frame(messages.unchoke, Buffer.alloc(1))],
    ['a REQUEST of two numbers', frame(messages.request, numbers(1, 2))],
    ['a bitfield that is too short', frame(messages.bitfield, Buffer.alloc(2))],
    ['a bitfield that is too long', frame(messages.bitfield, Buffer.alloc(4))],
    ['a block without an offset', frame(messages.piece, numbers(1))],
    ['a block without anything', frame(messages.piece)],
    ['a block of 128 KiB and a byte', frame(messages.piece, Buffer.alloc(8 + 128 * 1024 + 1))],
    ['a message of 2 GiB', numbers(0x8000_0000)],
    ['a message of 4 GiB', numbers(0xffff_ffff)],
    ['a message of 1 MiB that is not known', numbers(2 ** 20)],
    ['an extension message without its number', frame(20)],
    ['an extension message of 40 KiB', frame(20, Buffer.alloc(40 * 1024))],
  ])('refuses %s, as soon as it can be known', (_what, bad) => {
    expect(() => parse([frame(messages.have, numbers(1)), bad.subarray(0, 13)])).toThrow(
      expect.objectContaining({ code: 'PEER_PROTOCOL' }),
    );
    expect(() => parse(chop(bad, [1, 2, 3, 4, 5, 6]))).toThrow(expect.objectContaining({ code: 'PEER_PROTOCOL' }));
  });

  it.each([
    ['the longest block', frame(messages.piece, Buffer.concat([numbers(2, 0), Buffer.alloc(128 * 1024)]))],
    ['an empty block', frame(messages.piece, numbers(2, 0))],
    ['a message that is not known', frame(77, Buffer.alloc(100_000))],
    ['keep-alives', Buffer.alloc(4000)],
  ])('takes %s', (_what, good) => {
    expect(() => parse(chop(good, [7, 1000, 70_000]))).not.toThrow();
  });

  it('survives noise: it throws its own error, or finds messages, and never anything else', () => {
    fc.assert(
      fc.property(fc.array(bytes(200), { maxLength: 10 }), (chunks) => {
        try {
          parse(chunks);
        } catch (error) {
          expect(error).toMatchObject({ code: 'PEER_PROTOCOL' });
        }
      }),
    );
  });

  it('copies no byte of a block after it was dropped, and goes on behind it', () => {
    const target = Buffer.alloc(8);
    const ids: number[] = [];
    let ended = 0;
    const parser = new MessageParser({
      bitfieldBytes: BITFIELD_BYTES,
      sink: { onMessage: (id) => ids.push(id), onBlockStart: () => target, onBlockEnd: () => ended++ },
    });
    const sent = Buffer.concat([frame(messages.piece, Buffer.concat([numbers(1, 0), Buffer.alloc(8, 1)])), frame(1)]);
    parser.feed(sent.subarray(0, 16));
    parser.dropBlock();
    parser.feed(sent.subarray(16));
    expect([...target]).toEqual([1, 1, 1, 0, 0, 0, 0, 0]);
    expect([ended, ids]).toEqual([1, [1]]);
  });

  it('tells nothing more once it is stopped, in the middle of a chunk too', () => {
    const ids: number[] = [];
    const parser: MessageParser = new MessageParser({
      bitfieldBytes: BITFIELD_BYTES,
      sink: {
        onMessage: (id) => {
          ids.push(id);
          parser.stop();
        },
        onBlockStart: () => undefined,
        onBlockEnd: () => {},
      },
    });
    parser.feed(Buffer.concat([frame(1), frame(2)]));
    parser.feed(frame(3));
    expect(ids).toEqual([1]);
  });
});
