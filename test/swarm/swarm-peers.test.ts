import { describe, expect, it } from 'vitest';
import { PeerBook } from '../../src/swarm/peer-book.ts';
import { Turns } from '../../src/swarm/turns.ts';

const address = { host: '10.0.0.1', port: 7000 };

describe('PeerBook', () => {
  it('knows a peer by its id and by its address as the same one', () => {
    const book = new PeerBook();
    const named = book.atAddress(address)!;
    expect(book.atAddress(address, 'aa')).toBe(named);
    expect(book.atWire('aa', undefined)).toBe(named);
    expect(book.atWire('bb', '10.0.0.1:7000')).toBe(named);
    expect(named.id).toBe('bb');
    expect(book.size).toBe(1);
  });

  it('gives another number to whoever dialled us from somewhere', () => {
    const book = new PeerBook();
    const dialled = book.atAddress(address, 'aa')!;
    const stranger = book.atWire('bb', undefined)!;
    expect(stranger.number).not.toBe(dialled.number);
    expect(stranger.address).toBeUndefined();
    book.forgetStranger('bb');
    book.forgetStranger('aa');
    expect(book.get(stranger.number)).toBeUndefined();
    expect(book.get(dialled.number)).toBe(dialled);
  });

  it('finds nobody who is banned, by id or by the address that was dialled', () => {
    const book = new PeerBook();
    const peer = book.atAddress(address, 'aa')!;
    expect(book.ban('aa', '10.0.0.1:7000')).toBe(peer.number);
    expect(book.atWire('aa', undefined)).toBeUndefined();
    expect(book.atAddress(address, 'bb')).toBeUndefined();
    expect(book.atAddress({ host: '10.0.0.2', port: 7000 }, 'aa')).toBeUndefined();
  });

  it('does not ban the address that belongs to an id when somebody only came by that id', () => {
    const book = new PeerBook();
    book.atAddress(address, 'aa');
    book.ban('aa', undefined);
    expect(book.atAddress(address, 'bb')).toBeDefined();
  });

  it('keeps nothing of peers that are forgotten', () => {
    const book = new PeerBook();
    const peer = book.atAddress(address, 'aa')!;
    book.forget(peer.number);
    expect(book.size).toBe(0);
    expect(book.findAddress('10.0.0.1:7000')).toBeUndefined();
    expect(book.atAddress(address, 'aa')!.number).not.toBe(peer.number);
  });
});

describe('Turns', () => {
  const never = new AbortController().signal;

  it('lets so many go on, the others in the order in which they came', async () => {
    const turns = new Turns(1);
    const order: string[] = [];
    const first = await turns.take(never);
    const second = turns.take(never).then((end) => {
      order.push('second');
      end();
    });
    const third = turns.take(never).then((end) => {
      order.push('third');
      end();
    });
    first();
    first(); // Ends one turn only.
    await Promise.all([second, third]);
    expect(order).toEqual(['second', 'third']);
    await turns.take(never);
  });

  it('passes over one that does not wait any more', async () => {
    const turns = new Turns(1);
    const first = await turns.take(never);
    const controller = new AbortController();
    const gone = turns.take(controller.signal);
    const next = turns.take(never);
    controller.abort(new Error('enough'));
    await expect(gone).rejects.toThrow('enough');
    first();
    await next;
  });

  it('gives no turn to one that was aborted before', async () => {
    await expect(new Turns(1).take(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
  });
});
