import type { Dispatcher } from '../../src/swarm/dispatcher/dispatcher.ts';

/** Takes all commands out: `[kind, peer, piece]`. */
export function take(dispatcher: Dispatcher): [number, number, number][] {
  const { commands } = dispatcher;
  const all = Array.from({ length: commands.count }, (_, i): [number, number, number] => [
    commands.kind(i),
    commands.peer(i),
    commands.piece(i),
  ]);
  commands.clear();
  return all;
}
