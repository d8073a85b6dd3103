import { describe, expect, it } from 'vitest';
import { PeerPieces } from '../../src/swarm/wire/wire-pieces.ts';

describe('PeerPieces', () => {
  it('takes a later bitfield that has more, as aria2 sends it in the place of many HAVEs', () => {
    const pieces = new PeerPieces(12);
    pieces.setBits(Uint8Array.of(0b1100_0000, 0));
    expect(pieces.add(4)).toBe(true);
    pieces.setBits(Uint8Array.of(0b1111_1000, 0b0001_0000));
    expect(pieces.count).toBe(6);
    expect(pieces.add(3)).toBe(false);
    pieces.setBits(Uint8Array.of(0xff, 0xf0));
    expect(pieces.complete).toBe(true);
  });

  it('refuses a later bitfield without news, and pieces past the last', () => {
    const pieces = new PeerPieces(12);
    pieces.setBits(Uint8Array.of(0b1100_0000, 0));
    expect(() => pieces.setBits(Uint8Array.of(0b1000_0000, 0))).toThrow(/says twice/);
    expect(() => new PeerPieces(12).setBits(Uint8Array.of(0, 0b0000_1000))).toThrow(/past the last of 12/);
  });

  it('counts an empty bitfield once', () => {
    const pieces = new PeerPieces(8);
    pieces.setBits(Uint8Array.of(0));
    expect(() => pieces.setBits(Uint8Array.of(0))).toThrow(/says twice/);
  });
});
